//! The ledger in SQLite: one file, one writer at a time, the same operations as in Postgres.

mod advance;
pub(crate) mod apply;
pub(crate) mod days;
pub(crate) mod decisions;
mod error;
mod history;
pub(crate) mod progress;
pub(crate) mod read;
mod record;
mod schema;

use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor, Sqlite};

use crate::config::LedgerConfig;
use crate::dialect::{Arg, Dialect, Words};
use crate::error::{LedgerError, Result};
use crate::session::Connection;

pub(crate) use error::database_error;

impl Connection for SqliteConnection {
    const LATEST: i64 = schema::LATEST;

    async fn connect(config: &LedgerConfig, address: &str) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(address)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A charge that was reported as written survives a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(config.lock_timeout)
            .foreign_keys(true)
            .disable_statement_logging();
        options.connect().await.map_err(database_error)
    }

    async fn version(&mut self) -> Result<i64> {
        schema::version(self).await
    }

    async fn migrate(&mut self) -> Result<i64> {
        schema::migrate(self).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.execute("BEGIN IMMEDIATE").await.map(drop).map_err(database_error)
    }

    async fn commit_early(&mut self) -> Result<()> {
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        if let Err(error) = self.execute("COMMIT").await {
            self.roll_back().await?;
            return Err(database_error(error).during_commit());
        }
        Ok(())
    }

    /// Some failures have already rolled back, which SQLite reports as an error.
    async fn roll_back(&mut self) -> Result<()> {
        drop(self.execute("ROLLBACK").await);
        Ok(())
    }
}

impl Dialect for SqliteConnection {
    type Row = SqliteRow;

    const WORDS: Words = Words {
        clock: "(CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)",
        now: "(CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)",
        after: ("(CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 + ", ")"),
        at: ("", ""),
        us: ("", ""),
        days: ("(unixepoch(", ") / 86400)"),
        ids: ("(SELECT value FROM json_each(", "))"),
        keys: ("(SELECT value FROM json_each(", "))"),
        json: ("", ""),
        elements: ("json_each(", ")"),
        among: ("IN (SELECT value FROM json_each(", "))"),
        day: ("date((", ") * 86400, 'unixepoch')"),
        unhex: ("unhex(", ")"),
        bytes: ("CAST(", " AS BLOB)"),
        digest: ("", ""),
        // A transaction that writes has the whole file.
        share: "",
        lock: "",
        lock_free: "",
    };

    async fn begin_snapshot(&mut self) -> Result<()> {
        self.execute("BEGIN").await.map(drop).map_err(database_error)
    }

    async fn begin_search(&mut self) -> Result<()> {
        Ok(())
    }

    async fn end_search(&mut self) -> Result<()> {
        Ok(())
    }

    async fn begin_bulk(&mut self) -> Result<()> {
        self.begin().await
    }

    async fn hold_days(&mut self) -> Result<()> {
        // Whoever retires days writes, too.
        Ok(())
    }

    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<SqliteRow>> {
        bound(sql, args).fetch_all(self).await.map_err(database_error)
    }

    async fn change(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64> {
        let done = bound(sql, args).execute(self).await.map_err(database_error)?;
        Ok(done.rows_affected())
    }
}

fn bound<'q>(sql: &'q str, args: &[Arg<'q>]) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    args.iter().fold(sqlx::query(sql), |query, arg| match *arg {
        Arg::Int(value) => query.bind(value),
        Arg::Text(value) => query.bind(value),
        Arg::Bytes(value) => query.bind(value),
    })
}

/// Lists of rows go to SQLite as one JSON text; its integers have 64 bits there, too.
fn json<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| LedgerError::Unexpected(error.to_string()))
}
