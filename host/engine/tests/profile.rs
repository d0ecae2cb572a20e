//! Profiles: all fuel is found, in the functions that spend it, and the same every time. And: a rule answers the same
//! whichever compiler made machine code of it.

mod support;

use std::collections::BTreeMap;

use support::{GOOD, Guest, TRAP, shipped};
use tollgate_domain::facts::{CampaignColumns, ClickColumns, PricingFacts};
use tollgate_domain::rule::World;
use tollgate_engine::{Compiler, Engine, EngineLimits, Profile, Question, Rule};

fn rule(compiler: Compiler, bytes: &[u8]) -> Rule {
    let engine = Engine::with_compiler(EngineLimits::default(), compiler).expect("an engine");
    let module = engine.admit(World::Pricing, bytes).expect("admitted");
    Rule::bind(module, &BTreeMap::new()).expect("parameters")
}

fn facts(rows: u32) -> PricingFacts {
    PricingFacts {
        campaigns: CampaignColumns {
            stored_price_micros: vec![1_000_000],
            cached_price_micros: vec![2_000_000],
            ..CampaignColumns::default()
        },
        clicks: ClickColumns {
            campaign: vec![0; rows as usize],
            occurred_at_ms: vec![1_790_000_000_000; rows as usize],
            bid_micros: vec![-1; rows as usize],
            actual_micros: vec![-1; rows as usize],
            placement: vec![1; rows as usize],
            ..ClickColumns::default()
        },
        ..PricingFacts::default()
    }
}

fn profile(bytes: &[u8], rows: u32) -> Profile {
    let rule = rule(Compiler::Optimizing, bytes);
    let profile = rule.profile(Question::Price(&facts(rows))).expect("an answer");
    let again = rule.profile(Question::Price(&facts(rows))).expect("an answer");
    assert_eq!(profile, again);
    profile
}

#[test]
fn a_profile_has_all_the_fuel_of_a_call() {
    for rows in [1, 7, 300] {
        let mut rule = rule(Compiler::Optimizing, &shipped(World::Pricing));
        rule.price(&facts(rows)).expect("an answer");
        let fuel = rule.take_stats().fuel;
        let profile = profile(&shipped(World::Pricing), rows);
        assert_eq!(profile.fuel, fuel, "{rows} rows");
        let found: u64 = profile.stacks.iter().map(|(_, fuel)| fuel).sum();
        assert_eq!(found, fuel, "{rows} rows: {profile:?}");
    }
}

#[test]
fn fuel_belongs_to_the_function_that_spends_it() {
    // Each turn of `heavy` costs about as much as the whole of `light`.
    let work = "(func $heavy (local $turn i32) (loop $next \
            (local.set $turn (i32.add (local.get $turn) (i32.const 1))) \
            (br_if $next (i32.lt_u (local.get $turn) (i32.const 1000))))) \
        (func $light (drop (i32.add (i32.const 1) (i32.const 2))))";
    let answer = format!("(call $heavy) (call $light) {GOOD}");
    let Profile { stacks, fuel } = profile(&Guest::pricing(&answer).extra(work).build(), 1);
    let of = |name: &str| -> u64 {
        let is_of = |stack: &&(Vec<String>, u64)| stack.0.last().is_some_and(|last| last == name);
        stacks.iter().filter(is_of).map(|(_, fuel)| fuel).sum()
    };
    assert!(of("heavy") * 10 > fuel * 9, "{stacks:?}");
    assert!(of("light") > 0 && of("light") < 100, "{stacks:?}");
    let root = &stacks.iter().find(|(stack, _)| stack.last().is_some_and(|it| it == "heavy"));
    assert_eq!(root.map(|(stack, _)| stack.len()), Some(2), "called by the answer: {stacks:?}");
}

#[test]
fn a_call_that_fails_has_no_profile() {
    let rule = rule(Compiler::Optimizing, &Guest::pricing(TRAP).build());
    let error = rule.profile(Question::Price(&facts(1))).expect_err("it traps");
    assert!(error.to_string().contains("it trapped"), "{error}");
}

#[test]
fn both_compilers_give_the_same_answers_and_fuel() {
    for bytes in [shipped(World::Pricing), Guest::pricing(GOOD).build()] {
        for rows in [0, 1, 300] {
            let answer = |compiler| {
                let mut rule = rule(compiler, &bytes);
                (rule.price(&facts(rows)).expect("an answer"), rule.take_stats().fuel)
            };
            assert_eq!(answer(Compiler::Optimizing), answer(Compiler::SinglePass), "{rows} rows");
        }
    }
}

#[test]
fn memory_is_the_most_of_a_call() {
    let mut small = rule(Compiler::Optimizing, &Guest::pricing(GOOD).build());
    small.price(&facts(1)).expect("an answer");
    assert_eq!(small.take_stats().memory_bytes, 2 * 65_536);
    let growing = format!("(drop (memory.grow (i32.const 3))) {GOOD}");
    let mut large = rule(Compiler::Optimizing, &Guest::pricing(&growing).build());
    large.price(&facts(1)).expect("an answer");
    assert_eq!(large.take_stats().memory_bytes, 5 * 65_536);
}
