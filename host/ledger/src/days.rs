//! Days of history: partitions are made ahead of the clicks (Postgres), and days that are too old are taken away, with
//! their sums kept, so that the audit stays exact.

mod retire;

use tollgate_domain::day::Day;

use crate::Ledger;
use crate::dialect::{Cells, Dialect, clock_us, one};
use crate::error::Result;

pub(crate) use retire::{Rest, retire};

/// How days of history are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// Days before today that clicks may still come for.
    pub days_back: i32,
    /// Days after today that get their partition already.
    pub days_ahead: i32,
    /// Days that are kept, today not counted; 0 keeps all. A day that a waiting compensation may mean stays longer.
    pub retention_days: i32,
    pub expired: Expired,
}

/// What becomes of the rows of a retired day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// They stay: in Postgres the partition becomes a table of its own, which somebody may archive. Rows that had no
    /// such partition go to `expired_history`.
    Detach,
    /// They are deleted.
    Drop,
}

/// What [`Ledger::maintain_days`] has done and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysReport {
    /// Days that got a partition.
    pub made: Vec<Day>,
    /// Rows that went from the default partition to that of their day.
    pub moved_rows: u64,
    /// Rows of days that were retired.
    pub retired_rows: u64,
    /// Rows that are left in the default partition.
    pub default_rows: i64,
    /// Days after today that have a partition without a gap; `None` in SQLite, which has no partitions.
    pub days_ahead: Option<i32>,
    /// False: another host is at it, or a table was in use; the next call goes on.
    pub is_complete: bool,
}

impl Ledger {
    /// Makes partitions for the days around today and for days that stand in the default partition, and retires days
    /// that are too old. Charging goes on meanwhile: it waits a fraction of a second at most.
    ///
    /// # Errors
    /// When the database cannot be written; days that were done stay done.
    pub async fn maintain_days(&mut self, settings: &HistorySettings) -> Result<DaysReport> {
        operation!(self, idle, run_long, |conn, _| sql::days::maintain(conn, settings))
    }
}

/// Today in UTC by the database's clock, and the first day that is not too old to be kept.
pub(crate) async fn today_and_oldest<D: Dialect>(
    conn: &mut D,
    settings: &HistorySettings,
) -> Result<(i32, i32)> {
    let today = Day::utc(clock_us(conn).await?).0;
    if settings.retention_days == 0 {
        return Ok((today, i32::MIN));
    }
    let oldest = today.saturating_sub(settings.retention_days);
    Ok((today, oldest.min(first_meant(conn).await?)))
}

/// The first day that a waiting compensation may mean; the end of days when none waits.
pub(crate) async fn first_meant<D: Dialect>(conn: &mut D) -> Result<i32> {
    let row = one(conn, WAITING, &[]).await?;
    let instants = [row.cell::<Option<i64>>(0), row.cell(1)].into_iter().flatten();
    // Wherever the campaign is, its day is not earlier than the day before in UTC.
    Ok(instants.map(|at_us| Day::utc(at_us).0 - 1).min().unwrap_or(i32::MAX))
}

/// The first instants that compensations mean which are not settled yet.
const WAITING: &str = "
SELECT min(CAST(timestamps ->> 0 AS BIGINT)), min({us:occurred_at}) FROM compensations WHERE state = 'WAITING'";
