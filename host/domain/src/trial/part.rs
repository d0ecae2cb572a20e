//! Some rows of what rules are given, with only the facts that one of them asked for.

use std::borrow::Cow;

use crate::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, MovementColumns, PricingFacts, Quotes,
    ThresholdFacts, Verdicts,
};
use crate::rule::Needs;

/// All rows of `facts`, without what `needs` do not name.
pub(super) fn narrowed(facts: &PricingFacts, needs: Needs) -> Cow<'_, PricingFacts> {
    let time = facts.clicks.local_minute.is_empty() || needs.local_time;
    if time && fits(&facts.campaigns, &facts.texts, needs) {
        return Cow::Borrowed(facts);
    }
    Cow::Owned(PricingFacts {
        texts: kept(&facts.texts, needs.texts),
        campaigns: campaigns(&facts.campaigns, needs),
        clicks: clicks(&facts.clicks, None, needs),
    })
}

/// These rows of `facts`, without what `needs` do not name.
pub(super) fn clicks_of(facts: &PricingFacts, rows: &[u32], needs: Needs) -> PricingFacts {
    PricingFacts {
        texts: kept(&facts.texts, needs.texts),
        campaigns: campaigns(&facts.campaigns, needs),
        clicks: clicks(&facts.clicks, Some(rows), needs),
    }
}

/// All movements of `facts`, without what `needs` do not name.
pub(super) fn narrowed_days(facts: &ThresholdFacts, needs: Needs) -> Cow<'_, ThresholdFacts> {
    let counter = facts.days.counter_micros.is_empty() || needs.counter;
    if counter && fits(&facts.campaigns, &facts.texts, needs) {
        return Cow::Borrowed(facts);
    }
    Cow::Owned(ThresholdFacts {
        texts: kept(&facts.texts, needs.texts),
        campaigns: campaigns(&facts.campaigns, needs),
        days: days(&facts.days, needs),
        movements: facts.movements.clone(),
    })
}

/// These movements of `facts`, without what `needs` do not name.
pub(super) fn movements_of(facts: &ThresholdFacts, rows: &[u32], needs: Needs) -> ThresholdFacts {
    movements_on(&facts.days, facts, rows, needs)
}

/// These movements of `facts`, on campaign-days as they stand in `then`, without what `needs` do not name.
pub(super) fn movements_on(
    then: &CampaignDayColumns,
    facts: &ThresholdFacts,
    rows: &[u32],
    needs: Needs,
) -> ThresholdFacts {
    ThresholdFacts {
        texts: kept(&facts.texts, needs.texts),
        campaigns: campaigns(&facts.campaigns, needs),
        days: days(then, needs),
        movements: MovementColumns {
            campaign_day: picked(&facts.movements.campaign_day, rows),
            amount_micros: picked(&facts.movements.amount_micros, rows),
        },
    }
}

/// Answers about some rows and about all others as one, in the order of the rows.
pub(super) fn merged_quotes(rows: &[u32], some: &Quotes, others: &Quotes) -> Quotes {
    let mut order = Order::new(rows, some.reason.len() + others.reason.len());
    Quotes {
        charge_micros: order.merged(&some.charge_micros, &others.charge_micros),
        reason: order.merged(&some.reason, &others.reason),
    }
}

/// As `merged_quotes`.
pub(super) fn merged_verdicts(rows: &[u32], some: &Verdicts, others: &Verdicts) -> Verdicts {
    let mut order = Order::new(rows, some.reason.len() + others.reason.len());
    Verdicts {
        action: order.merged(&some.action, &others.action),
        level_ppm: order.merged(&some.level_ppm, &others.level_ppm),
        usage_ppm: order.merged(&some.usage_ppm, &others.usage_ppm),
        allowed_micros: order.merged(&some.allowed_micros, &others.allowed_micros),
        reason: order.merged(&some.reason, &others.reason),
    }
}

/// For each row, whether it is one of some.
struct Order(Vec<bool>);

impl Order {
    fn new(rows: &[u32], count: usize) -> Self {
        let mut order = vec![false; count];
        for row in rows {
            if let Some(is_some) = order.get_mut(*row as usize) {
                *is_some = true;
            }
        }
        Self(order)
    }

    fn merged<T: Copy>(&mut self, some: &[T], others: &[T]) -> Vec<T> {
        let (mut some, mut others) = (some.iter(), others.iter());
        let next = |is_some: &bool| if *is_some { some.next() } else { others.next() };
        self.0.iter().filter_map(next).copied().collect()
    }
}

fn fits(columns: &CampaignColumns, texts: &[String], needs: Needs) -> bool {
    (needs.texts || texts.is_empty() && columns.id.is_empty())
        && (needs.cached_price || columns.cached_price_micros.is_empty())
        && (needs.balance || columns.balance_micros.is_empty())
}

fn campaigns(columns: &CampaignColumns, needs: Needs) -> CampaignColumns {
    CampaignColumns {
        id: kept(&columns.id, needs.texts),
        advertiser: kept(&columns.advertiser, needs.texts),
        stored_price_micros: columns.stored_price_micros.clone(),
        cached_price_micros: kept(&columns.cached_price_micros, needs.cached_price),
        balance_micros: kept(&columns.balance_micros, needs.balance),
    }
}

fn clicks(columns: &ClickColumns, rows: Option<&[u32]>, needs: Needs) -> ClickColumns {
    let texts = |column| wanted(column, rows, needs.texts);
    ClickColumns {
        campaign: wanted(&columns.campaign, rows, true),
        occurred_at_ms: wanted(&columns.occurred_at_ms, rows, true),
        bid_micros: wanted(&columns.bid_micros, rows, true),
        actual_micros: wanted(&columns.actual_micros, rows, true),
        placement: wanted(&columns.placement, rows, true),
        local_minute: wanted(&columns.local_minute, rows, needs.local_time),
        weekday: wanted(&columns.weekday, rows, needs.local_time),
        category: texts(&columns.category),
        search_term: texts(&columns.search_term),
        device: texts(&columns.device),
        ad: texts(&columns.ad),
        product: texts(&columns.product),
    }
}

fn days(columns: &CampaignDayColumns, needs: Needs) -> CampaignDayColumns {
    CampaignDayColumns {
        counter_micros: kept(&columns.counter_micros, needs.counter),
        ..columns.clone()
    }
}

fn wanted<T: Copy>(column: &[T], rows: Option<&[u32]>, is_wanted: bool) -> Vec<T> {
    match rows {
        _ if !is_wanted => Vec::new(),
        Some(rows) => picked(column, rows),
        None => column.to_vec(),
    }
}

/// These rows of a column; a column that was not asked for stays empty.
fn picked<T: Copy>(column: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().filter_map(|row| column.get(*row as usize)).copied().collect()
}

fn kept<T: Clone>(column: &[T], is_wanted: bool) -> Vec<T> {
    if is_wanted { column.to_vec() } else { Vec::new() }
}
