//! The rules in force: from a folder into the ledger, and from the ledger into the engine.

pub mod board;
pub mod costs;
pub mod faults;
pub mod folder;
pub mod signatures;
mod trial;
pub mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::rule::World;
use tollgate_domain::trial::Sides;
use tollgate_engine::{
    AdmissionError, BindError, Engine, EngineLimits, InterpretedLimits, Module, Notifier, Refunder,
    Rule, RuleSet,
};
use tollgate_ledger::{Generation, Ledger, LedgerError, Signature};
use tollgate_workbench::cases::{self, Checks, Paint, Verdict};

use crate::commands::fence_limits;
use crate::config::Config;

use board::{ModuleLine, RuleBoard, Trouble};
use costs::RuleCosts;
use faults::FaultWindow;
use signatures::{SignatureError, Trust};
pub use trial::CANDIDATE_WORLDS;

/// Admitted modules remembered at most.
const ADMITTED_MAX: usize = 32;

/// Pause between attempts to load rules that cannot be loaded.
const LOAD_PAUSE: Duration = Duration::from_millis(200);

/// Rules that charge clicks, with the candidate of a canary at their side when one is in force.
pub type Acting = Sides<RuleSet>;

/// Rules of one generation, ready to be asked.
pub struct ActiveRules {
    pub set: Acting,
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
    pub set: Acting,
    pub generation: u64,
}

/// Loads rules. Safe to share; everyone owns what they load.
pub struct RuleLoader {
    engine: Engine,
    trust: Trust,
    /// What is demanded of answers, by cases too.
    fence: FenceLimits,
    /// Modules by world and digest, because several parts of the host load the same.
    admitted: Mutex<HashMap<(World, String), Module>>,
    /// Held while a module is compiled, so that two parts of the host do not compile the same one.
    compiling: Mutex<()>,
    pub board: RuleBoard,
    pub costs: RuleCosts,
    pub faults: FaultWindow,
}

/// Why rules cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "no rules are in force; run `tollgate rule activate`, or `tollgate run --rules DIR` once"
    )]
    NoneActive,
    #[error("it has no {0} rule; activate one")]
    Incomplete(World),
    #[error("the {world} module {digest} is refused: {error}")]
    Refused { world: World, digest: String, error: AdmissionError },
    #[error(
        "the bytes of module {digest} in the ledger have the digest {found}; publish it again from its file"
    )]
    Damaged { digest: String, found: String },
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("its parameters cannot be read: {0}")]
    Params(String),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the cases that rule {rule} carries do not hold:\n{report}")]
    Cases { rule: String, report: String },
    #[error("the host could not run the cases that rule {rule} carries:\n{report}")]
    CasesNotRun { rule: String, report: String },
}

impl LoadError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::NoneActive => "NO_RULES",
            Self::Incomplete(_) => "GENERATION_INCOMPLETE",
            Self::Refused { error, .. } => error.code(),
            Self::Damaged { .. } => "MODULE_DAMAGED",
            Self::Signature(error) => error.code(),
            Self::Params(_) => "BAD_PARAMETERS",
            Self::Bind(error) => error.code(),
            Self::Cases { .. } => "CASES_FAILED",
            Self::CasesNotRun { .. } => "CASES_NOT_RUN",
        }
    }

    /// Whether the ledger has to be opened again.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_outage())
    }

    /// Whether it is a verdict about the rules, which the same bytes get each time.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Ledger(error) => is_verdict(error),
            Self::NoneActive
            | Self::CasesNotRun { .. }
            | Self::Refused { error: AdmissionError::Host(_), .. } => false,
            Self::Incomplete(_)
            | Self::Refused { .. }
            | Self::Damaged { .. }
            | Self::Signature(_)
            | Self::Params(_)
            | Self::Bind(_)
            | Self::Cases { .. } => true,
        }
    }

    /// Whether the rules themselves are to blame, and not the way to them.
    #[must_use]
    pub fn is_about_rules(&self) -> bool {
        !matches!(self, Self::Ledger(error) if !matches!(error, LedgerError::NotFound(_)))
    }
}

