use proptest::prelude::*;

use super::*;
use crate::book::{BUDGET_EXHAUSTED, Status};
use crate::day::Zone;
use crate::facts::{ABSENT_MICROS, day_state};
use crate::rule::{Needs, PriceSource, Reason};
use crate::slice::Source;

mod shared_instants;

const NOON_US: i64 = 1_768_446_000_000_000; // 2026-01-15T12:00:00+09:00
const DAY: i32 = 20_468;
const LIMITS: RefundLimits = RefundLimits { settle_us: 600, expire_us: 1_000 };

/// Answers as a test wants, or as the shipped rule does, and keeps what it was asked.
struct PlainRule {
    description: Description,
    answer: Answer,
    asked: Option<RefundColumns>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Action, refund and reason.
    Fixed(u8, i64, u16),
    /// What is claimed within the day and the matched charges.
    AsClaimed,
    /// Everything that the fence allows.
    Greedy,
    Trap,
    Silence,
    HostFailure,
}

impl PlainRule {
    fn new(answer: Answer) -> Self {
        let reason = Reason {
            code: 7,
            name: "PLAIN".into(),
            source: PriceSource::None,
            help: "Help.".into(),
        };
        let description = Description {
            name: "plain".into(),
            version: "1.0.0".into(),
            needs: Needs { matched_charges: true, ..Needs::default() },
            params: Vec::new(),
            reasons: vec![reason],
            fuel_base: 0,
            fuel_per_item: 0,
        };
        Self { description, answer, asked: None }
    }
}

impl RefundRule for PlainRule {
    fn description(&self) -> &Description {
        &self.description
    }

    fn decide(&mut self, facts: &RefundColumns) -> Result<Decisions, RuleError> {
        self.asked = Some(facts.clone());
        let table = &facts.compensations;
        let refundable = table.refundable_micros[0];
        let of = |refund: i64| (u8::from(refund > 0), refund, 7);
        let (action, refund, reason) = match self.answer {
            Answer::Fixed(action, refund, reason) => (action, refund, reason),
            Answer::AsClaimed => {
                let left = match table.matched_count[0] {
                    0 => i64::MAX,
                    _ => table.matched_micros[0] - table.matched_refunded_micros[0],
                };
                of(table.claimed_micros[0].min(refundable).min(left))
            }
            Answer::Greedy => of(refundable),
            Answer::Trap => {
                return Err(Fault { code: Code::RuleTrap, sentence: "trap".into() }.into());
            }
            Answer::Silence => return Ok(Decisions::default()),
            Answer::HostFailure => return Err(RuleError::Host("no instance".into())),
        };
        Ok(Decisions { action: vec![action], refund_micros: vec![refund], reason: vec![reason] })
    }
}

fn row(count: u32, claimed: i64, seconds: &[i64]) -> CompensationRow {
    let source =
        Source { topic: "compensation-events".into(), partition: 2, incarnation: 1, epoch: 0 };
    CompensationRow {
        source: Arc::new(source),
        offset: 40,
        record_at_ms: NOON_US / 1_000,
        event: CompensationEvent {
            advertiser: "a0".into(),
            campaign: "c0".into(),
            ad: "ad".into(),
            device: "device".into(),
            duplicate_count: count,
            claimed: Micros(claimed),
            timestamps_us: seconds.iter().map(|second| at_us(*second)).collect(),
            window: "5_MINUTES".into(),
            reason: "DUPLICATE".into(),
            kind: "BALANCE_REFUND".into(),
            occurred_at_us: at_us(300),
        },
        payload: "{\"the\":\"bytes\"}".into(),
        key: Some(b"\xffkey".to_vec()),
        headers: vec![("trace".into(), None)],
    }
}

fn at_us(second: i64) -> i64 {
    NOON_US + second * 1_000_000
}

