//! Where reading starts: the questions that lanes ask the ledger.

use std::sync::Arc;

use tollgate_domain::slice::Source;

/// The ledger's side of reading. Called from the threads of the lanes; a call may block.
pub trait Positions: Send + Sync {
    /// Called once per start, before any lane joins the group, with every partition of the topic and the offset
    /// at which the setting `first_sight` would start it.
    ///
    /// When no partition of the topic is known, all of them are to be written down with these offsets; when any
    /// is known, nothing is to be written, because partitions that were added later start at their beginning.
    ///
    /// # Errors
    /// The ledger did not answer. The call is repeated until it succeeds.
    fn first_sight(
        &self,
        topic: &str,
        topic_id: &str,
        offsets: &[(i32, i64)],
    ) -> Result<(), PositionsError>;

    /// Takes partitions for the lane that calls: a new epoch, so that whoever held them before writes nothing any
    /// more. Each comes with the offset at which a partition starts that is not known yet. `topic_id` is empty
    /// when the broker gives none; a different id than the one written down means that the topic was re-created,
    /// and the partition is to be answered as halted.
    ///
    /// # Errors
    /// The ledger did not answer. The call is repeated until it succeeds or the partitions are taken away.
    fn acquire(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[(i32, i64)],
    ) -> Result<Vec<Acquired>, PositionsError>;

    /// Tells that a partition was halted by its lane. The reason is to be written down, and `acquire` is to answer
    /// with it until an operator lets the partition go on. Otherwise a log that was cut off would be read on,
    /// with a hole, as soon as it has grown past the wanted offset.
    ///
    /// # Errors
    /// The ledger did not answer. The partition stays halted, and it is told again.
    fn halted(&self, topic: &str, partition: i32, reason: &str) -> Result<(), PositionsError>;
}

/// Answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    pub partition: i32,
    pub outcome: Acquisition,
}

/// Whether a partition may be read, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The partition belongs to the lane.
    Held { source: Arc<Source>, next_offset: i64 },
    /// The ledger does not want it to be read.
    Halted { reason: String },
}

/// The ledger did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger did not answer: {cause}")]
pub struct PositionsError {
    pub cause: String,
}

impl PositionsError {
    pub fn new(cause: impl ToString) -> Self {
        Self { cause: cause.to_string() }
    }

    /// The stable name of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "LEDGER_UNAVAILABLE"
    }
}
