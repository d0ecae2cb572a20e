//! The table of one compensation, as its rule is given it.

use super::duplicates::{sum, unavailable};
use super::matching::Matched;
use super::{RefundFacts, RefundLimits};
use crate::book::BUDGET_EXHAUSTED;
use crate::compensation::CompensationEvent;
use crate::decide::tables::{TextTable, micros};
use crate::facts::{
    ABSENT_MICROS, CampaignColumns, CampaignDayColumns, CompensationColumns, RefundColumns,
    day_state,
};
use crate::rule::Needs;

pub(super) fn of(
    event: &CompensationEvent,
    facts: &RefundFacts,
    matched: &Matched<'_>,
    limits: &RefundLimits,
    needs: Needs,
) -> RefundColumns {
    let mut texts = TextTable::new(needs.texts);
    let campaigns = campaigns(facts, needs, &mut texts);
    let days = days(facts, needs);
    let mut compensations = CompensationColumns {
        campaign_day: vec![0],
        claimed_micros: vec![event.claimed.0],
        duplicate_count: vec![event.duplicate_count],
        timestamp_count: vec![number(event.timestamps_us.len())],
        refundable_micros: vec![facts.state.spent.0.max(0)],
        clicks_complete: vec![u8::from(is_complete(event, facts, matched, limits))],
        ..CompensationColumns::default()
    };
    if needs.matched_charges {
        compensations.matched_micros.push(fitting(sum(matched.charges.iter().copied())));
        compensations.matched_count.push(number(matched.charges.len()));
        compensations.matched_refunded_micros.push(fitting(unavailable(matched)));
        compensations.matched_generation.push(generation(matched));
    }
    if needs.texts {
        compensations.device.push(texts.index(&event.device));
        compensations.ad.push(texts.index(&event.ad));
    }
    RefundColumns { texts: texts.texts, campaigns, days, compensations }
}

fn campaigns(facts: &RefundFacts, needs: Needs, texts: &mut TextTable) -> CampaignColumns {
    let mut columns = CampaignColumns {
        stored_price_micros: vec![facts.campaign.cpc.0],
        ..CampaignColumns::default()
    };
    if needs.texts {
        columns.id.push(texts.index(&facts.campaign.id));
        columns.advertiser.push(texts.index(&facts.campaign.advertiser));
    }
    // A refund is about clicks that were priced already, so Redis is not asked.
    if needs.cached_price {
        columns.cached_price_micros.push(ABSENT_MICROS);
    }
    if needs.balance {
        columns.balance_micros.push(facts.balance.0);
    }
    columns
}

fn days(facts: &RefundFacts, needs: Needs) -> CampaignDayColumns {
    let campaign = &facts.campaign;
    let (warned, paused) = facts.state.levels(campaign.daily_budget);
    let today = campaign.zone.day(facts.now_us) == facts.day.day;
    let by_budget = campaign.paused_reason.as_deref() == Some(BUDGET_EXHAUSTED);
    CampaignDayColumns {
        campaign: vec![0],
        day: vec![facts.day.day.0],
        daily_budget_micros: vec![micros(campaign.daily_budget)],
        spent_micros: vec![facts.state.spent.0],
        counter_micros: if needs.counter { vec![ABSENT_MICROS] } else { Vec::new() },
        warned_ppm: vec![warned],
        // No refund leads to a pause.
        pause_from_micros: vec![i64::MAX],
        state: vec![day_state::of(campaign.status, by_budget, today, paused)],
    }
}

/// Whether the ledger has all clicks that the compensation can mean. What counts less than it names waits for all that
/// it names, so that the answer does not depend on which of them came first. What names none waits for a day that has
/// charged as much as it claims.
fn is_complete(
    event: &CompensationEvent,
    facts: &RefundFacts,
    matched: &Matched<'_>,
    limits: &RefundLimits,
) -> bool {
    let meant = (event.duplicate_count as usize).max(event.timestamps_us.len());
    let has_all = match event.is_matchable() {
        true => matched.certain >= meant,
        false => facts.state.spent >= event.claimed,
    };
    has_all || facts.waited_us >= limits.settle_us
}

/// Generation that priced all matched charges; 0 when there are several or none.
fn generation(matched: &Matched<'_>) -> u64 {
    let mut generations = matched.charges.iter().map(|charge| charge.generation);
    let first = generations.next().unwrap_or(0);
    if generations.all(|generation| generation == first) { first } else { 0 }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn fitting(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}