/// A charge at each second; those of a negative price were refunded.
fn facts(spent: i64, charges: &[(i64, i64)]) -> RefundFacts {
    let charge = |(at, (second, price)): (usize, &(i64, i64))| MatchedCharge {
        topic: "ad-events".into(),
        incarnation: 0,
        partition: 0,
        offset: at as i64,
        occurred_at_us: at_us(*second),
        day: Day(DAY),
        charged: Micros(price.abs()),
        generation: 3,
        refunded: *price < 0,
    };
    RefundFacts {
        campaign: Campaign {
            id: "c0".into(),
            advertiser: "a0".into(),
            status: Status::Active,
            paused_reason: None,
            daily_budget: Some(Micros(1_000)),
            cpc: Micros(100),
            zone: Zone::new("Asia/Seoul").unwrap(),
            version: 9,
        },
        balance: Micros(-50),
        day: DayKey { campaign: "c0".into(), day: Day(DAY) },
        state: DayState { spent: Micros(spent), version: 4, ..DayState::default() },
        charges: charges.iter().enumerate().map(charge).collect(),
        charged_to: None,
        retired: false,
        generation: 5,
        now_us: at_us(400),
        waited_us: 10,
    }
}

fn settled(row: &CompensationRow, facts: &RefundFacts, answer: Answer) -> RefundPlan {
    decide(1, row, facts, &LIMITS, &mut PlainRule::new(answer)).expect("the host runs the rule")
}

/// What an answer leads to when three clicks of 100 were matched on a day of 500: state, reason, dead letter, refund.
fn check(answer: Answer, waited_us: i64, expected: (&str, &str, Option<Code>, i64)) {
    let facts = RefundFacts { waited_us, ..facts(500, &[(1, 100), (2, 100), (3, 100)]) };
    check_facts(&row(3, 200, &[1, 2, 3]), &facts, answer, expected);
}

fn check_facts(
    row: &CompensationRow,
    facts: &RefundFacts,
    answer: Answer,
    expected: (&str, &str, Option<Code>, i64),
) {
    let plan = settled(row, facts, answer);
    let code = plan.dead.as_ref().map(|dead| dead.rejection.code);
    let found = (plan.state, plan.reason.as_str(), code, plan.refund.0);
    assert_eq!(found, expected, "{answer:?} {plan:?}");
    check_whole(&plan, row, facts);
}

/// What holds for every plan.
fn check_whole(plan: &RefundPlan, row: &CompensationRow, facts: &RefundFacts) {
    let is_refund = plan.state == state::REFUNDED;
    assert_eq!(is_refund, plan.refund > Micros::ZERO);
    assert_eq!((plan.balance.is_some(), plan.day.is_some()), (is_refund, is_refund));
    assert!(is_refund || (plan.charges.is_empty() && plan.mismatch.is_none()));
    let is_failure = [state::REJECTED, state::EXPIRED].contains(&plan.state);
    assert_eq!((plan.dead.is_some(), plan.outbox.len()), (is_failure, usize::from(is_failure)));
    assert_eq!((plan.compensation, plan.generation), (1, facts.generation));
    if let (Some(balance), Some(day)) = (&plan.balance, &plan.day) {
        assert_eq!(balance.expected, facts.balance);
        assert_eq!(balance.new.0 - facts.balance.0, plan.refund.0);
        assert_eq!(facts.state.spent.0 - day.new.spent.0, plan.refund.0);
        assert_eq!((day.campaign_version, day.expected_version), (9, facts.state.version));
        assert_eq!((day.new.version, &day.key), (facts.state.version + 1, &facts.day));
    }
    if let Some(dead) = &plan.dead {
        assert_eq!(dead.payload.as_deref(), Some(row.payload.as_bytes()));
        assert_eq!((&dead.key, &dead.headers), (&row.key, &row.headers));
        assert_eq!((dead.offset, dead.generation), (row.offset, facts.generation));
        assert_eq!(plan.outbox[0].key, "refund-failed:compensation-events:1:2:40");
        assert_eq!(plan.outbox[0].kind, HappeningKind::RefundFailed);
    }
}

