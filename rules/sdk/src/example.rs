//! Single rows for tests: a rule is asked about one row that says only what the test is about.
//!
//! A fact that the rule's description does not ask for is not passed, as in the host, so a test also finds a need that
//! was forgotten.

use crate::ABSENT_MICROS;
use crate::about::{Description, Needs};
use crate::campaign::CampaignTable;
use crate::click::{Click, ClickTable, ClickTables, Placement, Quote};
use crate::compensation::{Compensation, CompensationTable, CompensationTables, Decision};
use crate::day::{
    DayTable, Movement, MovementTables, PAUSED_BEFORE, PAUSED_BY_BUDGET, PAUSED_BY_PERSON, TODAY,
    Verdict,
};

/// One click and its campaign.
#[derive(Clone, Copy, Debug)]
pub struct ClickExample<'e> {
    pub campaign: &'e str,
    pub advertiser: &'e str,
    pub stored_price_micros: i64,
    pub cached_price_micros: Option<i64>,
    pub balance_micros: i64,
    pub occurred_at_ms: u64,
    pub bid_micros: Option<i64>,
    pub actual_micros: Option<i64>,
    pub placement: Placement,
    pub local_minute: u16,
    pub weekday: u8,
    pub category: &'e str,
    pub search_term: &'e str,
    pub device: &'e str,
    pub ad: &'e str,
    pub product: &'e str,
}

impl Default for ClickExample<'_> {
    /// At noon of a Saturday, 1 unit in the database, nothing else.
    fn default() -> Self {
        Self {
            campaign: "campaign_1",
            advertiser: "advertiser_1",
            stored_price_micros: crate::UNIT_MICROS,
            cached_price_micros: None,
            balance_micros: 0,
            occurred_at_ms: 1_795_230_000_000,
            bid_micros: None,
            actual_micros: None,
            placement: Placement::Other,
            local_minute: 720,
            weekday: 6,
            category: "",
            search_term: "",
            device: "",
            ad: "",
            product: "",
        }
    }
}

impl ClickExample<'_> {
    /// What the rule answers.
    pub fn ask(&self, rule: &Description, price: impl FnOnce(Click<'_>) -> Quote) -> Quote {
        let facts = Facts(rule.needs);
        let (texts, at) = facts.texts(&[
            self.campaign,
            self.advertiser,
            self.category,
            self.search_term,
            self.device,
            self.ad,
            self.product,
        ]);
        let text = |index: usize| at.get(index..=index).unwrap_or_default();
        let (cached, balance) = ([amount(self.cached_price_micros)], [self.balance_micros]);
        let (minute, weekday) = ([self.local_minute], [self.weekday]);
        let tables = ClickTables {
            texts: &texts,
            campaigns: CampaignTable {
                id: text(0),
                advertiser: text(1),
                stored_price_micros: &[self.stored_price_micros],
                cached_price_micros: facts.of(Needs::CACHED_PRICE, &cached),
                balance_micros: facts.of(Needs::BALANCE, &balance),
            },
            clicks: ClickTable {
                campaign: &[0],
                occurred_at_ms: &[self.occurred_at_ms],
                bid_micros: &[amount(self.bid_micros)],
                actual_micros: &[amount(self.actual_micros)],
                placement: &[self.placement as u8],
                local_minute: facts.of(Needs::LOCAL_TIME, &minute),
                weekday: facts.of(Needs::LOCAL_TIME, &weekday),
                category: text(2),
                search_term: text(3),
                device: text(4),
                ad: text(5),
                product: text(6),
            },
        };
        price(tables.click(0))
    }
}

/// One movement, its campaign-day and its campaign.
#[derive(Clone, Copy, Debug)]
pub struct MovementExample<'e> {
    pub campaign: &'e str,
    pub advertiser: &'e str,
    pub amount_micros: i64,
    pub spent_micros: i64,
    pub daily_budget_micros: Option<i64>,
    pub counter_micros: Option<i64>,
    pub warned_ppm: u32,
    pub is_today: bool,
    pub is_paused_by_budget: bool,
    pub is_paused_by_person: bool,
    pub was_paused_before: bool,
}

