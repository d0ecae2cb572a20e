//! The plan of a batch: everything that one transaction writes, with the values it was decided on. The ledger
//! applies a plan whole or not at all.

use std::sync::Arc;

use crate::book::{DayKey, DayState, Status};
use crate::compensation::CompensationRow;
use crate::day::Day;
use crate::dead::DeadLetter;
use crate::money::Micros;
use crate::notice::{HappeningFacts, HappeningKind};
use crate::rule::PriceSource;
use crate::slice::Source;

/// What a batch does to the ledger. Lists are sorted by their keys, which is also the order of the locks:
/// advances, balances, days, statuses, then the rest.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Rule generation that decided; every progress row must carry it.
    pub generation: u64,
    pub advances: Vec<Advance>,
    pub balances: Vec<BalanceMove>,
    pub days: Vec<DayMove>,
    pub statuses: Vec<StatusChange>,
    pub crossings: Vec<Crossing>,
    pub outbox: Vec<OutboxMessage>,
    /// In the order of charging.
    pub history: Vec<HistoryRow<'a>>,
    /// Reasons that history rows refer to.
    pub reasons: Vec<ReasonName>,
    pub dead: Vec<DeadLetter>,
    /// Compensations to be kept until they are settled, sorted by topic, partition and offset.
    pub compensations: Vec<CompensationRow>,
    /// Pauses that the fence refused because the ledger's own spend was below the floor.
    pub pauses_refused: u64,
    /// Days for which such a refusal is told; it is told once a day.
    pub refusals: Vec<DayKey>,
    /// What the batch charged after a pause.
    pub overspent: Micros,
    /// What rules were given and answered, encoded; the ledger keeps the bytes and knows nothing about them.
    pub record: Option<Vec<u8>>,
}

/// Moves a partition's next offset, if it still is where the batch began and this process still holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    pub source: Arc<Source>,
    pub expected_offset: i64,
    pub next_offset: i64,
    /// Fates of the offsets in between; they add up to `next_offset - expected_offset`.
    /// Charged clicks, or compensations taken in.
    pub charged: i64,
    pub skipped: i64,
    pub dead: i64,
    pub absent: i64,
}

/// Moves the balance of an advertiser, if it still is what the batch was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceMove {
    pub advertiser: Arc<str>,
    pub expected: Micros,
    pub new: Micros,
}

/// Moves the spend of a campaign-day, if it still has the version that the batch was decided on, and so has the
/// campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayMove {
    pub key: DayKey,
    pub campaign_version: i64,
    pub expected_version: i64,
    /// `new.version` is `expected_version + 1`.
    pub new: DayState,
}

/// Changes the status of a campaign, if it still has the version that the batch was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    pub campaign: Arc<str>,
    pub expected_version: i64,
    pub new_version: i64,
    pub status: Status,
    pub paused_reason: Option<&'static str>,
    /// The budget day for which the campaign was paused.
    pub paused_day: Option<Day>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrossingKind {
    Warn,
    Pause,
    Resume,
}

impl CrossingKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "WARN",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
        }
    }
}

/// A crossed level, which happens once per campaign, day, kind, level and budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    pub key: DayKey,
    pub advertiser: Arc<str>,
    pub kind: CrossingKind,
    pub level_ppm: u32,
    /// Usage that the rule decided on.
    pub usage_ppm: u32,
    pub spent: Micros,
    /// `None` when a campaign is resumed because it has no budget any more.
    pub budget: Option<Micros>,
    /// Name of the rule's reason.
    pub reason: String,
    /// Version of the campaign that a pause or resume makes, so that a pause after a resume is a crossing of its
    /// own; 0 for a warning.
    pub round: i64,
}

/// Something to tell the outside after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Stable key: told once, and delivered under keys that begin with it.
    pub key: String,
    pub kind: HappeningKind,
    /// `HappeningFacts` as JSON.
    pub payload: String,
}

impl OutboxMessage {
    /// The message about a crossing. `today` is false when the day was over already, which late clicks can do.
    #[must_use]
    pub fn of(crossing: &Crossing, today: bool, occurred_at_us: i64, generation: u64) -> Self {
        let DayKey { campaign, day } = &crossing.key;
        let name = match crossing.kind {
            CrossingKind::Warn => "warning",
            CrossingKind::Pause => "pause",
            CrossingKind::Resume => "resume",
        };
        let level = crossing.level_ppm;
        let budget =
            crossing.budget.map_or_else(|| "none".to_owned(), |budget| budget.0.to_string());
        let round = crossing.round;
        Self {
            key: format!("{name}:{campaign}:{day}:{level}:{budget}:{round}"),
            kind: crossing.kind.into(),
            payload: HappeningFacts::of(crossing, today, occurred_at_us, generation).to_json(),
        }
    }

    /// The message about a pause that the fence refused; one a campaign and day.
    #[must_use]
    pub fn pause_refused(crossing: &Crossing, occurred_at_us: i64, generation: u64) -> Self {
        let DayKey { campaign, day } = &crossing.key;
        let detail = "The ledger's own spend is below fence.pause_floor, so the campaign goes on. Look at what \
                      writes the counter in Redis, or at the threshold rule.";
        let facts = HappeningFacts {
            detail: detail.to_owned(),
            ..HappeningFacts::of(crossing, true, occurred_at_us, generation)
        };
        Self {
            key: format!("pause-refused:{campaign}:{day}"),
            kind: HappeningKind::PauseRefused,
            payload: facts.to_json(),
        }
    }
}

/// Reason and origin of a price, as written to history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonName {
    pub source: PriceSource,
    pub name: String,
}

/// A row of `ad_balance_histories` of type DEDUCT.
#[derive(Clone, Copy, Debug)]
pub struct HistoryRow<'a> {
    pub source: &'a Source,
    pub offset: i64,
    pub advertiser: &'a str,
    pub campaign: &'a str,
    /// Empty when the event has none.
    pub ad: &'a str,
    pub device: &'a str,
    pub occurred_at_us: i64,
    pub day: Day,
    /// Signed: a charge is negative or zero.
    pub amount: Micros,
    pub balance_after: Micros,
    /// Index into `Plan::reasons`.
    pub reason: u16,
}

impl Advance {
    /// An advance that has not moved yet.
    #[must_use]
    pub fn nowhere(source: &Arc<Source>, offset: i64) -> Self {
        Self {
            source: Arc::clone(source),
            expected_offset: offset,
            next_offset: offset,
            charged: 0,
            skipped: 0,
            dead: 0,
            absent: 0,
        }
    }
}

impl Plan<'_> {
    /// A plan that writes nothing yet.
    #[must_use]
    pub fn nothing(generation: u64) -> Self {
        Self {
            generation,
            advances: Vec::new(),
            balances: Vec::new(),
            days: Vec::new(),
            statuses: Vec::new(),
            crossings: Vec::new(),
            outbox: Vec::new(),
            history: Vec::new(),
            reasons: Vec::new(),
            dead: Vec::new(),
            compensations: Vec::new(),
            pauses_refused: 0,
            refusals: Vec::new(),
            overspent: Micros::ZERO,
            record: None,
        }
    }

    #[must_use]
    pub fn reason_of(&self, row: &HistoryRow<'_>) -> &ReasonName {
        &self.reasons[usize::from(row.reason)]
    }

    /// Sum of the charges, as a positive amount.
    #[must_use]
    pub fn charged_micros(&self) -> i128 {
        self.history.iter().map(|row| -i128::from(row.amount.0)).sum()
    }
}
