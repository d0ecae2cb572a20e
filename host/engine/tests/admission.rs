//! Admission: every way in which a module can be unfit, and that fit ones pass.

mod support;

use std::sync::LazyLock;

use proptest::prelude::*;
use support::{GOOD, Guest, built, shipped};
use tollgate_domain::rule::{Description, ParamKind, Value, World};
use tollgate_engine::{AdmissionError, Engine, EngineLimits};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineLimits::default()).expect("the engine starts"));

fn code(bytes: &[u8]) -> &'static str {
    match ENGINE.admit(World::Pricing, bytes) {
        Ok(_) => "ADMITTED",
        Err(error) => error.code(),
    }
}

fn check(guest: &Guest, expected: &str) {
    let verdict = ENGINE.admit(World::Pricing, &guest.build());
    let found = verdict.as_ref().map_or_else(AdmissionError::code, |_| "ADMITTED");
    if let Err(error) = &verdict {
        println!("{error}");
    }
    assert_eq!(found, expected, "{verdict:?}\n{}{}", guest.memory, guest.extra);
}

#[test]
fn instructions_types_and_memories_are_judged_before_anything_runs() {
    let good = || Guest::pricing(GOOD);
    check(&good(), "ADMITTED");
    check(&good().extra("(func (param f32))"), "FLOAT_REFUSED");
    check(&good().extra("(func (result f64) (f64.const 1))"), "FLOAT_REFUSED");
    check(&good().extra("(func (drop (f64.add (f64.const 1) (f64.const 2))))"), "FLOAT_REFUSED");
    check(&good().extra("(func (drop (i32.trunc_f32_s (f32.const 1))))"), "FLOAT_REFUSED");
    check(&good().extra("(func (drop (i32.trunc_sat_f32_s (f32.const 1))))"), "FLOAT_REFUSED");
    check(&good().extra("(func (local f32))"), "FLOAT_REFUSED");
    check(&good().extra("(global f64 (f64.const 0))"), "FLOAT_REFUSED");
    check(&good().extra("(func (unreachable) (drop (f32.neg)))"), "FLOAT_REFUSED");
    check(&good().extra("(func (drop (v128.const i64x2 0 0)))"), "VECTOR_REFUSED");
    check(&good().extra("(func (local v128))"), "VECTOR_REFUSED");
    check(&good().extra("(func (param v128))"), "VECTOR_REFUSED");
    check(&good().extra("(func (drop (i8x16.splat (i32.const 1))))"), "VECTOR_REFUSED");
    check(&good().memory("2"), "MEMORY_UNBOUNDED");
    check(&good().memory("2 129"), "MEMORY_TOO_LARGE");
    check(&good().memory("2 65536"), "MEMORY_TOO_LARGE");
    check(&good().memory("128 128"), "ADMITTED");
}

#[test]
fn other_features_are_refused() {
    let good = || Guest::pricing(GOOD);
    check(&good().extra("(func (return_call 0 (i32.const 0)) (unreachable))"), "NOT_A_COMPONENT");
    check(&good().extra("(func (atomic.fence))"), "NOT_A_COMPONENT");
    check(&good().extra("(tag)"), "NOT_A_COMPONENT");
    check(&good().extra("(type (struct (field i32)))"), "NOT_A_COMPONENT");
}

#[test]
fn a_start_function_runs_on_the_fuel_of_the_call() {
    let start = |body: &str| Guest::pricing(GOOD).extra(&format!("(func $s {body}) (start $s)"));
    check(&start("(nop)"), "ADMITTED");
    check(&start("(loop $l (br $l))"), "BAD_DESCRIPTION");
    check(&start("(unreachable)"), "BAD_DESCRIPTION");
}

#[test]
fn nothing_may_be_imported() {
    let importing = |world: &str, extra: &str| {
        let mut guest = Guest::pricing(GOOD);
        guest.world = format!("{world} {}", guest.world);
        // Imports come before everything else in a module.
        guest.memory = format!("{extra} {}", guest.memory);
        guest
    };
    let clock = r#"(import "$root" "clock" (func (result i64)))"#;
    check(&importing("import clock: func() -> u64;", clock), "IMPORT_REFUSED");
    let host = r#"(import "host" "now" (func (result i64)))"#;
    let world = "import host: interface { now: func() -> u64; }";
    check(&importing(world, host), "IMPORT_REFUSED");
    let world = "import files: interface { resource file; }";
    let file = r#"(import "files" "[resource-drop]file" (func (param i32)))"#;
    check(&importing(world, file), "IMPORT_REFUSED");
}

