//! The book: what this process remembers of the ledger. A batch is decided on it, and the ledger verifies at the
//! commit that every remembered value still held; a batch decided on anything else is not written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::day::{Day, Zone};
use crate::money::Micros;
use crate::plan::Plan;

/// State of a campaign as the customer's table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Active,
    Paused,
    Deleted,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Deleted => "DELETED",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Paused, Self::Deleted]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// `paused_reason` of a campaign that the budget paused; only such a campaign is resumed automatically.
pub const BUDGET_EXHAUSTED: &str = "BUDGET_EXHAUSTED";

/// A row of `campaigns`.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: Arc<str>,
    pub advertiser: Arc<str>,
    pub status: Status,
    pub paused_reason: Option<String>,
    /// `None`: the campaign has no daily budget and is never warned about or paused.
    pub daily_budget: Option<Micros>,
    /// Price of a click.
    pub cpc: Micros,
    pub zone: Zone,
    /// Grows with every change of the row.
    pub version: i64,
}

/// A row of the day's spend. `Default` is a day on which nothing has happened, whose version is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayState {
    /// Charges less refunds of the day.
    pub spent: Micros,
    /// Highest level that was warned about, in ppm; 0 when none.
    pub warned_ppm: u32,
    /// Level at which the campaign was paused on this day, in ppm; 0 when it was not.
    pub paused_ppm: u32,
    /// The budget for which `warned_ppm` and `paused_ppm` hold; with another budget both count as 0.
    pub crossing_budget: Option<Micros>,
    /// What was charged after the pause.
    pub overspent: Micros,
    /// Grows with every change of the row.
    pub version: i64,
}

impl DayState {
    /// Warned and paused levels that hold for `budget`.
    #[must_use]
    pub fn levels(&self, budget: Option<Micros>) -> (u32, u32) {
        if self.crossing_budget == budget { (self.warned_ppm, self.paused_ppm) } else { (0, 0) }
    }
}

/// Names a row of the day's spend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayKey {
    pub campaign: Arc<str>,
    pub day: Day,
}

/// What is remembered. Rows that are not here have to be read before a batch that needs them can be decided.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub campaigns: HashMap<Arc<str>, Campaign>,
    pub balances: HashMap<Arc<str>, Micros>,
    pub days: HashMap<DayKey, DayState>,
    /// Campaigns that the ledger was asked for and does not have. Holds for one batch only, because a campaign may
    /// be loaded at any moment.
    pub unknown: HashSet<Arc<str>>,
    /// Days of which it was told that the fence refused a pause; the ledger tells it once in any case.
    pub refusals: HashSet<DayKey>,
}

impl Book {
    /// Rows remembered at most; beyond that everything is forgotten and read again.
    const ROWS_MAX: usize = 1_000_000;

    /// Takes over what a plan has written.
    pub fn absorb(&mut self, plan: &Plan<'_>) {
        for balance in &plan.balances {
            self.balances.insert(Arc::clone(&balance.advertiser), balance.new);
        }
        for day in &plan.days {
            self.days.insert(day.key.clone(), day.new);
        }
        self.refusals.extend(plan.refusals.iter().cloned());
        for change in &plan.statuses {
            if let Some(campaign) = self.campaigns.get_mut(&change.campaign) {
                campaign.status = change.status;
                campaign.paused_reason = change.paused_reason.map(str::to_owned);
                campaign.version = change.new_version;
            }
        }
    }

    /// Forgets everything when too much is remembered, so that memory stays bounded.
    pub fn trim(&mut self) {
        let maps = self.campaigns.len() + self.balances.len() + self.days.len();
        if maps + self.refusals.len() > Self::ROWS_MAX {
            *self = Self::default();
        }
    }
}
