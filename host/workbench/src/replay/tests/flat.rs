//! Rules that are plain functions: a share of the stored price, a warning at 90 % and a pause at 100 % of the budget.

use std::collections::HashMap;

use tollgate_domain::dead::Code;
use tollgate_domain::facts::{PricingFacts, Quotes, ThresholdFacts, Verdicts, day_state};
use tollgate_domain::fence::action;
use tollgate_domain::rule::{
    Description, Fault, Needs, PriceSource, Reason, RuleError, Rules, World,
};
use tollgate_engine::CallStats;

use super::super::Decider;

pub(super) struct Flat {
    /// Share of the stored price that is charged.
    pub(super) ppm: i64,
    /// Traps on clicks of this campaign.
    pub(super) fails_on: Option<String>,
    pricing: Description,
    threshold: Description,
}

impl Flat {
    pub(super) fn charging(ppm: i64) -> Self {
        let reason =
            |source| Reason { code: 1, name: "FLAT".to_owned(), source, help: String::new() };
        let description = |source, texts| Description {
            name: "flat".to_owned(),
            version: "1.0.0".to_owned(),
            needs: Needs { texts, ..Needs::default() },
            params: Vec::new(),
            reasons: vec![reason(source)],
            fuel_base: 0,
            fuel_per_item: 0,
        };
        Self {
            ppm,
            fails_on: None,
            pricing: description(PriceSource::Computed, true),
            threshold: description(PriceSource::None, false),
        }
    }
}

impl Flat {
    /// With another name of its only reason.
    pub(super) fn saying(mut self, reason: &str) -> Self {
        self.pricing.reasons[0].name = reason.to_owned();
        self
    }
}

impl Decider for Flat {
    fn cost(&self) -> Vec<(World, CallStats)> {
        vec![(World::Pricing, CallStats::default())]
    }
}

impl Rules for Flat {
    fn pricing(&self) -> &Description {
        &self.pricing
    }

    fn threshold(&self) -> &Description {
        &self.threshold
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        let mut quotes = Quotes::default();
        for campaign in &facts.clicks.campaign {
            let at = *campaign as usize;
            let id = &facts.texts[facts.campaigns.id[at] as usize];
            if Some(id) == self.fails_on.as_ref() {
                let sentence = "it trapped".to_owned();
                return Err(Fault { code: Code::RuleTrap, sentence }.into());
            }
            let price = i128::from(facts.campaigns.stored_price_micros[at]);
            let charge = price * i128::from(self.ppm) / 1_000_000;
            quotes.charge_micros.push(i64::try_from(charge).unwrap());
            quotes.reason.push(1);
        }
        Ok(quotes)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        let mut verdicts = Verdicts::default();
        let (mut moved, mut warned) = (HashMap::<usize, i64>::new(), HashMap::new());
        let movements = &facts.movements;
        for (day, amount) in movements.campaign_day.iter().zip(&movements.amount_micros) {
            let day = *day as usize;
            let moved = moved.entry(day).or_default();
            *moved += amount;
            let (spent, budget) =
                (facts.days.spent_micros[day] + *moved, facts.days.daily_budget_micros[day]);
            let state = facts.days.state[day];
            let is_paused = state & day_state::PAUSED_BY_BUDGET != 0;
            let known = warned.entry(day).or_insert(facts.days.warned_ppm[day]);
            let (action, level) = match spent {
                _ if budget < 0 => (action::KEEP, 0),
                spent if spent >= budget => (action::PAUSE, 1_000_000),
                _ if is_paused && state & day_state::PAUSED_BEFORE == 0 => {
                    (action::RESUME, 1_000_000)
                }
                _ if is_paused => (action::KEEP, 0),
                spent if spent * 10 >= budget * 9 && *known == 0 => {
                    *known = 900_000;
                    (action::WARN, 900_000)
                }
                _ => (action::KEEP, 0),
            };
            verdicts.action.push(action);
            verdicts.level_ppm.push(level);
            verdicts.usage_ppm.push(0);
            verdicts.allowed_micros.push(*amount);
            verdicts.reason.push(1);
        }
        Ok(verdicts)
    }
}
