//! The rules of both sides of a comparison: those in force, with candidates in their places.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use tollgate_domain::rule::{Value, World};
use tollgate_engine::{Engine, Module, Rule, RuleSet};
use tollgate_ledger::{Generation, Ledger};
use tollgate_workbench::replay::RuleAbout;

use crate::rules::folder::FolderRule;
use crate::rules::{CANDIDATE_WORLDS, LoadError};

type Params = BTreeMap<String, Vec<String>>;

/// What is compared, as an operator names it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Files or digests.
    pub candidates: &'a [String],
    /// `NAME=VALUE` or `KIND.NAME=VALUE`, for candidates.
    pub params: &'a [String],
    /// Files, digests, or the number of a generation.
    pub against: &'a [String],
}

/// Rules of both sides.
#[derive(Clone)]
pub struct Sides {
    before: Vec<Part>,
    after: Vec<Part>,
}

/// A rule of one side.
#[derive(Clone)]
struct Part {
    module: Module,
    params: Params,
    origin: String,
}

impl Sides {
    /// Candidates against the rules of the ledger.
    ///
    /// # Errors
    /// A module cannot be found, is not admitted or is of another kind, a parameter cannot be used, or the ledger
    /// cannot be asked.
    pub async fn of_ledger(
        engine: &Engine,
        ledger: &mut Ledger,
        asked: Asked<'_>,
    ) -> anyhow::Result<Self> {
        let mut number = None;
        let mut modules = Vec::new();
        for against in asked.against {
            match against.parse::<u64>() {
                Ok(_) if number.is_some() => bail!("--against names two generations; name one"),
                Ok(found) if !Path::new(against).exists() => number = Some(found),
                _ => modules.push(against),
            }
        }
        let generation = match number {
            Some(number) => ledger.generation(number).await?,
            None => ledger.active().await?,
        };
        let mut before = match (&generation, number) {
            (Some(generation), _) => parts(engine, ledger, generation).await?,
            (None, Some(number)) => bail!("the ledger has no rule generation {number}"),
            (None, None) if modules.len() < CANDIDATE_WORLDS.len() => {
                bail!(
                    "no rule generation is active; run `tollgate run`, or name both rules by --against"
                )
            }
            (None, None) => Vec::new(),
        };
        for name in modules {
            let module = found(engine, Some(&mut *ledger), name).await?;
            replace(&mut before, module, name, &Params::new());
        }
        let mut candidates = Vec::new();
        for name in asked.candidates {
            candidates.push((found(engine, Some(&mut *ledger), name).await?, name.clone()));
        }
        Self::of(before, candidates, asked.params)
    }

    /// Candidates against the rules of the folder; nobody else is asked.
    ///
    /// # Errors
    /// As `of_ledger`.
    pub async fn of_folder(
        engine: &Engine,
        folder: Vec<FolderRule>,
        asked: Asked<'_>,
    ) -> anyhow::Result<Self> {
        let mut before: Vec<_> = folder
            .into_iter()
            .filter(|rule| CANDIDATE_WORLDS.contains(&rule.module.world()))
            .map(|rule| Part {
                module: rule.module,
                params: rule.params,
                origin: "rules folder".to_owned(),
            })
            .collect();
        for name in asked.against {
            if name.parse::<u64>().is_ok() && !Path::new(name).exists() {
                bail!(
                    "--against {name} names a generation of the ledger; leave out --campaigns, or name modules"
                );
            }
            let module = found(engine, None, name).await?;
            replace(&mut before, module, name, &Params::new());
        }
        let mut candidates = Vec::new();
        for name in asked.candidates {
            candidates.push((found(engine, None, name).await?, name.clone()));
        }
        Self::of(before, candidates, asked.params)
    }

    fn of(
        before: Vec<Part>,
        candidates: Vec<(Module, String)>,
        params: &[String],
    ) -> anyhow::Result<Self> {
        for world in CANDIDATE_WORLDS {
            let named = candidates.iter().filter(|(module, _)| module.world() == world).count();
            if named > 1 {
                bail!("--candidate names {named} {world} modules; name one of each kind");
            }
        }
        let given = given(params, &candidates)?;
        let mut after = before.clone();
        for (module, name) in candidates {
            let given = given.get(&module.world()).cloned().unwrap_or_default();
            replace(&mut after, module, &name, &given);
        }
        let sides = Self { before, after };
        sides.before()?;
        sides.after()?;
        Ok(sides)
    }

    /// # Errors
    /// A parameter cannot be used.
    pub fn before(&self) -> anyhow::Result<RuleSet> {
        set(&self.before)
    }

    /// # Errors
    /// A parameter cannot be used.
    pub fn after(&self) -> anyhow::Result<RuleSet> {
        set(&self.after)
    }

    /// Both sides in words.
    #[must_use]
    pub fn about(&self) -> (Vec<RuleAbout>, Vec<RuleAbout>) {
        let about = |parts: &[Part]| parts.iter().map(about).collect();
        (about(&self.before), about(&self.after))
    }

    /// What readers have to know: a price or a counter of Redis that a rule asks for and nobody has here.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let wants = |asks: fn(&Part) -> bool| self.before.iter().chain(&self.after).any(asks);
        if wants(|part| part.module.description().needs.cached_price) {
            notes.push("No click has a cached price: prices are those that rules take without one, unless a file \
                        of campaigns names cached_price. --history has the prices of then."
                .to_owned());
        }
        if wants(|part| part.module.description().needs.counter) {
            notes.push(
                "No campaign has a spend counter in Redis: the ledgers' own spend decides."
                    .to_owned(),
            );
        }
        notes
    }
}

