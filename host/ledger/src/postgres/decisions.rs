//! Tables of decision records, one a day.

use sqlx::Executor;
use sqlx::postgres::PgConnection;
use tollgate_domain::day::Day;

use super::database_error;
use super::partitions::{DayTable, Removal, begin, end, make, partitions, take_away};
use crate::error::Result;

const RECORDS: DayTable = DayTable {
    name: "decision_records",
    column: "decided_at",
    midnight: " 00:00Z",
    storage: "",
    turn: 7_205_759_403_792_793_605,
};

/// Makes and drops tables, each in a transaction of its own; false when another host is at it.
pub(crate) async fn maintain(
    conn: &mut PgConnection,
    today: Day,
    ahead: u32,
    retention_days: u32,
) -> Result<bool> {
    let last = today.0.saturating_add(i32::try_from(ahead).unwrap_or(i32::MAX));
    let oldest = Day(today.0.saturating_sub(i32::try_from(retention_days).unwrap_or(i32::MAX)));
    let known = partitions(conn, RECORDS).await?;
    for day in (today.0..=last).filter(|day| !known.iter().any(|known| known.holds(*day))) {
        if make(conn, RECORDS, day).await?.is_none() {
            return Ok(false);
        }
    }
    for partition in known.iter().filter(|partition| partition.until <= oldest.0) {
        if take_away(conn, RECORDS, partition, Removal::Drop).await?.is_none() {
            return Ok(false);
        }
    }
    if !begin(conn, RECORDS).await? {
        return Ok(false);
    }
    let sql = format!("DELETE FROM decision_records_default WHERE decided_at < '{oldest} 00:00Z'");
    let deleted = conn.execute(&*sql).await.map(drop).map_err(database_error);
    Ok(end(conn, deleted).await?.is_some())
}
