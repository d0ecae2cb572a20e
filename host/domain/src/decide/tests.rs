mod recorded;
mod sides;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::Missing;
use crate::book::{Book, Campaign, DayState, Status};
use crate::day::Zone;
use crate::dead::Code;
use crate::event::DecodeLimits;
use crate::facts::{ThresholdFacts, day_state};
use crate::fence::action;
use crate::money;
use crate::rule::{Needs, PriceSource, Reason};
use crate::slice::{Reading, Record, Slice, SliceBuilder, Source};

const NOON_US: i64 = 1_768_446_000_000_000; // 2026-01-15T12:00:00+09:00

/// Plain functions in place of WASM. A bid of 13 traps, 14 gives a negative price, 15 one above the cap, 16 makes
/// the threshold rule trap, 17 makes it answer nonsense.
struct PlainRules {
    pricing: Description,
    threshold: Description,
    calls: u64,
}

impl PlainRules {
    fn new() -> Self {
        let describe = |name: &str, source| Description {
            name: name.into(),
            version: "1.0.0".into(),
            needs: Needs { counter: true, ..Needs::default() },
            params: Vec::new(),
            reasons: vec![Reason {
                code: 7,
                name: name.to_uppercase(),
                source,
                help: String::new(),
            }],
            fuel_base: 0,
            fuel_per_item: 0,
        };
        Self {
            pricing: describe("plain", PriceSource::Computed),
            threshold: describe("levels", PriceSource::None),
            calls: 0,
        }
    }
}

fn trap() -> RuleError {
    Fault { code: Code::RuleTrap, sentence: "trap".into() }.into()
}

impl Rules for PlainRules {
    fn pricing(&self) -> &Description {
        &self.pricing
    }

    fn threshold(&self) -> &Description {
        &self.threshold
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        self.calls += 1;
        let mut quotes = Quotes::default();
        for bid in &facts.clicks.bid_micros {
            let charge = match bid / money::MICROS_PER_UNIT {
                13 => return Err(trap()),
                14 => -1,
                15 => i64::MAX,
                _ => *bid,
            };
            quotes.charge_micros.push(charge);
            quotes.reason.push(7);
        }
        Ok(quotes)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.calls += 1;
        let mut spent = facts.days.spent_micros.clone();
        let mut verdicts = Verdicts::default();
        for (day, amount) in facts.movements.campaign_day.iter().zip(&facts.movements.amount_micros)
        {
            let day = *day as usize;
            if *amount == 16 * money::MICROS_PER_UNIT {
                return Err(trap());
            }
            spent[day] = spent[day].saturating_add(*amount);
            let budget = facts.days.daily_budget_micros[day];
            let used = spent[day].max(facts.days.counter_micros[day]);
            let usage = money::ratio_ppm(Micros(used), Micros(budget));
            let paused = facts.days.state[day] & day_state::PAUSED_BY_BUDGET != 0;
            let (action, level) = match usage {
                _ if budget < 0 => (action::KEEP, 0),
                1_000_000.. => (action::PAUSE, 1_000_000),
                900_000.. => (action::WARN, 900_000),
                _ if paused => (action::RESUME, 0),
                _ => (action::KEEP, 0),
            };
            let nonsense = *amount == 17 * money::MICROS_PER_UNIT;
            verdicts.action.push(if nonsense { 99 } else { action });
            verdicts.level_ppm.push(level);
            verdicts.usage_ppm.push(usage);
            verdicts.allowed_micros.push(*amount);
            verdicts.reason.push(7);
        }
        Ok(verdicts)
    }
}

/// A click of the log: campaign, bid in whole units, hours from noon.
#[derive(Clone, Copy, Debug)]
struct Sent {
    campaign: u8,
    bid: u32,
    hours: i8,
}

/// The ledger as a test needs it: the book, and what was appended.
#[derive(Debug)]
struct Toy {
    book: Book,
    history: Vec<String>,
    crossings: Vec<String>,
    outbox: Vec<String>,
    dead: Vec<String>,
    next_offset: i64,
    fates: [i64; 4],
    /// Spend by the counter in Redis, the same for every campaign.
    counter: Option<Micros>,
    now_us: i64,
}

/// The limits of all tests: a pause needs half of the budget to be spent.
const FENCE: FenceLimits =
    FenceLimits { charge_max: Micros(1_000_000_000_000), pause_floor_ppm: 500_000 };

