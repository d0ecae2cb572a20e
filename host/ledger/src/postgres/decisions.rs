//! Tables of decision records, one a day.

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};
use tollgate_domain::day::Day;

use super::database_error;
use crate::error::Result;
use crate::session::ended;

/// Writers wait for whoever waits for them, so nobody waits for long.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '200ms'";

/// One host at a time; the number has no meaning.
const ALONE: &str = "SELECT pg_try_advisory_xact_lock(7205759403792793605)";

const TABLES: &str = "
SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'decision_records'::regclass";

/// Makes and drops tables, each in a transaction of its own; false when another host is at it.
pub(crate) async fn maintain(
    conn: &mut PgConnection,
    today: Day,
    ahead: u32,
    retention_days: u32,
) -> Result<bool> {
    let found = sqlx::query(TABLES).fetch_all(&mut *conn).await.map_err(database_error)?;
    let known: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    let last = today.0.saturating_add(i32::try_from(ahead).unwrap_or(i32::MAX));
    let oldest = Day(today.0.saturating_sub(i32::try_from(retention_days).unwrap_or(i32::MAX)));
    for day in (today.0..=last).map(Day).filter(|day| !known.contains(&name(*day))) {
        if !step(conn, &make(day)).await? {
            return Ok(false);
        }
    }
    let kept = name(oldest);
    let is_over = |table: &&String| table.len() == kept.len() && **table < kept;
    for table in known.iter().filter(is_over) {
        if !step(conn, &format!("DROP TABLE {table}")).await? {
            return Ok(false);
        }
    }
    step(
        conn,
        &format!("DELETE FROM decision_records_default WHERE decided_at < '{oldest} 00:00Z'"),
    )
    .await
}

async fn step(conn: &mut PgConnection, sql: &str) -> Result<bool> {
    let done = alone(conn, sql).await;
    ended(conn, done).await
}

async fn alone(conn: &mut PgConnection, sql: &str) -> Result<bool> {
    conn.execute(BEGIN).await.map_err(database_error)?;
    let first = sqlx::query(ALONE).fetch_one(&mut *conn).await.map_err(database_error)?;
    let is_first: bool = first.get(0);
    if is_first {
        conn.execute(sql).await.map_err(database_error)?;
    }
    Ok(is_first)
}

/// Name of a day's table; names sort as days do.
fn name(day: Day) -> String {
    format!("decision_records_{}", day.to_string().replace('-', ""))
}

/// A table that is attached once it is made locks writers out of nothing but the default table, whose rows it takes.
fn make(day: Day) -> String {
    let (table, next) = (name(day), Day(day.0 + 1));
    let is_its = format!("decided_at >= '{day} 00:00Z' AND decided_at < '{next} 00:00Z'");
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (LIKE decision_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
         LOCK TABLE decision_records_default IN ACCESS EXCLUSIVE MODE;
         WITH moved AS (DELETE FROM decision_records_default WHERE {is_its} RETURNING *)
         INSERT INTO {table} SELECT * FROM moved;
         ALTER TABLE decision_records ATTACH PARTITION {table} FOR VALUES FROM ('{day} 00:00Z') TO ('{next} 00:00Z')"
    )
}
