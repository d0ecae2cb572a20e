//! The ledger in Postgres: one dedicated connection that is never shared and never cancelled halfway.

mod apply;
mod copy;
mod error;
mod history;
mod overview;
mod progress;
mod read;
mod rules;
mod schema;
mod small;

use std::str::FromStr;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
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

/// A connection to a ledger in Postgres.
pub struct PgLedger {
    config: LedgerConfig,
    session: Session<PgConnection>,
    /// Version of the tables as last read.
    version: i64,
}

impl PgLedger {
    pub(crate) async fn open(config: &LedgerConfig, url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| LedgerError::Address("it is not a valid URL".into()))?
            .application_name(&config.application_name)
            .disable_statement_logging();
        let connect = async {
            let mut conn = options.connect().await.map_err(database_error)?;
            conn.execute(&*settings(config)).await.map_err(database_error)?;
            let version = schema::version(&mut conn).await?;
            Ok((conn, version))
        };
        let (conn, version) = tokio::time::timeout(config.deadline, connect)
            .await
            .unwrap_or_else(|_| Err(LedgerError::outage("connecting took too long")))?;
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
            let result = apply::apply(&mut conn, config, plan, open).await;
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
            let result = audit::postgres(&mut conn, on_check).await;
            (conn, result)
        };
        self.session.run_long(work).await
    }

    /// Hands out the connection for an operation that is no part of a batch; a batch that was locked is given up.
    async fn idle(&mut self) -> Result<PgConnection> {
        self.rollback().await?;
        self.ready().await
    }

    /// Hands out the connection for an operation that needs the newest tables.
    async fn ready(&mut self) -> Result<PgConnection> {
        // Another process may have migrated since; only an outdated connection pays for looking again.
        if self.version < schema::LATEST && self.schema_version().await? < schema::LATEST {
            let (found, latest) = (self.version, schema::LATEST);
            return Err(LedgerError::SchemaOutdated { found, latest });
        }
        self.session.take()
    }
}

impl Connection for PgConnection {
    async fn roll_back(&mut self) -> bool {
        self.execute("ROLLBACK").await.is_ok()
    }
}

/// Session settings. Without hash and merge joins and full scans, the planner takes rows through their index, in the
/// order of the sorted lists, which is the order of the locks; without costs for pages it begins with the lists even
/// while the tables are small; with generic plans it is asked only once.
fn settings(config: &LedgerConfig) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_hashjoin = off;
         SET enable_mergejoin = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
         SET random_page_cost = 0; SET seq_page_cost = 0; SET enable_material = off; SET enable_memoize = off;
         SET default_transaction_isolation = 'read committed'; SET TIME ZONE 'UTC'",
        config.statement_timeout.as_millis(),
        config.lock_timeout.as_millis(),
        config.idle_in_transaction_timeout.as_millis(),
    )
}