#[test]
fn an_answer_becomes_a_state() {
    let fixed = |action, refund| Answer::Fixed(action, refund, 7);
    let rejected = Some(Code::CompensationRejected);
    check(fixed(1, 200), 0, ("REFUNDED", "PLAIN", None, 200));
    check(fixed(1, 1), 0, ("REFUNDED", "PLAIN", None, 1));
    check(fixed(1, 500), 0, ("REFUNDED", "PLAIN", None, 500));
    check(fixed(0, 0), 0, ("REJECTED", "PLAIN", rejected, 0));
    check(fixed(2, 0), 0, ("WAITING", "PLAIN", None, 0));
    check(fixed(2, 0), 999, ("WAITING", "PLAIN", None, 0));
    check(fixed(2, 0), 1_000, ("EXPIRED", "PLAIN", Some(Code::CompensationExpired), 0));
    check(fixed(1, 200), 1_000, ("REFUNDED", "PLAIN", None, 200));
    check(fixed(0, 0), 1_000, ("REJECTED", "PLAIN", rejected, 0));
}

#[test]
fn a_faulty_answer_is_not_used() {
    let fixed = Answer::Fixed;
    let breach = ("REJECTED", "FENCE_BREACH", Some(Code::FenceBreach), 0);
    for answer in [
        fixed(1, 501, 7),
        fixed(1, i64::MAX, 7),
        fixed(1, 0, 7),
        fixed(1, -1, 7),
        fixed(1, i64::MIN, 7),
        fixed(0, 1, 7),
        fixed(2, 1, 7),
        fixed(3, 0, 7),
        fixed(1, 200, 8),
    ] {
        check(answer, 0, breach);
    }
    check(Answer::Trap, 0, ("REJECTED", "RULE_TRAP", Some(Code::RuleTrap), 0));
    let wrong = ("REJECTED", "RULE_WRONG_ANSWERS", Some(Code::RuleWrongAnswers), 0);
    check(Answer::Silence, 0, wrong);
}

#[test]
fn a_failure_of_the_host_decides_nothing() {
    let mut rule = PlainRule::new(Answer::HostFailure);
    let decided = decide(1, &row(2, 100, &[1]), &facts(500, &[]), &LIMITS, &mut rule);
    assert_eq!(decided, Err(RuleError::Host("no instance".into())));
}

#[test]
fn what_does_not_fit_is_a_dead_letter() {
    let three = row(3, 200, &[1, 2, 3]);
    let rich = RefundFacts { balance: Micros(i64::MAX - 199), ..facts(500, &[]) };
    let overflow = ("REJECTED", "AMOUNT_OVERFLOW", Some(Code::AmountOverflow), 0);
    check_facts(&three, &rich, Answer::Fixed(1, 200, 7), overflow);
    check_facts(&three, &rich, Answer::Fixed(1, 199, 7), ("REFUNDED", "PLAIN", None, 199));
    // A day whose refunds exceed its charges gives nothing back.
    let breach = ("REJECTED", "FENCE_BREACH", Some(Code::FenceBreach), 0);
    check_facts(&three, &facts(-1, &[]), Answer::Fixed(1, 1, 7), breach);
    check_facts(&three, &facts(0, &[]), Answer::Fixed(1, 1, 7), breach);
}

#[test]
fn a_foreign_advertiser_is_refused_at_once() {
    let mut foreign = row(3, 200, &[1, 2, 3]);
    foreign.event.advertiser = "a1".into();
    let mismatch = ("REJECTED", "ADVERTISER_MISMATCH", Some(Code::AdvertiserMismatch), 0);
    check_facts(&foreign, &facts(500, &[]), Answer::Greedy, mismatch);
}

#[test]
fn what_was_charged_to_another_advertiser_is_refused_at_once() {
    let moved = RefundFacts { charged_to: Some("a7".into()), ..facts(500, &[(2, 100), (3, 100)]) };
    let mismatch = ("REJECTED", "ADVERTISER_MISMATCH", Some(Code::AdvertiserMismatch), 0);
    check_facts(&row(3, 200, &[1, 2, 3]), &moved, Answer::AsClaimed, mismatch);
}

#[test]
fn what_may_have_been_given_back_on_a_retired_day_is_not_paid() {
    let three = row(3, 200, &[1, 2, 3]);
    for charges in [&[][..], &[(2, 100), (3, 100)]] {
        let of = |waited_us| RefundFacts { retired: true, waited_us, ..facts(500, charges) };
        for answer in [Answer::AsClaimed, Answer::Greedy] {
            // A click of that day may come late.
            check_facts(&three, &of(599), answer, ("WAITING", "DAY_RETIRED", None, 0));
            let refused = ("REJECTED", "DAY_RETIRED", Some(Code::DayRetired), 0);
            check_facts(&three, &of(600), answer, refused);
        }
    }
}

