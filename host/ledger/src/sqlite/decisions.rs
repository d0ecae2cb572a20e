//! Keeping decision records for some days.

use sqlx::sqlite::SqliteConnection;
use tollgate_domain::day::Day;

use super::database_error;
use crate::error::Result;

const DAY_US: i64 = 86_400_000_000;

/// Rows of one statement at most, because the file has one writer at a time.
const DROP: &str = "
DELETE FROM decision_records WHERE rowid IN (
  SELECT rowid FROM decision_records WHERE decided_at < ? ORDER BY decided_at LIMIT 500)";

/// Drops what is too old; there are no tables to make.
pub(crate) async fn maintain(
    conn: &mut SqliteConnection,
    today: Day,
    _ahead: u32,
    retention_days: u32,
) -> Result<bool> {
    let oldest_us = (i64::from(today.0) - i64::from(retention_days)) * DAY_US;
    loop {
        let dropped = sqlx::query(DROP).bind(oldest_us).execute(&mut *conn).await;
        if dropped.map_err(database_error)?.rows_affected() == 0 {
            return Ok(true);
        }
    }
}
