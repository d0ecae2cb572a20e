//! Calls: what a rule answers, and whose fault it is when it does not.

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use support::{GOOD, Guest, POISON_MICROS, shipped};
use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, MovementColumns, PricingFacts,
    ThresholdFacts, Verdicts, day_state,
};
use tollgate_domain::rule::{RuleError, Rules, World};
use tollgate_engine::{Engine, EngineLimits, Rule, RuleSet};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineLimits::default()).expect("the engine starts"));

const UNIT: i64 = 1_000_000;

fn bind(world: World, bytes: &[u8], params: &[(&str, &[&str])]) -> Rule {
    let module = ENGINE.admit(world, bytes).expect("the module is admitted");
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let params = params.iter().map(|(name, texts)| ((*name).to_owned(), owned(texts)));
    Rule::bind(module, &params.collect::<BTreeMap<_, Vec<String>>>()).expect("the rule binds")
}

fn rules_with(pricing: &[u8], params: &[(&str, &[&str])]) -> RuleSet {
    let threshold = bind(World::Threshold, &shipped(World::Threshold), params);
    RuleSet::new(bind(World::Pricing, pricing, &[]), threshold).expect("the worlds are right")
}

/// Clicks of campaigns with these stored and cached prices, one each.
fn clicks(prices: &[(i64, i64)]) -> PricingFacts {
    let rows = prices.len();
    PricingFacts {
        texts: Vec::new(),
        campaigns: CampaignColumns {
            stored_price_micros: prices.iter().map(|(stored, _)| *stored).collect(),
            cached_price_micros: prices.iter().map(|(_, cached)| *cached).collect(),
            ..CampaignColumns::default()
        },
        clicks: ClickColumns {
            campaign: (0..rows as u32).collect(),
            occurred_at_ms: vec![0; rows],
            bid_micros: vec![-1; rows],
            actual_micros: vec![-1; rows],
            placement: vec![0; rows],
            ..ClickColumns::default()
        },
    }
}

#[test]
fn a_failing_rule_is_told_apart_from_a_failing_host() {
    let check = |price: &str, rows: &[(i64, i64)], expected: Result<i64, &str>| {
        let mut rules = rules_with(&Guest::pricing(price).build(), &[]);
        let answer = rules.price(&clicks(rows));
        let found = match &answer {
            Ok(quotes) => {
                assert_eq!(quotes.reason, vec![1; rows.len()]);
                Ok(quotes.charge_micros[0])
            }
            Err(RuleError::Fault(fault)) => Err(fault.code.as_str()),
            Err(RuleError::Host(sentence)) => panic!("{sentence}"),
        };
        assert_eq!(found, expected, "{price}: {answer:?}");
        let stats = rules.pricing_rule().stats();
        assert_eq!((stats.calls, stats.rows), (1, rows.len() as u64), "{price}");
        assert_eq!(stats.faults, u64::from(expected.is_err()), "{price}");
        assert!(stats.fuel > 0 && stats.ns > 0, "{price}");
    };
    let (one, poison) = ((UNIT, -1), (POISON_MICROS, -1));
    check(GOOD, &[one; 300], Ok(1_000));
    check(support::TRAP, &[one; 3], Err("RULE_TRAP"));
    check(support::RECURSION, &[one; 3], Err("RULE_TRAP"));
    check(support::ENDLESS, &[one; 3], Err("RULE_OUT_OF_FUEL"));
    check(support::GREEDY, &[one; 3], Err("RULE_OUT_OF_MEMORY"));
    check(support::TOO_FEW, &[one; 3], Err("RULE_WRONG_ANSWERS"));
    check(support::TOO_MANY, &[one; 3], Err("RULE_WRONG_ANSWERS"));
    check(support::OUT_OF_BOUNDS, &[one; 3], Err("RULE_WRONG_ANSWERS"));
    check(support::TRAP_ON_POISON, &[one, poison, one], Err("RULE_TRAP"));
    check(support::TRAP_ON_POISON, &[one, one], Ok(1_000));
    // Amounts are for the fence to judge; the engine passes them on.
    check(support::NEGATIVE, &[one; 3], Ok(-1));
    check(support::ABOVE_ANY_CAP, &[one; 3], Ok(i64::MAX));
}

#[test]
fn a_fault_leaves_no_trace_in_the_next_call() {
    let mut rules = rules_with(&Guest::pricing(support::TRAP_ON_POISON).build(), &[]);
    let (good, bad) = (clicks(&[(UNIT, -1); 4]), clicks(&[(POISON_MICROS, -1)]));
    let first = rules.price(&good);
    for _ in 0..100 {
        assert!(rules.price(&bad).is_err());
        assert_eq!(rules.price(&good), first);
    }
}

#[test]
fn the_same_facts_use_the_same_fuel() {
    let mut rules = rules_with(&shipped(World::Pricing), &[]);
    let facts = clicks(&[(UNIT, 2 * UNIT); 100]);
    let fuel = |rules: &mut RuleSet| {
        assert!(rules.price(&facts).is_ok());
        let [(world, stats), _] = rules.take_stats();
        assert_eq!(world, World::Pricing);
        stats.fuel
    };
    let first = fuel(&mut rules);
    assert!((0..10).all(|_| fuel(&mut rules) == first));
}

