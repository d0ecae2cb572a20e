//! The ledger in SQLite: one file, one writer at a time, the same operations as in Postgres.

mod advance;
mod apply;
mod error;
mod history;
mod overview;
mod progress;
mod read;
mod rules;
mod schema;

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};
use tollgate_domain::book::Campaign;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;

use crate::audit;
use crate::config::LedgerConfig;
use crate::error::{LedgerError, Result};
use crate::rows::{
    Acquired, AuditReport, Check, Generation, Keys, LockKeys, Module, NewCampaign, Overview, Part,
    ProgressRow, Repoint, Rows,
};
use crate::session::{Connection, Session};

pub(crate) use error::database_error;
pub(crate) use schema::LATEST;

/// A connection to a ledger in SQLite.
pub struct SqliteLedger {
    config: LedgerConfig,
    session: Session<SqliteConnection>,
    /// Version of the tables as last read.
    version: i64,
}

impl SqliteLedger {
    pub(crate) async fn open(config: &LedgerConfig, path: &str) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A charge that was reported as written survives a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(config.lock_timeout)
            .foreign_keys(true)
            .disable_statement_logging();
        let connect = async {
            let mut conn = options.connect().await.map_err(database_error)?;
            let version = schema::version(&mut conn).await?;
            Ok((conn, version))
        };
        let (conn, version) = tokio::time::timeout(config.deadline, connect)
            .await
            .unwrap_or_else(|_| Err(LedgerError::outage("opening the file took too long")))?;
        let session = Session::new(conn, config.deadline);
        Ok(Self { config: config.clone(), session, version })
    }

    pub(crate) fn config(&self) -> &LedgerConfig {
        &self.config
    }

    pub(crate) async fn migrate(&mut self) -> Result<i64> {
        let mut conn = self.session.take()?;
        let work = async move {
            let result = schema::migrate(&mut conn).await;
            (conn, result)
        };
        self.version = self.session.run_long(work).await?;
        Ok(self.version)
    }

    pub(crate) async fn schema_version(&mut self) -> Result<i64> {
        let mut conn = self.session.take()?;
        let work = async move {
            let result = schema::version(&mut conn).await;
            (conn, result)
        };
        self.version = self.session.run(work).await?;
        Ok(self.version)
    }

    pub(crate) async fn clock_us(&mut self) -> Result<i64> {
        let mut conn = self.session.take()?;
        let work = async move {
            let result = read::clock_us(&mut conn).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn campaigns(&mut self, ids: &[Arc<str>]) -> Result<Vec<Campaign>> {
        let mut conn = self.ready().await?;
        let work = async move {
            let result = read::campaigns(&mut conn, ids).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn load(&mut self, keys: Keys<'_>) -> Result<Rows> {
        let mut conn = self.ready().await?;
        let work = async move {
            let result = read::load(&mut conn, keys).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn lock(&mut self, keys: LockKeys<'_>) -> Result<Rows> {
        let mut conn = self.idle().await?;
        self.session.in_transaction = true;
        let group = &self.config.group;
        let work = async move {
            let result = read::lock(&mut conn, group, keys).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn rollback(&mut self) -> Result<()> {
        if !self.session.in_transaction {
            return Ok(());
        }
        let mut conn = self.session.take()?;
        self.session.in_transaction = false;
        let work = async move {
            let result = conn.execute("ROLLBACK").await.map(drop).map_err(database_error);
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn apply(&mut self, plan: &Plan<'_>) -> Result<()> {
        let mut conn = self.ready().await?;
        let open = std::mem::take(&mut self.session.in_transaction);
        let config = &self.config;
        let work = async move {
            let result = apply::apply(&mut conn, &config.group, plan, open).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn progress(&mut self, topics: &[&str]) -> Result<Vec<ProgressRow>> {
        let mut conn = self.idle().await?;
        let group = &self.config.group;
        let work = async move {
            let result = progress::read(&mut conn, Some(group), topics).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn first_sight(
        &mut self,
        topic: &str,
        topic_id: &str,
        offsets: &[(i32, i64)],
    ) -> Result<bool> {
        let mut conn = self.idle().await?;
        let group = &self.config.group;
        let work = async move {
            let result = progress::first_sight(&mut conn, group, topic, topic_id, offsets).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn acquire(
        &mut self,
        owner: &str,
        topic: &str,
        topic_id: &str,
        partitions: &[(i32, i64)],
    ) -> Result<Vec<Acquired>> {
        let mut conn = self.idle().await?;
        let group = &self.config.group;
        let work = async move {
            let want = progress::Want { group, owner, topic, topic_id, partitions };
            let result = progress::acquire(&mut conn, want).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn halt(&mut self, topic: &str, partition: i32, reason: &str) -> Result<()> {
        let mut conn = self.idle().await?;
        let group = &self.config.group;
        let work = async move {
            let result = progress::halt(&mut conn, group, topic, partition, reason).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn repoint(&mut self, repoint: Repoint<'_>) -> Result<ProgressRow> {
        let mut conn = self.idle().await?;
        let group = &self.config.group;
        let work = async move {
            let result = progress::repoint(&mut conn, group, repoint).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn publish(&mut self, module: &Module) -> Result<()> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = rules::publish(&mut conn, module).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn activate(
        &mut self,
        parts: &[Part],
        author: &str,
        note: &str,
    ) -> Result<u64> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = rules::activate(&mut conn, parts, author, note).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn active(&mut self) -> Result<Option<Generation>> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = rules::active(&mut conn).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn module_bytes(&mut self, digest: &str) -> Result<Vec<u8>> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = rules::module_bytes(&mut conn, digest).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn put_campaigns(&mut self, campaigns: &[NewCampaign]) -> Result<()> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = read::put_campaigns(&mut conn, campaigns).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn put_balance(&mut self, advertiser: &str, opening: Micros) -> Result<()> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = read::put_balance(&mut conn, advertiser, opening).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn overview(&mut self) -> Result<Overview> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = overview::overview(&mut conn).await;
            (conn, result)
        };
        self.session.run(work).await
    }

    pub(crate) async fn audit(
        &mut self,
        on_check: &mut (dyn FnMut(&Check) + Send),
    ) -> Result<AuditReport> {
        let mut conn = self.idle().await?;
        let work = async move {
            let result = audit::sqlite(&mut conn, on_check).await;
            (conn, result)
        };
        self.session.run_long(work).await
    }

    /// Hands out the connection for an operation that is no part of a batch; a batch that was locked is given up.
    async fn idle(&mut self) -> Result<SqliteConnection> {
        self.rollback().await?;
        self.ready().await
    }

    /// Hands out the connection for an operation that needs the newest tables.
    async fn ready(&mut self) -> Result<SqliteConnection> {
        // Another process may have migrated since; only an outdated connection pays for looking again.
        if self.version < schema::LATEST && self.schema_version().await? < schema::LATEST {
            let (found, latest) = (self.version, schema::LATEST);
            return Err(LedgerError::SchemaOutdated { found, latest });
        }
        self.session.take()
    }
}

impl Connection for SqliteConnection {
    async fn roll_back(&mut self) -> bool {
        rollback(self).await;
        true
    }
}

/// Rolls back whatever is open. Some failures have already rolled back, which SQLite reports as an error.
async fn rollback(conn: &mut SqliteConnection) {
    drop(conn.execute("ROLLBACK").await);
}

/// Ends the transaction of an operation: a commit when it succeeded, a rollback when it did not.
async fn ended<T>(conn: &mut SqliteConnection, result: Result<T>) -> Result<T> {
    if result.is_err() {
        rollback(conn).await;
        return result;
    }
    if let Err(error) = conn.execute("COMMIT").await {
        rollback(conn).await;
        return Err(database_error(error).during_commit());
    }
    result
}

/// Lists of rows go to SQLite as one JSON text; its integers have 64 bits there, too.
fn json<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| LedgerError::Unexpected(error.to_string()))
}
