//! Builds the tables that rules are given.

use std::collections::HashMap;

use crate::batch::{Batch, Resolved};
use crate::decide::Hint;
use crate::facts::{
    ABSENT_MICROS, CampaignColumns, CampaignDayColumns, ClickColumns, MovementColumns,
    PricingFacts, ThresholdFacts, day_state,
};
use crate::money::Micros;
use crate::rule::{Needs, Rules};

/// Source of all tables of one batch.
pub(super) struct Tables<'t> {
    batch: &'t Batch,
    resolved: &'t Resolved<'t>,
    hints: &'t [Hint],
    /// Whether campaigns have their ids also when texts are not needed.
    with_ids: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn new(
        batch: &'t Batch,
        resolved: &'t Resolved<'_>,
        hints: &'t [Hint],
        rules: &dyn Rules,
    ) -> Self {
        Self { batch, resolved, hints, with_ids: rules.wants_ids() }
    }

    pub(super) fn pricing(&self, needs: Needs) -> PricingFacts {
        let mut texts = TextTable::new(needs.texts || self.with_ids);
        let campaigns = self.campaigns(needs, &mut texts);
        let rows = self.resolved.clicks.len();
        let mut clicks = ClickColumns {
            campaign: Vec::with_capacity(rows),
            occurred_at_ms: Vec::with_capacity(rows),
            bid_micros: Vec::with_capacity(rows),
            actual_micros: Vec::with_capacity(rows),
            placement: Vec::with_capacity(rows),
            ..ClickColumns::default()
        };
        for resolved in &self.resolved.clicks {
            let (slice, click) = self.batch.click(resolved.at);
            clicks.campaign.push(resolved.campaign);
            clicks.occurred_at_ms.push(u64::try_from(click.occurred_at_us / 1_000).unwrap_or(0));
            clicks.bid_micros.push(micros(click.bid));
            clicks.actual_micros.push(micros(click.actual));
            clicks.placement.push(click.placement);
            if needs.local_time {
                let campaign = self.resolved.campaigns[resolved.campaign as usize].campaign;
                let local = campaign.zone.local_time(click.occurred_at_us);
                clicks.local_minute.push(local.minute);
                clicks.weekday.push(local.weekday);
            }
            if needs.texts {
                clicks.category.push(texts.index(slice.text(click.category)));
                clicks.search_term.push(texts.index(slice.text(click.search_term)));
                clicks.device.push(texts.index(slice.text(click.device)));
                clicks.ad.push(texts.index(slice.text(click.ad)));
                clicks.product.push(texts.index(slice.text(click.product)));
            }
        }
        PricingFacts { texts: texts.texts, campaigns, clicks }
    }

    pub(super) fn threshold(
        &self,
        needs: Needs,
        mut days: CampaignDayColumns,
        movements: impl Iterator<Item = (u32, Micros)>,
    ) -> ThresholdFacts {
        let mut texts = TextTable::new(needs.texts || self.with_ids);
        let campaigns = self.campaigns(needs, &mut texts);
        if needs.counter {
            // The counter is about the campaign's present day, and says nothing about another one.
            let counters = days.campaign.iter().zip(&days.state).map(|(campaign, state)| {
                let hint = self.hints.get(*campaign as usize);
                let counter = hint.and_then(|hint| hint.counter);
                micros(counter.filter(|_| state & day_state::TODAY != 0))
            });
            days.counter_micros = counters.collect();
        }
        let mut columns = MovementColumns::default();
        for (day, amount) in movements {
            columns.campaign_day.push(day);
            columns.amount_micros.push(amount.0);
        }
        ThresholdFacts { texts: texts.texts, campaigns, days, movements: columns }
    }

    fn campaigns(&self, needs: Needs, texts: &mut TextTable) -> CampaignColumns {
        let mut columns = CampaignColumns::default();
        for (row, resolved) in self.resolved.campaigns.iter().enumerate() {
            columns.stored_price_micros.push(resolved.campaign.cpc.0);
            if needs.texts || self.with_ids {
                columns.id.push(texts.index(&resolved.campaign.id));
            }
            if needs.texts {
                columns.advertiser.push(texts.index(&resolved.campaign.advertiser));
            }
            if needs.cached_price {
                let hint = self.hints.get(row).and_then(|hint| hint.cached_price);
                columns.cached_price_micros.push(micros(hint));
            }
            if needs.balance {
                let (_, balance) = &self.resolved.advertisers[resolved.advertiser as usize];
                columns.balance_micros.push(balance.0);
            }
        }
        columns
    }
}

pub(crate) fn micros(amount: Option<Micros>) -> i64 {
    amount.map_or(ABSENT_MICROS, |amount| amount.0)
}

/// Texts of a call, each once; empty when the rule did not ask for texts.
pub(crate) struct TextTable {
    pub(crate) texts: Vec<String>,
    index: HashMap<String, u32>,
}

impl TextTable {
    pub(crate) fn new(wanted: bool) -> Self {
        let mut table = Self { texts: Vec::new(), index: HashMap::new() };
        if wanted {
            table.index("");
        }
        table
    }

    pub(crate) fn index(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.index.get(text) {
            return index;
        }
        let index = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        index
    }
}