impl Toy {
    fn new() -> Self {
        let mut book = Book::default();
        for (id, advertiser, budget) in [
            ("c0", "a0", Some(100)),
            ("c1", "a0", Some(40)),
            ("c2", "a1", None),
            ("c3", "a1", Some(0)),
        ] {
            let campaign = Campaign {
                id: id.into(),
                advertiser: advertiser.into(),
                status: Status::Active,
                paused_reason: None,
                daily_budget: budget.map(|units| Micros(units * money::MICROS_PER_UNIT)),
                cpc: Micros(1),
                zone: Zone::new("Asia/Seoul").unwrap(),
                version: 1,
            };
            book.campaigns.insert(Arc::clone(&campaign.id), campaign);
        }
        Self {
            book,
            history: Vec::new(),
            crossings: Vec::new(),
            outbox: Vec::new(),
            dead: Vec::new(),
            next_offset: 0,
            fates: [0; 4],
            counter: None,
            now_us: NOON_US,
        }
    }

    /// Looks at a campaign without a click.
    fn look(&mut self, campaign: &str) {
        assert_eq!(self.look_by(campaign, &mut PlainRules::new()), 0);
    }

    /// As `look`, with the number of faults.
    fn look_by(&mut self, campaign: &str, rules: &mut dyn Rules) -> u64 {
        let ids: [Arc<str>; 1] = [campaign.into()];
        if let Err(missing) = Resolved::look(&self.book, &ids, self.now_us) {
            self.read(missing);
        }
        let book = self.book.clone();
        let resolved = Resolved::look(&book, &ids, self.now_us).expect("all rows were read");
        let context = self.context(&[], 1_000);
        let Decision { plan, faults, .. } = look(&resolved, &context, rules).unwrap();
        assert!(plan.advances.is_empty() && plan.balances.is_empty() && plan.history.is_empty());
        self.apply(&plan);
        faults
    }

    fn context<'c>(&self, hints: &'c [Hint], rows_max: usize) -> Context<'c> {
        let now_us = self.now_us;
        Context {
            generation: 3,
            now_us,
            hints,
            fence: &FENCE,
            rule_rows_max: rows_max,
            record: true,
        }
    }

    fn slice(&self, sent: &[Sent]) -> Slice {
        let source = Source { topic: "ad-events".into(), partition: 0, incarnation: 0, epoch: 1 };
        let mut builder = SliceBuilder::new(Arc::new(source), self.next_offset, Reading::Clicks);
        for (at, click) in sent.iter().enumerate() {
            let at_us = NOON_US + i64::from(click.hours) * 3_600_000_000;
            let time = jiff::Timestamp::from_microsecond(at_us).unwrap();
            let payload = format!(
                r#"{{"event_type":"CLICK","timestamp":"{time}","campaign_id":"c{}","advertiser_id":"a{}","bid_price":{},"device_id":"d"}}"#,
                click.campaign,
                if click.campaign == 5 { 9 } else { click.campaign / 2 },
                click.bid,
            );
            let record = Record {
                offset: self.next_offset + at as i64,
                at_ms: self.now_us / 1_000,
                key: Some(b"key"),
                payload: Some(payload.as_bytes()),
                headers: &[],
            };
            builder.push(&record, &DecodeLimits::default());
        }
        builder.finish()
    }

    fn charge(&mut self, sent: &[Sent], rows_max: usize) {
        let batch = Batch::new(vec![self.slice(sent)], &self.book);
        if let Err(missing) = batch.resolve(&self.book) {
            self.read(missing);
        }
        let resolved = batch.resolve(&self.book).expect("all rows were read");
        let hint = Hint { counter: self.counter, ..Hint::default() };
        let hints = vec![hint; resolved.campaigns.len()];
        let context = self.context(&hints, rows_max);
        let plan = decide(&batch, &resolved, &context, &mut PlainRules::new()).unwrap().plan;
        self.apply(&plan);
        self.book.unknown.clear();
    }

    fn read(&mut self, missing: Missing) {
        self.book.unknown.extend(missing.campaigns);
        for advertiser in missing.advertisers {
            self.book.balances.insert(advertiser, Micros::ZERO);
        }
        for day in missing.days {
            self.book.days.insert(day, DayState::default());
        }
    }

    fn apply(&mut self, plan: &Plan<'_>) {
        for advance in &plan.advances {
            assert_eq!(advance.expected_offset, self.next_offset);
            self.next_offset = advance.next_offset;
            let fates = [advance.charged, advance.skipped, advance.dead, advance.absent];
            assert_eq!(fates.iter().sum::<i64>(), advance.next_offset - advance.expected_offset);
            for (sum, fate) in self.fates.iter_mut().zip(fates) {
                *sum += fate;
            }
        }
        for moved in &plan.balances {
            assert_eq!(self.book.balances[&moved.advertiser], moved.expected);
        }
        for row in &plan.history {
            let (amount, after) = (row.amount, row.balance_after);
            let (offset, campaign, day) = (row.offset, row.campaign, row.day);
            let reason = &plan.reason_of(row).name;
            self.history.push(format!("{offset} {campaign} {day} {amount} {after} {reason}"));
        }
        self.crossings.extend(plan.crossings.iter().map(|crossing| format!("{crossing:?}")));
        self.outbox.extend(plan.outbox.iter().map(|message| format!("{message:?}")));
        let dead = plan.dead.iter().map(|d| format!("{} {}", d.offset, d.rejection.code.as_str()));
        self.dead.extend(dead);
        self.book.absorb(plan);
    }

    /// Everything that must not depend on how the log was cut.
    fn outcome(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.book.balances.iter().map(|(id, balance)| format!("{id} {balance}")));
        lines.extend(self.book.days.iter().map(|(key, state)| {
            let (spent, over) = (state.spent, state.overspent);
            format!("{key:?} {spent} {over} {} {}", state.warned_ppm, state.paused_ppm)
        }));
        lines.extend(
            self.book.campaigns.values().map(|campaign| {
                format!("{} {:?} {}", campaign.id, campaign.status, campaign.version)
            }),
        );
        lines.sort();
        let parts = [&lines, &self.history, &self.crossings, &self.outbox, &self.dead];
        let parts: Vec<_> = parts.iter().map(|part| part.join("\n")).collect();
        format!("{}\n{:?} {}", parts.join("\n--\n"), self.fates, self.next_offset)
    }
}

