//! Upkeep of the ledger's tables: days of history get their partitions ahead of the clicks, and days that are too old
//! are retired; so do the records of decisions. Any host does it; the ledger lets one at a time.

use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tollgate_domain::day::Day;
use tollgate_ledger::{DaysReport, Expired, HistorySettings, Ledger, LedgerConfig, LedgerError};

use crate::config::{self, Config};
use crate::metrics::Metric;
use crate::reach;

/// Partitions are there days ahead, so nothing waits for it.
const PERIOD: Duration = Duration::from_secs(60);

/// Days for which tables of records are made before they come.
const RECORD_DAYS_AHEAD: u32 = 3;

/// Everything that upkeep needs.
pub struct UpkeepParts {
    pub ledger: LedgerConfig,
    pub history: HistorySettings,
    /// Days for which records of decisions are kept.
    pub record_days: u32,
}

/// How days of history are kept by this configuration.
#[must_use]
pub fn history_settings(config: &Config) -> HistorySettings {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    HistorySettings {
        days_back: days(config.history_days_back()),
        days_ahead: days(config.history.days_ahead),
        retention_days: days(config.history.retention_days),
        expired: match config.history.expired {
            config::Expired::Detach => Expired::Detach,
            config::Expired::Drop => Expired::Drop,
        },
    }
}

/// Keeps the tables until it is stopped. Whatever fails is tried again at the next turn.
pub async fn run(parts: UpkeepParts, stop: CancellationToken) {
    let opened = reach::ledger(&parts.ledger, Duration::from_secs(1), "upkeep");
    let Some(mut ledger) = stop.run_until_cancelled(opened).await else { return };
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A turn that is cut short leaves nothing half-done: what it has not committed is rolled back.
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if stop.run_until_cancelled(turn(&mut ledger, &parts)).await.is_none() {
            return;
        }
    }
}

/// Whatever fails is tried again at the next turn; meanwhile default tables take the rows.
pub async fn turn(ledger: &mut Ledger, parts: &UpkeepParts) {
    if let Err(error) = maintain(ledger, parts).await {
        tracing::warn!(%error, code = error.code(), "the tables of days are not kept; trying again");
        if let Err(error) = ledger.reopen().await {
            tracing::warn!(%error, "the ledger cannot be opened");
        }
    }
}

async fn maintain(ledger: &mut Ledger, parts: &UpkeepParts) -> Result<(), LedgerError> {
    tell(&ledger.maintain_days(&parts.history).await?);
    let today = Day::utc(ledger.clock_us().await?);
    let is_done = ledger.maintain_decisions(today, RECORD_DAYS_AHEAD, parts.record_days).await?;
    if !is_done {
        tracing::debug!("another host keeps the tables of decision records up");
    }
    Ok(())
}

fn tell(report: &DaysReport) {
    if let Some(days) = report.days_ahead {
        gauge!(Metric::HistoryDaysAhead.name()).set(f64::from(days));
    }
    gauge!(Metric::HistoryDefaultRows.name()).set(report.default_rows as f64);
    if report.default_rows > 0 {
        tracing::warn!(
            rows = report.default_rows,
            "rows of history have a day without a partition; the next turn moves them, unless their day is wrong"
        );
    }
    if !report.made.is_empty() || report.retired_rows > 0 {
        let (made, moved, retired) = (report.made.len(), report.moved_rows, report.retired_rows);
        tracing::info!(made, moved, retired, "days of history were made or retired");
    }
}
