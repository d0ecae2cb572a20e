//! Looks which rules are in force, a few times a second, so that this host has compiled them before it needs them, knows
//! of them while it is idle, and says so when it cannot load them. With a folder as the source, looks into the folder, too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig};

use super::folder::{Folder, FolderTurn};
use super::{LoadError, RuleLoader};
use crate::config::Config;
use crate::reach;

/// Everything that watching needs.
pub struct RuleWatch {
    pub ledger: LedgerConfig,
    pub loader: Arc<RuleLoader>,
    /// Where rules come from when that is a folder.
    pub folder: Option<Folder>,
    pub period: Duration,
}

impl RuleWatch {
    #[must_use]
    pub fn new(
        ledger: LedgerConfig,
        loader: Arc<RuleLoader>,
        config: &Config,
        folder: Option<Folder>,
    ) -> Self {
        let period = Duration::from_millis(config.rules.look_ms.into());
        Self { ledger, loader, folder, period }
    }
}

/// Watches until it is stopped. Whatever fails is tried again.
pub async fn run(mut watch: RuleWatch, stop: CancellationToken) {
    let opened = reach::ledger(&watch.ledger, watch.period, "rules");
    let Some(mut ledger) = stop.run_until_cancelled(opened).await else { return };
    let mut loaded = 0;
    // A turn is never cut short, because an operation that is dropped halfway costs the connection.
    while !stop.is_cancelled() {
        if let Err(error) = turn(&mut watch, &mut ledger, &mut loaded).await
            && !error.is_about_rules()
        {
            tracing::warn!(%error, "the rules in force cannot be looked at; trying again");
            if let Err(error) = ledger.reopen().await {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(watch.period)).await;
    }
}

async fn turn(
    watch: &mut RuleWatch,
    ledger: &mut Ledger,
    loaded: &mut u64,
) -> Result<(), LoadError> {
    if let Some(folder) = &mut watch.folder
        && let FolderTurn::Changed = folder.look(&watch.loader)
        && let Err(error) = folder.activate(&watch.loader, ledger).await
        && error.is_outage()
    {
        return Err(error);
    }
    let active = ledger.active_number().await?;
    if active != 0 && active != *loaded {
        *loaded = watch.loader.prepare(ledger).await?;
    }
    Ok(())
}

/// Path of a folder as the ledger names it: with the name of the host, because others have folders of the same path.
#[must_use]
pub fn source_of(dir: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let path = std::fs::canonicalize(dir).unwrap_or_else(|_| PathBuf::from(dir));
    format!("{}:{}", host.trim(), path.display())
}
