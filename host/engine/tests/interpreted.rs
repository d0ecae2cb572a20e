//! Modules that bring an interpreter along: where they are admitted, and that they are held to the same promises.

mod support;

use std::collections::BTreeMap;

use support::{GOOD, GREEDY, Guest};
use tollgate_domain::dead::Code;
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind, Message};
use tollgate_domain::rule::{RuleError, World};
use tollgate_engine::{Engine, EngineLimits, InterpretedLimits, Notifier, Rule};

/// Silence.
const SILENT: &str = "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
const FLOATS: &str = "(func $half (param f64) (result f64) \
    (f64.div (local.get 0) (f64.const 2)))";
const SATURATING: &str = "(func $whole (param f64) (result i32) \
    (i32.trunc_sat_f64_s (local.get 0)))";
const TAIL_CALLS: &str = "(func $on (result i32) (return_call $on))";
const VECTORS: &str = "(func $wide (drop (v128.const i32x4 0 0 0 0)))";
/// One message when a result that is no number has the one bit pattern for that, else silence.
const CANONICAL: &str = "(call $answer \
    (i32.eq (i32.const 0x7fc00000) (i32.reinterpret_f32 (f32.add \
        (f32.const nan:0x200001) (f32.convert_i32_u (local.get $rows))))) \
    (i32.const 0) (i32.const 4) (i32.const 4))";

fn engine(worlds: Option<&[World]>) -> Engine {
    let interpreted = worlds.map(|worlds| InterpretedLimits {
        worlds: worlds.to_vec(),
        ..InterpretedLimits::default()
    });
    Engine::new(EngineLimits { interpreted, ..EngineLimits::default() }).expect("it starts")
}

fn told(answer: &str) -> Result<Vec<Message>, RuleError> {
    let guest = Guest::notification(answer).memory("2").extra(FLOATS);
    let engine = engine(Some(&[World::Notification]));
    let module = engine.admit(World::Notification, &guest.build()).expect("it is admitted");
    let rule = Rule::bind(module, &BTreeMap::new()).expect("it binds");
    Notifier::new(rule).expect("the world is right").compose(&[Happening {
        kind: HappeningKind::Paused,
        facts: HappeningFacts::default(),
        local_minute: 720,
        weekday: 6,
        sent_today: 0,
        minutes_since_last: None,
    }])
}

#[test]
fn interpreters_are_admitted_where_the_limits_name_their_world() {
    let check = |worlds: Option<&[World]>, world: World, guest: Guest, code: Option<&str>| {
        let admitted = engine(worlds).admit(world, &guest.build());
        let found = admitted.as_ref().err().map(|error| error.code());
        assert_eq!(found, code, "{world} with {worlds:?}: {admitted:?}");
    };
    use World::{Notification, Pricing, Threshold};
    let silent = || Guest::notification(SILENT);
    let both: &[World] = &[Threshold, Notification];
    check(Some(both), Notification, silent().extra(FLOATS), None);
    check(Some(both), Notification, silent().extra(SATURATING), None);
    check(Some(both), Notification, silent().extra(TAIL_CALLS), None);
    check(Some(both), Notification, silent().memory("2"), None);
    check(Some(both), Notification, silent().memory("2 10000"), None);
    check(Some(both), Notification, silent().extra(VECTORS), Some("VECTOR_REFUSED"));
    check(None, Notification, silent().extra(FLOATS), Some("FLOAT_REFUSED"));
    check(None, Notification, silent().memory("2"), Some("MEMORY_UNBOUNDED"));
    check(Some(&[Threshold]), Notification, silent().extra(FLOATS), Some("FLOAT_REFUSED"));
    // What a language's tools export for themselves is theirs; a second interface is not.
    let exporting = |more: &str| {
        let guest = silent().extra(FLOATS).extra("(func (export \"init\"))");
        Guest { world: format!("{}{more}", guest.world), ..guest }
    };
    check(Some(both), Notification, exporting("export init: func();"), None);
    let bytes = exporting("export init: func();").build();
    assert_eq!(engine(None).world_of(&bytes), Some(Notification));
    let plain =
        Guest { extra: "(func (export \"init\"))".to_owned(), ..exporting("export init: func();") };
    check(Some(both), Notification, plain, Some("WRONG_WORLD"));
    // A world that moves money stays what it is, whatever the limits name.
    let pricing = || Guest::pricing(GOOD);
    check(Some(&World::ALL), Pricing, pricing().extra(FLOATS), Some("FLOAT_REFUSED"));
    check(Some(&World::ALL), Pricing, pricing().memory("2"), Some("MEMORY_UNBOUNDED"));
    check(Some(&World::ALL), Pricing, pricing(), None);
    check(Some(both), Pricing, silent().extra(FLOATS), Some("FLOAT_REFUSED"));
    check(Some(both), Notification, pricing().extra(FLOATS), Some("WRONG_WORLD"));
}

#[test]
fn interpreters_have_limits_of_their_own() {
    let limits = |limits: InterpretedLimits| {
        let limits = EngineLimits { interpreted: Some(limits), ..EngineLimits::default() };
        Engine::new(limits).expect("it starts")
    };
    let check = |engine: &Engine, guest: Guest, code: &str| {
        let error = engine.admit(World::Notification, &guest.build()).expect_err("a refusal");
        assert_eq!(error.code(), code, "{error}");
    };
    let silent = || Guest::notification(SILENT).extra(FLOATS);
    let small = InterpretedLimits { module_bytes_max: 100, ..InterpretedLimits::default() };
    check(&limits(small), silent(), "MODULE_TOO_LARGE");
    let costly = silent().described(|description| description.fuel_base = 1_000_000_001);
    check(&limits(InterpretedLimits::default()), costly, "FUEL_TOO_HIGH");
}

#[test]
fn interpreters_answer_the_same_everywhere_and_get_no_more_memory() {
    assert_eq!(told(SILENT), Ok(Vec::new()));
    assert_eq!(told(CANONICAL).map(|messages| messages.len()), Ok(1));
    let greedy = GREEDY.replace("(call $answer (local.get $rows) (i64.const 1000))", SILENT);
    let Err(RuleError::Fault(fault)) = told(&greedy) else { panic!("60,000 pages are too many") };
    assert_eq!(fault.code, Code::RuleOutOfMemory);
}