#[test]
fn an_unknown_campaign_may_still_be_loaded() {
    let row = row(3, 200, &[1, 2, 3]);
    let decided = |waited_us| decide_unknown(1, &row, 5, at_us(400), waited_us, &LIMITS);
    let facts = facts(500, &[]);
    for (waited_us, expected) in [(999, state::WAITING), (1_000, state::EXPIRED)] {
        let plan = decided(waited_us);
        assert_eq!((plan.state, plan.reason.as_str()), (expected, "UNKNOWN_CAMPAIGN"));
        check_whole(&plan, &row, &facts);
    }
    let dead = decided(1_000).dead.expect("it has expired");
    assert_eq!(dead.rejection.code, Code::UnknownCampaign);
}

/// Seconds of the charges that a refund gives back; a charge of a negative price was given back before.
fn check_given_back(charges: &[(i64, i64)], refund: i64, expected: &[i64]) {
    let facts = facts(10_000, charges);
    let plan = settled(&row(3, 200, &[1, 2, 3]), &facts, Answer::Fixed(1, refund, 7));
    let seconds: Vec<_> =
        plan.charges.iter().map(|charge| (charge.occurred_at_us - NOON_US) / 1_000_000).collect();
    assert_eq!(seconds, expected, "{charges:?} {refund}");
}

#[test]
fn duplicates_are_given_back_once() {
    check_given_back(&[(1, 100), (2, 100), (3, 100)], 200, &[2, 3]);
    // What is paid of a claim of 200 alone.
    check_given_back(&[(1, 100), (2, 100), (3, 100)], 1, &[2]);
    check_given_back(&[(1, 100), (2, 100), (3, 100)], 100, &[2]);
    check_given_back(&[(1, 100), (2, 100), (3, 100)], 101, &[2, 3]);
    check_given_back(&[(1, 100), (2, 50), (3, 60)], 110, &[2, 3]);
    check_given_back(&[(1, 100), (2, 70), (3, 130)], 60, &[2]);
    check_given_back(&[(1, 100), (2, -100), (3, 100)], 100, &[3]);
    check_given_back(&[(1, -100), (2, -100), (3, 100)], 100, &[3]);
    // More than the duplicates have cost is the earliest charge's.
    check_given_back(&[(1, 100), (2, 100), (3, 100)], 201, &[1, 2, 3]);
    check_given_back(&[(1, 100), (2, -100), (3, 100)], 200, &[1, 3]);
    check_given_back(&[(1, -100), (2, -100), (3, 100)], 200, &[3]);
    check_given_back(&[(1, 100)], 100, &[1]);
    check_given_back(&[(1, -100), (2, -100)], 100, &[]);
    check_given_back(&[], 100, &[]);
}

/// What the rule is told about matched charges: sum, number, given back, generation, completeness.
fn check_told(
    (count, seconds): (u32, &[i64]),
    charges: &[(i64, i64)],
    waited_us: i64,
    expected: (i64, u32, i64, u64, u8),
) {
    let facts = RefundFacts { waited_us, ..facts(500, charges) };
    let mut rule = PlainRule::new(Answer::Fixed(0, 0, 7));
    decide(1, &row(count, 200, seconds), &facts, &LIMITS, &mut rule).unwrap();
    let table = rule.asked.expect("the rule was asked").compensations;
    let found = (
        table.matched_micros[0],
        table.matched_count[0],
        table.matched_refunded_micros[0],
        table.matched_generation[0],
        table.clicks_complete[0],
    );
    assert_eq!(found, expected, "{count} {seconds:?} {charges:?}");
    assert_eq!((table.duplicate_count[0], table.timestamp_count[0]), (count, seconds.len() as u32));
}

