//! `check`: everything that admission would say, in one reading.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use support::{GOOD, Guest, root, shipped};
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits};
use tollgate_workbench::cases;
use tollgate_workbench::check::{Check, check};

fn checked(world: Option<World>, bytes: &[u8]) -> Check {
    let engine = Engine::new(EngineLimits::default()).expect("the engine starts");
    check(&engine, "rule.wasm", world, bytes)
}

fn has(bytes: &[u8], world: Option<World>, is_admitted: bool, expected: &[&str]) {
    let found = checked(world, bytes);
    let text = found.text();
    assert_eq!(found.is_admitted(), is_admitted, "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_module_that_is_admitted_says_what_it_is() {
    has(
        &shipped(World::Threshold),
        None,
        true,
        &[
            "admitted: budget-levels 1.1.0, a threshold rule\n",
            "digest            sha256:",
            "contract          tollgate:rules/threshold@1.0.0\n",
            "memory            8,388,608 of 8,388,608 bytes\n",
            "parameters        5 of 64\n",
            "reasons           4 of 64\n",
            "asks for          counter\n",
            "Share of the daily budget at which the campaign is paused.",
            "OVER_BUDGET",
        ],
    );
}

#[test]
fn a_module_that_is_not_says_everything_that_is_wrong() {
    let bad = Guest::pricing(GOOD).memory("2").extra("(func $half (drop (f64.const 0.5)))");
    has(
        &bad.build(),
        None,
        false,
        &[
            "error[MEMORY_UNBOUNDED]: the module's memory has no maximum; link it with",
            "error[FLOAT_REFUSED]: the module uses floating-point numbers (in `half` at byte 0x",
            "  --> rule.wasm\n",
            "rule.wasm is not admitted: 2 problems\n",
            "size              ",
        ],
    );
    has(
        &shipped(World::Refund),
        Some(World::Pricing),
        false,
        &[
            "error[WRONG_WORLD]: the module exports `tollgate:rules/refund@1.0.0`, expected exactly",
            "is not admitted: 1 problem\n",
        ],
    );
    has(b"", None, false, &["error[NOT_A_COMPONENT]"]);
}

#[test]
fn cases_inside_are_counted_and_have_to_be_readable() {
    let module = Guest::pricing(GOOD).build();
    has(&module, None, true, &["note[NO_CASES]", "cases inside      0\n"]);
    let text = std::fs::read_to_string(root().join("rules/cases/pricing.toml")).expect("cases");
    let with = cases::embed(&module, &[&text]).expect("embedded");
    let found = checked(None, &with);
    assert!(found.notes.is_empty() && found.is_admitted(), "{}", found.text());
    let bad = cases::embed(&module, &["[[case]]\nname = 3\nexpect.charge = 1"]).expect("embedded");
    has(&bad, None, false, &["error[CASES_UNREADABLE]: (module) cases 1:2: `name` is not a text"]);
}
