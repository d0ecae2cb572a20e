//! The registry of rules in the ledger.

pub(super) mod activate;
mod changes;
mod keys;
mod list;
pub(super) mod pick;
mod publish;
mod show;

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use comfy_table::{Table, presets};
use tollgate_ledger::{Ledger, LedgerError};

use super::super::{load, open_ledger, runtime, unavailable};
use crate::cli::Common;
use crate::cli::rule::registry::{Registry, Why};
use crate::exit::{Exit, ExitError};
use crate::rules::{LoadError, RuleLoader};

/// Attempts when the database could not finish, and the pause between them.
const ATTEMPTS_MAX: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn execute(command: &Registry) -> anyhow::Result<Exit> {
    match command {
        Registry::Publish(arguments) => publish::execute(arguments),
        Registry::Activate(arguments) => activate::execute(arguments),
        Registry::Rollback(arguments) => changes::roll_back(arguments),
        Registry::List(arguments) => list::execute(arguments),
        Registry::Show(arguments) => show::execute(arguments),
        Registry::PauseRule(arguments) => changes::pause_rule(arguments),
        Registry::Prune(arguments) => changes::prune(arguments),
        Registry::Keygen(arguments) => keys::keygen(arguments),
        Registry::Sign(arguments) => keys::sign(arguments),
    }
}

/// What a command about rules in the ledger works with.
pub(super) struct Desk {
    pub(super) loader: RuleLoader,
    pub(super) ledger: Ledger,
}

impl Desk {
    pub(super) async fn open(common: &Common) -> anyhow::Result<Self> {
        let config = load(common, None)?;
        let loader = RuleLoader::new(&config)?;
        let ledger = open_ledger(&config).await?;
        Ok(Self { loader, ledger })
    }
}

/// Runs a command with a desk of its own.
pub(super) fn at_desk<T>(
    common: &Common,
    work: impl AsyncFnOnce(Desk) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    runtime()?.block_on(async { work(Desk::open(common).await?).await })
}

impl Why {
    /// Who makes the change.
    pub(super) fn actor(&self) -> String {
        self.by.clone().unwrap_or_else(|| {
            let named = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let number =
                || std::fs::metadata("/proc/self").map(|own| own.uid()).unwrap_or_default();
            let user = named.unwrap_or_else(|_| format!("user {}", number()));
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{user}@{}", host.trim())
        })
    }
}

/// Tries again while the database only could not finish.
pub(super) async fn persist<T>(
    mut work: impl AsyncFnMut() -> Result<T, LedgerError>,
) -> Result<T, ExitError> {
    for _ in 1..ATTEMPTS_MAX {
        match work().await {
            Err(LedgerError::Transient { .. }) => tokio::time::sleep(PAUSE).await,
            outcome => return outcome.map_err(|error| unavailable(&error)),
        }
    }
    work().await.map_err(|error| unavailable(&error))
}

/// A module or a generation that must not be used.
fn refused(error: LoadError) -> ExitError {
    match &error {
        LoadError::Ledger(error) => unavailable(error),
        error => ExitError::new(Exit::Usage, format!("{error} ({})", error.code())),
    }
}

fn usage(sentence: impl Into<String>) -> ExitError {
    ExitError::new(Exit::Usage, sentence)
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

/// The beginning of a digest, which is enough for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// An instant to the second.
fn instant(at_us: i64) -> String {
    crate::channels::rfc3339(at_us.div_euclid(1_000_000) * 1_000_000)
}