#[test]
fn a_rule_is_told_what_was_matched() {
    let three: (u32, &[i64]) = (3, &[1, 2, 3]);
    check_told(three, &[(1, 100), (2, 100), (3, 100)], 0, (300, 3, 0, 3, 1));
    // The earliest counts as given back as soon as any other was.
    check_told(three, &[(1, 100), (2, -100), (3, 100)], 0, (300, 3, 200, 3, 1));
    check_told(three, &[(1, -100), (2, 100), (3, 100)], 0, (300, 3, 100, 3, 1));
    check_told(three, &[(1, -100), (2, -100), (3, 100)], 0, (300, 3, 200, 3, 1));
    // Without a duplicate that is left, nothing is.
    check_told(three, &[(1, 100), (2, -100), (3, -100)], 0, (300, 3, 300, 3, 1));
    check_told(three, &[(1, 100)], 600, (100, 1, 100, 3, 1));
    check_told(three, &[], 0, (0, 0, 0, 0, 0));
    check_told(three, &[], 599, (0, 0, 0, 0, 0));
    check_told(three, &[], 600, (0, 0, 0, 0, 1));
    check_told(three, &[(1, 100), (2, 100)], 0, (200, 2, 0, 3, 0));
    check_told((4, &[1, 2, 3]), &[(1, 100), (2, 100), (3, 100)], 0, (300, 3, 0, 3, 0));
    check_told((1, &[1, 2, 3]), &[(1, 100), (2, 100)], 0, (200, 2, 0, 3, 0));
    // The day has charged 500, and 200 are claimed.
    check_told((3, &[]), &[], 0, (0, 0, 0, 0, 1));
}

#[test]
fn what_names_no_clicks_waits_for_its_amount() {
    let complete = |spent, waited_us| {
        let facts = RefundFacts { waited_us, ..facts(spent, &[]) };
        let mut rule = PlainRule::new(Answer::Fixed(0, 0, 7));
        decide(1, &row(3, 200, &[]), &facts, &LIMITS, &mut rule).unwrap();
        rule.asked.unwrap().compensations.clicks_complete[0]
    };
    assert_eq!([complete(199, 0), complete(200, 0), complete(199, 599)], [0, 1, 0]);
    assert_eq!(complete(0, 600), 1);
}

#[test]
fn a_rule_is_told_what_the_day_can_give_back() {
    for (spent, expected) in [(500, 500), (0, 0), (-1, 0), (i64::MIN, 0), (i64::MAX, i64::MAX)] {
        let mut rule = PlainRule::new(Answer::Fixed(0, 0, 7));
        decide(1, &row(2, 100, &[1, 2]), &facts(spent, &[]), &LIMITS, &mut rule).unwrap();
        let asked = rule.asked.expect("the rule was asked");
        assert_eq!(asked.compensations.refundable_micros, [expected]);
        assert_eq!(asked.days.spent_micros, [spent]);
    }
}

#[test]
fn several_generations_are_none() {
    let mut facts = facts(500, &[(1, 100), (2, 100)]);
    facts.charges[1].generation = 4;
    let mut rule = PlainRule::new(Answer::Fixed(0, 0, 7));
    decide(1, &row(2, 100, &[1, 2]), &facts, &LIMITS, &mut rule).unwrap();
    assert_eq!(rule.asked.unwrap().compensations.matched_generation, [0]);
}

#[test]
fn a_rule_gets_only_what_it_asks_for() {
    let (row, mut facts) = (row(2, 100, &[1, 2]), facts(500, &[(1, 100), (2, 100)]));
    facts.campaign.status = Status::Paused;
    facts.campaign.paused_reason = Some(BUDGET_EXHAUSTED.into());
    facts.state = DayState { paused_ppm: 1, crossing_budget: Some(Micros(1_000)), ..facts.state };
    let ask = |needs| {
        let mut rule = PlainRule::new(Answer::Fixed(0, 0, 7));
        rule.description.needs = needs;
        decide(1, &row, &facts, &LIMITS, &mut rule).unwrap();
        rule.asked.expect("the rule was asked")
    };
    let least = ask(Needs::default());
    assert!(least.compensations.matched_micros.is_empty() && least.texts.is_empty());
    assert!(least.campaigns.balance_micros.is_empty() && least.days.counter_micros.is_empty());
    let bits = day_state::PAUSED_BY_BUDGET | day_state::TODAY | day_state::PAUSED_BEFORE;
    assert_eq!((least.days.state[0], least.days.day[0]), (bits, DAY));
    let all = ask(Needs {
        cached_price: true,
        counter: true,
        balance: true,
        texts: true,
        ..Needs::default()
    });
    assert_eq!((all.campaigns.balance_micros[0], all.days.counter_micros[0]), (-50, ABSENT_MICROS));
    let text = |index: u32| all.texts[index as usize].as_str();
    let (campaigns, table) = (&all.campaigns, &all.compensations);
    assert_eq!((text(campaigns.id[0]), text(campaigns.advertiser[0])), ("c0", "a0"));
    assert_eq!((text(table.device[0]), text(table.ad[0])), ("device", "ad"));
}

