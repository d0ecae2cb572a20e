//! How to reach the ledger and how long to wait for it.

use std::fmt;
use std::time::Duration;

use crate::error::{LedgerError, Result};

/// Settings of one connection to the ledger.
#[derive(Clone)]
pub struct LedgerConfig {
    /// `postgres://user:password@host:port/database?sslmode=verify-full` or `sqlite://path`.
    pub url: String,
    /// Consumer group whose progress this connection moves.
    pub group: String,
    /// Shown in the database's list of connections.
    pub application_name: String,
    /// Longest that one statement may run in the database.
    pub statement_timeout: Duration,
    /// Longest wait for a row that another process has locked.
    pub lock_timeout: Duration,
    /// After this time the database ends a transaction in which nothing happens.
    pub idle_in_transaction_timeout: Duration,
    /// Longest that this process waits for one operation. Then the connection is dropped and the outcome of a commit
    /// is unknown. Must be longer than the statement timeout, so that it strikes only when the server is silent.
    pub deadline: Duration,
    /// From this number of history rows a plan is written with COPY instead of one statement.
    pub copy_rows_min: usize,
    /// Whether a commit is answered before it is on disk (Postgres). Only for what may be done twice: after a crash of
    /// the database, not of this process, the last commits may be gone. They keep no charge waiting for the disk.
    pub early_commits: bool,
}

impl LedgerConfig {
    /// Settings that serve most sites.
    #[must_use]
    pub fn new(url: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            group: group.into(),
            application_name: "tollgate".to_owned(),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(15),
            deadline: Duration::from_secs(15),
            copy_rows_min: Self::COPY_ROWS_MIN,
            early_commits: false,
        }
    }

    /// Measured with the example `write_cost` on one machine: below it, the round trips of a transaction cost more than
    /// COPY saves. With a distant database the crossing point is higher.
    pub const COPY_ROWS_MIN: usize = 500;

    pub(crate) fn address(&self) -> Result<Address<'_>> {
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            return Ok(Address::Postgres(&self.url));
        }
        match self.url.strip_prefix("sqlite://") {
            Some("") => Err(LedgerError::Address("the path of the SQLite file is empty".into())),
            Some(path) => Ok(Address::Sqlite(path)),
            None => Err(LedgerError::Address("it names neither Postgres nor SQLite".into())),
        }
    }
}

/// Which database an address names.
pub(crate) enum Address<'a> {
    Postgres(&'a str),
    Sqlite(&'a str),
}

impl fmt::Debug for LedgerConfig {
    /// Leaves out the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerConfig")
            .field("group", &self.group)
            .field("application_name", &self.application_name)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("deadline", &self.deadline)
            .field("copy_rows_min", &self.copy_rows_min)
            .finish_non_exhaustive()
    }
}
