//! What goes into and comes out of the ledger besides the domain's own types.

use std::sync::Arc;

use tollgate_domain::book::{DayKey, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Advance;
use tollgate_domain::refund::MatchedCharge;
use tollgate_domain::slice::Source;

use crate::dialect::{Arg, Cells};

/// Names a record of a topic.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Place {
    pub topic: String,
    /// How often the topic was accepted as re-created.
    pub incarnation: i32,
    pub partition: i32,
    pub offset: i64,
}

impl From<&MatchedCharge> for Place {
    fn from(charge: &MatchedCharge) -> Self {
        Self {
            topic: charge.topic.clone(),
            incarnation: charge.incarnation,
            partition: charge.partition,
            offset: charge.offset,
        }
    }
}

impl Place {
    /// As the places `$1` to `$4` of a statement.
    pub(crate) fn args(&self) -> [Arg<'_>; 4] {
        let (incarnation, partition) = (i64::from(self.incarnation), i64::from(self.partition));
        [(&self.topic).into(), incarnation.into(), partition.into(), self.offset.into()]
    }

    /// From the first four columns of a row.
    pub(crate) fn of(row: &impl Cells) -> Self {
        Self {
            topic: row.cell(0),
            incarnation: row.cell(1),
            partition: row.cell(2),
            offset: row.cell(3),
        }
    }
}

/// Rows to read, each list sorted and without repeats.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    pub advertisers: &'a [Arc<str>],
    pub days: &'a [DayKey],
}

/// Rows to lock before a batch is decided, each list sorted and without repeats.
#[derive(Clone, Copy, Debug)]
pub struct LockKeys<'a> {
    /// Rule generation with which the batch will be decided.
    pub generation: u64,
    /// Partitions of the batch; only source and expected offset count.
    pub advances: &'a [Advance],
    pub advertisers: &'a [Arc<str>],
    pub days: &'a [DayKey],
}

/// Rows as the ledger has them. Every key that was asked for is here; what the ledger does not have yet is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub balances: Vec<(Arc<str>, Micros)>,
    pub days: Vec<(DayKey, DayState)>,
}

/// A row of `consumer_progress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    /// Empty when the broker gives topics no id.
    pub topic_id: String,
    pub incarnation: i32,
    pub first_offset: i64,
    pub next_offset: i64,
    pub epoch: i64,
    pub generation: u64,
    pub charged: i64,
    pub skipped: i64,
    pub dead: i64,
    pub absent: i64,
    pub owner: String,
    pub halted_reason: Option<String>,
}

/// What came of acquiring a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    pub partition: i32,
    pub result: Acquisition,
}

/// Whether a partition may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// Read from `next_offset`; every earlier holder is fenced off.
    Held { source: Arc<Source>, next_offset: i64, generation: u64 },
    /// The topic has another id than the one that was read so far.
    TopicRecreated { known_id: String },
    /// The partition was halted; `repoint` lets it go on.
    Halted { reason: String },
}

/// How a halted partition goes on.
#[derive(Clone, Copy, Debug)]
pub struct Repoint<'a> {
    pub topic: &'a str,
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// The id of a topic that was created again, empty when the broker gives none; its records are counted as a new
    /// incarnation. `None`: still the same topic, and the offset may only move forward.
    pub topic_id: Option<&'a str>,
    /// Why, in the operator's words.
    pub note: &'a str,
}

/// A row of `campaigns` as a site loads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCampaign {
    pub id: String,
    pub advertiser: String,
    pub status: tollgate_domain::book::Status,
    pub daily_budget: Option<Micros>,
    pub cpc: Micros,
    /// IANA name.
    pub time_zone: String,
    pub ad: AdDetails,
}

/// What campaign events tell of a campaign besides its status and budget; charging does not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdDetails {
    pub product_id: Option<String>,
    pub placement: Option<String>,
    pub category: Option<String>,
    pub approval_status: Option<String>,
    /// JSON.
    pub targeting: Option<String>,
    pub effective_from_us: Option<i64>,
    pub rtb_impact: Option<String>,
    pub bid: Option<Micros>,
}

/// A small picture of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    pub generation: u64,
    pub active: i64,
    pub paused: i64,
    pub campaigns: i64,
    pub advertisers: i64,
    pub negative_balances: i64,
    /// Campaigns that have used at least 80 % of today's budget, the fullest first, 100 at most.
    pub near_budget: Vec<NearBudget>,
    /// Happenings that nobody has worded yet.
    pub outbox_waiting: i64,
    /// Messages that wait to be sent.
    pub deliveries_waiting: i64,
    /// Messages that were given up.
    pub deliveries_dead: i64,
    /// Age of the oldest message that is due and not sent; 0 when there is none.
    pub oldest_waiting_s: i64,
    /// What was charged after pauses, on all days.
    pub overspent: Micros,
    /// Neither replayed nor dropped.
    pub dead_letters: i64,
    pub dead_letters_unpublished: i64,
    pub progress: Vec<ProgressRow>,
}

/// A campaign close to or beyond its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearBudget {
    pub campaign: String,
    pub day: Day,
    pub status: String,
    pub spent: Micros,
    pub budget: Micros,
    pub usage_ppm: u32,
    pub overspent: Micros,
}

/// Whether the ledger adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    pub checks: Vec<Check>,
    /// Names of claims that cannot be asked of the part that was audited.
    pub left_out: Vec<&'static str>,
}

impl AuditReport {
    /// True when no check failed.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name, lower_snake_case.
    pub name: &'static str,
    /// What must hold, in a sentence.
    pub claim: &'static str,
    pub ok: bool,
    /// Number of things that were looked at.
    pub expected: i64,
    /// Number of them that are as they must be.
    pub found: i64,
    /// The first few that are not, or a remark.
    pub detail: String,
}