impl RuleLoader {
    /// # Errors
    /// The engine cannot run on this machine, or the folder of compiled modules cannot be used.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let rules = &config.rules;
        let engine = Engine::new(engine_limits(config)).context("the rule engine cannot start")?;
        if !rules.cache_dir.is_empty() {
            engine.keep_compiled(Path::new(&rules.cache_dir)).context("rules.cache_dir")?;
        }
        Ok(Self {
            engine,
            trust: Trust::new(rules),
            fence: fence_limits(config)?,
            admitted: Mutex::default(),
            compiling: Mutex::default(),
            board: RuleBoard::default(),
            costs: RuleCosts::default(),
            faults: FaultWindow::new(rules),
        })
    }

    /// The most that a click may cost on this host.
    #[must_use]
    pub fn charge_max(&self) -> Micros {
        self.fence.charge_max
    }

    /// The engine that admits and runs rules.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whose signatures count here.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Loads what the ledger says is active.
    ///
    /// # Errors
    /// The ledger did not answer, nothing is active, or a module must not be used here.
    pub async fn load_active(&self, ledger: &mut Ledger) -> Result<ActiveRules, LoadError> {
        let mut found = active(ledger).await?;
        let mut set = self.load_set(ledger, &found).await;
        if set.is_err() && self.end_unusable_canary(ledger, &found).await? {
            found = active(ledger).await?;
            set = self.load_set(ledger, &found).await;
        }
        Ok(ActiveRules { set: set?, generation: found.number })
    }

    /// Loads the active rule that words messages.
    ///
    /// # Errors
    /// As `load_active`.
    pub async fn load_notifier(&self, ledger: &mut Ledger) -> Result<ActiveNotifier, LoadError> {
        let active = active(ledger).await?;
        let rule = self.load_part(ledger, &active, World::Notification).await?;
        Ok(ActiveNotifier { notifier: Notifier::new(rule)?, generation: active.number })
    }

    /// Loads the active rules that settle compensations.
    ///
    /// # Errors
    /// As `load_active`.
    pub async fn load_refunder(&self, ledger: &mut Ledger) -> Result<ActiveRefunder, LoadError> {
        let active = active(ledger).await?;
        let refunder = self.load_refunder_of(ledger, &active).await?;
        let set = self.load_set(ledger, &active).await?;
        Ok(ActiveRefunder { refunder, set, generation: active.number })
    }

    /// Loads the rules of a generation that charge clicks, without a candidate.
    async fn load_rules(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
    ) -> Result<RuleSet, LoadError> {
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
        generation: &Generation,
    ) -> Result<Refunder, LoadError> {
        Ok(Refunder::new(self.load_part(ledger, generation, World::Refund).await?)?)
    }

    /// Loads the generation in force in all its worlds, so that whoever needs it finds it compiled, and puts it on the
    /// board, or the reason why it cannot be loaded.
    ///
    /// # Errors
    /// As `load_active`.
    pub async fn prepare(&self, ledger: &mut Ledger) -> Result<u64, LoadError> {
        let mut generation = active(ledger).await?;
        // The candidate of a canary is compiled here, too, or the canary ends.
        if self.end_unusable_canary(ledger, &generation).await? {
            generation = active(ledger).await?;
        }
        let mut modules = Vec::new();
        for world in World::ALL {
            match self.load_part(ledger, &generation, world).await {
                Ok(rule) => modules.push(ModuleLine::of(rule.module())),
                Err(error) => {
                    self.note(generation.number, &error);
                    return Err(error);
                }
            }
        }
        self.board.set_active(&generation, modules);
        Ok(generation.number)
    }

    /// Does not give up: a generation that cannot be loaded here is waited out until another one is in force, and a ledger
    /// that is away until it is back.
    pub async fn patiently<T>(
        &self,
        ledger: &mut Ledger,
        load: impl AsyncFn(&mut Ledger) -> Result<T, LoadError>,
    ) -> T {
        loop {
            let error = match load(ledger).await {
                Ok(loaded) => return loaded,
                Err(error) => error,
            };
            tracing::error!(code = error.code(), %error, "the rules in force cannot be loaded; trying again");
            tokio::time::sleep(LOAD_PAUSE).await;
            if error.is_outage()
                && let Err(error) = ledger.reopen().await
            {
                tracing::warn!(%error, "the ledger cannot be opened; trying again");
            }
        }
    }

    /// Admits a module of a file; its world is the one that it exports.
    ///
    /// # Errors
    /// It is a rule of no world, or refused.
    pub fn admit_any(&self, bytes: &[u8]) -> Result<Module, AdmissionError> {
        // Of what belongs to no world, any world says what is wrong with it.
        let world = self.engine.world_of(bytes).unwrap_or(World::Pricing);
        self.engine.admit(world, bytes)
    }

    /// Runs the cases that a module carries, which is done before it is activated.
    ///
    /// # Errors
    /// They cannot be read, or one of them does not hold.
    pub fn prove(&self, module: &Module, bytes: &[u8]) -> Result<(), LoadError> {
        let description = module.description();
        let failed = |report| {
            let rule = format!("{} {}", description.name, description.version);
            LoadError::Cases { rule, report }
        };
        let found = cases::embedded(module.world(), bytes);
        let Some(cases) = found.map_err(|error| failed(error.to_string()))? else { return Ok(()) };
        let report =
            cases::run(module, &cases, &Checks { fence: self.fence.clone(), second: None });
        if report.is_passed() {
            return Ok(());
        }
        let is_verdict = report.failures().any(|case| matches!(case.verdict, Verdict::Failed(_)));
        match failed(cases::shown(&report, Paint::Plain)) {
            LoadError::Cases { rule, report } if !is_verdict => {
                Err(LoadError::CasesNotRun { rule, report })
            }
            error => Err(error),
        }
    }

    fn note(&self, generation: u64, error: &LoadError) {
        if !error.is_about_rules() {
            return;
        }
        let (code, sentence) = (error.code(), error.to_string());
        if self.board.set_trouble(Trouble { generation, code, sentence }) {
            self.costs.refused(code);
            tracing::error!(generation, code, %error, "the rules in force cannot be loaded here");
        }
    }

    async fn load_part(
        &self,
        ledger: &mut Ledger,
        generation: &Generation,
        world: World,
    ) -> Result<Rule, LoadError> {
        let part = generation.parts.iter().find(|part| part.world == world.as_str());
        let part = part.ok_or(LoadError::Incomplete(world))?;
        let module = self.load_module(ledger, world, &part.digest).await?;
        let params: BTreeMap<String, Vec<String>> = serde_json::from_str(&part.params)
            .map_err(|error| LoadError::Params(error.to_string()))?;
        Ok(Rule::bind(module, &params)?)
    }

    /// A published module, judged as this host judges: what another host has taken may be refused here.
    ///
    /// # Errors
    /// It is not there, damaged, not signed as it has to be, or refused.
    pub async fn load_module(
        &self,
        ledger: &mut Ledger,
        world: World,
        digest: &str,
    ) -> Result<Module, LoadError> {
        if let Some(module) = self.remembered(world, digest) {
            return Ok(module);
        }
        let (row, bytes) = ledger.module(digest).await?;
        let found = tollgate_engine::digest(&bytes);
        if found != digest {
            return Err(LoadError::Damaged { digest: digest.to_owned(), found });
        }
        let module = self.admit_signed(world, &bytes, row.signature.as_ref())?;
        Ok(module)
    }

    /// Admits a module whose signature is as it has to be here, and remembers it.
    ///
    /// # Errors
    /// It is refused, or its signature is.
    pub fn admit_signed(
        &self,
        world: World,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<Module, LoadError> {
        let digest = tollgate_engine::digest(bytes);
        let _compiling = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match self.remembered(world, &digest) {
            Some(module) => module,
            None => self.engine.admit(world, bytes).map_err(|error| {
                let digest = digest.clone();
                LoadError::Refused { world, digest, error }
            })?,
        };
        self.trust.check(&module, signature)?;
        let mut admitted = self.admitted();
        if admitted.len() >= ADMITTED_MAX {
            admitted.clear();
        }
        admitted.insert((world, digest), module.clone());
        Ok(module)
    }

    fn remembered(&self, world: World, digest: &str) -> Option<Module> {
        self.admitted().get(&(world, digest.to_owned())).cloned()
    }

    fn admitted(&self) -> MutexGuard<'_, HashMap<(World, String), Module>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleLine {
    fn of(module: &Module) -> Self {
        let description = module.description();
        Self {
            world: module.world().to_string(),
            name: description.name.clone(),
            version: description.version.clone(),
            digest: module.digest().to_owned(),
        }
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

/// Whether the ledger refuses what it is given, and would again.
fn is_verdict(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::NameTaken(_) | LedgerError::NotAllowed(_) | LedgerError::Refused { .. }
    )
}

async fn active(ledger: &mut Ledger) -> Result<Generation, LoadError> {
    ledger.active().await?.ok_or(LoadError::NoneActive)
}