#[test]
fn the_world_and_its_version_must_be_the_ones_asked_for() {
    let good = Guest::pricing(GOOD).build();
    for world in [World::Threshold, World::Refund, World::Notification] {
        let verdict = ENGINE.admit(world, &good).map(drop);
        assert_eq!(verdict.map_err(|error| error.code()), Err("WRONG_WORLD"), "{world}");
    }
    for version in [b"@1.0.1", b"@1.1.0", b"@2.0.0"] {
        let other = replace(&good, b"pricing@1.0.0", &[b"pricing".as_slice(), version].concat());
        assert_eq!(code(&other), "WRONG_WORLD");
    }
    let mut more = Guest::pricing(GOOD);
    more.world = "export tollgate:rules/pricing@1.0.0; export extra: func();".to_owned();
    check(&more.extra(r#"(func (export "extra"))"#), "WRONG_WORLD");
    let renamed = replace(&good, b"charge-micros", b"charge-pennys");
    assert_eq!(code(&renamed), "WRONG_WORLD");
}

#[test]
fn bytes_that_are_no_component_are_refused() {
    let good = Guest::pricing(GOOD).build();
    assert_eq!(code(b""), "NOT_A_COMPONENT");
    assert_eq!(code(b"\0asm\x01\0\0\0"), "NOT_A_COMPONENT");
    assert_eq!(code(b"#!/bin/sh"), "NOT_A_COMPONENT");
    assert_eq!(code(&vec![0; (1 << 20) + 1]), "MODULE_TOO_LARGE");
    for length in (8..good.len()).step_by(97) {
        let found = code(&good[..length]);
        assert!(["NOT_A_COMPONENT", "WRONG_WORLD"].contains(&found), "{length}: {found}");
    }
}

#[test]
fn descriptions_must_be_usable() {
    let check = |expected: &str, change: fn(&mut Description)| {
        check(&Guest::pricing(GOOD).described(change), expected);
    };
    let bad = "BAD_DESCRIPTION";
    check("ADMITTED", |_| {});
    check(bad, |it| it.params[0].default = Value::Number(0));
    check(bad, |it| it.params[0].default = Value::Number(11));
    check(bad, |it| it.params[0].lowest = Some(20));
    check(bad, |it| it.params[0].default = Value::Text("5".to_owned()));
    check(bad, |it| it.params[0].default = Value::Numbers(vec![5]));
    check(bad, |it| it.params[0].kind = ParamKind::Text);
    check(bad, |it| it.params[0].name = "Price".to_owned());
    check(bad, |it| it.params[0].name = String::new());
    check(bad, |it| it.params[0].help = "two\nlines".to_owned());
    check(bad, |it| it.params[0].help = "x".repeat(401));
    check(bad, |it| it.params.push(it.params[0].clone()));
    check(bad, |it| it.reasons.push(it.reasons[0].clone()));
    check(bad, |it| it.reasons[0].name = "computed".to_owned());
    check(bad, |it| it.reasons.clear());
    check(bad, |it| it.name = "x".repeat(65));
    check(bad, |it| it.version = "1.0".to_owned());
    check(bad, |it| it.version = "latest".to_owned());
    check("FUEL_TOO_HIGH", |it| it.fuel_base = u64::MAX);
    check("FUEL_TOO_HIGH", |it| it.fuel_per_item = 200_001);
    check(bad, |it| {
        it.params[0].many = true;
        it.params[0].default = Value::Numbers(vec![2, 2]);
    });
    check("ADMITTED", |it| {
        it.params[0].many = true;
        it.params[0].default = Value::Numbers(vec![2, 3]);
    });
}

#[test]
fn describe_itself_may_fail() {
    let check = |describe: &str, expected| {
        let describe = describe.to_owned();
        check(&Guest { describe, ..Guest::pricing(GOOD) }, expected);
    };
    check("(i32.const 1024)", "ADMITTED");
    check("(unreachable)", "BAD_DESCRIPTION");
    check("(loop $l (br $l)) (unreachable)", "BAD_DESCRIPTION");
    check("(i32.const 2147483640)", "BAD_DESCRIPTION");
    check("(i32.const 1025)", "BAD_DESCRIPTION");
}

/// Many parameters that all name the same megabytes would make the host copy gigabytes.
#[test]
fn a_huge_description_is_cut_off() {
    let fill = "(func $fill (local $at i32) (local.set $at (i32.const 4096)) \
        (i32.store (i32.const 1144) (i32.const 3000000)) \
        (i32.store (i32.const 1148) (i32.const 5000000)) \
        (loop $next (memory.copy (local.get $at) (i32.const 1080) (i32.const 72)) \
            (local.set $at (i32.add (local.get $at) (i32.const 72))) \
            (br_if $next (i32.lt_u (local.get $at) (i32.const 2884096)))) \
        (i32.store (i32.const 1044) (i32.const 4096)) \
        (i32.store (i32.const 1048) (i32.const 40000)))";
    let guest = Guest::pricing(GOOD).memory("128 128").extra(fill);
    let guest = Guest { describe: "(call $fill) (i32.const 1024)".to_owned(), ..guest };
    let error = ENGINE.admit(World::Pricing, &guest.build()).expect_err("it is too large");
    assert_eq!(error.code(), "BAD_DESCRIPTION");
    assert!(error.to_string().contains("fuel allocated for hostcalls"), "{error}");
}

#[test]
fn the_shipped_rules_are_admitted() {
    for world in World::ALL {
        let bytes = shipped(world);
        let module = ENGINE.admit(world, &bytes).unwrap_or_else(|error| panic!("{world}: {error}"));
        assert_eq!((module.world(), module.bytes()), (world, bytes.len()));
        assert_eq!(module.digest().len(), 64);
        assert!(bytes.len() < 96 << 10, "{world} has {} bytes", bytes.len());
    }
    let terse = ENGINE.admit(World::Notification, &built("others/terse_notification.wasm"));
    assert_eq!(
        terse.map(|module| module.description().name.clone()).as_deref(),
        Ok("terse-messages")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a module on its way, the answer is a verdict.
    #[test]
    fn damaged_modules_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4)) {
        static GOOD_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| Guest::pricing(GOOD).build());
        let mut bytes = GOOD_BYTES.clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        prop_assert!(!code(&bytes).is_empty());
    }
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let mut found = false;
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..at + old.len()] == *old {
            bytes[at..at + old.len()].copy_from_slice(new);
            found = true;
        }
    }
    assert!(found, "the module does not hold {}", String::from_utf8_lossy(old));
    bytes
}