impl Default for MovementExample<'_> {
    /// A charge of 1 unit today, on a budget of 100 that is untouched.
    fn default() -> Self {
        Self {
            campaign: "campaign_1",
            advertiser: "advertiser_1",
            amount_micros: crate::UNIT_MICROS,
            spent_micros: 0,
            daily_budget_micros: Some(100 * crate::UNIT_MICROS),
            counter_micros: None,
            warned_ppm: 0,
            is_today: true,
            is_paused_by_budget: false,
            is_paused_by_person: false,
            was_paused_before: false,
        }
    }
}

impl MovementExample<'_> {
    /// What the rule answers.
    pub fn ask(&self, rule: &Description, judge: impl Fn(Movement<'_>) -> Verdict) -> Verdict {
        let facts = Facts(rule.needs);
        let (texts, at) = facts.texts(&[self.campaign, self.advertiser]);
        let counter = [amount(self.counter_micros)];
        let state = u8::from(self.is_today) * TODAY
            + u8::from(self.is_paused_by_budget) * PAUSED_BY_BUDGET
            + u8::from(self.is_paused_by_person) * PAUSED_BY_PERSON
            + u8::from(self.was_paused_before) * PAUSED_BEFORE;
        let tables = MovementTables {
            texts: &texts,
            campaigns: CampaignTable {
                id: at.get(..1).unwrap_or_default(),
                advertiser: at.get(1..).unwrap_or_default(),
                ..CampaignTable::default()
            },
            days: DayTable {
                campaign: &[0],
                day: &[20_778],
                daily_budget_micros: &[amount(self.daily_budget_micros)],
                spent_micros: &[self.spent_micros],
                counter_micros: facts.of(Needs::COUNTER, &counter),
                warned_ppm: &[self.warned_ppm],
                pause_from_micros: &[0],
                state: &[state],
            },
            campaign_day: &[0],
            amount_micros: &[self.amount_micros],
        };
        let answer = std::cell::Cell::new(None);
        tables.judge(|movement| {
            let verdict = judge(movement);
            answer.set(Some(verdict));
            verdict
        });
        answer.take().expect("one movement has one verdict")
    }
}

/// One compensation and its campaign.
#[derive(Clone, Copy, Debug)]
pub struct CompensationExample<'e> {
    pub campaign: &'e str,
    pub advertiser: &'e str,
    pub claimed_micros: i64,
    pub duplicate_count: u32,
    pub timestamp_count: u32,
    pub refundable_micros: i64,
    pub matched_micros: i64,
    pub matched_count: u32,
    pub matched_refunded_micros: i64,
    pub matched_generation: Option<u64>,
    pub clicks_are_complete: bool,
    pub device: &'e str,
    pub ad: &'e str,
}

impl Default for CompensationExample<'_> {
    /// Two duplicates of a click of 1 unit, all of them found, on a day of 10 units.
    fn default() -> Self {
        Self {
            campaign: "campaign_1",
            advertiser: "advertiser_1",
            claimed_micros: 2 * crate::UNIT_MICROS,
            duplicate_count: 2,
            timestamp_count: 3,
            refundable_micros: 10 * crate::UNIT_MICROS,
            matched_micros: 3 * crate::UNIT_MICROS,
            matched_count: 3,
            matched_refunded_micros: 0,
            matched_generation: Some(1),
            clicks_are_complete: true,
            device: "",
            ad: "",
        }
    }
}

