//! The watch: a running audit on closed windows, by one host at a time.
//!
//! Offsets below a partition's next offset have their fate, so the history of those offsets is complete in any snapshot.
//! A lap reads, in one snapshot, what lies between the offsets watched so far and the next ones, each row once, and adds
//! it to sums of its own. When nothing is left, it compares balances, days and counters of the same snapshot with the
//! sums. What it has read and found is written afterwards in one short transaction, if nobody else has written a lap
//! meanwhile: a lap is counted once or not at all, whatever is killed.

mod compare;
pub(crate) mod duplicates;
mod findings;
mod lap;
mod seen;

use std::time::Duration;

use crate::Ledger;
use crate::dialect::{Cells, Dialect, one};
use crate::error::Result;
use crate::outbox::{lead, resign};
use crate::rows::AuditReport;
use crate::watch_rows::{DuplicateRate, DuplicateRates, Finding, Lap, RateFilter, WatchState};

/// The row that says who watches.
const LEASE: &str = "watch_lease";

impl Ledger {
    /// Becomes or stays the watcher among all hosts, as [`Ledger::lead`] does the relay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lead_watch(&mut self, owner: &str, lease: Duration) -> Result<bool> {
        operation!(self, idle, run, |conn, _| lead(conn, LEASE, owner, lease))
    }

    /// Gives the lease of the watch back. Nothing happens when another host has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn resign_watch(&mut self, owner: &str) -> Result<()> {
        operation!(self, idle, run, |conn, _| resign(conn, LEASE, owner))
    }

    /// Reads history of at most `offsets_max` offsets that was not watched yet and, when nothing is left, compares the
    /// ledger with it. Findings are kept, told once, and cleared when the comparison holds again.
    ///
    /// # Errors
    /// When the database cannot be asked or written; then the lap was not counted.
    pub async fn watch_lap(&mut self, offsets_max: i64) -> Result<Lap> {
        operation!(self, idle, run_long, |conn, _| lap::lap(conn, offsets_max))
    }

    /// Keeps what a full audit has found, as the watch does its own findings.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn record_audit(&mut self, report: &AuditReport) -> Result<()> {
        let failed = findings::failed(report);
        operation!(self, idle, run_long, |conn, _| findings::record_audit(conn, &failed))
    }

    /// Places where the ledger does not add up, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn findings(&mut self) -> Result<Vec<Finding>> {
        operation!(self, idle, run, |conn, _| findings::open(conn))
    }

    /// How far the watch is.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn watch_state(&mut self) -> Result<WatchState> {
        operation!(self, idle, run, |conn, _| state(conn))
    }

    /// How many of the charged clicks were duplicates, by advertiser and by campaign, in each window. A duplicate is a
    /// charge that a refund gave back. It counts at the timestamp of the click, as clicks do.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn duplicate_rates(&mut self, filter: &RateFilter) -> Result<DuplicateRates> {
        operation!(self, idle, run_long, |conn, _| duplicates::rates(conn, filter))
    }

    /// Writes a happening about each rate above a level, once a day for the same advertiser or campaign and window, and
    /// gives the number of those written.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn alert_duplicates(
        &mut self,
        rates: &[DuplicateRate],
        level_ppm: u32,
    ) -> Result<u64> {
        operation!(self, idle, run, |conn, _| duplicates::alert(conn, rates, level_ppm))
    }
}

async fn state<D: Dialect>(conn: &mut D) -> Result<WatchState> {
    let sql = "SELECT behind, {us:caught_up_at}, {us:audited_at}, {clock} FROM watch_state";
    let row = one(conn, sql, &[]).await?;
    let now_us: i64 = row.cell(3);
    let age_s = |at_us: i64| (now_us - at_us).max(0) / 1_000_000;
    Ok(WatchState {
        behind: row.cell(0),
        caught_up_s: row.cell::<Option<i64>>(1).map(age_s),
        audited_s: age_s(row.cell(2)),
    })
}
