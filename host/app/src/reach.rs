//! Reaching the ledger, however long it takes.

use std::time::Duration;

use tollgate_ledger::{Ledger, LedgerConfig};

/// Opens a connection, trying again after each `pause`. `whose` says in the log who waits.
pub async fn ledger(config: &LedgerConfig, pause: Duration, whose: &str) -> Ledger {
    loop {
        match Ledger::open(config).await {
            Ok(ledger) => return ledger,
            Err(error) => {
                tracing::warn!(whose, %error, "the ledger cannot be reached; trying again")
            }
        }
        tokio::time::sleep(pause).await;
    }
}
