//! What rules are given and what they answer, as columns. Field for field the contract in `wit/rules.wit`, which
//! documents them; plain integers, because a column crosses into the sandbox as one copy.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::transcript::unsigned;

/// An amount that is absent, in a column of micros.
pub const ABSENT_MICROS: i64 = -1;

/// Bits of `CampaignDayColumns::state`.
pub mod day_state {
    use crate::book::Status;

    pub const PAUSED_BY_BUDGET: u8 = 1;
    pub const PAUSED_BY_PERSON: u8 = 2;
    pub const TODAY: u8 = 4;
    pub const PAUSED_BEFORE: u8 = 8;

    /// The bits of a campaign with this status. `paused_ppm` is the level at which the day has paused it, 0 when none.
    pub(crate) fn of(status: Status, by_budget: bool, today: bool, paused_ppm: u32) -> u8 {
        let paused = match status {
            Status::Paused if by_budget => PAUSED_BY_BUDGET,
            Status::Paused => PAUSED_BY_PERSON,
            _ => 0,
        };
        let today = if today { TODAY } else { 0 };
        let before = if paused_ppm != 0 { PAUSED_BEFORE } else { 0 };
        paused | today | before
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignColumns {
    pub id: Vec<u32>,
    pub advertiser: Vec<u32>,
    pub stored_price_micros: Vec<i64>,
    pub cached_price_micros: Vec<i64>,
    pub balance_micros: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickColumns {
    pub campaign: Vec<u32>,
    #[serde(with = "unsigned")]
    pub occurred_at_ms: Vec<u64>,
    pub bid_micros: Vec<i64>,
    pub actual_micros: Vec<i64>,
    pub placement: Vec<u8>,
    pub local_minute: Vec<u16>,
    pub weekday: Vec<u8>,
    pub category: Vec<u32>,
    pub search_term: Vec<u32>,
    pub device: Vec<u32>,
    pub ad: Vec<u32>,
    pub product: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignDayColumns {
    pub campaign: Vec<u32>,
    pub day: Vec<i32>,
    pub daily_budget_micros: Vec<i64>,
    pub spent_micros: Vec<i64>,
    pub counter_micros: Vec<i64>,
    pub warned_ppm: Vec<u32>,
    pub pause_from_micros: Vec<i64>,
    pub state: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovementColumns {
    pub campaign_day: Vec<u32>,
    pub amount_micros: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricingFacts {
    pub texts: Vec<String>,
    pub campaigns: CampaignColumns,
    pub clicks: ClickColumns,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotes {
    pub charge_micros: Vec<i64>,
    pub reason: Vec<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdFacts {
    pub texts: Vec<String>,
    pub campaigns: CampaignColumns,
    pub days: CampaignDayColumns,
    pub movements: MovementColumns,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    pub action: Vec<u8>,
    pub level_ppm: Vec<u32>,
    pub usage_ppm: Vec<u32>,
    pub allowed_micros: Vec<i64>,
    pub reason: Vec<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationColumns {
    pub campaign_day: Vec<u32>,
    pub claimed_micros: Vec<i64>,
    pub duplicate_count: Vec<u32>,
    pub timestamp_count: Vec<u32>,
    pub refundable_micros: Vec<i64>,
    pub matched_micros: Vec<i64>,
    pub matched_count: Vec<u32>,
    pub matched_refunded_micros: Vec<i64>,
    pub matched_generation: Vec<u64>,
    pub clicks_complete: Vec<u8>,
    pub device: Vec<u32>,
    pub ad: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundColumns {
    pub texts: Vec<String>,
    pub campaigns: CampaignColumns,
    pub days: CampaignDayColumns,
    pub compensations: CompensationColumns,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    pub action: Vec<u8>,
    pub refund_micros: Vec<i64>,
    pub reason: Vec<u16>,
}

/// Id of the campaign in this row of the table; empty when it is not there.
#[must_use]
pub fn campaign_id<'t>(columns: &CampaignColumns, texts: &'t [String], campaign: u32) -> &'t str {
    let id = columns.id.get(campaign as usize);
    id.and_then(|id| texts.get(*id as usize)).map_or("", String::as_str)
}

impl ClickColumns {
    #[must_use]
    pub fn len(&self) -> usize {
        self.campaign.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.campaign.is_empty()
    }

    /// Rows `range` of every column; columns that were not asked for stay empty.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            campaign: part(&self.campaign, &range),
            occurred_at_ms: part(&self.occurred_at_ms, &range),
            bid_micros: part(&self.bid_micros, &range),
            actual_micros: part(&self.actual_micros, &range),
            placement: part(&self.placement, &range),
            local_minute: part(&self.local_minute, &range),
            weekday: part(&self.weekday, &range),
            category: part(&self.category, &range),
            search_term: part(&self.search_term, &range),
            device: part(&self.device, &range),
            ad: part(&self.ad, &range),
            product: part(&self.product, &range),
        }
    }
}

impl MovementColumns {
    /// Rows `range` of every column.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            campaign_day: part(&self.campaign_day, &range),
            amount_micros: part(&self.amount_micros, &range),
        }
    }
}

fn part<T: Copy>(column: &[T], range: &Range<usize>) -> Vec<T> {
    column.get(range.clone()).map_or_else(Vec::new, <[T]>::to_vec)
}