fn clicks(text: &str) -> Vec<Sent> {
    let read = |word: &str| {
        let mut parts = word.split(':').map(|part| part.parse::<i32>().unwrap());
        let mut next = || parts.next().unwrap_or(0);
        Sent { campaign: next() as u8, bid: next() as u32, hours: next() as i8 }
    };
    text.split_whitespace().map(read).collect()
}

fn run(sent: &str) -> Toy {
    let mut toy = Toy::new();
    toy.charge(&clicks(sent), 1_000);
    toy
}

/// One line a case: `campaign:bid:hours` clicks, then history amounts, dead codes, crossings and statuses.
fn check(sent: &str, amounts: &str, dead: &str, crossings: &str) {
    let toy = run(sent);
    let found = |lines: &[String], at: usize| {
        let words: Vec<_> = lines.iter().map(|l| l.split(' ').nth(at).unwrap_or("")).collect();
        words.join(" ")
    };
    assert_eq!(found(&toy.history, 3), amounts, "{sent}: amounts");
    assert_eq!(found(&toy.dead, 1), dead, "{sent}: dead letters");
    let keys: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(keys.join(" "), crossings, "{sent}: crossings");
}

fn crossing_word(text: &str) -> String {
    let kind = ["Warn", "Pause", "Resume"].into_iter().find(|kind| text.contains(kind)).unwrap();
    let campaign = text.split('"').nth(1).unwrap();
    format!("{kind}({campaign})")
}

#[test]
fn one_click_at_a_time_reads_like_the_specification() {
    check("0:10", "-10", "", "");
    check("0:90", "-90", "", "Warn(c0)");
    check("0:89 0:1 0:1", "-89 -1 -1", "", "Warn(c0)");
    check("0:90 0:9 0:1", "-90 -9 -1", "", "Warn(c0) Pause(c0)");
    check("0:100", "-100", "", "Pause(c0)");
    check("0:100 0:5 0:5", "-100 -5 -5", "", "Pause(c0)");
    check("2:1000", "-1000", "", "");
    check("3:0", "0", "", "");
    check("3:1", "-1", "", "Pause(c3)");
    check("0:90:-20", "-90", "", "Warn(c0)");
    check("0:100:-20", "-100", "", "");
}

#[test]
fn only_the_poison_click_dies() {
    check("0:10 0:13 0:11", "-10 -11", "RULE_TRAP", "");
    check("0:13", "", "RULE_TRAP", "");
    check("0:13 1:13 0:1 2:13", "-1", "RULE_TRAP RULE_TRAP RULE_TRAP", "");
    check("0:1 0:14 0:2", "-1 -2", "FENCE_BREACH", "");
    check("0:1 0:15 0:2", "-1 -2", "FENCE_BREACH", "");
    check("0:1 0:16 0:2", "-1 -2", "RULE_TRAP", "");
    check("0:1 0:17 0:2", "-1 -2", "FENCE_BREACH", "");
    check("0:80 0:16 0:10", "-80 -10", "RULE_TRAP", "Warn(c0)");
    check("4:1 0:2", "-2", "UNKNOWN_CAMPAIGN", "");
    check("5:1 0:2", "-2", "UNKNOWN_CAMPAIGN", "");
}

