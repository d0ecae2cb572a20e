//! What can go wrong with the ledger, sorted by what the caller does about it.

/// Result of a ledger operation.
pub type Result<T> = std::result::Result<T, LedgerError>;

/// Why the ledger did not do what it was asked. After any error but `Outage` the ledger can go on being used and no
/// transaction is open; after `Outage` it has to be reopened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The configured address cannot be used. The address itself is not shown, because it may hold a password.
    #[error(
        "the ledger's address cannot be used: {0}; write postgres://user@host/database or sqlite://path"
    )]
    Address(String),

    /// The tables are older than this program.
    #[error(
        "the ledger's tables have version {found}, this program needs {latest}; run `tollgate migrate`"
    )]
    SchemaOutdated { found: i64, latest: i64 },

    /// Another process holds a partition of the plan, or has already written the batch. Drop the batch, acquire again.
    #[error("another process holds these partitions ({0}); drop the batch and acquire them again")]
    Fenced(String),

    /// The plan was decided by rules that are no longer active. Load the active rules and decide again.
    #[error("rule generation {active} is active now; load it and decide the batch again")]
    GenerationChanged { active: u64 },

    /// A row is not what the plan was decided on. Read it with locks and decide again.
    #[error("{0} since the batch was decided; read again with locks and decide again")]
    Stale(String),

    /// The database refuses the data of the plan, whatever is tried. Find the row by halving the batch.
    #[error("the database refuses the data ({sqlstate}): {sentence}")]
    Refused { sqlstate: String, sentence: String },

    /// Nothing was applied; the same may succeed in a moment.
    #[error("the database could not finish now ({sqlstate}): {sentence}; try again")]
    Transient { sqlstate: String, sentence: String },

    /// The database cannot be reached or cannot write.
    #[error("the database is not available: {sentence}; reopen the ledger{}", if *.outcome_unknown {
        " and read the progress to learn whether the batch was written"
    } else {
        ""
    })]
    Outage {
        /// True when a commit was under way: the batch may or may not have been written.
        outcome_unknown: bool,
        sentence: String,
    },

    /// A row that people maintain cannot be understood.
    #[error("the row {key} of `{table}` cannot be used: {sentence}; correct it by hand")]
    Row { table: &'static str, key: String, sentence: String },

    /// The operator asks for something that would make the ledger wrong.
    #[error("{0}")]
    NotAllowed(String),

    /// The name of a rule is somebody else's.
    #[error("{0}")]
    NameTaken(String),

    /// The ledger was asked for something it does not have.
    #[error("{0}")]
    NotFound(String),

    /// The database answered in a way that this program does not understand.
    #[error("the database answered unexpectedly: {0}; check its version and its tables")]
    Unexpected(String),
}

impl LedgerError {
    /// The stable name of the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "LEDGER_ADDRESS",
            Self::SchemaOutdated { .. } => "SCHEMA_OUTDATED",
            Self::Fenced(_) => "FENCED",
            Self::GenerationChanged { .. } => "GENERATION_CHANGED",
            Self::Stale(_) => "STALE",
            Self::Refused { .. } => "REFUSED_BY_DATABASE",
            Self::Transient { .. } => "LEDGER_TRANSIENT",
            Self::Outage { .. } => "LEDGER_OUTAGE",
            Self::Row { .. } => "LEDGER_ROW_INVALID",
            Self::NotAllowed(_) => "NOT_ALLOWED",
            Self::NameTaken(_) => "NAME_TAKEN",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Unexpected(_) => "LEDGER_UNEXPECTED",
        }
    }

    /// Whether the connection can no longer be used.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. })
    }

    /// Whether a statement took longer than it may. The same statement may be faster in a moment, and less of it surely is.
    #[must_use]
    pub fn is_statement_timeout(&self) -> bool {
        matches!(self, Self::Transient { sqlstate, .. } if sqlstate == "57014")
    }

    /// The same error when it struck during a commit, so that nobody knows whether the commit took place.
    pub(crate) fn during_commit(self) -> Self {
        match self {
            Self::Outage { sentence, .. } => Self::Outage { outcome_unknown: true, sentence },
            other => other,
        }
    }

    pub(crate) fn outage(sentence: impl Into<String>) -> Self {
        Self::Outage { outcome_unknown: false, sentence: sentence.into() }
    }
}

/// Sorts a failure that comes from the client and not from the database. `address` says what kind of address is used.
pub(crate) fn client_error(error: &sqlx::Error, address: &str) -> LedgerError {
    match error {
        sqlx::Error::Configuration(_) => {
            LedgerError::Address(format!("it is not a valid {address}"))
        }
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => LedgerError::Unexpected(error.to_string()),
        other => LedgerError::outage(other.to_string()),
    }
}

/// A sum that only rows which somebody has changed by hand can give.
pub(crate) fn too_much() -> LedgerError {
    LedgerError::Unexpected("a sum of money does not fit into 64 bits of micros".to_owned())
}
