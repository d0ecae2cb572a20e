//! Other modules in the folder of rules: the same host binary behaves differently, and a hostile one is refused or
//! harms its own clicks only.

use std::fs;
use std::time::Duration;

use tollgate_domain::rule::{Param, ParamKind, Value, World};
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::model::{Fate, Model};
use tollgate_tests::servers::folder::Folder;

use crate::guests::{ENDLESS, GOOD, Guest, OUT_OF_BOUNDS, POISON_MICROS, RECURSION, shipped};

const EVENTS: usize = 3_000;
const LIMIT: Duration = Duration::from_secs(60);

/// A folder of rules in which one module is replaced.
fn rules_with(world: World, module: &[u8]) -> Folder {
    let folder = Folder::new("rules").unwrap();
    for other in World::ALL {
        let bytes = if other == world { module.to_vec() } else { shipped(other) };
        fs::write(folder.file(&format!("{other}.wasm")), bytes).unwrap();
    }
    folder
}

/// A module that misbehaves whenever a click of the poison campaign is among the rows, and else charges 1,000.
fn misbehaving(behaviour: &str) -> Vec<u8> {
    let price = format!(
        "(block $good (loop $next
            (br_if $good (i32.ge_u (local.get $row) (local.get $rows)))
            (if (i64.eq (call $stored (local.get $arguments) (local.get $row)) (i64.const {POISON_MICROS}))
                (then (return {behaviour})))
            (local.set $row (i32.add (local.get $row) (i32.const 1)))
            (br $next)))
         {GOOD}"
    );
    Guest::pricing(&one_line(&price)).build()
}

/// The template of guests names its parts in a comment too, which ends with the line.
fn one_line(wat: &str) -> String {
    wat.replace('\n', " ")
}

/// Runs a host with such a module: clicks of the one campaign die of `code`, all others are charged.
fn check_contained(name: &str, behaviour: &str, code: &'static str) {
    let mut known = campaigns(9, 20, 6);
    known[3].cpc_micros = POISON_MICROS;
    let poison = known[3].id.clone();
    let mut scenario = Scenario::new(name, Database::Postgres, known).unwrap();
    let rules = rules_with(World::Pricing, &misbehaving(behaviour));
    scenario.setup.rules_dir = rules.path().to_owned();
    scenario.produce(Mix { seed: 31, ..Mix::default() }, EVENTS).unwrap();
    let model = Model::new(&scenario.campaigns).with_hostile_pricing(1_000, &poison, code);
    let outcome =
        scenario.charge_and_verify(&model).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let died = outcome.fates.values().filter(|fate| **fate == Fate::Dead(code));
    assert!(died.count() > 20, "{name}");
}

#[test]
fn a_module_that_fails_on_a_click_harms_no_other() {
    check_contained("trap", "(unreachable)", "RULE_TRAP");
    check_contained("endless", &format!("(block (result i32) {ENDLESS})"), "RULE_OUT_OF_FUEL");
    check_contained("recursion", &format!("(block (result i32) {RECURSION})"), "RULE_TRAP");
    let answer = |rows: &str, charge: &str| format!("(call $answer {rows} (i64.const {charge}))");
    let fewer = "(i32.sub (local.get $rows) (i32.const 1))";
    check_contained("few", &answer(fewer, "1000"), "RULE_WRONG_ANSWERS");
    let more = "(i32.add (local.get $rows) (i32.const 1))";
    check_contained("many", &answer(more, "1000"), "RULE_WRONG_ANSWERS");
    check_contained("negative", &answer("(local.get $rows)", "-1"), "FENCE_BREACH");
    let huge = i64::MAX.to_string();
    check_contained("above-cap", &answer("(local.get $rows)", &huge), "FENCE_BREACH");
    let beyond = format!("(block (result i32) {OUT_OF_BOUNDS})");
    check_contained("beyond", &beyond, "RULE_WRONG_ANSWERS");
}

