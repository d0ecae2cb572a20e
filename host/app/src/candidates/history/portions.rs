//! From the record of a batch to a portion: its clicks, what was so at the time, and what was answered.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use tollgate_domain::book::{DayKey, DayState};
use tollgate_domain::event::ClickEvent;
use tollgate_domain::facts::{ABSENT_MICROS, CampaignDayColumns, day_state};
use tollgate_domain::money::Micros;
use tollgate_domain::slice::{Reading, SliceBuilder, Source};
use tollgate_domain::transcript::ClickTranscript;
use tollgate_ledger::PastRecord;
use tollgate_workbench::replay::{
    Answer, Answered, CampaignFacts, DayFacts, Facts, Portion, ReplayError, Standing,
};

use super::{Charges, Past, PastCharge};

/// Level of a pause whose level is not recorded.
const PAUSED_PPM: u32 = 1_000_000;

/// A click of a record with its charge.
struct Row<'c> {
    /// Its row in the record's tables.
    at: usize,
    campaign: u32,
    charge: &'c PastCharge,
}

impl Past {
    /// The portion of a record; `None` when no click of it can be replayed.
    pub(super) fn portion(
        &mut self,
        record: &PastRecord,
        transcript: &ClickTranscript,
        charges: &Charges,
    ) -> Result<Option<Portion>, ReplayError> {
        let rows = self.rows(record, transcript, charges)?;
        if rows.is_empty() {
            return Ok(None);
        }
        if let Some(why) = self.lacks(transcript) {
            self.leave_out(why, rows.len());
            return Ok(None);
        }
        let rows: Vec<_> =
            rows.into_iter().filter(|row| self.is_the_same_day(row.charge)).collect();
        let campaigns = self.campaigns(transcript, &rows);
        let balances = self.balances(&rows);
        let days = self.days(transcript, &rows);
        let clicks = rows.iter().map(|row| self.answer(row.charge)).collect();
        let source = Source { topic: "replay".into(), partition: 0, incarnation: 0, epoch: 0 };
        let mut builder = SliceBuilder::new(Arc::new(source), self.next_offset, Reading::Clicks);
        for row in &rows {
            builder.push_known(self.next_offset, -1, &event(transcript, row));
            self.next_offset += 1;
        }
        self.replayed += rows.len() as u64;
        let answered = Answered {
            clicks,
            reasons: Arc::clone(&self.reasons),
            crossings: std::mem::take(&mut self.crossings),
        };
        let facts = Facts { now_us: record.decided_at_us, campaigns, days, balances, answered };
        Ok(Some(Portion { slice: builder.finish(), facts: Some(facts) }))
    }

