//! Rules from a folder: four modules, published and activated together, at the start and whenever the folder changes.
//!
//! A folder counts when two looks in a row find the same files, when they are the same after they were read, and when every
//! one of them is admitted. So what is half written or half copied is not loaded, and several modules that change one after
//! the other go into force at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use tollgate_domain::rule::World;
use tollgate_engine::Module;
use tollgate_ledger::{self as ledger, Activation, Ledger, Signature};

use super::signatures::read_signature;
use super::watch::source_of;
use super::{LoadError, RuleLoader};
use crate::config::Config;

/// Generations among which a folder looks for its own at most.
const GENERATIONS_MAX: u32 = 1_000;

/// A module of the folder with the parameters of the configuration.
pub struct FolderRule {
    pub module: Module,
    pub bytes: Vec<u8>,
    pub params: BTreeMap<String, Vec<String>>,
    pub signature: Option<Signature>,
}

/// What is known of a file without reading it.
type Mark = (PathBuf, u64, u64, i64, i64);

/// A folder that says which rules are in force.
pub struct Folder {
    dir: PathBuf,
    params: BTreeMap<World, BTreeMap<String, Vec<String>>>,
    /// Name of this host.
    author: String,
    /// How the files looked the last time, and how they looked when they were last read.
    seen: Vec<Mark>,
    read: Vec<Mark>,
    /// Rules that were read and are not in force yet.
    waiting: Option<Vec<FolderRule>>,
}

/// What a look into the folder has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderTurn {
    Same,
    /// There are rules that `activate` has to put in force.
    Changed,
}

impl Folder {
    #[must_use]
    pub fn new(config: &Config, author: String) -> Self {
        Self {
            dir: PathBuf::from(&config.rules.dir),
            params: World::ALL
                .into_iter()
                .map(|world| (world, config.rules.params(world)))
                .collect(),
            author,
            seen: Vec::new(),
            read: Vec::new(),
            waiting: None,
        }
    }

    /// Reads and admits the folder's modules and checks the configured parameters. The next look begins from there.
    ///
    /// # Errors
    /// Every module that is missing or refused and every parameter that is wrong, in one text.
    pub fn read(&mut self, loader: &RuleLoader) -> anyhow::Result<()> {
        let marks = self.marks();
        let rules = read(loader, &self.dir, &self.params)?;
        if self.marks() != marks {
            bail!("{}: files are being changed; try again", self.dir.display());
        }
        (self.seen, self.read) = (marks.clone(), marks);
        self.waiting = Some(rules);
        Ok(())
    }

    /// Looks whether the files have changed, and reads them once they have stopped changing. A folder that cannot be used
    /// is reported once and changes nothing.
    pub fn look(&mut self, loader: &RuleLoader) -> FolderTurn {
        let marks = self.marks();
        let is_calm = marks == self.seen;
        self.seen.clone_from(&marks);
        if is_calm && marks != self.read {
            self.read = marks;
            if let Err(error) = self.read(loader) {
                loader.costs.refused("FOLDER_REFUSED");
                tracing::error!(
                    error = format!("{error:#}"),
                    "the rules folder has changed and cannot be used"
                );
            }
        }
        if self.waiting.is_some() { FolderTurn::Changed } else { FolderTurn::Same }
    }

    /// Publishes what was read and puts it in force, unless a folder has put the same in force since this one has put
    /// anything else in force: then whatever is in force now is somebody's wish, a rollback for instance.
    ///
    /// # Errors
    /// The ledger did not answer, or a name is somebody else's; the folder is then tried again at the next look or never,
    /// respectively.
    pub async fn activate(
        &mut self,
        loader: &RuleLoader,
        ledger: &mut Ledger,
    ) -> Result<u64, LoadError> {
        let Some(rules) = &self.waiting else { return Ok(ledger.active_number().await?) };
        let source = source_of(&self.dir.display().to_string());
        let outcome = activate(ledger, rules, &self.author, &source).await;
        match &outcome {
            Err(error) if is_passing(error) => {}
            Err(error) => {
                loader.costs.refused(error.code());
                tracing::error!(%error, "the rules of the folder are not activated");
                self.waiting = None;
            }
            Ok(_) => self.waiting = None,
        }
        Ok(outcome?)
    }