#[test]
fn a_foreign_campaign_is_not_charged() {
    let mut toy = Toy::new();
    let campaign = toy.book.campaigns.get_mut("c0").unwrap();
    campaign.advertiser = "someone".into();
    toy.charge(&clicks("0:10 1:5"), 1_000);
    assert_eq!(toy.dead, ["0 ADVERTISER_MISMATCH"]);
    assert_eq!(toy.history.len(), 1);
}

#[test]
fn a_sum_that_does_not_fit_has_one_culprit() {
    let mut toy = Toy::new();
    toy.book.balances.insert("a0".into(), Micros(i64::MIN + 5_000_000));
    toy.charge(&clicks("0:3 0:4 0:2 2:1"), 1_000);
    assert_eq!(toy.dead, ["1 AMOUNT_OVERFLOW"]);
    assert_eq!(toy.history.len(), 3);
}

#[test]
fn a_persons_pause_is_never_touched() {
    let mut toy = Toy::new();
    toy.book.campaigns.get_mut("c0").unwrap().status = Status::Paused;
    toy.charge(&clicks("0:100 0:10"), 1_000);
    let campaign = &toy.book.campaigns["c0"];
    assert_eq!((campaign.status, campaign.version), (Status::Paused, 1));
    assert!(toy.crossings.is_empty());
}

#[test]
fn a_raised_budget_resumes_and_counts_levels_anew() {
    let mut toy = Toy::new();
    toy.charge(&clicks("0:90 0:10 0:1"), 1_000);
    toy.book.campaigns.get_mut("c0").unwrap().daily_budget = Some(Micros(200_000_000));
    toy.charge(&clicks("0:1 0:80 0:20"), 1_000);
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Warn(c0)", "Pause(c0)", "Resume(c0)", "Warn(c0)", "Pause(c0)"]);
    let keys: std::collections::BTreeSet<_> = toy.outbox.iter().collect();
    assert_eq!(keys.len(), 5, "every message has a key of its own");
}

#[test]
fn overspend_is_what_follows_the_pause() {
    let toy = run("0:100 0:5 0:6");
    let day = toy.book.days.values().find(|day| day.paused_ppm != 0).unwrap();
    assert_eq!((day.spent, day.overspent), (Micros(111_000_000), Micros(11_000_000)));
}

#[test]
fn a_new_day_resumes_without_a_click() {
    let mut toy = run("0:100 1:10");
    toy.look("c0");
    assert_eq!(toy.crossings.len(), 1, "the day that paused it is not over");
    toy.now_us += 24 * 3_600_000_000;
    for campaign in ["c0", "c0", "c1"] {
        toy.look(campaign);
    }
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Pause(c0)", "Resume(c0)"]);
    assert_eq!(toy.book.campaigns["c0"].status, Status::Active);
}

#[test]
fn a_day_can_be_exhausted_before_anyone_has_resumed_it() {
    let mut toy = run("0:100");
    toy.now_us += 24 * 3_600_000_000;
    toy.charge(&clicks("0:100:24 0:1:24"), 1_000);
    toy.look("c0");
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Pause(c0)", "Pause(c0)"]);
    let day = toy.book.days.values().max_by_key(|day| day.spent).unwrap();
    assert_eq!(day.overspent, Micros(1_000_000));
}

#[test]
fn a_persons_pause_outlives_the_day() {
    let mut toy = Toy::new();
    let campaign = toy.book.campaigns.get_mut("c0").unwrap();
    (campaign.status, campaign.paused_reason) = (Status::Paused, Some("FRAUD".into()));
    toy.now_us += 24 * 3_600_000_000;
    toy.look("c0");
    assert!(toy.crossings.is_empty());
}

#[test]
fn a_lowered_budget_pauses_without_a_click() {
    let mut toy = run("0:60");
    let campaign = toy.book.campaigns.get_mut("c0").unwrap();
    (campaign.daily_budget, campaign.version) = (Some(Micros(50_000_000)), 2);
    toy.look("c0");
    toy.look("c0");
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Pause(c0)"]);
}

