//! Other modules in the folder of rules: the same host binary behaves differently.

use std::fs;
use std::time::Duration;

use tollgate_domain::rule::{Param, ParamKind, Value, World};
use tollgate_tests::generator::Mix;
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::servers::folder::Folder;

use crate::guests::{Guest, shipped};

const LIMIT: Duration = Duration::from_secs(60);

/// A folder of rules in which one module is replaced.
pub(crate) fn rules_with(world: World, module: &[u8]) -> Folder {
    let folder = Folder::new("rules").unwrap();
    for other in World::ALL {
        let bytes = if other == world { module.to_vec() } else { shipped(other) };
        fs::write(folder.file(&format!("{other}.wasm")), bytes).unwrap();
    }
    folder
}

/// A threshold module that never warns and never pauses, and allows what was asked.
const KEEP: &str = "
    (local.set $rows
      (call $verdicts (local.get $arguments) (local.get $rows) (i32.const 0) (i32.const 0)
        (i64.const 0) (i32.const 1)))
    (i32.store offset=24 (local.get $rows) (i32.load offset=128 (local.get $arguments)))
    (local.get $rows)";

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
    let guest = Guest::threshold(KEEP).described(|description| {
        description.params = vec![ratio("warn_at", true), ratio("pause_at", false)];
    });
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
