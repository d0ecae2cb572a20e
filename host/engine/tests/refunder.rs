//! Refunds: what the shipped rule decides through WASM, and what a hostile rule gets away with.

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use support::{Guest, shipped};
use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, CompensationColumns, Decisions, RefundColumns,
};
use tollgate_domain::refund::RefundRule;
use tollgate_domain::rule::{RuleError, World};
use tollgate_engine::{Engine, EngineLimits, Refunder, Rule};

/// Fuel as the shipped configuration limits it, which is less than the engine's own defaults.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let limits = EngineLimits { fuel_per_item_max: 100_000, ..EngineLimits::default() };
    Engine::new(limits).expect("the engine starts")
});

fn refunder(bytes: &[u8], params: &[(&str, &str)]) -> Refunder {
    let module = ENGINE.admit(World::Refund, bytes).expect("the module is admitted");
    let params = params.iter().map(|(name, text)| ((*name).to_owned(), vec![(*text).to_owned()]));
    let rule = Rule::bind(module, &params.collect()).expect("the rule binds");
    Refunder::new(rule).expect("the world is right")
}

/// A compensation for three clicks of 100 on a day of 1,000, with another value in every column.
fn facts() -> RefundColumns {
    RefundColumns {
        texts: ["", "c0", "a0", "device", "ad"].map(str::to_owned).to_vec(),
        campaigns: CampaignColumns {
            id: vec![1],
            advertiser: vec![2],
            stored_price_micros: vec![100],
            ..CampaignColumns::default()
        },
        days: CampaignDayColumns {
            campaign: vec![0],
            day: vec![20_468],
            daily_budget_micros: vec![5_000],
            spent_micros: vec![1_000],
            warned_ppm: vec![0],
            pause_from_micros: vec![i64::MAX],
            state: vec![4],
            ..CampaignDayColumns::default()
        },
        compensations: CompensationColumns {
            campaign_day: vec![0],
            claimed_micros: vec![200],
            duplicate_count: vec![30],
            timestamp_count: vec![31],
            refundable_micros: vec![1_000],
            matched_micros: vec![300],
            matched_count: vec![3],
            matched_refunded_micros: vec![50],
            matched_generation: vec![70],
            clicks_complete: vec![1],
            device: vec![8],
            ad: vec![9],
        },
    }
}

fn check_shipped(
    params: &[(&str, &str)],
    change: impl FnOnce(&mut CompensationColumns),
    (action, refund, reason): (u8, i64, &str),
) {
    let mut refunder = refunder(&shipped(World::Refund), params);
    let mut asked = facts();
    change(&mut asked.compensations);
    let decisions = refunder.decide(&asked).expect("the rule answers");
    let name = refunder.description().reason(decisions.reason[0]).map(|reason| &*reason.name);
    let found = (&*decisions.action, &*decisions.refund_micros, name);
    assert_eq!(found, (&[action][..], &[refund][..], Some(reason)), "{params:?} {asked:?}");
    let stats = refunder.take_stats();
    assert_eq!((stats.calls, stats.rows, stats.faults), (1, 1, 0));
    assert_eq!(refunder.take_stats().calls, 0);
}