impl CompensationExample<'_> {
    /// What the rule answers.
    pub fn ask(
        &self,
        rule: &Description,
        decide: impl Fn(Compensation<'_>) -> Decision,
    ) -> Decision {
        let facts = Facts(rule.needs);
        let (texts, at) = facts.texts(&[self.campaign, self.advertiser, self.device, self.ad]);
        let text = |index: usize| at.get(index..=index).unwrap_or_default();
        let matched = [self.matched_micros];
        let refunded = [self.matched_refunded_micros];
        let count = [self.matched_count];
        let generation = [self.matched_generation.unwrap_or(0)];
        let tables = CompensationTables {
            texts: &texts,
            campaigns: CampaignTable {
                id: text(0),
                advertiser: text(1),
                ..CampaignTable::default()
            },
            days: DayTable { campaign: &[0], day: &[20_778], ..DayTable::default() },
            compensations: CompensationTable {
                campaign_day: &[0],
                claimed_micros: &[self.claimed_micros],
                duplicate_count: &[self.duplicate_count],
                timestamp_count: &[self.timestamp_count],
                refundable_micros: &[self.refundable_micros],
                matched_micros: facts.of(Needs::MATCHED_CHARGES, &matched),
                matched_count: facts.of(Needs::MATCHED_CHARGES, &count),
                matched_refunded_micros: facts.of(Needs::MATCHED_CHARGES, &refunded),
                matched_generation: facts.of(Needs::MATCHED_CHARGES, &generation),
                clicks_complete: &[u8::from(self.clicks_are_complete)],
                device: text(2),
                ad: text(3),
            },
        };
        let mut answer = None;
        tables.decide(decide, |decision| answer = Some(decision));
        answer.expect("one compensation has one decision")
    }
}

/// What a rule is given by what it asks for.
struct Facts(Needs);

impl Facts {
    fn of<'c, T>(&self, need: Needs, column: &'c [T]) -> &'c [T] {
        if self.0.0 & need.0 != 0 { column } else { &[] }
    }

    /// The texts as the host passes them, and the index of each.
    fn texts(&self, given: &[&str]) -> (Vec<String>, Vec<u32>) {
        if self.of(Needs::TEXTS, &[()]).is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut texts = vec![String::new()];
        let mut index = |text: &&str| {
            let known = texts.iter().position(|known| known == text);
            let at = known.unwrap_or_else(|| {
                texts.push((*text).to_owned());
                texts.len() - 1
            });
            at as u32
        };
        let at = given.iter().map(&mut index).collect();
        (texts, at)
    }
}

fn amount(micros: Option<i64>) -> i64 {
    micros.unwrap_or(ABSENT_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::{Reason, Source};

    const REASON: Reason = Reason::new(1, "REASON", Source::Computed, "For tests.");

    fn asked(needs: Needs, read: fn(Click<'_>) -> i64) -> i64 {
        let rule = Description::new("rule", "1.0.0").needs(needs);
        let click = ClickExample {
            category: "shoes",
            local_minute: 61,
            cached_price_micros: Some(7),
            balance_micros: -3,
            ..ClickExample::default()
        };
        click.ask(&rule, |click| Quote::new(read(click), &REASON)).charge_micros
    }

    #[test]
    fn rules_are_given_what_they_ask_for() {
        let check = |needs, read, expected| assert_eq!(asked(needs, read), expected, "{needs:?}");
        check(Needs::NONE, |click| click.campaign().stored_price_micros(), crate::UNIT_MICROS);
        check(Needs::LOCAL_TIME, |click| click.local_minute().into(), 61);
        check(Needs::BALANCE, |click| click.campaign().balance_micros(), -3);
        check(Needs::CACHED_PRICE, |click| click.campaign().cached_price_micros().unwrap_or(0), 7);
        check(Needs::TEXTS, |click| click.category().len() as i64, 5);
        check(Needs::TEXTS, |click| click.search_term().len() as i64, 0);
        check(Needs::TEXTS, |click| click.campaign().id().len() as i64, 10);
    }

    #[test]
    #[should_panic(expected = "has to ask for it")]
    fn rules_are_not_given_what_they_forgot_to_ask_for() {
        asked(Needs::TEXTS.and(Needs::BALANCE), |click| click.local_minute().into());
    }
}
