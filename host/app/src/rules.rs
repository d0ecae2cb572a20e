//! The active rules: from the folder into the ledger, and from the ledger into the engine.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits, Module, Rule, RuleSet};
use tollgate_ledger::{self as ledger, Ledger};

use crate::config::{Config, ParamText};

/// Worlds that a generation must have.
const WORLDS: [World; 2] = [World::Pricing, World::Threshold];

/// Rules of one generation, ready to be asked.
pub struct ActiveRules {
    pub set: RuleSet,
    pub generation: u64,
}

/// Loads rules. Safe to share; each writer owns what it loads.
pub struct RuleLoader {
    engine: Engine,
}

/// A module of the folder with the parameters of the configuration.
pub struct FolderRule {
    pub module: Module,
    pub bytes: Vec<u8>,
    pub params: BTreeMap<String, Vec<String>>,
}

impl RuleLoader {
    /// # Errors
    /// The engine cannot run on this machine.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let rules = &config.rules;
        let limits = EngineLimits {
            module_bytes_max: rules.module_bytes_max as usize,
            memory_bytes_max: rules.memory_bytes_max as usize,
            fuel_base_max: rules.fuel_base_max,
            fuel_per_item_max: rules.fuel_per_row_max,
            backstop_ms: rules.backstop_ms.into(),
            ..EngineLimits::default()
        };
        Ok(Self { engine: Engine::new(limits).context("the rule engine cannot start")? })
    }

    /// Reads and admits the folder's modules and checks the configured parameters.
    ///
    /// # Errors
    /// Every module that is missing or refused and every parameter that is wrong, in one text.
    pub fn read_folder(&self, config: &Config) -> anyhow::Result<Vec<FolderRule>> {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for world in WORLDS {
            match self.read_module(config, world) {
                Ok(rule) => {
                    if let Err(errors) = rule.module.description().bind(&rule.params) {
                        problems
                            .extend(errors.iter().map(|error| format!("rules.{world}: {error}")));
                    }
                    found.push(rule);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        if problems.is_empty() {
            return Ok(found);
        }
        bail!("the rules cannot be used:\n  {}", problems.join("\n  "))
    }

    /// Publishes the folder's modules and makes them the active generation, unless they are it already.
    ///
    /// # Errors
    /// The ledger did not answer.
    pub async fn activate(
        &self,
        ledger: &mut Ledger,
        rules: &[FolderRule],
        author: &str,
    ) -> Result<u64, ledger::LedgerError> {
        let mut parts = Vec::new();
        for rule in rules {
            let description = rule.module.description();
            ledger
                .publish(&ledger::Module {
                    digest: rule.module.digest().to_owned(),
                    world: rule.module.world().to_string(),
                    name: description.name.clone(),
                    version: description.version.clone(),
                    bytes: rule.bytes.clone(),
                })
                .await?;
            parts.push(ledger::Part {
                world: rule.module.world().to_string(),
                digest: rule.module.digest().to_owned(),
                params: serde_json::to_string(&rule.params).unwrap_or_default(),
            });
        }
        parts.sort();
        ledger.activate(&parts, author, "from the rules folder").await
    }

    /// Loads what the ledger says is active.
    ///
    /// # Errors
    /// The ledger did not answer, nothing is active, or a module is no longer admitted.
    pub async fn load_active(&self, ledger: &mut Ledger) -> anyhow::Result<ActiveRules> {
        let active = ledger.active().await?;
        let active =
            active.ok_or_else(|| anyhow!("no rule generation is active; run `tollgate run`"))?;
        let pricing = self.load_part(ledger, &active, World::Pricing).await?;
        let threshold = self.load_part(ledger, &active, World::Threshold).await?;
        let set = RuleSet::new(pricing, threshold)?;
        Ok(ActiveRules { set, generation: active.number })
    }

    async fn load_part(
        &self,
        ledger: &mut Ledger,
        active: &ledger::Generation,
        world: World,
    ) -> anyhow::Result<Rule> {
        let part = active.parts.iter().find(|part| part.world == world.as_str());
        let part =
            part.ok_or_else(|| anyhow!("generation {} has no {world} rule", active.number))?;
        let bytes = ledger.module_bytes(&part.digest).await?;
        let module = self.engine.admit(world, &bytes).with_context(|| {
            format!("generation {}: module {} is not admitted", active.number, part.digest)
        })?;
        let params: BTreeMap<String, Vec<String>> = serde_json::from_str(&part.params)
            .with_context(|| format!("parameters of generation {}", active.number))?;
        Rule::bind(module, &params).with_context(|| format!("generation {}", active.number))
    }

    fn read_module(&self, config: &Config, world: World) -> anyhow::Result<FolderRule> {
        let path = Path::new(&config.rules.dir).join(format!("{world}.wasm"));
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "{}: cannot be read; `cargo xtask rules` builds the shipped rules",
                path.display()
            )
        })?;
        let module = self
            .engine
            .admit(world, &bytes)
            .map_err(|error| anyhow!("{}: {} ({})", path.display(), error, error.code()))?;
        let given = match world {
            World::Pricing => &config.rules.pricing,
            _ => &config.rules.threshold,
        };
        let texts = |text: &ParamText| text.0.clone();
        let params = given.iter().map(|(name, text)| (name.clone(), texts(text))).collect();
        Ok(FolderRule { module, bytes, params })
    }
}
