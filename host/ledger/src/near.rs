//! Campaigns close to their budget of today, where today is their own.

use tollgate_domain::day::{Day, Zone};
use tollgate_domain::money::{Micros, ratio_ppm};

use crate::rows::NearBudget;

/// From this share of the budget a campaign is listed.
const NEAR_PPM: u32 = 800_000;
const LISTED_MAX: usize = 100;

/// A rough filter that cannot overflow; `near_budget` looks closer.
pub(crate) const NEAR_BUDGET_SQL_FILTER: &str =
    "c.daily_budget_micros IS NOT NULL AND d.spent_micros / 4 >= c.daily_budget_micros / 5 - 1";

pub(crate) struct BudgetRow {
    pub(crate) campaign: String,
    pub(crate) status: String,
    pub(crate) time_zone: String,
    pub(crate) day: Day,
    pub(crate) spent_micros: i64,
    pub(crate) budget_micros: i64,
    pub(crate) overspent_micros: i64,
}

/// The campaigns whose budget of today is nearly used up, the fullest first.
pub(crate) fn near_budget(rows: impl Iterator<Item = BudgetRow>, now_us: i64) -> Vec<NearBudget> {
    let mut near: Vec<_> = rows
        .filter(|row| Zone::new(&row.time_zone).is_ok_and(|zone| zone.day(now_us) == row.day))
        .map(|row| NearBudget {
            campaign: row.campaign,
            day: row.day,
            status: row.status,
            spent: Micros(row.spent_micros),
            budget: Micros(row.budget_micros),
            usage_ppm: ratio_ppm(Micros(row.spent_micros), Micros(row.budget_micros)),
            overspent: Micros(row.overspent_micros),
        })
        .filter(|near| near.usage_ppm >= NEAR_PPM)
        .collect();
    near.sort_by(|a, b| b.usage_ppm.cmp(&a.usage_ppm).then_with(|| a.campaign.cmp(&b.campaign)));
    near.truncate(LISTED_MAX);
    near
}
