//! The commands, one file each.

mod audit;
mod check;
mod dlq;
mod duplicates;
mod explain;
mod migrate;
mod outbox;
mod partition;
mod rule;
mod run;
mod statement;
mod topics;

use std::path::Path;
use std::time::Duration;

use tollgate_ledger::{Ledger, LedgerConfig, LedgerError};

use crate::cli::{Cli, Command, Common};
use crate::config::Config;
use crate::exit::{Exit, ExitError};

pub(crate) use run::settings::fence_limits;

/// Runs a command.
///
/// # Errors
/// A sentence for people; an `ExitError` inside decides the exit code.
pub fn execute(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments),
        Command::Migrate(common) => migrate::execute(&common),
        Command::Topics(command) => topics::execute(&command),
        Command::Audit(arguments) => audit::execute(&arguments),
        Command::Partition(command) => partition::execute(&command),
        Command::Outbox(command) => outbox::execute(&command),
        Command::Dlq(command) => dlq::execute(&command),
        Command::Explain(arguments) => explain::execute(&arguments),
        Command::Statement(arguments) => statement::execute(&arguments),
        Command::Duplicates(arguments) => duplicates::execute(&arguments),
        Command::Rule(command) => rule::execute(&command),
    }
}

fn load(common: &Common, rules: Option<&Path>) -> anyhow::Result<Config> {
    let config = Config::load(common.config.as_deref());
    let mut config = config.map_err(|errors| ExitError::new(Exit::Usage, errors.to_string()))?;
    if let Some(rules) = rules {
        config.rules.dir = rules.display().to_string();
    }
    Ok(config)
}

/// A runtime for a command that talks to the ledger and ends.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn ledger_config(config: &Config) -> LedgerConfig {
    let ledger = &config.ledger;
    let statement_timeout = Duration::from_millis(ledger.statement_timeout_ms.into());
    LedgerConfig {
        statement_timeout,
        lock_timeout: Duration::from_millis(ledger.lock_timeout_ms.into()),
        idle_in_transaction_timeout: statement_timeout * 2,
        // The database gives up first; this is for a database that has gone silent.
        deadline: statement_timeout * 2,
        copy_rows_min: ledger.copy_rows_min as usize,
        ..LedgerConfig::new(&ledger.url, &config.kafka.group)
    }
}

async fn open_ledger(config: &Config) -> Result<Ledger, ExitError> {
    Ledger::open(&ledger_config(config)).await.map_err(|error| unavailable(&error))
}

fn unavailable(error: &LedgerError) -> ExitError {
    let exit = match error {
        LedgerError::SchemaOutdated { .. } | LedgerError::Address(_) => Exit::Usage,
        LedgerError::Outage { .. } => Exit::Unavailable,
        _ => Exit::Failed,
    };
    ExitError::new(exit, format!("{error} ({})", error.code()))
}
