//! One row of a call as named values: what the rule was given about it, and what it answered.

use serde_json::{Value, json};
use tollgate_domain::day::Day;
use tollgate_domain::facts::{
    ABSENT_MICROS, CampaignColumns, CampaignDayColumns, Decisions, PricingFacts, Quotes,
    RefundColumns, ThresholdFacts, Verdicts, day_state,
};
use tollgate_domain::fence::{action, refund_action};

use super::explanation::Facts;
use crate::channels::rfc3339;

/// What the pricing rule was given about a click.
pub(super) fn click(facts: &PricingFacts, row: usize) -> Facts {
    let (clicks, texts) = (&facts.clicks, &facts.texts);
    let mut named = Facts::new();
    if let Some(at) = clicks.campaign.get(row) {
        campaign(&mut named, &facts.campaigns, *at as usize, texts);
    }
    if let Some(at_ms) = clicks.occurred_at_ms.get(row) {
        let at_us = i64::try_from(*at_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        named.insert("occurred_at".into(), rfc3339(at_us).into());
    }
    put_amount(&mut named, "bid_micros", &clicks.bid_micros, row);
    put_amount(&mut named, "actual_micros", &clicks.actual_micros, row);
    put(&mut named, "placement", &clicks.placement, row);
    put(&mut named, "local_minute", &clicks.local_minute, row);
    put(&mut named, "weekday", &clicks.weekday, row);
    put_text(&mut named, "category", &clicks.category, row, texts);
    put_text(&mut named, "search_term", &clicks.search_term, row, texts);
    put_text(&mut named, "device", &clicks.device, row, texts);
    put_text(&mut named, "ad", &clicks.ad, row, texts);
    put_text(&mut named, "product", &clicks.product, row, texts);
    named
}

/// What the threshold rule was given about a movement. Movements of the same day that stand before it in the call count,
/// too, so their sum is among the facts.
pub(super) fn movement(facts: &ThresholdFacts, row: usize) -> Facts {
    let mut named = Facts::new();
    let movements = &facts.movements;
    let Some(day) = movements.campaign_day.get(row) else { return named };
    if let Some(at) = facts.days.campaign.get(*day as usize) {
        campaign(&mut named, &facts.campaigns, *at as usize, &facts.texts);
    }
    campaign_day(&mut named, &facts.days, *day as usize);
    put(&mut named, "amount_micros", &movements.amount_micros, row);
    let earlier = movements.campaign_day.iter().zip(&movements.amount_micros).take(row);
    let sum: i128 =
        earlier.filter(|(of, _)| *of == day).map(|(_, amount)| i128::from(*amount)).sum();
    named.insert("earlier_in_call_micros".into(), i64::try_from(sum).unwrap_or(i64::MAX).into());
    named
}

/// What the refund rule was given about a compensation.
pub(super) fn compensation(facts: &RefundColumns, row: usize) -> Facts {
    let (columns, texts) = (&facts.compensations, &facts.texts);
    let mut named = Facts::new();
    if let Some(day) = columns.campaign_day.get(row) {
        if let Some(at) = facts.days.campaign.get(*day as usize) {
            campaign(&mut named, &facts.campaigns, *at as usize, texts);
        }
        campaign_day(&mut named, &facts.days, *day as usize);
    }
    put(&mut named, "claimed_micros", &columns.claimed_micros, row);
    put(&mut named, "duplicate_count", &columns.duplicate_count, row);
    put(&mut named, "timestamp_count", &columns.timestamp_count, row);
    put(&mut named, "refundable_micros", &columns.refundable_micros, row);
    put(&mut named, "matched_micros", &columns.matched_micros, row);
    put(&mut named, "matched_count", &columns.matched_count, row);
    put(&mut named, "matched_refunded_micros", &columns.matched_refunded_micros, row);
    put(&mut named, "matched_generation", &columns.matched_generation, row);
    put(&mut named, "clicks_complete", &columns.clicks_complete, row);
    put_text(&mut named, "device", &columns.device, row, texts);
    put_text(&mut named, "ad", &columns.ad, row, texts);
    named
}

/// A quote, and the code of its reason.
pub(super) fn quote(quotes: &Quotes, row: usize) -> (Facts, Option<u16>) {
    let mut named = Facts::new();
    put(&mut named, "charge_micros", &quotes.charge_micros, row);
    (named, quotes.reason.get(row).copied())
}

/// A verdict, and the code of its reason.
pub(super) fn verdict(verdicts: &Verdicts, row: usize) -> (Facts, Option<u16>) {
    let mut named = Facts::new();
    let action = verdicts.action.get(row).map(|action| match *action {
        action::KEEP => json!("KEEP"),
        action::WARN => json!("WARN"),
        action::PAUSE => json!("PAUSE"),
        action::RESUME => json!("RESUME"),
        other => json!(other),
    });
    named.extend(action.map(|action| ("action".to_owned(), action)));
    put(&mut named, "level_ppm", &verdicts.level_ppm, row);
    put(&mut named, "usage_ppm", &verdicts.usage_ppm, row);
    put(&mut named, "allowed_micros", &verdicts.allowed_micros, row);
    (named, verdicts.reason.get(row).copied())
}

/// A decision about a compensation, and the code of its reason.
pub(super) fn decision(decisions: &Decisions, row: usize) -> (Facts, Option<u16>) {
    let mut named = Facts::new();
    let action = decisions.action.get(row).map(|action| match *action {
        refund_action::REJECT => json!("REJECT"),
        refund_action::APPROVE => json!("APPROVE"),
        refund_action::PARK => json!("PARK"),
        other => json!(other),
    });
    named.extend(action.map(|action| ("action".to_owned(), action)));
    put(&mut named, "refund_micros", &decisions.refund_micros, row);
    (named, decisions.reason.get(row).copied())
}

fn campaign(named: &mut Facts, campaigns: &CampaignColumns, row: usize, texts: &[String]) {
    put_text(named, "campaign", &campaigns.id, row, texts);
    put_text(named, "advertiser", &campaigns.advertiser, row, texts);
    put(named, "stored_price_micros", &campaigns.stored_price_micros, row);
    put_amount(named, "cached_price_micros", &campaigns.cached_price_micros, row);
    put(named, "balance_micros", &campaigns.balance_micros, row);
}

fn campaign_day(named: &mut Facts, days: &CampaignDayColumns, row: usize) {
    if let Some(day) = days.day.get(row) {
        named.insert("day".into(), Day(*day).to_string().into());
    }
    put_amount(named, "daily_budget_micros", &days.daily_budget_micros, row);
    put(named, "spent_micros", &days.spent_micros, row);
    put_amount(named, "counter_micros", &days.counter_micros, row);
    put(named, "warned_ppm", &days.warned_ppm, row);
    if let Some(from) = days.pause_from_micros.get(row) {
        let from = (*from != i64::MAX).then_some(*from);
        named.insert("pause_from_micros".into(), from.into());
    }
    let words = [
        (day_state::TODAY, "TODAY"),
        (day_state::PAUSED_BY_BUDGET, "PAUSED_BY_BUDGET"),
        (day_state::PAUSED_BY_PERSON, "PAUSED_BY_PERSON"),
        (day_state::PAUSED_BEFORE, "PAUSED_BEFORE"),
    ];
    if let Some(state) = days.state.get(row) {
        let set: Vec<&str> =
            words.iter().filter(|(bit, _)| state & bit != 0).map(|(_, word)| *word).collect();
        named.insert("state".into(), json!(set));
    }
}

/// Columns that a rule has not asked for are empty and not named.
fn put<T: Copy + Into<Value>>(named: &mut Facts, name: &str, column: &[T], row: usize) {
    if let Some(value) = column.get(row) {
        named.insert(name.to_owned(), (*value).into());
    }
}

fn put_amount(named: &mut Facts, name: &str, column: &[i64], row: usize) {
    if let Some(value) = column.get(row) {
        let value = (*value != ABSENT_MICROS).then_some(*value);
        named.insert(name.to_owned(), value.into());
    }
}

fn put_text(named: &mut Facts, name: &str, column: &[u32], row: usize, texts: &[String]) {
    if let Some(index) = column.get(row) {
        let text = texts.get(*index as usize).map(String::as_str);
        named.insert(name.to_owned(), text.into());
    }
}
