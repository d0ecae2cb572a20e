//! What the ledger knows about one record of a topic, and what it followed from and led to.

use tollgate_domain::compensation::CompensationRow;
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use crate::refund_rows::StoredDeadLetter;
use crate::rows::Place;

/// How far a group has come in one incarnation of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub group: String,
    pub incarnation: i32,
    pub first_offset: i64,
    pub next_offset: i64,
    pub skipped: i64,
    pub absent: i64,
}

impl Reached {
    /// Whether the group has given this offset its fate.
    #[must_use]
    pub fn covers(&self, offset: i64) -> bool {
        (self.first_offset..self.next_offset).contains(&offset)
    }
}

/// Everything that stands in the ledger under one place.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    pub history: Option<HistoryEntry>,
    pub letter: Option<StoredDeadLetter>,
    pub compensation: Option<CompensationEntry>,
    /// Id of the compensation that has given the charge back.
    pub refunded_by: Option<i64>,
    pub record: Option<DecisionRecord>,
}

/// A row of `ad_balance_histories`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub place: Place,
    /// `DEDUCT` or `REFUND`.
    pub kind: String,
    /// Signed: a charge is negative or zero.
    pub amount: Micros,
    pub balance_after: Micros,
    pub generation: u64,
    pub occurred_at_us: i64,
    pub created_at_us: i64,
    pub day: Day,
    pub advertiser: String,
    pub campaign: String,
    pub ad: Option<String>,
    pub device: Option<String>,
    pub price_source: String,
    pub reason: String,
}

/// A row of `compensations`, in whatever state, and its log.
#[derive(Clone, Debug)]
pub struct CompensationEntry {
    pub id: i64,
    /// As it came; the epoch of its source is 0.
    pub row: CompensationRow,
    pub state: String,
    pub settled_reason: Option<String>,
    pub detail: Option<String>,
    pub refund: Micros,
    pub generation: u64,
    pub received_at_us: i64,
    pub settled_at_us: Option<i64>,
    /// How amount, count, instants and charges contradict each other.
    pub mismatch: Option<String>,
    /// The charges that were given back.
    pub refunded: Vec<Place>,
}

/// What was decided on, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Where the bytes stand: the same for all places of one batch.
    pub lead: Place,
    pub first_offset: i64,
    pub next_offset: i64,
    pub generation: u64,
    pub decided_at_us: i64,
    /// As the host has encoded it.
    pub body: Vec<u8>,
}

/// A row of `budget_crossings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossingEntry {
    pub kind: String,
    pub level_ppm: i64,
    /// -1 when the campaign had no budget.
    pub budget: Micros,
    pub usage_ppm: i64,
    pub spent: Micros,
    pub reason: String,
    pub created_at_us: i64,
}
