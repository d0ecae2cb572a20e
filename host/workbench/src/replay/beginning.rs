//! What campaigns are like where a replay begins: from whoever knows, or from a file.

mod file;

use std::sync::Arc;

use tollgate_domain::book::{Campaign, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::decide::Hint;
use tollgate_domain::money::Micros;

use super::ReplayError;

pub use file::CampaignFile;

/// Knows campaigns.
pub trait Beginning: Send {
    /// Those of these campaigns that exist, as they are where the replay begins. Each is asked for once, when its first
    /// click comes; `now_us` is the replay's present then.
    ///
    /// # Errors
    /// They cannot be read.
    fn campaigns(&mut self, ids: &[Arc<str>], now_us: i64) -> Result<Vec<Known>, ReplayError>;
}

/// A campaign where the replay begins.
#[derive(Clone, Debug)]
pub struct Known {
    pub campaign: Campaign,
    /// Of its advertiser. The balance that was given first counts, when campaigns of one advertiser name different ones.
    pub balance: Micros,
    /// Days that something has happened on already.
    pub days: Vec<(Day, DayState)>,
    /// What the caches hold all the time.
    pub hint: Hint,
}