    fn marks(&self) -> Vec<Mark> {
        let mark = |path: PathBuf| {
            let found = fs::metadata(&path).ok()?;
            Some((path, found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        World::ALL
            .into_iter()
            .map(|world| self.dir.join(format!("{world}.wasm")))
            .flat_map(|path| [signature_path(&path), path])
            .filter_map(mark)
            .collect()
    }
}

/// Reads and admits the folder's modules and checks the configured parameters.
///
/// # Errors
/// Every module that is missing or refused and every parameter that is wrong, in one text.
pub fn read_folder(loader: &RuleLoader, config: &Config) -> anyhow::Result<Vec<FolderRule>> {
    let params = World::ALL.into_iter().map(|world| (world, config.rules.params(world))).collect();
    read(loader, Path::new(&config.rules.dir), &params)
}

/// Where a module's signature lies.
#[must_use]
pub fn signature_path(module: &Path) -> PathBuf {
    let mut path = module.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// The signature beside a module's file, when there is one.
///
/// # Errors
/// There is one that cannot be read.
pub fn signature_beside(module: &Path) -> anyhow::Result<Option<Signature>> {
    let path = signature_path(module);
    if path.exists() { read_signature(&path).map(Some) } else { Ok(None) }
}

fn read(
    loader: &RuleLoader,
    dir: &Path,
    params: &BTreeMap<World, BTreeMap<String, Vec<String>>>,
) -> anyhow::Result<Vec<FolderRule>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for world in World::ALL {
        let params = params.get(&world).cloned().unwrap_or_default();
        match read_module(loader, dir, world, params) {
            Ok(rule) => {
                if let Err(errors) = rule.module.description().bind(&rule.params) {
                    problems.extend(errors.iter().map(|error| format!("rules.{world}: {error}")));
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

fn read_module(
    loader: &RuleLoader,
    dir: &Path,
    world: World,
    params: BTreeMap<String, Vec<String>>,
) -> anyhow::Result<FolderRule> {
    let path = dir.join(format!("{world}.wasm"));
    let bytes = fs::read(&path).with_context(|| {
        format!("{}: cannot be read; `cargo xtask rules` builds the shipped rules", path.display())
    })?;
    let signature = signature_beside(&path)?;
    let module = loader
        .admit_signed(world, &bytes, signature.as_ref())
        .map_err(|error| anyhow!("{}: {} ({})", path.display(), error, error.code()))?;
    loader
        .prove(&module, &bytes)
        .map_err(|error| anyhow!("{}: {error} ({})", path.display(), error.code()))?;
    Ok(FolderRule { module, bytes, params, signature })
}

/// Publishes modules and makes them the active generation, unless that was done and something else was wanted since.
async fn activate(
    ledger: &mut Ledger,
    rules: &[FolderRule],
    author: &str,
    source: &str,
) -> Result<u64, ledger::LedgerError> {
    const NOTE: &str = "from the rules folder";
    let mut parts = Vec::new();
    for rule in rules {
        let description = rule.module.description();
        let module = ledger::Module {
            digest: rule.module.digest().to_owned(),
            world: rule.module.world().to_string(),
            name: description.name.clone(),
            version: description.version.clone(),
            bytes: rule.bytes.clone(),
            publisher: author.to_owned(),
            note: NOTE.to_owned(),
            signature: rule.signature.clone(),
        };
        ledger.publish(&module, false).await?;
        parts.push(ledger::Part {
            world: module.world,
            digest: module.digest,
            params: serde_json::to_string(&rule.params).unwrap_or_default(),
        });
    }
    parts.sort();
    let known = ledger.generations(GENERATIONS_MAX).await?;
    let own = known.iter().find(|known| known.source == source).map_or(0, |own| own.number);
    let same = known.iter().find(|known| !known.source.is_empty() && known.parts == parts);
    if same.is_some_and(|same| same.number >= own) {
        return ledger.active_number().await;
    }
    let activation =
        Activation { parts: &parts, author, note: NOTE, source, ..Activation::default() };
    Ok(ledger.activate_rules(&activation).await?.number)
}

/// Whether the same may succeed in a moment.
fn is_passing(error: &ledger::LedgerError) -> bool {
    matches!(error, ledger::LedgerError::Outage { .. } | ledger::LedgerError::Transient { .. })
}
