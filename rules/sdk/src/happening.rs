//! Happenings to messages: what a notification rule is given and answers. Rare, so plain records.

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub kind: Kind,
    /// Ids as in the events; empty when the happening concerns none or many.
    pub campaign: String,
    pub advertiser: String,
    /// Level that was crossed and usage that decided; 0 when the kind has none.
    pub level_ppm: u32,
    pub usage_ppm: u32,
    /// Spend and budget of the day; `None` when the kind has none.
    pub spent_micros: Option<i64>,
    pub budget_micros: Option<i64>,
    /// Dead letters, duplicates, faults; 1 for a crossing.
    pub count: u64,
    /// A sentence of the host's: what failed, and what to do.
    pub detail: String,
    /// Name of the threshold rule's reason for a crossing; empty when no rule decided.
    pub reason: String,
    /// Whether the budget day is the campaign's today.
    pub today: bool,
    /// Budget day as YYYY-MM-DD.
    pub day: String,
    /// Local minute of the day and ISO weekday at which it happened.
    pub local_minute: u16,
    pub weekday: u8,
    /// Messages of this kind already sent for this campaign on this day.
    pub sent_today: u32,
    /// Minutes since the last of them.
    pub minutes_since_last: Option<u32>,
}

impl Happening {
    /// A happening of today at noon without figures, for tests to change.
    #[must_use]
    pub fn example(kind: Kind, campaign: &str, advertiser: &str) -> Self {
        Self {
            kind,
            campaign: campaign.to_owned(),
            advertiser: advertiser.to_owned(),
            level_ppm: 0,
            usage_ppm: 0,
            spent_micros: None,
            budget_micros: None,
            count: 1,
            detail: String::new(),
            reason: String::new(),
            today: true,
            day: "2026-11-21".to_owned(),
            local_minute: 720,
            weekday: 6,
            sent_today: 0,
            minutes_since_last: None,
        }
    }

    /// Whether it is the crossing of a day that is over, which late clicks can do. Nothing is paused by it.
    #[must_use]
    pub fn is_late(&self) -> bool {
        let crossing = matches!(self.kind, Kind::Warning | Kind::Paused | Kind::Resumed);
        crossing && !self.today
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A campaign has reached a level below its budget.
    Warning,
    /// The budget of a campaign is used up.
    Paused,
    /// A campaign runs again.
    Resumed,
    /// Events could not be charged.
    DeadLetters,
    /// A compensation was refused or has expired.
    RefundFailed,
    /// Many of the charged clicks were duplicates.
    DuplicateRate,
    /// Rules have failed, and others have taken their place.
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

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Slack,
    Email,
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// One message about one happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub channel: Channel,
    /// Name of a route in the host's configuration; never an address.
    pub route: String,
    pub severity: Severity,
    pub title: String,
    pub body: String,
    /// Minutes to hold it back; 0 for at once.
    pub delay_minutes: u32,
}
