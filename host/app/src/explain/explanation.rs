//! What an explanation says, as one structure from which text and JSON come. Amounts are whole micros.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_ledger::Place;

/// Named values of one row.
pub type Facts = Map<String, Value>;

/// Everything that is known about one record of a topic.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub place: Place,
    pub fate: Fate,
    /// The fate in words.
    pub sentence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<HistoryShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<LetterShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensation: Option<CompensationShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionShown>,
    /// What deciding again gives.
    pub again: Again,
    /// Crossings and messages of the charge's campaign-day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crossings: Vec<CrossingShown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageShown>,
    /// The compensation that has given the charge back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<CompensationShown>,
}

/// What became of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Fate {
    Charged,
    DeadLetter,
    Compensation,
    /// Read and not a click, or an offset without a record.
    Skipped,
    /// Beyond what was read.
    NotRead,
    /// No group has ever been there.
    Unknown,
}

/// Whether the recorded rules give the recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Again {
    /// To the byte.
    Same {
        calls: usize,
    },
    Different {
        sentence: String,
    },
    /// The record is there and cannot be used.
    Damaged {
        sentence: String,
    },
    /// There is nothing to compare with.
    NoRecord {
        sentence: String,
    },
    /// This host cannot run the rules of that time.
    NotPossible {
        sentence: String,
    },
}

impl Again {
    /// Whether somebody has to look at it.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        matches!(self, Self::Different { .. } | Self::Damaged { .. })
    }
}

/// A row of history.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryShown {
    pub place: Place,
    #[serde(rename = "type")]
    pub kind: String,
    pub amount_micros: i64,
    pub balance_after_micros: i64,
    pub advertiser_id: String,
    pub campaign_id: String,
    pub ad_id: Option<String>,
    pub device_id: Option<String>,
    pub occurred_at: String,
    pub charged_at: String,
    pub budget_day: String,
    pub price_source: String,
    pub reason: String,
    pub generation: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct LetterShown {
    pub code: String,
    pub stage: String,
    pub sentence: String,
    pub hint: String,
    pub payload: Option<String>,
    pub generation: u64,
    pub created_at: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct CompensationShown {
    pub id: i64,
    pub place: Place,
    pub state: String,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub claimed_micros: i64,
    pub refund_micros: i64,
    pub advertiser_id: String,
    pub campaign_id: String,
    pub ad_id: String,
    pub device_id: String,
    pub duplicate_count: u32,
    pub timestamps: Vec<String>,
    pub detection_window: String,
    pub received_at: String,
    pub settled_at: Option<String>,
    /// How amount, count, instants and charges contradict each other.
    pub mismatch: Option<String>,
    /// The charges that it has given back.
    pub refunded: Vec<Place>,
}

/// What was decided on, together with what else.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionShown {
    pub decided_at: String,
    pub generation: u64,
    /// Offsets of this partition that the batch has moved.
    pub first_offset: i64,
    pub next_offset: i64,
    /// Clicks of the batch that rules were asked about.
    pub clicks: usize,
    /// Calls about this record, in their order; what failed was asked again in halves.
    pub calls: Vec<CallShown>,
}

#[derive(Clone, Debug, Serialize)]
pub struct CallShown {
    pub world: String,
    /// Whether the candidate of a canary was asked about this record, and gave the answer if there is one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub candidate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleShown>,
    /// Rows of the call, and which of them is this record.
    pub rows: usize,
    pub row: usize,
    pub facts: Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureShown>,
    /// What the host made of it.
    pub host: String,
    pub again: Again,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleShown {
    pub name: String,
    pub version: String,
    pub digest: String,
    pub params: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonShown {
    pub name: String,
    pub help: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureShown {
    pub code: String,
    pub sentence: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct CrossingShown {
    pub kind: String,
    pub level_ppm: i64,
    pub budget_micros: i64,
    pub spent_micros: i64,
    pub usage_ppm: i64,
    pub reason: String,
    pub created_at: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct MessageShown {
    pub key: String,
    pub kind: String,
    pub to: String,
    pub title: String,
    pub state: String,
    pub created_at: String,
    pub settled_at: Option<String>,
}
