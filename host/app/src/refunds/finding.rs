//! Keeps new charges easy to find while compensations come in, and says how many wait. Beside the settling, because no
//! refund should wait for it.

use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig};

use crate::metrics::Metric;
use crate::pipeline::clock::host_us;
use crate::reach;

const PERIOD: Duration = Duration::from_secs(1);

/// Waiting compensations whose days are looked after at most, besides the days around now.
const WAITING_MAX: usize = 100;

/// Goes on until it is stopped. Whatever fails is tried again.
pub async fn run(ledger: LedgerConfig, stop: CancellationToken) {
    let opened = reach::ledger(&ledger, PERIOD, "finding charges");
    let Some(mut ledger) = stop.run_until_cancelled(opened).await else { return };
    while !stop.is_cancelled() {
        if let Err(error) = turn(&mut ledger).await {
            tracing::warn!(%error, "new charges cannot be made easy to find; trying again");
            if let Err(error) = ledger.reopen().await {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
    }
}

async fn turn(ledger: &mut Ledger) -> tollgate_ledger::Result<()> {
    let waiting = ledger.waiting_compensations(WAITING_MAX).await?;
    let meant = waiting.iter().flat_map(|one| &one.row.event.timestamps_us);
    let instants_us: Vec<i64> = meant.copied().chain([host_us()]).collect();
    // A time zone must not be shared between threads, so what has one goes before anything is awaited.
    drop(waiting);
    ledger.prepare_matching(&instants_us).await?;
    let depth = ledger.compensation_depth().await?;
    gauge!(Metric::CompensationsWaiting.name()).set(depth.waiting as f64);
    Ok(())
}
