//! Happenings, messages about them, and what became of those.

use std::time::Duration;

use tollgate_domain::book::Campaign;
use tollgate_domain::money::Micros;

/// Happenings to word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happenings {
    /// The database's clock.
    pub now_us: i64,
    /// Rule generation in force; 0 before the first activation.
    pub generation: u64,
    pub rows: Vec<HappeningRow>,
}

/// Something that happened and that nobody has worded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HappeningRow {
    pub id: i64,
    pub key: String,
    pub kind: String,
    /// `HappeningFacts` as JSON.
    pub payload: String,
    pub created_at_us: i64,
    /// Happenings of this kind, campaign and day that led to a message to people, whatever became of it. Of the last 24
    /// hours, when the happening has no day.
    pub sent_today: u32,
    /// When the last of them did.
    pub last_sent_us: Option<i64>,
    /// The campaign as it is now; `None` when there is none.
    pub campaign: Option<CampaignCard>,
}

/// What messages and campaign events say of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignCard {
    pub id: String,
    pub advertiser: String,
    /// IANA name, as the row has it.
    pub time_zone: String,
    pub daily_budget: Option<Micros>,
    /// Price of a click.
    pub cpc: Micros,
    pub bid: Option<Micros>,
    pub product_id: Option<String>,
    pub placement: Option<String>,
    pub category: Option<String>,
    pub approval_status: Option<String>,
    pub rtb_impact: Option<String>,
    /// JSON.
    pub targeting: Option<String>,
    pub effective_from_us: Option<i64>,
}

/// The messages about a happening; none when it is passed over in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worded {
    /// `HappeningRow::id`.
    pub happening: i64,
    pub deliveries: Vec<NewDelivery>,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Stable: `{happening's key}#{n}`.
    pub key: String,
    /// `slack`, `email` or `topic`.
    pub channel: String,
    pub route: String,
    pub severity: String,
    pub title: String,
    pub body: String,
    /// How long to hold it back.
    pub delay: Duration,
    /// `Off` or `Dead` when it is never sent.
    pub outcome: Option<Outcome>,
    pub error: Option<String>,
    /// Rule generation that worded it.
    pub generation: u64,
}

/// What became of a message; one that has none yet waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Sent,
    /// Given up.
    Dead,
    /// Dropped by an operator.
    Dropped,
    /// Its channel is not configured.
    Off,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Sent, Self::Dead, Self::Dropped, Self::Off];

    /// As the table has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Dead => "DEAD",
            Self::Dropped => "DROPPED",
            Self::Off => "OFF",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: i64,
    pub key: String,
    /// Key of the happening.
    pub happening: String,
    /// Kind of the happening.
    pub kind: String,
    pub channel: String,
    pub route: String,
    pub severity: String,
    pub title: String,
    pub body: String,
    /// Empty when the happening concerns none or many.
    pub campaign: String,
    pub advertiser: String,
    /// `YYYY-MM-DD`, or empty.
    pub day: String,
    pub generation: u64,
    pub occurred_at_us: i64,
    pub created_at_us: i64,
    pub next_attempt_at_us: i64,
    pub attempts: u32,
    /// `None` while it waits.
    pub outcome: Option<Outcome>,
    pub settled_at_us: Option<i64>,
    pub last_error: Option<String>,
}

impl Delivery {
    /// Whether it is not meant to be sent as soon as it was worded: it was held back, or an operator sends it again.
    #[must_use]
    pub fn is_delayed(&self) -> bool {
        self.next_attempt_at_us > self.created_at_us
    }
}

/// A route that is open, and what waits there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRoute {
    pub channel: String,
    pub route: String,
    /// Failures since the last success.
    pub failures: u32,
    /// Oldest first.
    pub deliveries: Vec<Delivery>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    Sent,
    /// Try again: the route stays closed for `wait` and its failures grow; what has had `attempts_max` attempts is
    /// given up.
    Failed {
        error: String,
        wait: Duration,
        attempts_max: u32,
    },
    /// The receiver asked for patience: the route stays closed for `wait`, and the attempt does not count.
    Busy {
        error: String,
        wait: Duration,
    },
    /// These messages can never be sent; they are given up.
    Refused {
        error: String,
    },
}

/// How much is on its way to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// Happenings that nobody has worded yet.
    pub unworded: i64,
    /// Messages that wait to be sent.
    pub waiting: i64,
    /// Messages that were given up.
    pub dead: i64,
    /// Age of the oldest message that is due and not sent; 0 when there is none.
    pub oldest_due_s: i64,
}

impl Delivery {
    /// Whether its sending was put off, by its rule or by an operator.
    #[must_use]
    pub fn was_put_off(&self) -> bool {
        self.next_attempt_at_us > self.created_at_us
    }
}

/// Which messages to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub state: State,
    pub channel: Option<String>,
    pub campaign: Option<String>,
    /// Listed at most.
    pub limit: usize,
}

/// In which state a listed message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Any,
    Waiting,
    Settled(Outcome),
}

/// Messages that an operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Keys(Vec<String>),
    AllDead,
}

/// Campaigns that may be due for a fresh look.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// The database's clock before the campaigns were read.
    pub now_us: i64,
    /// By their ids.
    pub campaigns: Vec<Campaign>,
    /// One sentence for each campaign whose row cannot be understood; the others are not held up by it.
    pub unusable: Vec<String>,
}
