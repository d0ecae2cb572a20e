//! The active rules: from the folder into the ledger, and from the ledger into the engine.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use tollgate_domain::rule::World;
use tollgate_engine::{
    AdmissionError, Engine, EngineLimits, InterpretedLimits, Module, Notifier, Refunder, Rule,
    RuleSet,
};
use tollgate_ledger::{self as ledger, Ledger};

use crate::config::Config;

/// Worlds that a generation must have.
const WORLDS: [World; 4] = World::ALL;

/// Admitted modules remembered at most.
const ADMITTED_MAX: usize = 32;

/// Rules of one generation, ready to be asked.
pub struct ActiveRules {
    pub set: RuleSet,
    pub generation: u64,
}

/// The rule that words messages, of one generation.
pub struct ActiveNotifier {
    pub notifier: Notifier,
    pub generation: u64,
}

/// The rule that decides about refunds, and those that judge what a refund does to a budget, of one generation.
pub struct ActiveRefunder {
    pub refunder: Refunder,
    pub set: RuleSet,
    pub generation: u64,
}

/// Loads rules. Safe to share; everyone owns what they load.
pub struct RuleLoader {
    engine: Engine,
    /// Modules by world and digest, because several parts of the host load the same.
    admitted: Mutex<HashMap<(World, String), Module>>,
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
        let engine = Engine::new(engine_limits(config)).context("the rule engine cannot start")?;
        Ok(Self { engine, admitted: Mutex::default() })
    }

    /// The engine that admits and runs rules.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
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
        let active = active(ledger).await?;
        let set = self.load_set(ledger, &active).await?;
        Ok(ActiveRules { set, generation: active.number })
    }

    /// Loads the active rule that words messages.
    ///
    /// # Errors
    /// As `load_active`.
    pub async fn load_notifier(&self, ledger: &mut Ledger) -> anyhow::Result<ActiveNotifier> {
        let active = active(ledger).await?;
        let rule = self.load_part(ledger, &active, World::Notification).await?;
        Ok(ActiveNotifier { notifier: Notifier::new(rule)?, generation: active.number })
    }

    /// Loads the active rules that settle compensations.
    ///
    /// # Errors
    /// As `load_active`.
    pub async fn load_refunder(&self, ledger: &mut Ledger) -> anyhow::Result<ActiveRefunder> {
        let active = active(ledger).await?;
        let refunder = self.load_refunder_of(ledger, &active).await?;
        let set = self.load_set(ledger, &active).await?;
        Ok(ActiveRefunder { refunder, set, generation: active.number })
    }

    /// Loads the rules of a generation that charge clicks, whether it is in force or not.
    ///
    /// # Errors
    /// The ledger did not answer, or a module is no longer admitted.
    pub async fn load_set(
        &self,
        ledger: &mut Ledger,
        generation: &ledger::Generation,
    ) -> anyhow::Result<RuleSet> {
        let pricing = self.load_part(ledger, generation, World::Pricing).await?;
        let threshold = self.load_part(ledger, generation, World::Threshold).await?;
        Ok(RuleSet::new(pricing, threshold)?)
    }

    /// Loads the refund rule of a generation, whether it is in force or not.
    ///
    /// # Errors
    /// As `load_set`.
    pub async fn load_refunder_of(
        &self,
        ledger: &mut Ledger,
        generation: &ledger::Generation,
    ) -> anyhow::Result<Refunder> {
        Ok(Refunder::new(self.load_part(ledger, generation, World::Refund).await?)?)
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
        let module = match self.remembered(world, &part.digest) {
            Some(module) => module,
            None => {
                let bytes = ledger.module_bytes(&part.digest).await?;
                self.admit(world, &bytes).with_context(|| {
                    format!("generation {}: module {} is not admitted", active.number, part.digest)
                })?
            }
        };
        let params: BTreeMap<String, Vec<String>> = serde_json::from_str(&part.params)
            .with_context(|| format!("parameters of generation {}", active.number))?;
        Rule::bind(module, &params).with_context(|| format!("generation {}", active.number))
    }

    fn remembered(&self, world: World, digest: &str) -> Option<Module> {
        self.admitted().get(&(world, digest.to_owned())).cloned()
    }

    fn admit(&self, world: World, bytes: &[u8]) -> Result<Module, AdmissionError> {
        let module = self.engine.admit(world, bytes)?;
        let mut admitted = self.admitted();
        if admitted.len() >= ADMITTED_MAX {
            admitted.clear();
        }
        admitted.insert((world, module.digest().to_owned()), module.clone());
        Ok(module)
    }

    fn admitted(&self) -> MutexGuard<'_, HashMap<(World, String), Module>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
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
            .admit(world, &bytes)
            .map_err(|error| anyhow!("{}: {} ({})", path.display(), error, error.code()))?;
        let rules = &config.rules;
        let given = match world {
            World::Pricing => rules.pricing.iter(),
            World::Threshold => rules.threshold.iter(),
            World::Notification => rules.notification.iter(),
            World::Refund => rules.refund.iter(),
        };
        let params = given.map(|(name, text)| (name.clone(), text.0.clone())).collect();
        Ok(FolderRule { module, bytes, params })
    }
}

/// Limits of modules with an interpreter, when the configuration names a world for them.
fn interpreted(config: &Config) -> Option<InterpretedLimits> {
    let worlds: Vec<World> = config.rules.interpreted.iter().map(|world| (*world).into()).collect();
    (!worlds.is_empty()).then(|| InterpretedLimits { worlds, ..InterpretedLimits::default() })
}

/// What a rule may use.
pub(crate) fn engine_limits(config: &Config) -> EngineLimits {
    let rules = &config.rules;
    EngineLimits {
        module_bytes_max: rules.module_bytes_max as usize,
        memory_bytes_max: rules.memory_bytes_max as usize,
        fuel_base_max: rules.fuel_base_max,
        fuel_per_item_max: rules.fuel_per_row_max,
        backstop_ms: rules.backstop_ms.into(),
        interpreted: interpreted(config),
        ..EngineLimits::default()
    }
}

async fn active(ledger: &mut Ledger) -> anyhow::Result<ledger::Generation> {
    let active = ledger.active().await?;
    active.ok_or_else(|| anyhow!("no rule generation is active; run `tollgate run`"))
}
