//! Happenings and messages: what a notification rule is told, and what it answers. Rare, so plain records.

use serde::{Deserialize, Serialize};

use crate::book::DayKey;
use crate::plan::{Crossing, CrossingKind};

/// What can happen that somebody may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HappeningKind {
    Warning,
    Paused,
    Resumed,
    DeadLetters,
    RefundFailed,
    DuplicateRate,
    RuleFault,
    /// The fence refused a pause, because the ledger's own spend was below its floor.
    PauseRefused,
    /// A message was given up.
    DeliveryFailed,
    /// The ledger does not add up for an advertiser.
    AuditMismatch,
    /// A partition stopped, because too many of its events became dead letters.
    PartitionHalted,
}

impl HappeningKind {
    pub const ALL: [Self; 11] = [
        Self::Warning,
        Self::Paused,
        Self::Resumed,
        Self::DeadLetters,
        Self::RefundFailed,
        Self::DuplicateRate,
        Self::RuleFault,
        Self::PauseRefused,
        Self::DeliveryFailed,
        Self::AuditMismatch,
        Self::PartitionHalted,
    ];

    /// As the outbox has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "BUDGET_WARNING",
            Self::Paused => "CAMPAIGN_PAUSED",
            Self::Resumed => "CAMPAIGN_RESUMED",
            Self::DeadLetters => "DEAD_LETTERS",
            Self::RefundFailed => "REFUND_FAILED",
            Self::DuplicateRate => "DUPLICATE_RATE",
            Self::RuleFault => "RULE_FAULT",
            Self::PauseRefused => "PAUSE_REFUSED",
            Self::DeliveryFailed => "DELIVERY_FAILED",
            Self::AuditMismatch => "AUDIT_MISMATCH",
            Self::PartitionHalted => "PARTITION_HALTED",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl From<CrossingKind> for HappeningKind {
    fn from(kind: CrossingKind) -> Self {
        match kind {
            CrossingKind::Warn => Self::Warning,
            CrossingKind::Pause => Self::Paused,
            CrossingKind::Resume => Self::Resumed,
        }
    }
}

/// The facts of a happening, as the outbox keeps them in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HappeningFacts {
    /// Empty when the happening concerns none or many.
    pub campaign_id: String,
    pub advertiser_id: String,
    /// Budget day as `YYYY-MM-DD`; empty when there is none.
    pub day: String,
    /// False when that day was over already, which late clicks can do.
    pub today: bool,
    /// Level that was crossed and usage that decided; 0 when the kind has none.
    pub level_ppm: u32,
    pub usage_ppm: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_budget_micros: Option<i64>,
    /// Name of the rule's reason; empty when no rule decided.
    pub reason: String,
    /// Dead letters, duplicates, faults; 1 for a crossing.
    pub count: u64,
    /// What failed, and what to do.
    pub detail: String,
    pub occurred_at_us: i64,
    /// Rule generation that decided; 0 when none did.
    pub generation: u64,
}

impl HappeningFacts {
    /// The facts of a crossing.
    #[must_use]
    pub fn of(crossing: &Crossing, today: bool, occurred_at_us: i64, generation: u64) -> Self {
        let DayKey { campaign, day } = &crossing.key;
        Self {
            campaign_id: campaign.to_string(),
            advertiser_id: crossing.advertiser.to_string(),
            day: day.to_string(),
            today,
            level_ppm: crossing.level_ppm,
            usage_ppm: crossing.usage_ppm,
            spent_micros: Some(crossing.spent.0),
            daily_budget_micros: crossing.budget.map(|budget| budget.0),
            reason: crossing.reason.clone(),
            count: 1,
            detail: String::new(),
            occurred_at_us,
            generation,
        }
    }

    /// As the outbox keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// What a notification rule is told about one happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub kind: HappeningKind,
    pub facts: HappeningFacts,
    /// Local time at which it happened: minute of the day and ISO weekday.
    pub local_minute: u16,
    pub weekday: u8,
    /// Messages of this kind already sent for this campaign on this day, and minutes since the last.
    pub sent_today: u32,
    pub minutes_since_last: Option<u32>,
}

/// A way to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Slack,
    Email,
}

impl Channel {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A message as a rule words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Index of the happening it tells about.
    pub happening: u32,
    pub channel: Channel,
    /// Name of a route in the configuration; never an address.
    pub route: String,
    pub severity: Severity,
    pub title: String,
    pub body: String,
    /// Minutes to hold it back; 0 for at once.
    pub delay_minutes: u32,
}
