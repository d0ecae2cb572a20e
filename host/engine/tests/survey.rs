//! Surveys: what they say agrees with admission, and goes on where admission stops.

mod support;

use std::sync::LazyLock;

use support::{GOOD, Guest, TRAP, shipped};
use tollgate_domain::rule::{Value, World};
use tollgate_engine::{Engine, EngineLimits, Survey};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineLimits::default()).expect("the engine starts"));

fn codes(survey: &Survey) -> Vec<&'static str> {
    let problems = survey.verdict.as_ref().err();
    problems.map_or_else(Vec::new, |found| found.iter().map(|problem| problem.code()).collect())
}

fn check_bytes(world: Option<World>, bytes: &[u8], expected: &[&str]) {
    let survey = ENGINE.survey(world, bytes);
    assert_eq!(codes(&survey), expected, "{survey:?}");
    let verdict = ENGINE.admit(world.unwrap_or(World::Pricing), bytes);
    match verdict {
        Ok(_) => assert!(survey.verdict.is_ok(), "{survey:?}"),
        Err(error) => assert!(expected.contains(&error.code()), "{error} of {survey:?}"),
    }
}

fn check(guest: &Guest, expected: &[&str]) {
    check_bytes(None, &guest.build(), expected);
}

#[test]
fn every_problem_is_told() {
    let good = || Guest::pricing(GOOD);
    let float = "(func $half (drop (f64.const 0.5)))";
    let vector = "(func $wide (drop (v128.const i64x2 0 0)))";
    check(&good(), &[]);
    check(&good().memory("2"), &["MEMORY_UNBOUNDED"]);
    check(&good().extra(float).extra(vector), &["FLOAT_REFUSED", "VECTOR_REFUSED"]);
    check(&good().memory("2 129").extra(float), &["MEMORY_TOO_LARGE", "FLOAT_REFUSED"]);
    check(&good().extra(float).extra("(func (drop (f32.const 1)))"), &["FLOAT_REFUSED"; 2]);
    check(&good().extra("(func (param f32))"), &["FLOAT_REFUSED"]);
    check(
        &good().described(|it| {
            it.version = "latest".to_owned();
            it.params[0].default = Value::Number(0);
            it.reasons[0].name = "computed".to_owned();
            it.fuel_base = u64::MAX;
        }),
        &["BAD_DESCRIPTION", "BAD_DESCRIPTION", "BAD_DESCRIPTION", "FUEL_TOO_HIGH"],
    );
    check(&Guest { describe: TRAP.to_owned(), ..good() }, &["BAD_DESCRIPTION"]);
}

#[test]
fn the_world_is_the_modules_own_unless_one_is_asked_for() {
    let notification = Guest::notification("(unreachable)").build();
    assert_eq!(ENGINE.survey(None, &notification).world, Some(World::Notification));
    check_bytes(Some(World::Notification), &notification, &[]);
    check_bytes(Some(World::Refund), &notification, &["WRONG_WORLD"]);
    for world in World::ALL {
        check_bytes(Some(world), &shipped(world), &[]);
        assert_eq!(ENGINE.survey(None, &shipped(world)).world, Some(world));
        assert_eq!(ENGINE.world_of(&shipped(world)), Some(world));
    }
    for nobodys in [&b""[..], b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", b"\0asm\x0d\0\x01\0\x07"] {
        assert_eq!(ENGINE.world_of(nobodys), None);
    }
    check_bytes(None, b"", &["NOT_A_COMPONENT"]);
    check_bytes(None, b"\0asm\x01\0\0\0", &["NOT_A_COMPONENT"]);
    check_bytes(None, b"\0asm\x0d\0\x01\0", &["WRONG_WORLD"]);
    check_bytes(None, &vec![0; (1 << 20) + 1], &["MODULE_TOO_LARGE", "NOT_A_COMPONENT"]);
}

#[test]
fn another_contract_is_told_from_another_world() {
    fn check(from: &[u8], to: &[u8], expected: &str) {
        let mut bytes = Guest::pricing(GOOD).build();
        while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
            bytes.splice(at..at + from.len(), to.iter().copied());
        }
        let survey = ENGINE.survey(None, &bytes);
        let Err(problems) = &survey.verdict else { panic!("admitted: {survey:?}") };
        let told = problems.iter().any(|problem| problem.to_string().contains(expected));
        assert!(told, "{problems:?}");
    }
    check(
        b"pricing@1.0.0",
        b"pricing@1.0.7",
        "is built for the contract `tollgate:rules/pricing@1.0.7`",
    );
    check(b"pricing@1.0.0", b"pricing@2.0.0", "this host speaks tollgate:rules/pricing@1.0.0");
    check(
        b"rules/pricing@1.0.0",
        b"rulez/pricing@1.0.0",
        "the module exports `tollgate:rulez/pricing",
    );
}

#[test]
fn a_problem_names_its_function() {
    fn check(extra: &str, expected: &str) {
        let survey = ENGINE.survey(None, &Guest::pricing(GOOD).extra(extra).build());
        let Err(problems) = &survey.verdict else { panic!("admitted: {survey:?}") };
        assert!(problems[0].to_string().contains(expected), "{problems:?}");
    }
    check("(func $half (drop (f64.const 0.5)))", "(in `half` at byte 0x");
    check("(func $a) (func $b (drop (f32.const 1))) (func $c)", "(in `b` at byte 0x");
    check("(func $wide (local v128))", "(in `wide` at byte 0x");
}

#[test]
fn limits_are_told_as_far_as_they_are_known() {
    let survey = ENGINE.survey(None, &Guest::pricing(GOOD).build());
    assert_eq!(survey.memory_bytes_max, Some(128 * 65_536));
    assert_eq!(survey.exports, ["tollgate:rules/pricing@1.0.0"]);
    let survey = ENGINE.survey(None, &Guest::pricing(GOOD).memory("2").build());
    assert_eq!(survey.memory_bytes_max, None);
}
