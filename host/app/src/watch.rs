//! The running audit: one host at a time watches over the ledger's closed windows, and every host says on `/readyz` what
//! was found. Charging goes on whatever is found: a wrong sum is a reason to look, not to stop the line.

mod board;
mod full;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Lap, Ledger, LedgerConfig, RateFilter};

use crate::config;
use crate::metrics::Metric;
use crate::reach;

pub use board::{Board, WatchPage};
use full::FullAudit;

/// Offsets of one lap at most, so that its snapshot and its transaction stay short.
const OFFSETS_MAX: i64 = 100_000;

/// How long a watcher that has died keeps others from watching.
const LEASE: Duration = Duration::from_secs(15);

/// A lap or a look at rates is followed by a rest of so many times its duration, however large the ledger is.
const REST_TIMES: u32 = 9;

/// Everything that watching needs.
pub struct WatchParts {
    pub ledger: LedgerConfig,
    pub audit: config::Audit,
    pub duplicates: config::Duplicates,
    /// Name of this host in the lease.
    pub owner: String,
    pub board: Arc<Board>,
}

struct Watcher {
    parts: WatchParts,
    ledger: Ledger,
    full: FullAudit,
    /// Rates are not looked at before.
    rates_due: Instant,
}

/// Watches until it is stopped. Whatever fails is tried again at the next turn.
pub async fn run(parts: WatchParts, stop: CancellationToken) {
    let every = Duration::from_millis(parts.audit.every_ms.into());
    let opened = reach::ledger(&parts.ledger, every, "watch");
    let Some(ledger) = stop.run_until_cancelled(opened).await else { return };
    let full = FullAudit::new(&parts.ledger, &parts.audit);
    let mut watcher = Watcher { parts, ledger, full, rates_due: Instant::now() };
    loop {
        // A lap that is cut short was not counted, so nobody has to wait for it.
        let Some(turn) = stop.run_until_cancelled(watcher.turn()).await else { break };
        let pause = match turn {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "the watch over the ledger failed; trying again");
                counter!(Metric::AuditLaps.name(), "result" => "failed").increment(1);
                if let Err(error) = watcher.ledger.reopen().await {
                    tracing::warn!(%error, "the ledger cannot be opened");
                }
                every
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    watcher.resign().await;
}

impl Watcher {
    /// Gives the time until the next turn.
    async fn turn(&mut self) -> Result<Duration, tollgate_ledger::LedgerError> {
        let every = Duration::from_millis(self.parts.audit.every_ms.into());
        let begin = Instant::now();
        let mut pause = every;
        if self.ledger.lead_watch(&self.parts.owner, LEASE).await? {
            let lap = self.ledger.watch_lap(OFFSETS_MAX).await?;
            note(&lap);
            let took = begin.elapsed();
            // What is left is read as fast as it can be with half of the time.
            pause = if lap.behind > 0 { took } else { every.max(took * REST_TIMES) };
            if lap.behind == 0 {
                self.rate().await?;
            }
        } else {
            self.parts.board.set_rates(None);
        }
        let (findings, state) = (self.ledger.findings().await?, self.ledger.watch_state().await?);
        gauge!(Metric::AuditFindings.name()).set(findings.len() as f64);
        gauge!(Metric::AuditBehindOffsets.name()).set(state.behind as f64);
        if let Some(seconds) = state.caught_up_s {
            gauge!(Metric::AuditCaughtUpSeconds.name()).set(seconds as f64);
        }
        self.full.begin_when_due(&findings, &state);
        self.parts.board.set_findings(findings, state);
        Ok(pause)
    }

    async fn rate(&mut self) -> Result<(), tollgate_ledger::LedgerError> {
        let begin = Instant::now();
        if begin < self.rates_due {
            return Ok(());
        }
        let settings = &self.parts.duplicates;
        let filter = RateFilter {
            clicks_min: settings.clicks_min.into(),
            top: settings.top as usize,
            ..RateFilter::default()
        };
        let rates = self.ledger.duplicate_rates(&filter).await?;
        let told = self.ledger.alert_duplicates(&rates.rates, settings.alert_ppm).await?;
        if told > 0 {
            tracing::warn!(told, "the duplicate rate is high");
        }
        self.parts.board.set_rates(Some(rates));
        self.rates_due = Instant::now() + begin.elapsed() * REST_TIMES;
        Ok(())
    }

    /// Lets another host go on at once. A turn that was cut short has taken the connection with it.
    async fn resign(&mut self) {
        self.full.stop();
        let resigned = async {
            self.ledger.reopen().await?;
            self.ledger.resign_watch(&self.parts.owner).await
        };
        if let Err(error) = resigned.await {
            tracing::warn!(%error, "the watch stopped; another host goes on after its lease");
        }
    }
}

fn note(lap: &Lap) {
    let result = match (lap.counted, lap.behind) {
        (false, _) => "overtaken",
        (true, 0) => "compared",
        (true, _) => "behind",
    };
    counter!(Metric::AuditLaps.name(), "result" => result).increment(1);
    counter!(Metric::AuditWatchedRows.name()).increment(u64::try_from(lap.rows).unwrap_or(0));
}