fn check_mismatch(row: &CompensationRow, charges: &[(i64, i64)], refund: i64, expected: &[&str]) {
    let plan = settled(row, &facts(10_000, charges), Answer::Fixed(1, refund, 7));
    let mismatch = plan.mismatch.unwrap_or_default();
    assert_eq!(mismatch.is_empty(), expected.is_empty(), "{mismatch}");
    assert!(expected.iter().all(|part| mismatch.contains(part)), "{mismatch}");
}

#[test]
fn contradictions_are_written_down() {
    let all: [(i64, i64); 3] = [(1, 100), (2, 100), (3, 100)];
    let honest = row(3, 200, &[1, 2, 3]);
    check_mismatch(&honest, &all, 200, &[]);
    check_mismatch(&honest, &all, 199, &["not 3 - 1 times 0.0001", "2 of 2 count as given back"]);
    check_mismatch(
        &honest,
        &all,
        100,
        &["0.0001 of 0.0002 is given", "1 of 2 count as given back"],
    );
    // As much as two of the first one's price, and less than these two have cost.
    let dearer = [(1, 100), (2, 300), (3, 300)];
    check_mismatch(&row(3, 600, &[1, 2, 3]), &dearer, 200, &["1 of 2 count as given back"]);
    check_mismatch(&honest, &all[..2], 200, &["counts 3 clicks and the ledger has 2"]);
    check_mismatch(&row(4, 300, &[1, 2, 3]), &all, 300, &["names 3 instants", "ledger has 3"]);
    check_mismatch(&row(0, 1, &[1, 2, 3]), &all, 1, &["0 - 1 times", "names 3 instants"]);
    check_mismatch(&row(u32::MAX, 1, &[1]), &all, 1, &["4294967295 - 1 times"]);
    check_mismatch(&row(2, 100, &[]), &[], 100, &["names 0 instants", "ledger has 0"]);
}

#[test]
fn the_day_without_charges_is_that_of_the_last_click() {
    let campaign = facts(0, &[]).campaign;
    let day = |seconds: &[i64]| day_key(&row(2, 100, seconds).event, &campaign).day.0;
    let half_a_day = 12 * 3_600;
    assert_eq!(day(&[0, half_a_day - 1]), DAY);
    assert_eq!(day(&[0, half_a_day]), DAY + 1);
    assert_eq!(day(&[-half_a_day - 1]), DAY - 1);
    assert_eq!(day(&[]), DAY);
}

/// The day of a refund, as days after the first one. Charges are seconds, days after the first one, and prices; those of a
/// negative price were refunded.
fn check_day(count: u32, charges: &[(i64, i32, i64)], expected: i32) {
    let seconds: Vec<i64> = charges.iter().map(|(second, ..)| *second).collect();
    let prices: Vec<_> = charges.iter().map(|(second, _, price)| (*second, *price)).collect();
    let mut facts = facts(0, &prices);
    for (charge, (_, day, _)) in facts.charges.iter_mut().zip(charges) {
        charge.day = Day(DAY + day);
    }
    let day = refund_day(&row(count, 100, &seconds).event, &facts.charges, Day(DAY + 9));
    assert_eq!(day, Day(DAY + expected), "{charges:?}");
}

