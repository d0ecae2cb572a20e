//! One connection, its open transaction and its deadline; the same for both databases.

use std::future::Future;
use std::time::Duration;

use crate::config::LedgerConfig;
use crate::error::{LedgerError, Result};

/// Calls the same function of whichever connection it is.
macro_rules! either {
    ($ledger:expr, $database:ident => $call:expr) => {
        match $ledger {
            $crate::Ledger::Postgres($database) => $call,
            $crate::Ledger::Sqlite($database) => $call,
        }
    };
}

/// Runs an operation of whichever database it is: takes the connection as `$take` hands it out, runs the work as `$run`
/// allows, and brings the connection back. The work finds the module of its database under the name `sql`.
macro_rules! operation {
    ($ledger:expr, $take:ident, $run:ident, |$conn:ident, $config:pat_param| $work:expr) => {
        match $ledger {
            $crate::Ledger::Postgres(database) => {
                operation!(@ database, postgres, $take, $run, $conn, $config, $work)
            }
            $crate::Ledger::Sqlite(database) => {
                operation!(@ database, sqlite, $take, $run, $conn, $config, $work)
            }
        }
    };
    (@ $database:ident, $module:ident, $take:ident, $run:ident, $conn:ident, $config:pat_param, $work:expr) => {{
        #[allow(unused_imports, reason = "work that is written once for both databases names neither")]
        use $crate::$module as sql;
        let mut taken = $database.$take().await?;
        let $config = &$database.config;
        let work = async move {
            let $conn = &mut taken;
            let result = $work.await;
            (taken, result)
        };
        $database.session.$run(work).await
    }};
}

/// What is asked of a connection, whatever the database.
pub(crate) trait Connection: Sized + Send {
    /// Version of the tables that this program needs.
    const LATEST: i64;

    fn connect(config: &LedgerConfig, address: &str) -> impl Future<Output = Result<Self>> + Send;

    /// Version of the tables; 0 when there are none.
    fn version(&mut self) -> impl Future<Output = Result<i64>> + Send;

    /// Brings the tables to the newest version, each step in a transaction of its own.
    fn migrate(&mut self) -> impl Future<Output = Result<i64>> + Send;

    /// Begins a transaction that will write.
    fn begin(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Lets the commit of the open transaction not wait for the disk: after a crash it may not have happened.
    fn commit_early(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Commits; after a failure no transaction is open.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Ends an open transaction without writing anything; an error means that the connection is of no more use.
    fn roll_back(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Ends the transaction of an operation: a commit when it succeeded, a rollback when it did not.
pub(crate) async fn ended<C: Connection, T>(conn: &mut C, result: Result<T>) -> Result<T> {
    match &result {
        Ok(_) => conn.commit().await?,
        Err(error) if error.is_outage() => (),
        Err(_) => conn.roll_back().await?,
    }
    result
}

/// A ledger in one database.
pub struct Database<C> {
    pub(crate) config: LedgerConfig,
    pub(crate) session: Session<C>,
    /// Version of the tables as last read.
    version: i64,
}

#[expect(private_bounds, reason = "all its functions are for this crate only")]
impl<C: Connection> Database<C> {
    pub(crate) async fn open(config: &LedgerConfig, address: &str) -> Result<Self> {
        let connect = async {
            let mut conn = C::connect(config, address).await?;
            let version = conn.version().await?;
            Ok((conn, version))
        };
        let (conn, version) = tokio::time::timeout(config.deadline, connect)
            .await
            .unwrap_or_else(|_| Err(LedgerError::outage("connecting took too long")))?;
        let session = Session::new(conn, config.deadline);
        Ok(Self { config: config.clone(), session, version })
    }

    pub(crate) async fn migrate(&mut self) -> Result<i64> {
        let mut conn = self.session.take()?;
        let work = async move {
            let result = conn.migrate().await;
            (conn, result)
        };
        self.version = self.session.run_long(work).await?;
        Ok(self.version)
    }

    pub(crate) async fn schema_version(&mut self) -> Result<i64> {
        let mut conn = self.session.take()?;
        let work = async move {
            let result = conn.version().await;
            (conn, result)
        };
        self.version = self.session.run(work).await?;
        Ok(self.version)
    }

    pub(crate) fn schema_latest(&self) -> i64 {
        C::LATEST
    }

    /// Gives up a batch that was locked.
    pub(crate) async fn rollback(&mut self) -> Result<()> {
        if !self.session.in_transaction {
            return Ok(());
        }
        let mut conn = self.session.take()?;
        self.session.in_transaction = false;
        let work = async move {
            let result = conn.roll_back().await;
            (conn, result)
        };
        self.session.run(work).await
    }

    /// Whether a batch was locked; whoever asks ends it.
    pub(crate) fn take_batch(&mut self) -> bool {
        std::mem::take(&mut self.session.in_transaction)
    }

    /// Hands out the connection for an operation that needs no tables.
    pub(crate) async fn any(&mut self) -> Result<C> {
        self.session.take()
    }

    /// Hands out the connection for an operation that needs the newest tables, inside a locked batch or not.
    pub(crate) async fn ready(&mut self) -> Result<C> {
        // Another process may have migrated since; only an outdated connection pays for looking again.
        if self.version < C::LATEST && self.schema_version().await? < C::LATEST {
            return Err(LedgerError::SchemaOutdated { found: self.version, latest: C::LATEST });
        }
        self.session.take()
    }

    /// Hands out the connection for an operation that is no part of a batch; a batch that was locked is given up.
    pub(crate) async fn idle(&mut self) -> Result<C> {
        self.rollback().await?;
        self.ready().await
    }

    /// Hands out the connection for an operation that locks a batch.
    pub(crate) async fn locking(&mut self) -> Result<C> {
        let conn = self.idle().await?;
        self.session.in_transaction = true;
        Ok(conn)
    }
}

/// The connection and what state it is in. An operation takes the connection out and brings it back; whoever drops
/// the operation halfway therefore drops the connection with it, and a half-done exchange is never continued.
pub(crate) struct Session<C> {
    conn: Option<C>,
    /// True between `lock` and `apply` or `rollback`.
    in_transaction: bool,
    deadline: Duration,
}

impl<C: Connection> Session<C> {
    fn new(conn: C, deadline: Duration) -> Self {
        Self { conn: Some(conn), in_transaction: false, deadline }
    }

    /// # Errors
    /// `Outage` when an earlier operation lost the connection.
    fn take(&mut self) -> Result<C> {
        self.conn.take().ok_or_else(|| {
            self.in_transaction = false;
            LedgerError::outage("the connection was closed after an earlier failure")
        })
    }

    /// Runs an operation for as long as the deadline allows.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = (C, Result<T>)>) -> Result<T> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(done) => self.settle(done).await,
            Err(_) => {
                self.in_transaction = false;
                let sentence = format!("no answer within {} ms", self.deadline.as_millis());
                Err(LedgerError::Outage { outcome_unknown: true, sentence })
            }
        }
    }

    /// Runs an operation that may take as long as it needs.
    pub(crate) async fn run_long<T>(
        &mut self,
        work: impl Future<Output = (C, Result<T>)>,
    ) -> Result<T> {
        let done = work.await;
        self.settle(done).await
    }

    /// Takes the connection back, unless it is lost. After an error no transaction stays open.
    async fn settle<T>(&mut self, (mut conn, result): (C, Result<T>)) -> Result<T> {
        if let Err(error) = &result {
            let open = std::mem::take(&mut self.in_transaction);
            if error.is_outage() || (open && conn.roll_back().await.is_err()) {
                return result;
            }
        }
        self.conn = Some(conn);
        result
    }
}