#[test]
fn a_counter_that_runs_ahead_pauses_from_the_floor_on_and_is_told_once_below_it() {
    let mut toy = Toy::new();
    toy.counter = Some(Micros(100_000_000));
    toy.charge(&clicks("0:10 0:10"), 1_000);
    toy.charge(&clicks("0:10"), 1_000);
    assert!(toy.crossings.is_empty());
    assert_eq!(toy.outbox.len(), 1, "{:?}", toy.outbox);
    assert!(toy.outbox[0].contains("pause-refused:c0:2026-01-15"), "{:?}", toy.outbox);
    toy.charge(&clicks("0:20"), 1_000);
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Pause(c0)"]);
}

#[test]
fn todays_counter_says_nothing_about_yesterday() {
    let mut toy = Toy::new();
    toy.counter = Some(Micros(95_000_000));
    toy.charge(&clicks("0:60:-20"), 1_000);
    assert!(toy.crossings.is_empty());
    toy.charge(&clicks("0:60"), 1_000);
    let kinds: Vec<_> = toy.crossings.iter().map(|c| crossing_word(c)).collect();
    assert_eq!(kinds, ["Warn(c0)"]);
}

fn log() -> impl Strategy<Value = Vec<Sent>> {
    let click = (0..5_u8, 0..30_u32, prop_oneof![4 => Just(0_i8), 1 => -24..10_i8]);
    prop::collection::vec(click, 1..60).prop_map(|clicks| {
        clicks.into_iter().map(|(campaign, bid, hours)| Sent { campaign, bid, hours }).collect()
    })
}

proptest! {
    #[test]
    fn batches_are_invisible(
        sent in log(),
        cuts in prop::collection::vec(1..20_usize, 1..20),
        rows_max in 1..40_usize,
    ) {
        let mut single = Toy::new();
        for click in &sent {
            single.charge(std::slice::from_ref(click), 1_000);
        }
        let mut batched = Toy::new();
        let (mut rest, mut cuts) = (sent.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            batched.charge(batch, rows_max);
            rest = later;
        }
        prop_assert_eq!(single.outcome(), batched.outcome());
    }

    #[test]
    fn money_is_conserved(sent in log()) {
        let mut toy = Toy::new();
        toy.charge(&sent, 1_000);
        let charged: i64 = toy.book.days.values().map(|day| day.spent.0).sum();
        let balances: i64 = toy.book.balances.values().map(|balance| balance.0).sum();
        prop_assert_eq!(charged, -balances);
    }
}

#[test]
fn compensations_are_taken_in_with_the_progress() {
    let good = br#"{"timestamp":"2026-01-15T03:00:00Z","campaign_id":"c","advertiser_id":"a",
        "duplicate_click_count":2,"refund_amount":1}"#;
    let slice = |partition, payloads: &[&[u8]]| {
        let source =
            Source { topic: "compensation-events".into(), partition, incarnation: 0, epoch: 1 };
        let mut builder = SliceBuilder::new(Arc::new(source), 7, Reading::Compensations);
        for (at, payload) in payloads.iter().enumerate() {
            let (offset, payload) = (8 + at as i64, Some(*payload));
            let record = Record { offset, at_ms: -1, key: Some(b"a"), payload, headers: &[] };
            builder.push(&record, &DecodeLimits::default());
        }
        builder.finish()
    };
    let toy = Toy::new();
    let batch = Batch::new(vec![slice(1, &[good, b"no", good]), slice(0, &[good])], &toy.book);
    assert_eq!((batch.clicks(), batch.items()), (0, 3));
    let resolved = batch.resolve(&toy.book).expect("nothing has to be read");
    let context = toy.context(&[], 1_000);
    let plan = decide(&batch, &resolved, &context, &mut PlainRules::new()).unwrap().plan;
    let places: Vec<_> =
        plan.compensations.iter().map(|row| (row.source.partition, row.offset)).collect();
    assert_eq!(places, [(0, 8), (1, 8), (1, 10)]);
    let fates: Vec<_> = plan
        .advances
        .iter()
        .map(|advance| (advance.next_offset, advance.charged, advance.dead, advance.absent))
        .collect();
    assert_eq!(fates, [(9, 1, 0, 1), (11, 2, 1, 1)]);
    assert_eq!((plan.dead[0].offset, plan.history.len(), plan.balances.len()), (9, 0, 0));
    assert_eq!(plan.compensations[0].payload.as_bytes(), good);
    assert_eq!(plan.compensations[0].key.as_deref(), Some(&b"a"[..]));
}