#[test]
fn the_day_is_that_of_most_duplicates() {
    check_day(4, &[(1, 0, 100), (2, 0, 100), (3, 0, 100), (4, 1, 100)], 0);
    check_day(4, &[(1, 0, 100), (2, 0, 100), (3, 1, 100), (4, 1, 100)], 1);
    check_day(3, &[(1, 0, 100), (2, 0, 100), (3, 1, 100)], 1);
    // By what they have cost, and by what is left of it.
    check_day(3, &[(1, 0, 100), (2, 0, 101), (3, 1, 100)], 0);
    check_day(4, &[(1, 0, 100), (2, 0, -100), (3, 0, -100), (4, 1, 100)], 1);
    check_day(4, &[(1, 0, 100), (2, 0, 100), (3, 0, 100), (4, 1, -100)], 0);
    // Without a duplicate that is left it is another's to say.
    check_day(2, &[(1, 0, 100)], 9);
    check_day(2, &[(1, 0, 100), (2, 0, -100)], 9);
    check_day(2, &[], 9);
}

/// A compensation over some of the clicks of a day.
#[derive(Clone, Debug)]
struct Window {
    first: usize,
    clicks: usize,
    count: u32,
    claimed: i64,
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (0..8_usize, 0..6_usize, 0..6_u32, 0..800_i64)
        .prop_map(|(first, clicks, count, claimed)| Window { first, clicks, count, claimed });
    prop::collection::vec(window, 1..12)
}

/// Settles windows over clicks of these prices, each so many seconds after the one before it, one after the other, as the
/// ledger would have it.
fn settle_all(
    clicks: &[(i64, i64)],
    windows: &[Window],
    answer: Answer,
) -> Result<(), TestCaseError> {
    let seconds = clicks.iter().scan(0, |now, (after, _)| {
        *now += after;
        Some(*now)
    });
    let clicks: Vec<_> = seconds.zip(clicks.iter().map(|(_, price)| *price)).collect();
    let charged: i64 = clicks.iter().map(|(_, price)| price).sum();
    let mut given_back = vec![false; clicks.len()];
    let mut paid = 0;
    for window in windows {
        let named =
            window.first.min(clicks.len())..(window.first + window.clicks).min(clicks.len());
        let seconds: Vec<i64> = clicks[named].iter().map(|(second, _)| *second).collect();
        let there: Vec<usize> =
            (0..clicks.len()).filter(|click| seconds.contains(&clicks[*click].0)).collect();
        let mut facts =
            facts(charged - paid, &there.iter().map(|click| clicks[*click]).collect::<Vec<_>>());
        for (charge, click) in facts.charges.iter_mut().zip(there) {
            charge.offset = click as i64;
            charge.refunded = given_back[click];
        }
        let row = row(window.count, window.claimed, &seconds);
        let plan = settled(&row, &facts, answer);
        check_whole(&plan, &row, &facts);
        for charge in &plan.charges {
            prop_assert!(!given_back[charge.offset as usize], "a charge was given back twice");
            given_back[charge.offset as usize] = true;
        }
        paid += plan.refund.0;
        prop_assert!(paid <= charged, "more than the net charges");
        if matches!(answer, Answer::AsClaimed) && !facts.charges.is_empty() {
            let marked: i64 = plan.charges.iter().map(|charge| charge.charged.0).sum();
            prop_assert!(plan.refund.0 <= marked, "{plan:?}");
            // Not more than it counts, unless their money went back.
            let dearest = plan.charges.iter().map(|charge| charge.charged.0).max().unwrap_or(0);
            let is_counted = plan.charges.len() <= window.count.saturating_sub(1) as usize;
            prop_assert!(is_counted || marked - dearest < plan.refund.0, "{plan:?}");
            prop_assert!(plan.refund.0 <= window.claimed);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn overlapping_windows_pay_nothing_twice(
        clicks in prop::collection::vec((0..2_i64, 0..200_i64), 1..9),
        windows in windows(),
    ) {
        settle_all(&clicks, &windows, Answer::AsClaimed)?;
        settle_all(&clicks, &windows, Answer::Greedy)?;
    }

    #[test]
    fn no_answer_breaks_a_plan(
        action in 0..5_u8,
        refund: i64,
        reason in 6..9_u16,
        spent: i64,
        balance: i64,
        waited_us in 0..2_000_i64,
    ) {
        let facts = RefundFacts { balance: Micros(balance), waited_us, ..facts(spent, &[(1, 5)]) };
        let row = row(2, 5, &[1]);
        let plan = settled(&row, &facts, Answer::Fixed(action, refund, reason));
        check_whole(&plan, &row, &facts);
        prop_assert!(plan.refund.0 <= spent.max(0));
    }
}