    /// Clicks of a record that were charged. Those that became dead letters, and those of earlier days, are not there.
    fn rows<'c>(
        &self,
        record: &PastRecord,
        transcript: &ClickTranscript,
        charges: &'c Charges,
    ) -> Result<Vec<Row<'c>>, ReplayError> {
        let damaged = || {
            let place = &record.lead;
            let (topic, partition, offset) = (&place.topic, place.partition, place.offset);
            ReplayError::Record(format!(
                "the record at {topic} {partition} {offset} has tables of different lengths; `tollgate explain` says more"
            ))
        };
        let mut rows = Vec::new();
        let mut at = 0;
        for span in &transcript.spans {
            for _ in 0..span.clicks {
                let offset = *transcript.offsets.get(at).ok_or_else(damaged)?;
                let campaign = *transcript.pricing.clicks.campaign.get(at).ok_or_else(damaged)?;
                let place = (span.topic.clone(), span.incarnation, span.partition, offset);
                if let Some(charge) = charges.get(&place) {
                    rows.push(Row { at, campaign, charge });
                }
                at += 1;
            }
        }
        Ok(rows)
    }

    /// What the candidate asks for and the rules of then did not, so that nobody wrote it down.
    fn lacks(&self, transcript: &ClickTranscript) -> Option<&'static str> {
        let (pricing, threshold) = (&transcript.pricing, &transcript.threshold);
        let has_price = !pricing.campaigns.cached_price_micros.is_empty()
            || !threshold.campaigns.cached_price_micros.is_empty();
        if self.needs.texts && pricing.texts.is_empty() {
            return Some("the rules of then asked for no texts, and the candidate does");
        }
        if self.needs.cached_price && !has_price {
            return Some("the rules of then asked for no cached prices, and the candidate does");
        }
        if self.needs.counter && threshold.days.counter_micros.is_empty() {
            return Some("the rules of then asked for no spend counters, and the candidate does");
        }
        None
    }

    /// Whether the click would count to the same day today; else the campaign is another one by now.
    fn is_the_same_day(&mut self, charge: &PastCharge) -> bool {
        let why = match self.campaigns.get(charge.campaign.as_str()) {
            Some(Some(campaign)) if *campaign.advertiser != *charge.advertiser => {
                "their campaigns belong to another advertiser by now"
            }
            Some(Some(campaign)) if campaign.zone.day(charge.occurred_at_us) == charge.day => {
                return true;
            }
            Some(Some(_)) => "their campaigns have another time zone by now",
            _ => "their campaigns are no longer in the ledger",
        };
        self.leave_out(why, 1);
        false
    }

    fn leave_out(&mut self, why: &str, clicks: usize) {
        *self.left_out.entry(why.to_owned()).or_default() += clicks as u64;
    }

    fn answer(&mut self, charge: &PastCharge) -> Answer {
        let is_it = |(source, reason): &(String, String)| {
            *source == charge.price_source && *reason == charge.reason
        };
        let at = self.reasons.iter().position(is_it).unwrap_or_else(|| {
            let reason = (charge.price_source.clone(), charge.reason.clone());
            Arc::make_mut(&mut self.reasons).push(reason);
            self.reasons.len() - 1
        });
        Answer { charge: charge.charge, reason: u16::try_from(at).unwrap_or(u16::MAX) }
    }

    /// Each campaign of these clicks as the rules of then were told.
    fn campaigns(&mut self, transcript: &ClickTranscript, rows: &[Row<'_>]) -> Vec<CampaignFacts> {
        let (columns, days) = (&transcript.pricing.campaigns, &transcript.threshold.days);
        let mut all = Vec::new();
        for (campaign, charge) in each(rows, |row| row.campaign) {
            let id: Arc<str> = charge.campaign.as_str().into();
            let at = campaign as usize;
            // What today is matters for pauses and counters; any other day serves for the budget.
            let own = |row: &usize| days.campaign[*row] == campaign;
            let of_today = |row: &usize| state(days, *row) & day_state::TODAY != 0;
            let row = (0..days.campaign.len()).filter(own).max_by_key(of_today);
            let is_first = self.begun.insert(Arc::clone(&id));
            let known = self.campaigns.get(&id).and_then(Option::as_ref);
            let cpc = columns.stored_price_micros.get(at).map(|price| Micros(*price));
            let budget = row.and_then(|row| days.daily_budget_micros.get(row));
            let amount =
                |column: &[i64], at: usize| column.get(at).and_then(|amount| given(*amount));
            let cached = amount(&columns.cached_price_micros, at)
                .or_else(|| amount(&transcript.threshold.campaigns.cached_price_micros, at));
            all.push(CampaignFacts {
                cpc: cpc.or(known.map(|known| known.cpc)).unwrap_or_default(),
                daily_budget: match budget {
                    Some(budget) => given(*budget),
                    None => known.and_then(|known| known.daily_budget),
                },
                standing: row.map_or(Standing::Open, |row| standing(days, row, is_first)),
                cached_price: cached,
                counter: row.and_then(|row| amount(&days.counter_micros, row)),
                campaign: id,
            });
        }
        all
    }

    fn balances(&mut self, rows: &[Row<'_>]) -> Vec<(Arc<str>, Micros)> {
        let mut balances = Vec::new();
        for Row { charge, .. } in rows {
            if !self.paid.contains(charge.advertiser.as_str()) {
                let advertiser: Arc<str> = charge.advertiser.as_str().into();
                let before = charge.balance_after.0.saturating_add(charge.charge.0);
                self.paid.insert(Arc::clone(&advertiser));
                balances.push((advertiser, Micros(before)));
            }
        }
        balances
    }

    /// Each campaign-day of these clicks: where it begins, and what has moved it since besides clicks of records.
    fn days(&mut self, transcript: &ClickTranscript, rows: &[Row<'_>]) -> Vec<DayFacts> {
        let days = &transcript.threshold.days;
        let mut all = Vec::new();
        for ((campaign, day), charge) in each(rows, |row| (row.campaign, row.charge.day)) {
            let is_it =
                |row: &usize| days.campaign[*row] == campaign && days.day.get(*row) == Some(&day.0);
            let Some(row) = (0..days.campaign.len()).find(is_it) else { continue };
            let key = DayKey { campaign: charge.campaign.as_str().into(), day };
            let spent = days.spent_micros.get(row).copied().unwrap_or(0);
            let known = self.spent.get(&key).copied();
            let moved = spent.saturating_sub(known.unwrap_or(spent));
            let begins = known.is_none().then(|| begins(days, row, spent));
            if begins.is_some() || moved != 0 {
                all.push(DayFacts { key: key.clone(), begins, moved: Micros(moved) });
            }
            self.spent.insert(key, spent);
        }
        for Row { charge, .. } in rows {
            let key = DayKey { campaign: charge.campaign.as_str().into(), day: charge.day };
            if let Some(spent) = self.spent.get_mut(&key) {
                *spent = spent.saturating_add(charge.charge.0);
            }
        }
        all
    }
}

/// The first click of each key, in order.
fn each<'r, K: Eq + Hash + Copy>(
    rows: &'r [Row<'_>],
    key: impl Fn(&Row<'_>) -> K,
) -> Vec<(K, &'r PastCharge)> {
    let mut known = HashSet::new();
    let keyed = rows.iter().map(|row| (key(row), row.charge));
    keyed.filter(|(key, _)| known.insert(*key)).collect()
}

fn begins(days: &CampaignDayColumns, row: usize, spent: i64) -> DayState {
    let was_paused = state(days, row) & day_state::PAUSED_BEFORE != 0;
    DayState {
        spent: Micros(spent),
        warned_ppm: days.warned_ppm.get(row).copied().unwrap_or(0),
        paused_ppm: if was_paused { PAUSED_PPM } else { 0 },
        crossing_budget: days.daily_budget_micros.get(row).and_then(|budget| given(*budget)),
        overspent: Micros::ZERO,
        version: 0,
    }
}

fn standing(days: &CampaignDayColumns, row: usize, is_first: bool) -> Standing {
    let state = state(days, row);
    let has_budget = days.daily_budget_micros.get(row).is_some_and(|budget| *budget >= 0);
    let never_paused = days.pause_from_micros.get(row) == Some(&i64::MAX);
    if state & day_state::PAUSED_BY_PERSON != 0 {
        Standing::PausedByPerson
    } else if state & day_state::PAUSED_BY_BUDGET != 0 {
        if is_first { Standing::PausedByBudget } else { Standing::Open }
    } else if state & day_state::TODAY != 0 && has_budget && never_paused {
        Standing::Closed
    } else {
        Standing::Open
    }
}

fn state(days: &CampaignDayColumns, row: usize) -> u8 {
    days.state.get(row).copied().unwrap_or(0)
}

fn given(micros: i64) -> Option<Micros> {
    (micros != ABSENT_MICROS).then_some(Micros(micros))
}

/// The click as its event said, as far as rules were told.
fn event<'t>(transcript: &'t ClickTranscript, row: &Row<'t>) -> ClickEvent<'t> {
    let (columns, texts) = (&transcript.pricing.clicks, &transcript.pricing.texts);
    let text = |column: &[u32]| {
        let index = column.get(row.at).map(|index| *index as usize);
        index.and_then(|index| texts.get(index)).map_or("", String::as_str).into()
    };
    let amount = |column: &[i64]| column.get(row.at).and_then(|amount| given(*amount));
    ClickEvent {
        campaign: row.charge.campaign.as_str().into(),
        advertiser: row.charge.advertiser.as_str().into(),
        occurred_at_us: row.charge.occurred_at_us,
        bid: amount(&columns.bid_micros),
        actual: amount(&columns.actual_micros),
        placement: columns.placement.get(row.at).copied().unwrap_or(0),
        device: row.charge.device.as_deref().unwrap_or_default().into(),
        ad: row.charge.ad.as_deref().unwrap_or_default().into(),
        product: text(&columns.product),
        category: text(&columns.category),
        search_term: text(&columns.search_term),
    }
}
