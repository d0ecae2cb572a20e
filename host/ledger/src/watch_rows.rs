//! What the watch over the ledger finds, and how many clicks were duplicates.

use tollgate_domain::day::Day;

/// What one lap of the watch has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// False: another watcher was faster, and nothing was written.
    pub counted: bool,
    /// Rows of history that were read.
    pub rows: i64,
    /// Offsets that have their fate and are left for the next lap; 0 when everything was compared.
    pub behind: i64,
}

/// How far the watch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchState {
    /// Offsets that were left at the last lap.
    pub behind: i64,
    /// Age of the last complete view; `None` until there is one.
    pub caught_up_s: Option<i64>,
    /// Time since everything was last audited, or since that began to count.
    pub audited_s: i64,
}

/// A place where the ledger does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `WATCH` or `AUDIT`.
    pub source: String,
    /// Stable name of what does not hold.
    pub claim: String,
    /// What it does not hold for: an advertiser, a campaign and day, a topic and partition, or empty.
    pub subject: String,
    /// Empty when it concerns none or many, as the campaign.
    pub advertiser: String,
    pub campaign: String,
    pub day: Option<Day>,
    /// Micros, or a count, whatever the claim is about.
    pub expected: i64,
    /// `None`: there is no such row.
    pub found: Option<i64>,
    /// A sentence for people.
    pub detail: String,
    pub found_at_us: i64,
}

/// Length of a sliding window, by the timestamps of the clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    FiveMinutes,
    Hour,
    Day,
}

impl Window {
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    #[must_use]
    pub fn minutes(self) -> i64 {
        match self {
            Self::FiveMinutes => 5,
            Self::Hour => 60,
            Self::Day => 1_440,
        }
    }

    /// As labels and commands write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }
}

/// Whose clicks are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateScope {
    Advertiser,
    Campaign,
}

impl RateScope {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advertiser => "advertiser",
            Self::Campaign => "campaign",
        }
    }
}

/// Whose rates to give; what is not given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateFilter {
    pub advertiser: Option<String>,
    pub campaign: Option<String>,
    /// Rates of fewer clicks than this say nothing and are left out.
    pub clicks_min: i64,
    /// At most so many of each scope and window, the highest rates first.
    pub top: usize,
}

/// Clicks that were charged, and how many of those charges refunds gave back as duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClickCount {
    pub clicks: i64,
    pub duplicates: i64,
}

impl ClickCount {
    /// Duplicates of clicks in ppm, rounded down. Duplicates are known at once and clicks when they were watched, so
    /// that for a moment there may seem to be more duplicates than clicks; the rate is then 1.
    #[must_use]
    pub fn rate_ppm(self) -> u32 {
        if self.duplicates <= 0 {
            return 0;
        }
        let ppm = i128::from(self.duplicates) * 1_000_000 / i128::from(self.clicks.max(1));
        u32::try_from(ppm.min(1_000_000)).unwrap_or(1_000_000)
    }
}

/// The duplicate rate of an advertiser or a campaign in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateRate {
    pub scope: RateScope,
    pub window: Window,
    pub advertiser: String,
    /// Empty for an advertiser.
    pub campaign: String,
    pub count: ClickCount,
}

/// Duplicate rates as of one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateRates {
    /// The windows end with the minute of this instant: when the watch had last seen everything, or now when it never
    /// has. In microseconds since 1970.
    pub as_of_us: i64,
    /// Everything that the filter lets through, by window as in `Window::ALL`.
    pub totals: [ClickCount; 3],
    /// By scope and window, the highest rate first.
    pub rates: Vec<DuplicateRate>,
}