/// Neither `check` nor `run` accepts a module, and both say why.
fn check_refused(guest: &Guest, code: &str) {
    let rules = rules_with(World::Pricing, &guest.build());
    let mut scenario = Scenario::new("refused", Database::Sqlite, campaigns(1, 1, 1)).unwrap();
    scenario.setup.rules_dir = rules.path().to_owned();
    let error = scenario.setup.run(&["check"]).unwrap_err().to_string();
    assert!(error.contains(code), "{code}: {error}");
    let mut host = Host::launch(&scenario.setup).unwrap();
    assert!(!host.wait_end(LIMIT).unwrap().success(), "{code}");
    assert!(host.log().contains(code), "{code}: {}", host.log());
}

#[test]
fn a_module_that_breaks_the_contract_is_not_admitted() {
    let mut importing = Guest::pricing(GOOD);
    importing.world = format!("import clock: func() -> u64; {}", importing.world);
    importing.memory =
        format!(r#"(import "$root" "clock" (func (result i64))) {}"#, importing.memory);
    check_refused(&importing, "IMPORT_REFUSED");
    let float = Guest::pricing(GOOD).extra("(func (drop (f64.const 1)))");
    check_refused(&float, "FLOAT_REFUSED");
    let unbounded = Guest::pricing(GOOD).memory("2");
    check_refused(&unbounded, "MEMORY_UNBOUNDED");
}

/// A threshold module that never warns and never pauses: zeros for everything, and what was asked as allowed.
const KEEP: &str = r#"
  (func (export "tollgate:rules/threshold@1.0.0#describe") (result i32) (i32.const 1024))
  (func (export "tollgate:rules/threshold@1.0.0#judge") (param $arguments i32) (result i32)
    (local $rows i32) (local $zeros i32) (local $verdicts i32)
    (local.set $rows (i32.load offset=124 (local.get $arguments)))
    (local.set $verdicts (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 40)))
    (local.set $zeros
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $rows) (i32.const 4))))
    (i32.store offset=0 (local.get $verdicts) (local.get $zeros))
    (i32.store offset=4 (local.get $verdicts) (local.get $rows))
    (i32.store offset=8 (local.get $verdicts) (local.get $zeros))
    (i32.store offset=12 (local.get $verdicts) (local.get $rows))
    (i32.store offset=16 (local.get $verdicts) (local.get $zeros))
    (i32.store offset=20 (local.get $verdicts) (local.get $rows))
    (i32.store offset=24 (local.get $verdicts) (i32.load offset=120 (local.get $arguments)))
    (i32.store offset=28 (local.get $verdicts) (local.get $rows))
    (i32.store offset=32 (local.get $verdicts) (local.get $zeros))
    (i32.store offset=36 (local.get $verdicts) (local.get $rows))
    (local.get $verdicts))
"#;

fn ratio(name: &str, many: bool) -> Param {
    Param {
        name: name.to_owned(),
        kind: ParamKind::RatioPpm,
        many,
        default: if many { Value::Numbers(vec![900_000]) } else { Value::Number(1_000_000) },
        lowest: None,
        highest: None,
        help: "Not used.".to_owned(),
    }
}

#[test]
fn another_threshold_module_behaves_differently_on_the_same_host() {
    let mut guest = Guest::pricing(GOOD).extra(&one_line(KEEP)).described(|description| {
        description.reasons[0].code = 0;
        description.params = vec![ratio("warn_at", true), ratio("pause_at", false)];
    });
    guest.world = "export tollgate:rules/threshold@1.0.0;".to_owned();
    let rules = rules_with(World::Threshold, &guest.build());
    let run = |name: &str, rules_dir: Option<&Folder>| {
        let mut scenario = Scenario::new(name, Database::Sqlite, limited_campaigns(10, 5)).unwrap();
        if let Some(folder) = rules_dir {
            scenario.setup.rules_dir = folder.path().to_owned();
        }
        scenario.produce(Mix { seed: 32, ..Mix::default() }, 10_000).unwrap();
        let mut host = Host::start(&scenario.setup).unwrap();
        scenario.wait_charged(&host).unwrap();
        assert!(host.terminate(LIMIT).unwrap().success());
        scenario.setup.run(&["audit"]).unwrap();
        let charged = scenario.ledger.history(&scenario.topic).unwrap().len();
        (charged, scenario.ledger.crossings().unwrap().len())
    };
    let (charged, crossings) = run("threshold-shipped", None);
    assert!(crossings > 0);
    assert_eq!(run("threshold-other", Some(&rules)), (charged, 0));
}