#[test]
fn a_batch_larger_than_memory_is_a_fault_and_not_a_crash() {
    let mut rules = rules_with(&shipped(World::Pricing), &[]);
    let error = rules.price(&clicks(&vec![(UNIT, -1); 300_000])).expect_err("it cannot fit");
    let RuleError::Fault(fault) = error else { panic!("{error}") };
    assert_eq!(fault.code.as_str(), "RULE_OUT_OF_MEMORY");
    assert!(rules.price(&clicks(&vec![(UNIT, -1); 20_000])).is_ok());
}

#[test]
fn the_shipped_pricing_rule_prefers_a_sane_cached_price() {
    let mut rules = rules_with(&shipped(World::Pricing), &[]);
    let prices = [(UNIT, 2 * UNIT), (UNIT, -1), (UNIT, 0), (UNIT, i64::MAX)];
    let quotes = rules.price(&clicks(&prices)).expect("the rule answers");
    assert_eq!(quotes.charge_micros, [2 * UNIT, UNIT, UNIT, UNIT]);
    let names = quotes.reason.iter().map(|code| &*rules.pricing().reason(*code).unwrap().name);
    let expected = ["CACHED_PRICE", "STORED_PRICE", "CACHED_PRICE_ABSURD", "CACHED_PRICE_ABSURD"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

/// Movements of one campaign-day with a budget of 100 units.
fn day(spent: i64, amounts: &[i64]) -> ThresholdFacts {
    ThresholdFacts {
        days: CampaignDayColumns {
            campaign: vec![0],
            day: vec![20_000],
            daily_budget_micros: vec![100 * UNIT],
            spent_micros: vec![spent],
            counter_micros: vec![-1],
            warned_ppm: vec![0],
            pause_from_micros: vec![0],
            state: vec![day_state::TODAY],
        },
        campaigns: CampaignColumns {
            stored_price_micros: vec![UNIT],
            ..CampaignColumns::default()
        },
        movements: MovementColumns {
            campaign_day: vec![0; amounts.len()],
            amount_micros: amounts.to_vec(),
        },
        texts: Vec::new(),
    }
}

#[test]
fn parameters_change_what_the_shipped_threshold_rule_does() {
    let check = |params: &[(&str, &[&str])], actions: &[u8]| {
        let mut rules = rules_with(&Guest::pricing(GOOD).build(), params);
        let facts = day(70 * UNIT, &[10 * UNIT; 4]);
        let verdicts: Verdicts = rules.judge(&facts).expect("the rule answers");
        assert_eq!(verdicts.action, actions, "{params:?}");
        assert_eq!(verdicts.allowed_micros, facts.movements.amount_micros);
        assert_eq!(verdicts.usage_ppm, [800_000, 900_000, 1_000_000, 1_100_000]);
    };
    check(&[], &[0, 1, 2, 2]);
    check(&[("warn_at", &["0.80"])], &[1, 0, 2, 2]);
    check(&[("warn_at", &["0.9", "0.8"])], &[1, 1, 2, 2]);
    check(&[("pause_at", &["1.1"])], &[0, 1, 0, 2]);
}

#[test]
fn unusable_parameters_and_worlds_do_not_bind() {
    let check = |params: &[(&str, &str)], parts: &[&str]| {
        let module = ENGINE.admit(World::Threshold, &shipped(World::Threshold)).unwrap();
        let params =
            params.iter().map(|(name, text)| ((*name).to_owned(), vec![(*text).to_owned()]));
        let error = Rule::bind(module, &params.collect()).expect_err("it does not bind");
        assert_eq!(error.code(), "BAD_PARAMETERS");
        let sentence = error.to_string();
        assert!(parts.iter().all(|part| sentence.contains(part)), "{sentence}");
    };
    check(&[("warn_att", "0.8")], &["budget-levels", "warn_att", "warn_at, pause_at"]);
    check(&[("warn_at", "0"), ("pause_at", "high")], &["warn_at", "pause_at", "10"]);
    let pricing = || bind(World::Pricing, &Guest::pricing(GOOD).build(), &[]);
    let error = RuleSet::new(pricing(), pricing()).expect_err("one has the wrong world");
    assert_eq!(error.code(), "WRONG_WORLD");
}

#[test]
fn a_stuck_host_is_not_the_rules_fault() {
    let limits = EngineLimits {
        backstop_ms: 4,
        fuel_ns_max: 0,
        fuel_base_max: u64::MAX >> 2,
        ..EngineLimits::default()
    };
    let engine = Engine::new(limits).expect("the engine starts");
    let guest = Guest::pricing(support::ENDLESS).described(|it| it.fuel_base = u64::MAX >> 2);
    let module = engine.admit(World::Pricing, &guest.build()).expect("the module is admitted");
    let pricing = Rule::bind(module, &BTreeMap::new()).expect("the rule binds");
    let module = engine.admit(World::Threshold, &shipped(World::Threshold)).unwrap();
    let threshold = Rule::bind(module, &BTreeMap::new()).expect("the rule binds");
    let mut rules = RuleSet::new(pricing, threshold).expect("the worlds are right");
    let answer = rules.price(&clicks(&[(UNIT, -1)]));
    assert!(matches!(answer, Err(RuleError::Host(_))), "{answer:?}");
    assert_eq!(rules.pricing_rule().stats().host_failures, 1);
}
