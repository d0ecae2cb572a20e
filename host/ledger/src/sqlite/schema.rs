//! Versions of the tables.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, Row};

use super::database_error;
use crate::error::Result;
use crate::session::Connection;

/// Version of the tables that this program needs.
pub(crate) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Steps from an empty file to the newest tables; a step takes nothing away that older programs charge with.
const MIGRATIONS: &[(&str, &str)] = &[
    ("ledger", include_str!("../../migrations/sqlite/0001_ledger.sql")),
    ("messages", include_str!("../../migrations/sqlite/0002_messages.sql")),
    ("refunds", include_str!("../../migrations/sqlite/0003_refunds.sql")),
    ("days", include_str!("../../migrations/sqlite/0004_days.sql")),
    ("decisions", include_str!("../../migrations/sqlite/0005_decisions.sql")),
    ("replays", include_str!("../../migrations/sqlite/0006_replays.sql")),
    ("watch", include_str!("../../migrations/sqlite/0007_watch.sql")),
    ("registry", include_str!("../../migrations/sqlite/0008_registry.sql")),
    ("trials", include_str!("../../migrations/sqlite/0009_trials.sql")),
    ("found days", include_str!("../../migrations/sqlite/0010_found_days.sql")),
    ("dead letter lease", include_str!("../../migrations/sqlite/0011_dead_letter_lease.sql")),
];

/// Version of the tables; 0 when there are none.
pub(crate) async fn version(conn: &mut SqliteConnection) -> Result<i64> {
    let known =
        sqlx::query("SELECT count(*) FROM sqlite_master WHERE name = 'tollgate_migrations'")
            .fetch_one(&mut *conn)
            .await
            .map_err(database_error)?;
    if known.get::<i64, _>(0) == 0 {
        return Ok(0);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) FROM tollgate_migrations")
        .fetch_one(conn)
        .await
        .map_err(database_error)?;
    Ok(row.get(0))
}

/// Brings the tables to the newest version, each step in a transaction of its own.
pub(crate) async fn migrate(conn: &mut SqliteConnection) -> Result<i64> {
    for (at, (name, sql)) in MIGRATIONS.iter().enumerate() {
        let done = async {
            conn.execute("BEGIN IMMEDIATE").await?;
            conn.execute(
                "CREATE TABLE IF NOT EXISTS tollgate_migrations (
                   version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL DEFAULT (unixepoch()))",
            )
            .await?;
            let found = sqlx::query("SELECT 1 FROM tollgate_migrations WHERE version = ?")
                .bind(at as i64 + 1)
                .fetch_optional(&mut *conn)
                .await?;
            if found.is_none() {
                conn.execute(*sql).await?;
                sqlx::query("INSERT INTO tollgate_migrations (version, name) VALUES (?, ?)")
                    .bind(at as i64 + 1)
                    .bind(name)
                    .execute(&mut *conn)
                    .await?;
            }
            conn.execute("COMMIT").await
        }
        .await;
        if let Err(error) = done {
            conn.roll_back().await?;
            return Err(database_error(error));
        }
    }
    version(conn).await
}
