//! The ledger: every charge, balance, budget and offset, in Postgres or SQLite behind one set of operations.
//!
//! A batch is decided on remembered rows and written by [`Ledger::apply`], which verifies in the same transaction
//! that every one of them still held. When one did not, nothing is written; the caller then locks the rows with
//! [`Ledger::lock`], decides again and applies inside that transaction.
//!
//! One `Ledger` is one connection. Dropping an operation halfway closes the connection, so that nothing half-done is
//! ever continued; [`Ledger::reopen`] makes a new one.
#![forbid(unsafe_code)]

#[macro_use]
mod session;
mod audit;
mod campaign;
mod config;
mod days;
mod decisions;
mod dialect;
mod error;
mod explain;
mod explain_rows;
mod letters;
mod outbox;
mod outbox_rows;
mod overview;
mod past;
mod postgres;
mod progress;
mod refund_rows;
mod refunds;
mod replays;
mod rows;
mod rule_rows;
mod rules;
mod shape;
mod sqlite;
mod statement;
mod trial_rows;
mod trials;
mod valve;
mod watch;
mod watch_rows;

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use tollgate_domain::book::Campaign;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;

pub use audit::{AuditScope, AuditStep};
pub use config::LedgerConfig;
pub use days::{DaysReport, Expired, HistorySettings};
pub use error::{LedgerError, Result};
pub use explain_rows::{
    CompensationEntry, CrossingEntry, DecisionRecord, HistoryEntry, Reached, Traces,
};
pub use outbox_rows::{
    CampaignCard, Delivery, DeliveryFilter, DueRoute, HappeningRow, Happenings, Looks, NewDelivery,
    OutboxDepth, Outcome, Sending, State, Which, Worded,
};
pub use past::{PastCharge, PastClicks, PastRecord, PastSpan};
pub use refund_rows::{
    CompensationDepth, LetterFilter, LetterState, StoredDeadLetter, WaitingCompensation,
};
pub use replays::{LockedLetters, Replay, ReplayKeys};
pub use rows::{
    Acquired, Acquisition, AdDetails, AuditReport, Check, Keys, LockKeys, NearBudget, NewCampaign,
    Overview, Place, ProgressRow, Repoint, Rows,
};
pub use rule_rows::{
    Activated, Activation, Bad, Change, ChangeRow, FallBack, FellBack, Generation, GenerationStart,
    Module, ModuleRow, Part, PrunePolicy, Pruned, Published, Signature, change,
};
pub use session::Database;
pub use statement::{Adjustment, StatementLine, StatementRows};
pub use trial_rows::{Abort, NewTrial, Touched, Trial, TrialKind};
pub use watch_rows::{
    ClickCount, DuplicateRate, DuplicateRates, Finding, Lap, RateFilter, RateScope, WatchState,
    Window,
};

use config::Address;

/// A connection to the ledger. Operations on tables that are older than this program give `SCHEMA_OUTDATED`.
pub enum Ledger {
    Postgres(Box<Database<PgConnection>>),
    Sqlite(Box<Database<SqliteConnection>>),
}

impl Ledger {
    /// Connects. The tables may still be missing or old; see [`Ledger::migrate`].
    ///
    /// # Errors
    /// `Address` when the address or its credentials are wrong, `Outage` when nobody answers.
    pub async fn open(config: &LedgerConfig) -> Result<Self> {
        Ok(match config.address()? {
            Address::Postgres(url) => Self::Postgres(Box::new(Database::open(config, url).await?)),
            Address::Sqlite(path) => Self::Sqlite(Box::new(Database::open(config, path).await?)),
        })
    }

    /// Replaces the connection by a new one, which is the way on after an outage.
    ///
    /// # Errors
    /// As `open`; the ledger then still has its old connection, or none.
    pub async fn reopen(&mut self) -> Result<()> {
        *self = Self::open(self.config()).await?;
        Ok(())
    }

    /// The settings with which it was opened.
    #[must_use]
    pub fn config(&self) -> &LedgerConfig {
        either!(self, database => &database.config)
    }

    /// Brings the tables to the newest version and gives it. Several processes may do so at once.
    ///
    /// # Errors
    /// When the database refuses a step; earlier steps stay.
    pub async fn migrate(&mut self) -> Result<i64> {
        either!(self, database => database.migrate().await)
    }