fn set(parts: &[Part]) -> anyhow::Result<RuleSet> {
    let rule = |world: World| {
        let part = parts.iter().find(|part| part.module.world() == world);
        let part = part.with_context(|| format!("there is no {world} rule"))?;
        Ok::<_, anyhow::Error>(Rule::bind(part.module.clone(), &part.params)?)
    };
    Ok(RuleSet::new(rule(World::Pricing)?, rule(World::Threshold)?)?)
}

/// Puts a module into its place. What the rule before was given stays, where the module has such a parameter.
fn replace(parts: &mut Vec<Part>, module: Module, origin: &str, given: &Params) {
    let at = parts.iter().position(|part| part.module.world() == module.world());
    let mut params = Params::new();
    if let Some(at) = at {
        for (name, texts) in parts.remove(at).params {
            let param = module.description().params.iter().find(|param| param.name == name);
            if param.is_some_and(|param| param.read(&texts).is_ok()) {
                params.insert(name, texts);
            }
        }
    }
    params.extend(given.clone());
    let part = Part { module, params, origin: origin.to_owned() };
    parts.insert(at.unwrap_or(parts.len()), part);
}

async fn parts(
    engine: &Engine,
    ledger: &mut Ledger,
    generation: &Generation,
) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for world in CANDIDATE_WORLDS {
        let number = generation.number;
        let part = generation.parts.iter().find(|part| part.world == world.as_str());
        let part = part.with_context(|| format!("generation {number} has no {world} rule"))?;
        let bytes = published(ledger, &part.digest).await?;
        let module = engine
            .admit(world, &bytes)
            .with_context(|| format!("generation {number}: module {}", part.digest))?;
        let params = serde_json::from_str(&part.params)
            .with_context(|| format!("parameters of generation {number}"))?;
        parts.push(Part { module, params, origin: format!("generation {number}") });
    }
    Ok(parts)
}

/// A module by its file, or else by its digest.
async fn found(engine: &Engine, ledger: Option<&mut Ledger>, name: &str) -> anyhow::Result<Module> {
    let is_digest = name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = match (std::fs::read(name), ledger) {
        (Ok(bytes), _) => bytes,
        (Err(_), Some(ledger)) if is_digest => {
            published(ledger, &name.to_ascii_lowercase()).await?
        }
        (Err(error), _) => bail!("{name}: {error}; name a file, or a digest that the ledger has"),
    };
    admit(engine, &bytes).with_context(|| name.to_owned())
}

/// The bytes of a published module, when they are what they are called.
async fn published(ledger: &mut Ledger, digest: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = ledger.module_bytes(digest).await?;
    let found = tollgate_engine::digest(&bytes);
    if found != digest {
        return Err(LoadError::Damaged { digest: digest.to_owned(), found }.into());
    }
    Ok(bytes)
}

/// A module of one of the kinds that are asked about clicks.
fn admit(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Module> {
    let module = engine
        .admit(engine.world_of(bytes).unwrap_or(World::Pricing), bytes)
        .map_err(|error| anyhow!("{error} ({})", error.code()))?;
    let world = module.world();
    if !CANDIDATE_WORLDS.contains(&world) {
        bail!(
            "this is a {world} rule, which is not asked about clicks; replay pricing or threshold rules"
        );
    }
    Ok(module)
}

/// Parameters by the kind of candidate that they are for.
fn given(
    params: &[String],
    candidates: &[(Module, String)],
) -> anyhow::Result<BTreeMap<World, Params>> {
    let mut given: BTreeMap<World, Params> = BTreeMap::new();
    for text in params {
        let (name, value) =
            text.split_once('=').with_context(|| format!("--params {text:?} is not NAME=VALUE"))?;
        let (kind, name) =
            name.split_once('.').map_or((None, name), |(kind, name)| (Some(kind), name));
        let has =
            |module: &Module| module.description().params.iter().any(|param| param.name == name);
        let of_kind = candidates
            .iter()
            .map(|(module, _)| module)
            .filter(|module| kind.is_none_or(|kind| kind == module.world().as_str()));
        let mut owners = of_kind.filter(|module| has(module));
        let Some(module) = owners.next() else {
            bail!("--params {text:?}: no candidate has a parameter `{name}`");
        };
        if owners.next().is_some() {
            bail!(
                "--params {text:?}: two candidates have `{name}`; write pricing.{name} or threshold.{name}"
            );
        }
        let is_many =
            module.description().params.iter().any(|param| param.name == name && param.many);
        let texts = if is_many {
            value.split(',').map(|text| text.trim().to_owned()).collect()
        } else {
            vec![value.to_owned()]
        };
        given.entry(module.world()).or_default().insert(name.to_owned(), texts);
    }
    Ok(given)
}

fn about(part: &Part) -> RuleAbout {
    let description = part.module.description();
    let values = description.bind(&part.params).unwrap_or_default();
    let params = description.params.iter().zip(values).map(|(param, value)| {
        let value = match value {
            Value::Number(number) => param.shown(number),
            Value::Text(text) => text,
            Value::Numbers(numbers) => {
                numbers.iter().map(|number| param.shown(*number)).collect::<Vec<_>>().join(",")
            }
        };
        (param.name.clone(), value)
    });
    RuleAbout {
        kind: part.module.world().to_string(),
        name: description.name.clone(),
        version: description.version.clone(),
        digest: part.module.digest().to_owned(),
        origin: part.origin.clone(),
        params: params.collect(),
    }
}