#[test]
fn the_shipped_rule_refunds_within_limits() {
    let hold = [("hold_to_matched", "true")];
    check_shipped(&[], |_| {}, (1, 200, "APPROVED"));
    check_shipped(&[], |it| it.claimed_micros = vec![0], (0, 0, "NOTHING_CLAIMED"));
    check_shipped(&[], |it| it.clicks_complete = vec![0], (2, 0, "CLICKS_MISSING"));
    check_shipped(&[], |it| it.refundable_micros = vec![0], (0, 0, "NOTHING_REFUNDABLE"));
    check_shipped(&[], |it| it.refundable_micros = vec![150], (1, 150, "CUT_TO_REFUNDABLE"));
    check_shipped(&[], |it| it.claimed_micros = vec![251], (1, 250, "CUT_TO_REFUNDABLE"));
    check_shipped(&[], |it| it.matched_refunded_micros = vec![300], (0, 0, "ALREADY_REFUNDED"));
    check_shipped(&hold, |_| {}, (1, 200, "APPROVED"));
    let held = (1, 200, "CUT_TO_REFUNDABLE");
    check_shipped(
        &hold,
        |it| (it.claimed_micros, it.matched_refunded_micros) = (vec![250], vec![0]),
        held,
    );
    check_shipped(&hold, |it| it.matched_count = vec![0], (0, 0, "NO_DUPLICATE_MATCHED"));
    let unpriced = [("pay_unpriced", "true")];
    check_shipped(&unpriced, |it| it.claimed_micros = vec![0], (1, 250, "PAID_AS_MATCHED"));
    check_shipped(&unpriced, |_| {}, (1, 200, "APPROVED"));
}

/// What a rule finds in a column of the compensations: `load` reads it from the column's place.
fn check_column(at: u32, load: &str, expected: i64) {
    let place = 120 + 8 * at;
    let refund = format!("({load} (i32.load offset={place} (local.get $arguments)))");
    let decide = format!("(call $answer (local.get $rows) (local.get $rows) {refund})");
    let decisions = refunder(&Guest::refund(&decide).build(), &[]).decide(&facts());
    let expected = Decisions { action: vec![1], refund_micros: vec![expected], reason: vec![1] };
    assert_eq!(decisions, Ok(expected), "column {at}");
}

#[test]
fn every_column_crosses_in_its_place() {
    check_column(0, "i64.load32_u", 0);
    check_column(1, "i64.load", 200);
    check_column(2, "i64.load32_u", 30);
    check_column(3, "i64.load32_u", 31);
    check_column(4, "i64.load", 1_000);
    check_column(5, "i64.load", 300);
    check_column(6, "i64.load32_u", 3);
    check_column(7, "i64.load", 50);
    check_column(8, "i64.load", 70);
    check_column(9, "i64.load8_u", 1);
    check_column(10, "i64.load32_u", 8);
    check_column(11, "i64.load32_u", 9);
}

fn check_hostile(decide: &str, expected: &str) {
    let mut refunder = refunder(&Guest::refund(decide).build(), &[]);
    match refunder.decide(&facts()) {
        Err(RuleError::Fault(fault)) => assert_eq!(fault.code.as_str(), expected, "{decide}"),
        other => panic!("{decide}: {other:?}"),
    }
    assert_eq!(refunder.take_stats().faults, 1, "{decide}");
}

#[test]
fn a_failing_rule_is_told_by_its_code() {
    let answer = |rows: u32, reasons: u32| {
        format!("(call $answer (i32.const {rows}) (i32.const {reasons}) (i64.const 1))")
    };
    check_hostile(support::TRAP, "RULE_TRAP");
    check_hostile(support::RECURSION, "RULE_TRAP");
    check_hostile(support::ENDLESS, "RULE_OUT_OF_FUEL");
    check_hostile(&answer(0, 0), "RULE_WRONG_ANSWERS");
    check_hostile(&answer(2, 2), "RULE_WRONG_ANSWERS");
    check_hostile(&answer(1, 0), "RULE_WRONG_ANSWERS");
    check_hostile(&answer(1, u32::MAX), "RULE_WRONG_ANSWERS");
}

#[test]
fn only_a_refund_rule_decides_about_compensations() {
    let module = ENGINE.admit(World::Pricing, &shipped(World::Pricing)).expect("admitted");
    let rule = Rule::bind(module, &BTreeMap::new()).expect("the rule binds");
    let error = Refunder::new(rule).expect_err("it has the wrong world");
    assert_eq!(error.code(), "WRONG_WORLD");
    let refunder = refunder(&shipped(World::Refund), &[]);
    assert_eq!(refunder.module().world(), World::Refund);
    assert_eq!(refunder.description().name, "refund-as-claimed");
}
