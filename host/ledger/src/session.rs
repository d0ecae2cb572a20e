//! One connection, its open transaction and its deadline.

use std::future::Future;
use std::time::Duration;

use crate::error::{LedgerError, Result};

/// What a session needs of a connection.
pub(crate) trait Connection {
    /// Rolls back the open transaction; false when the connection is of no more use.
    fn roll_back(&mut self) -> impl Future<Output = bool> + Send;
}

/// The connection and what state it is in. An operation takes the connection out and brings it back; whoever drops
/// the operation halfway therefore drops the connection with it, and a half-done exchange is never continued.
pub(crate) struct Session<C> {
    conn: Option<C>,
    /// True between `lock` and `apply` or `rollback`.
    pub(crate) in_transaction: bool,
    deadline: Duration,
}

impl<C: Connection> Session<C> {
    pub(crate) fn new(conn: C, deadline: Duration) -> Self {
        Self { conn: Some(conn), in_transaction: false, deadline }
    }

    /// # Errors
    /// `Outage` when an earlier operation lost the connection.
    pub(crate) fn take(&mut self) -> Result<C> {
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
            if error.is_outage() || (open && !conn.roll_back().await) {
                return result;
            }
        }
        self.conn = Some(conn);
        result
    }
}