    /// Version of the tables in the database; 0 when there are none.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn schema_version(&mut self) -> Result<i64> {
        either!(self, database => database.schema_version().await)
    }

    /// Version of the tables that this program needs. Newer tables serve as well: steps take nothing away that
    /// charging needs.
    #[must_use]
    pub fn schema_latest(&self) -> i64 {
        either!(self, database => database.schema_latest())
    }

    /// The database's clock, in microseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn clock_us(&mut self) -> Result<i64> {
        operation!(self, any, run, |conn, _| dialect::clock_us(conn))
    }

    /// The campaigns that exist among these ids; inside a transaction when one is open.
    ///
    /// # Errors
    /// `Row` when a campaign's status or time zone cannot be understood.
    pub async fn campaigns(&mut self, ids: &[Arc<str>]) -> Result<Vec<Campaign>> {
        operation!(self, ready, run, |conn, _| sql::read::campaigns(conn, ids))
    }

    /// Balances and day states as they are now, without locks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn load(&mut self, keys: Keys<'_>) -> Result<Rows> {
        operation!(self, ready, run, |conn, _| sql::read::load(conn, keys))
    }

    /// Begins a transaction, verifies the fence and locks progress, balances and days, in this order. The transaction
    /// stays open for [`Ledger::apply`] or [`Ledger::rollback`].
    ///
    /// # Errors
    /// `Fenced` and `GenerationChanged` as `apply`; no transaction is open then.
    pub async fn lock(&mut self, keys: LockKeys<'_>) -> Result<Rows> {
        operation!(self, locking, run, |conn, config| sql::read::lock(conn, &config.group, keys))
    }

    /// Ends an open transaction without writing anything.
    ///
    /// # Errors
    /// `Outage` when the connection is gone, which ends the transaction as well.
    pub async fn rollback(&mut self) -> Result<()> {
        either!(self, database => database.rollback().await)
    }

    /// Writes a plan and commits, if everything it was decided on still holds; otherwise writes nothing. Ends the
    /// transaction that `lock` began, whatever the outcome.
    ///
    /// # Errors
    /// - `Fenced`: another process holds a partition, or the batch is already written.
    /// - `GenerationChanged`: the rules that decided are no longer active.
    /// - `Stale`: a balance, day or campaign has changed.
    /// - `Refused`: the data itself cannot be stored.
    /// - `Transient`: nothing is written, try again.
    /// - `Outage`: reopen; when the outcome is unknown, `progress` tells whether the plan was written.
    pub async fn apply(&mut self, plan: &Plan<'_>) -> Result<()> {
        let open = either!(self, database => database.take_batch());
        operation!(self, ready, run, |conn, config| sql::apply::apply(conn, config, plan, open))
    }

    /// Progress of the own consumer group in these topics (in all topics when empty), by topic and partition.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn progress(&mut self, topics: &[&str]) -> Result<Vec<ProgressRow>> {
        operation!(self, idle, run, |conn, config| sql::progress::read(conn, &config.group, topics))
    }

    /// Writes down where each partition of a topic begins, all at once, if the group has never seen the topic.
    /// False: it has, and nothing was written.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn first_sight(
        &mut self,
        topic: &str,
        topic_id: &str,
        offsets: &[(i32, i64)],
    ) -> Result<bool> {
        operation!(self, idle, run, |conn, config| sql::progress::first_sight(
            conn,
            &config.group,
            topic,
            topic_id,
            offsets
        ))
    }

    /// Takes partitions over, fencing off whoever held them. A partition that was never seen starts at the given
    /// offset. An empty topic id, from a broker that gives none, matches every topic.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn acquire(
        &mut self,
        owner: &str,
        topic: &str,
        topic_id: &str,
        partitions: &[(i32, i64)],
    ) -> Result<Vec<Acquired>> {
        operation!(self, idle, run, |conn, config| {
            let group = &config.group;
            sql::progress::acquire(
                conn,
                progress::Want { group, owner, topic, topic_id, partitions },
            )
        })
    }

    /// Stops a partition until [`Ledger::repoint`]; whoever holds it is fenced off.
    ///
    /// # Errors
    /// `NotFound` when the group has no such partition.
    pub async fn halt(&mut self, topic: &str, partition: i32, reason: &str) -> Result<()> {
        operation!(self, idle, run, |conn, config| sql::progress::halt(
            conn,
            &config.group,
            topic,
            partition,
            reason
        ))
    }

    /// Lets a halted partition go on, fences off whoever holds it, and writes an audit row.
    ///
    /// # Errors
    /// `NotAllowed` when records would be charged twice, `NotFound` when the group has no such partition.
    pub async fn repoint(&mut self, repoint: Repoint<'_>) -> Result<ProgressRow> {
        operation!(self, idle, run, |conn, config| sql::progress::repoint(
            conn,
            &config.group,
            repoint
        ))
    }

    /// Loads campaigns, replacing those with the same id.
    ///
    /// # Errors
    /// `Row` when a time zone is unknown; nothing is loaded then.
    pub async fn put_campaigns(&mut self, campaigns: &[NewCampaign]) -> Result<()> {
        operation!(self, idle, run, |conn, _| sql::read::put_campaigns(conn, campaigns))
    }

    /// Sets an advertiser's opening balance; what was charged since stays charged.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put_balance(&mut self, advertiser: &str, opening: Micros) -> Result<()> {
        operation!(self, idle, run, |conn, _| sql::read::put_balance(conn, advertiser, opening))
    }

    /// A small picture for status pages.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn overview(&mut self) -> Result<Overview> {
        operation!(self, idle, run, |conn, _| overview::overview(conn))
    }

    /// Checks whether the ledger adds up, on one snapshot and without disturbing writers; calls back after each check.
    ///
    /// # Errors
    /// When the database cannot be asked; a ledger that does not add up is not an error but a failed check.
    pub async fn audit(
        &mut self,
        on_check: &mut (dyn FnMut(&Check) + Send),
    ) -> Result<AuditReport> {
        let mut on_step = |step: AuditStep<'_>| {
            if let AuditStep::Done(check) = step {
                on_check(check);
            }
        };
        self.audit_part(&AuditScope::default(), &mut on_step).await
    }

    /// As `audit`, for some days or one advertiser; calls back before and after each check.
    ///
    /// # Errors
    /// As `audit`; `NotFound` when nothing is known of the advertiser.
    pub async fn audit_part(
        &mut self,
        scope: &AuditScope,
        on_step: &mut (dyn FnMut(AuditStep<'_>) + Send),
    ) -> Result<AuditReport> {
        operation!(self, idle, run_long, |conn, _| audit::audit(conn, scope, on_step))
    }
}
