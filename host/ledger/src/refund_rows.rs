//! Compensations as they wait, and dead letters as they are published.

use tollgate_domain::book::Campaign;
use tollgate_domain::compensation::CompensationRow;
use tollgate_domain::dead::Header;

/// A compensation that waits to be settled.
#[derive(Clone, Debug)]
pub struct WaitingCompensation {
    pub id: i64,
    /// As it came; the epoch of its source is 0.
    pub row: CompensationRow,
    /// When it was stored, by the database's clock.
    pub received_at_us: i64,
    /// How often it was looked at and went on waiting.
    pub looks: i64,
    /// Its campaign as it is now; `None` when there is none that can be understood.
    pub campaign: Option<Campaign>,
    /// What is wrong with the campaign's row when it cannot be understood.
    pub campaign_fault: Option<String>,
}

/// How many compensations wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompensationDepth {
    pub waiting: i64,
    /// Age of the oldest one; 0 when none waits.
    pub oldest_s: i64,
}

/// Names a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct DeadLetterKey {
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub offset: i64,
}

/// Which dead letters to list; everything that is not given matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    /// Stable code.
    pub code: Option<String>,
    /// Listed at most.
    pub limit: usize,
}

/// A dead letter as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeadLetter {
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub offset: i64,
    pub code: String,
    pub stage: String,
    pub sentence: String,
    /// Timestamp of the record in milliseconds; -1 when it has none.
    pub record_at_ms: i64,
    pub message_key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// Rule generation in force; 0 when no rule was asked.
    pub generation: u64,
    pub created_at_us: i64,
}

impl StoredDeadLetter {
    #[must_use]
    pub fn key(&self) -> DeadLetterKey {
        DeadLetterKey {
            topic: self.topic.clone(),
            incarnation: self.incarnation,
            partition: self.partition,
            offset: self.offset,
        }
    }
}
