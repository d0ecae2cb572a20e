//! Versions of the tables.

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::database_error;
use crate::error::Result;

/// Version of the tables that this program needs.
pub(crate) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Steps from an empty database to the newest tables; a step takes nothing away that older programs charge with.
const MIGRATIONS: &[(&str, &str)] = &[
    ("ledger", include_str!("../../migrations/postgres/0001_ledger.sql")),
    ("messages", include_str!("../../migrations/postgres/0002_messages.sql")),
    ("refunds", include_str!("../../migrations/postgres/0003_refunds.sql")),
    ("days", include_str!("../../migrations/postgres/0004_days.sql")),
    ("decisions", include_str!("../../migrations/postgres/0005_decisions.sql")),
    ("replays", include_str!("../../migrations/postgres/0006_replays.sql")),
    ("watch", include_str!("../../migrations/postgres/0007_watch.sql")),
    ("registry", include_str!("../../migrations/postgres/0008_registry.sql")),
    ("trials", include_str!("../../migrations/postgres/0009_trials.sql")),
    ("found days", include_str!("../../migrations/postgres/0010_found_days.sql")),
    ("dead letter lease", include_str!("../../migrations/postgres/0011_dead_letter_lease.sql")),
];

/// Serialises migrations of several processes; the number has no meaning.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7205759403792793600)";

/// Version of the tables; 0 when there are none.
pub(crate) async fn version(conn: &mut PgConnection) -> Result<i64> {
    let known = sqlx::query("SELECT to_regclass('tollgate_migrations') IS NOT NULL")
        .fetch_one(&mut *conn)
        .await
        .map_err(database_error)?;
    if !known.get::<bool, _>(0) {
        return Ok(0);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0)::bigint FROM tollgate_migrations")
        .fetch_one(conn)
        .await
        .map_err(database_error)?;
    Ok(row.get(0))
}

/// Brings the tables to the newest version, each step in a transaction of its own.
pub(crate) async fn migrate(conn: &mut PgConnection) -> Result<i64> {
    for (at, (name, sql)) in MIGRATIONS.iter().enumerate() {
        let step = format!(
            "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; {MIGRATION_LOCK};
             CREATE TABLE IF NOT EXISTS tollgate_migrations (
               version bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        );
        let done = async {
            conn.execute(&*step).await?;
            let found = sqlx::query("SELECT 1 FROM tollgate_migrations WHERE version = $1")
                .bind(at as i64 + 1)
                .fetch_optional(&mut *conn)
                .await?;
            if found.is_none() {
                conn.execute(*sql).await?;
                sqlx::query("INSERT INTO tollgate_migrations (version, name) VALUES ($1, $2)")
                    .bind(at as i64 + 1)
                    .bind(name)
                    .execute(&mut *conn)
                    .await?;
            }
            conn.execute("COMMIT").await
        }
        .await;
        if let Err(error) = done {
            let error = database_error(error);
            if !error.is_outage() {
                conn.execute("ROLLBACK").await.map_err(database_error)?;
            }
            return Err(error);
        }
    }
    version(conn).await
}
