//! Rules from a folder: four modules, published and activated together, at the start and whenever the folder changes.
//!
//! A folder counts when two looks in a row find the same files, when they are the same after they were read, and when every
//! one of them is admitted. So what is half written or half copied is not loaded, and several modules that change one after
//! the other go into force at once.
//!
//! A verdict about the files holds until they change. Whatever else prevents them from going into force is tried again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tollgate_domain::rule::World;
use tollgate_engine::Module;
use tollgate_ledger::{self as ledger, Activation, Ledger, Signature};

use super::board::FolderRules;
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
    /// How the files looked the last time, and how they looked when they were last judged.
    seen: Vec<Mark>,
    read: Vec<Mark>,
    /// Rules that were read and are not in force yet.
    waiting: Option<Vec<FolderRule>>,
    /// What was last said to be wrong with the files as they are.
    told: String,
}

/// Why a folder's rules cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
struct Unusable {
    sentence: String,
    /// Whether the same files are refused each time, and not only now.
    is_verdict: bool,
}

impl Unusable {
    fn verdict(sentence: String) -> Self {
        Self { sentence, is_verdict: true }
    }

    fn passing(sentence: String) -> Self {
        Self { sentence, is_verdict: false }
    }

    /// A file that is not there is there once the files have changed; one that cannot be read may be readable later.
    fn unreadable(path: &Path, error: &io::Error, advice: &str) -> Self {
        let is_verdict =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData);
        let sentence = format!("{}: cannot be read{advice}: {error}", path.display());
        Self { sentence, is_verdict }
    }

    fn refused(path: &Path, error: &LoadError) -> Self {
        let sentence = format!("{}: {error} ({})", path.display(), error.code());
        Self { sentence, is_verdict: error.is_verdict() }
    }
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
            told: String::new(),
        }
    }

    /// Reads and admits the folder's modules and checks the configured parameters. The next look begins from there.
    ///
    /// # Errors
    /// Every module that is missing or refused and every parameter that is wrong, in one text.
    pub fn read(&mut self, loader: &RuleLoader) -> anyhow::Result<()> {
        Ok(self.judge(loader)?)
    }

    fn judge(&mut self, loader: &RuleLoader) -> Result<(), Unusable> {
        let marks = self.marks();
        let rules = read(loader, &self.dir, &self.params)?;
        if self.marks() != marks {
            let dir = self.dir.display();
            return Err(Unusable::passing(format!("{dir}: files are being changed; try again")));
        }
        (self.seen, self.read) = (marks.clone(), marks);
        self.waiting = Some(rules);
        Ok(())
    }

    /// Looks whether the files have changed, and reads them once they have stopped changing. A folder that cannot be used
    /// is reported once for each reason and changes nothing.
    pub fn look(&mut self, loader: &RuleLoader) -> FolderTurn {
        let marks = self.marks();
        let is_calm = marks == self.seen;
        if !is_calm {
            self.told.clear();
        }
        self.seen.clone_from(&marks);
        if is_calm
            && marks != self.read
            && let Err(error) = self.judge(loader)
        {
            if error.is_verdict {
                self.read = marks;
            }
            self.tell(loader, "FOLDER_REFUSED", error.sentence);
        }
        if self.waiting.is_some() { FolderTurn::Changed } else { FolderTurn::Same }
    }

    /// Publishes what was read and puts it in force, unless a folder has put the same in force since this one has put
    /// anything else in force: then whatever is in force now is somebody's wish, a rollback for instance, and the board
    /// says so.
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
        let dir = self.dir.display().to_string();
        let error = match activate(ledger, rules, &self.author, &dir).await {
            Ok(found) => {
                let in_force = found.in_force;
                if let Some(sentence) = loader.board.set_folder(found) {
                    tracing::warn!("{sentence}");
                }
                self.waiting = None;
                return Ok(in_force);
            }
            Err(error) => LoadError::from(error),
        };
        if error.is_verdict() {
            self.waiting = None;
        }
        if !error.is_outage() {
            self.tell(loader, error.code(), error.to_string());
        }
        Err(error)
    }

    /// Says what is wrong with the files as they are, once for each reason.
    fn tell(&mut self, loader: &RuleLoader, code: &'static str, reason: String) {
        if self.told != reason {
            loader.costs.refused(code);
            tracing::error!(code, reason, "the rules of the folder are not put in force");
            self.told = reason;
        }
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
    Ok(read(loader, Path::new(&config.rules.dir), &params)?)
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
) -> Result<Vec<FolderRule>, Unusable> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for world in World::ALL {
        let params = params.get(&world).cloned().unwrap_or_default();
        match read_module(loader, dir, world, params) {
            Ok(rule) => {
                if let Err(errors) = rule.module.description().bind(&rule.params) {
                    let said = errors.iter().map(|error| format!("rules.{world}: {error}"));
                    problems.extend(said.map(Unusable::verdict));
                }
                found.push(rule);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok(found);
    }
    // One module that is refused each time is enough for the folder to be.
    let is_verdict = problems.iter().any(|problem| problem.is_verdict);
    let sentences: Vec<_> = problems.into_iter().map(|problem| problem.sentence).collect();
    let sentence = format!("the rules cannot be used:\n  {}", sentences.join("\n  "));
    Err(Unusable { sentence, is_verdict })
}

fn read_module(
    loader: &RuleLoader,
    dir: &Path,
    world: World,
    params: BTreeMap<String, Vec<String>>,
) -> Result<FolderRule, Unusable> {
    const ADVICE: &str = "; `cargo xtask rules` builds the shipped rules";
    let path = dir.join(format!("{world}.wasm"));
    let bytes = fs::read(&path).map_err(|error| Unusable::unreadable(&path, &error, ADVICE))?;
    let signature = signature_beside(&path).map_err(|error| match error.downcast_ref() {
        Some(cause) => Unusable::unreadable(&signature_path(&path), cause, ""),
        None => Unusable::verdict(format!("{error:#}")),
    })?;
    let refused = |error| Unusable::refused(&path, &error);
    let module = loader.admit_signed(world, &bytes, signature.as_ref()).map_err(refused)?;
    loader.prove(&module, &bytes).map_err(refused)?;
    Ok(FolderRule { module, bytes, params, signature })
}

/// Publishes modules and makes them the active generation, unless that was done and something else was wanted since.
async fn activate(
    ledger: &mut Ledger,
    rules: &[FolderRule],
    author: &str,
    dir: &str,
) -> Result<FolderRules, ledger::LedgerError> {
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
    let source = source_of(dir);
    let known = ledger.generations(GENERATIONS_MAX).await?;
    let own = known.iter().find(|known| known.source == source).map_or(0, |own| own.number);
    let same = known.iter().find(|known| !known.source.is_empty() && known.parts == parts);
    let dir = dir.to_owned();
    if let Some(same) = same.filter(|same| same.number >= own) {
        let active = ledger.active().await?.unwrap_or_default();
        let (generation, in_force, is_idle) = (same.number, active.number, active.parts != parts);
        return Ok(FolderRules { dir, parts, generation, in_force, is_idle });
    }
    let activation =
        Activation { parts: &parts, author, note: NOTE, source: &source, ..Activation::default() };
    let in_force = ledger.activate_rules(&activation).await?.number;
    Ok(FolderRules { dir, parts, generation: in_force, in_force, is_idle: false })
}

#[cfg(test)]
mod tests {
    use ledger::LedgerError as Error;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// What becomes of files that are looked at until they are calm.
    fn check(make: impl Fn(&Path), is_verdict: bool, said: &str) {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let mut config = Config::from_layers(None, []).unwrap();
        config.rules.dir = dir.path().display().to_string();
        let (loader, mut folder) =
            (RuleLoader::new(&config).unwrap(), Folder::new(&config, "test".to_owned()));
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..4 {
                assert_eq!(folder.look(&loader), FolderTurn::Same);
            }
        });
        assert!(folder.told.contains(said), "{}", folder.told);
        assert_eq!(folder.read == folder.seen, is_verdict, "{}", folder.told);
        let refused = "tollgate_rules_refused_total{code=\"FOLDER_REFUSED\"} 1";
        let told = recorder.handle().render();
        assert!(told.contains(refused), "once: {told}");
    }

    fn each(dir: &Path, make: impl Fn(&Path)) {
        World::ALL.iter().for_each(|world| make(&dir.join(format!("{world}.wasm"))));
    }

    #[test]
    fn only_verdicts_about_the_files_are_final() {
        check(|dir| each(dir, |path| fs::write(path, b"junk").unwrap()), true, "NOT_A_COMPONENT");
        check(|dir| fs::write(dir.join("pricing.wasm"), b"junk").unwrap(), true, "cannot be read");
        // Files that are there and cannot be read; the system may give them yet.
        let unreadable = |path: &Path| fs::create_dir(path).unwrap();
        check(|dir| each(dir, unreadable), false, "cannot be read");
        // One verdict is enough.
        let both = |dir: &Path| {
            each(dir, unreadable);
            fs::remove_dir(dir.join("pricing.wasm")).unwrap();
            fs::write(dir.join("pricing.wasm"), b"junk").unwrap();
        };
        check(both, true, "NOT_A_COMPONENT");
    }

    #[test]
    fn a_failure_of_the_host_or_the_ledger_is_no_verdict() {
        let refused = |error| {
            let digest = String::new();
            LoadError::Refused { world: World::Pricing, digest, error }.is_verdict()
        };
        assert!(!refused(tollgate_engine::AdmissionError::Host("the wall clock".into())));
        assert!(refused(tollgate_engine::AdmissionError::FloatRefused("f64.add".into())));
        let by_ledger = |error: Error| LoadError::from(error).is_verdict();
        assert!(by_ledger(Error::NameTaken(String::new())));
        assert!(!by_ledger(Error::NotFound("the module was pruned".into())));
        assert!(!by_ledger(Error::Unexpected("42501: permission denied".into())));
        assert!(!by_ledger(Error::SchemaOutdated { found: 1, latest: 2 }));
        let (rule, report) = (String::new(), String::new());
        assert!(!LoadError::CasesNotRun { rule, report }.is_verdict());
    }
}
