//! `bench`: exact fuel, times with their spread, and a picture of where the fuel goes.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use support::{GOOD, Guest, TRAP, built, shipped};
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits, Rule};
use tollgate_workbench::bench::{self, Bench, BenchError, Effort};

const SHORT: Effort = Effort { rounds: 3, round_us: 100 };

fn rule(world: World, bytes: &[u8]) -> Rule {
    let engine = Engine::new(EngineLimits::default()).expect("the engine starts");
    let module = engine.admit(world, bytes).expect("admitted");
    Rule::bind(module, &BTreeMap::new()).expect("parameters")
}

fn measure(one: &[u8], other: Option<&[u8]>) -> Result<Bench, BenchError> {
    let mut one = rule(World::Pricing, one);
    let mut other = other.map(|bytes| rule(World::Pricing, bytes));
    bench::measure(&mut one, other.as_mut(), &[1, 16], SHORT)
}

#[test]
fn every_world_can_be_measured_and_drawn() {
    for world in World::ALL {
        let mut rule = rule(world, &shipped(world));
        let found = bench::measure(&mut rule, None, &[1, 64], SHORT).expect("measured");
        let fuel: Vec<u64> = found.batches.iter().map(|batch| batch.cost.fuel).collect();
        assert!(fuel[0] > 0 && fuel[0] < fuel[1], "{world}: {fuel:?}");
        assert!(found.batches.iter().all(|batch| batch.cost.ns.median > 0.0), "{found:?}");
        let (lines, fuel) = bench::folded(&rule).expect("profiled");
        let of = |line: &String| line.rsplit(' ').next().and_then(|fuel| fuel.parse::<u64>().ok());
        assert_eq!(lines.iter().filter_map(of).sum::<u64>(), fuel, "{world}");
    }
}

#[test]
fn fuel_is_the_same_in_every_run() {
    let fuel = || {
        let found = measure(&shipped(World::Pricing), None).expect("measured");
        found.batches.iter().map(|batch| batch.cost.fuel).collect::<Vec<_>>()
    };
    assert_eq!(fuel(), fuel());
}

#[test]
fn two_rules_are_measured_in_turns() {
    let slow = format!(
        "(block $done (loop $turn (br_if $done (i32.ge_u (local.get $row) (i32.const 20000))) \
         (local.set $row (i32.add (local.get $row) (i32.const 1))) (br $turn))) {GOOD}"
    );
    let slow = Guest::pricing(&slow).described(|it| it.fuel_base = 10_000_000).build();
    let found = measure(&slow, Some(&Guest::pricing(GOOD).build())).expect("measured");
    let batch = &found.batches[0];
    let against = batch.against.expect("both were measured");
    assert!(batch.cost.fuel > against.fuel + 100_000, "{batch:?}");
    assert!(batch.ratio.expect("pairs").median > 1.0, "{batch:?}");
    let text = found.text();
    assert!(text.contains("test-rule 1.0.0 (") && text.contains(", against test-rule"), "{text}");
}

#[test]
fn what_cannot_be_measured_says_why() {
    let fails = measure(&Guest::pricing(TRAP).build(), None).expect_err("it traps");
    assert_eq!(fails.code(), "RULE_FAILS");
    assert!(fails.to_string().starts_with("the rule fails on a batch of 1: it trapped"), "{fails}");
    let mut pricing = rule(World::Pricing, &shipped(World::Pricing));
    let mut refund = rule(World::Refund, &shipped(World::Refund));
    let worlds = bench::measure(&mut pricing, Some(&mut refund), &[1], SHORT).expect_err("worlds");
    assert_eq!(worlds.code(), "WRONG_WORLD");
}

#[test]
fn a_flame_graph_names_the_functions() {
    let terse = rule(World::Notification, &built("others/terse_notification.wasm"));
    let picture = bench::flame_graph(&terse).expect("a picture");
    let picture = String::from_utf8(picture).expect("text");
    assert!(picture.contains("<svg") && picture.contains("compose"), "{picture}");
    assert!(picture.contains("fuel in one call of 256 rows"), "{picture}");
}
