//! Tables of campaigns.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A row of `campaigns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    pub id: String,
    pub advertiser: String,
    /// `None`: without a budget.
    pub daily_budget_micros: Option<i64>,
    pub cpc_micros: i64,
    /// IANA name.
    pub time_zone: String,
    pub status: &'static str,
}

/// Time zones in use; most campaigns are Korean.
const ZONES: [&str; 6] =
    ["Asia/Seoul", "Asia/Seoul", "Asia/Seoul", "America/New_York", "UTC", "Asia/Kathmandu"];

/// Makes `count` campaigns of `advertisers` advertisers. Budgets are wide enough that none is reached by chance.
#[must_use]
pub fn campaigns(seed: u64, count: usize, advertisers: usize) -> Vec<Campaign> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let made = (0..count).map(|at| {
        // Whole prices as in the specification, and some that use every decimal.
        let whole = rng.random_range(100..=3_000) * 1_000_000;
        let odd = if at % 7 == 3 { rng.random_range(1..1_000_000) } else { 0 };
        Campaign {
            id: format!("campaign_{}", 100 + at),
            advertiser: format!("advertiser_{}", 50 + at % advertisers),
            daily_budget_micros: (at % 10 != 9).then_some(1_000_000_000_000_000),
            cpc_micros: whole + odd,
            time_zone: ZONES[at % ZONES.len()].to_owned(),
            status: "ACTIVE",
        }
    });
    made.collect()
}

/// Gives a campaign the budget of `clicks` clicks at its price.
pub fn limit(campaign: &mut Campaign, clicks: i64) {
    campaign.daily_budget_micros = Some(campaign.cpc_micros * clicks);
}
