//! Compensations as they wait, and dead letters as they are published.

use tollgate_domain::book::Campaign;
use tollgate_domain::compensation::CompensationRow;
use tollgate_domain::dead::Header;

use crate::rows::Place;

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

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterState {
    #[default]
    Any,
    /// Neither replayed nor dropped.
    Open,
    /// Charged, taken in or skipped after all.
    Replayed,
    /// Given up by a person.
    Dropped,
}

impl LetterState {
    /// As the ledger's statements have it; empty for any.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Open => "OPEN",
            Self::Replayed => "REPLAYED",
            Self::Dropped => "DROPPED",
        }
    }
}

/// Which dead letters are meant; everything that is not given matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    /// Stable code.
    pub code: Option<String>,
    /// Id of the campaign that the event names.
    pub campaign: Option<String>,
    /// When it became a dead letter: not before, and before.
    pub since_us: Option<i64>,
    pub until_us: Option<i64>,
    pub state: LetterState,
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
    /// The campaign that the event names; `None` when it could not be read.
    pub campaign: Option<String>,
    /// How often it was tried and failed.
    pub attempts: i64,
    pub replayed_at_us: Option<i64>,
    pub dropped_at_us: Option<i64>,
    /// It is a compensation that could be read and was refused; the ledger keeps it.
    pub is_refusal: bool,
}

impl StoredDeadLetter {
    #[must_use]
    pub fn state(&self) -> LetterState {
        match (self.replayed_at_us, self.dropped_at_us) {
            (Some(_), _) => LetterState::Replayed,
            (None, Some(_)) => LetterState::Dropped,
            (None, None) => LetterState::Open,
        }
    }

    #[must_use]
    pub fn key(&self) -> Place {
        Place {
            topic: self.topic.clone(),
            incarnation: self.incarnation,
            partition: self.partition,
            offset: self.offset,
        }
    }
}
