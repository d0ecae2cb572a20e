//! Cases against modules: what passes, what fails and how that reads, and what travels inside.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use support::{GOOD, Guest, NEGATIVE, TOO_FEW, TRAP, root};
use tollgate_domain::rule::World;
use tollgate_engine::{Compiler, Engine, EngineLimits, Module};
use tollgate_workbench::cases::{self, Cases, Checks, Paint, Report};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineLimits::default()).expect("the engine starts"));
static SECOND: LazyLock<Engine> = LazyLock::new(|| {
    let engine = Engine::with_compiler(EngineLimits::default(), Compiler::SinglePass);
    engine.expect("the second engine starts")
});

/// The shipped rules as they are built.
static BUILT: LazyLock<BTreeMap<World, Vec<u8>>> =
    LazyLock::new(|| World::ALL.map(|world| (world, support::shipped(world))).into());

/// A shipped rule without its cases.
fn shipped(world: World) -> Vec<u8> {
    cases::embed(&BUILT[&world], &[]).expect("a module")
}

fn admit(world: World, bytes: &[u8]) -> Module {
    ENGINE.admit(world, bytes).expect("admitted")
}

fn run(world: World, bytes: &[u8], cases: &Cases) -> Report {
    let second = SECOND.admit(world, bytes).expect("admitted by the second compiler");
    cases::run(&admit(world, bytes), cases, &Checks { second: Some(second), ..Checks::default() })
}

fn parse(world: World, text: &str) -> Cases {
    Cases::parse(world, "f.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// One case of `bytes`; the report has to show these lines, or `ok` when there are none.
fn check_of(world: World, bytes: &[u8], case: &str, expected: &[&str]) {
    let cases = parse(world, &format!("[[case]]\nname = \"a\"\n{case}"));
    let report = run(world, bytes, &cases);
    let text = cases::shown(&report, Paint::Plain);
    assert_eq!(report.is_passed(), expected.is_empty(), "{case}\n{text}");
    for line in expected {
        assert!(text.lines().any(|found| found.trim() == *line), "{case}\n{line:?} not in\n{text}");
    }
}

#[test]
fn the_shipped_rules_pass_their_cases_and_answer_every_reason() {
    for world in World::ALL {
        let file = root().join(format!("rules/cases/{world}.toml"));
        let text = std::fs::read_to_string(&file).expect("cases");
        let cases = parse(world, &text);
        let inside = tollgate_builder::cases::embedded(&BUILT[&world]).expect("readable").concat();
        assert_eq!(inside, text, "the cases of {world} travel inside its module");
        let report = run(world, &shipped(world), &cases);
        assert!(report.is_passed(), "{}", cases::shown(&report, Paint::Plain));
        assert_eq!(report.unused_reasons().next(), None, "{world}");
        assert!(cases.len() >= 8, "{world}");
    }
}

#[test]
fn a_pricing_case_passes_or_says_why_not() {
    let bytes = shipped(World::Pricing);
    let check = |case: &str, expected: &[&str]| check_of(World::Pricing, &bytes, case, expected);
    check("expect.charge = 1", &[]);
    check("expect.charge = \"1.000\"", &[]);
    check(
        "expect.charge = \"0.9\"",
        &["FAILED a  (f.toml:1)", "- charge = \"0.9\"", "+ charge = \"1\""],
    );
    check(
        "expect.reason = \"CACHED_PRICE\"",
        &["- reason = \"CACHED_PRICE\"", "+ reason = \"STORED_PRICE\""],
    );
    check(
        "expect = { charge = 2, reason = \"STORED_PRICE\" }",
        &["- charge = \"2\"", "reason = \"STORED_PRICE\""],
    );
    check(
        "expect.reason = \"CHEAP\"",
        &[
            "line 3 expects the reason CHEAP, which the rule does not declare; it has: CACHED_PRICE, STORED_PRICE, \
           CACHED_PRICE_ABSURD",
        ],
    );
    check(
        "expect.fault = \"RULE_TRAP\"",
        &["- a fault: RULE_TRAP", "+ charge = 1, reason = \"STORED_PRICE\""],
    );
    check(
        "given.click = { category = \"x\" }\nexpect.charge = 1",
        &[
            "line 3 gives `category`, which this rule is never told: it has to ask for `texts` in `describe`",
        ],
    );
    check("given.campaign = { cached_price = \"none\" }\nexpect.charge = 1", &[]);
    check(
        "params = { cheap = 1 }\nexpect.charge = 1",
        &[
            "the parameters of rule `cost-per-click` cannot be used: the rule has no parameter `cheap`; it has: \
           cached_price_highest",
        ],
    );
    check(
        "params = { cached_price_highest = 0 }\nexpect.charge = 1",
        &[
            "the parameters of rule `cost-per-click` cannot be used: parameter `cached_price_highest` is \"0\", allowed is \
         0.000001 to 1000000000",
        ],
    );
    check(
        "given.clicks = [{}, {}]\nexpect.quotes = [{ charge = 1 }, { charge = 2 }]",
        &["quote 2", "- charge = \"2\"", "+ charge = \"1\""],
    );
}

#[test]
fn modules_fail_for_reasons_of_their_own() {
    let check = |answer: &str, expect: &str, expected: &[&str]| {
        let bytes = Guest::pricing(answer).build();
        check_of(World::Pricing, &bytes, &format!("expect = {{ {expect} }}"), expected);
    };
    check(GOOD, "charge = \"0.001\", reason = \"COMPUTED\"", &[]);
    check(GOOD, "charge = \"0.002\"", &["- charge = \"0.002\"", "+ charge = \"0.001\""]);
    check(TRAP, "fault = \"RULE_TRAP\"", &[]);
    check(
        TRAP,
        "charge = 1",
        &[
            "- an answer",
            "+ RULE_TRAP (it trapped: wasm trap: wasm `unreachable` instruction executed)",
        ],
    );
    check(NEGATIVE, "fault = \"FENCE_BREACH\"", &[]);
    check(
        NEGATIVE,
        "charge = \"-0.000001\"",
        &["- an answer", "+ FENCE_BREACH (click 0 is charged -0.000001, allowed is 0 to 1000000)"],
    );
    check(TOO_FEW, "fault = \"RULE_WRONG_ANSWERS\"", &[]);
}

#[test]
fn two_compilations_have_to_answer_the_same() {
    // Another module stands for a compilation that went wrong.
    let check = |second: &str, expected: Option<&str>| {
        let cases = parse(World::Pricing, "[[case]]\nname = \"a\"\nexpect.reason = \"COMPUTED\"");
        let second = Some(admit(World::Pricing, &Guest::pricing(second).build()));
        let module = admit(World::Pricing, &Guest::pricing(GOOD).build());
        let report = cases::run(&module, &cases, &Checks { second, ..Checks::default() });
        let text = cases::shown(&report, Paint::Plain);
        assert_eq!(report.is_passed(), expected.is_none(), "{text}");
        assert!(text.contains(expected.unwrap_or("ok: 1 of 1")), "{text}");
    };
    check(GOOD, None);
    let other = "(call $answer (local.get $rows) (i64.const 1001))";
    check(
        other,
        Some(
            "compiled another way the rule answers charge = \"0.001001\", reason = \"COMPUTED\", instead of",
        ),
    );
    check(TRAP, Some("compiled another way the rule answers RULE_TRAP (it trapped: "));
}

#[test]
fn messages_are_compared_in_whole_or_in_part() {
    let bytes = shipped(World::Notification);
    let check = |expect: &str, expected: &[&str]| {
        let case = format!(
            "params = {{ email_critical = \"\" }}\ngiven.happening = {{ kind = \"paused\" }}\n{expect}"
        );
        check_of(World::Notification, &bytes, &case, expected);
    };
    check("expect = { channel = \"slack\", title = \"Campaign paused: campaign_1\" }", &[]);
    check("expect = { title_has = \"paused\", body_has = [\"is paused\", \"2026-01-05\"] }", &[]);
    check(
        "expect = { title_has = \"Paused\" }",
        &["- title has \"Paused\"", "+ title = \"Campaign paused: campaign_1\""],
    );
    check("expect.messages = []", &["- 0 messages", "+ 1 messages"]);
    check("expect.messages = [{}, {}]", &["- 2 messages", "+ 1 messages"]);
}

#[test]
fn a_case_of_another_world_does_not_pass() {
    let cases = parse(World::Refund, "[[case]]\nname = \"a\"\nexpect.action = \"park\"");
    let report = run(World::Pricing, &shipped(World::Pricing), &cases);
    let text = cases::shown(&report, Paint::Plain);
    assert!(text.contains("this is a case of the world refund, the rule is of pricing"), "{text}");
}

#[test]
fn cases_travel_inside_the_module() {
    let module = shipped(World::Pricing);
    let first = "[[case]]\nname = \"a\"\nexpect.charge = 1\n";
    let second = "[[case]]\nname = \"b\"\nexpect.charge = 2\n";
    let with = cases::embed(&module, &[first, second]).expect("embedded");
    let inside = cases::embedded(World::Pricing, &with).expect("readable").expect("some");
    assert_eq!(inside.len(), 2);
    let report = run(World::Pricing, &with, &inside);
    assert_eq!((report.passed(), report.outcomes.len()), (1, 2));
    assert_eq!(report.outcomes[1].file, "(module) cases 2");
    assert_ne!(admit(World::Pricing, &with).digest(), admit(World::Pricing, &module).digest());
    let without = cases::embed(&with, &[]).expect("embedded");
    assert!(cases::embedded(World::Pricing, &without).expect("readable").is_none());
}

#[test]
fn damaged_cases_inside_are_an_error() {
    fn check(cases: &str, code: &str, expected: &str) {
        let module = cases::embed(&shipped(World::Pricing), &[cases]).expect("embedded");
        let error = cases::embedded(World::Pricing, &module).expect_err("unreadable");
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(expected), "{error}");
    }
    check("[[case]", "CASES_UNREADABLE", "(module) cases 1:1: ");
    check(
        "[[case]]\nname = \"a\"\nexpect = { refund = 1 }",
        "CASES_UNREADABLE",
        "unknown key `refund`",
    );
    let error = cases::embedded(World::Pricing, b"not a module").expect_err("no module");
    assert_eq!(error.code(), "BAD_MODULE");
}

#[test]
fn many_cases_are_run_and_counted() {
    let mut text = String::new();
    for case in 0..1_000 {
        writeln!(
            text,
            "[[case]]\nname = \"{case}\"\ngiven.campaign = {{ stored_price = {case} }}\nexpect.charge = {case}"
        )
        .expect("a string");
    }
    let mut cases = parse(World::Pricing, &text);
    let report = run(World::Pricing, &shipped(World::Pricing), &cases);
    assert!(report.is_passed());
    let shown = cases::shown(&report, Paint::Plain);
    assert!(shown.starts_with("ok: 1000 of 1000 cases passed in "), "{shown}");
    let last = "1 of 3 declared reasons were answered, not: CACHED_PRICE, CACHED_PRICE_ABSURD\n";
    assert!(shown.ends_with(last), "{shown}");
    cases.keep("99");
    assert_eq!(cases.len(), 19);
}

/// Pieces of files of cases, good and bad.
const PIECES: [&str; 16] = [
    "[[case]]\n",
    "name = \"a\"\n",
    "name = 3\n",
    "[case.given]\n",
    "[case.expect]\n",
    "[defaults.given.click]\n",
    "click = { placement = \"HOME\" }\n",
    "clicks = [{}, {}]\n",
    "campaigns = [{ id = \"a\" }, 7]\n",
    "charge = \"0.90\"\n",
    "quotes = [{ charge = 1 }, {}]\n",
    "fault = \"RULE_TRAP\"\n",
    "params = { x = [1, \"2\", true] }\n",
    "bid = 99999999999999999999\n",
    "\"\u{c804}\" = 0.5\n",
    "[\n",
];

proptest! {
    #[test]
    fn no_text_of_cases_makes_the_reader_panic(
        pieces in proptest::collection::vec(0..PIECES.len(), 0..12),
        world in 0..4_usize,
    ) {
        let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
        if let Ok(cases) = Cases::parse(World::ALL[world], "f.toml", &text) {
            prop_assert!(!cases.is_empty());
        }
    }

    #[test]
    fn what_is_embedded_is_read_again(texts in proptest::collection::vec(".{0,300}", 0..4)) {
        static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| shipped(World::Refund));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let module = cases::embed(&MODULE, &texts).expect("embedded");
        prop_assert!(module.starts_with(&MODULE));
        let inside = tollgate_builder::cases::embedded(&module).expect("readable");
        prop_assert_eq!(inside, texts);
    }

    #[test]
    fn what_is_stripped_has_no_cases_whatever_the_bytes(at in 0..20_000_usize, byte: u8, end in 0..20_000_usize) {
        static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            cases::embed(&shipped(World::Refund), &["[[case]]"]).expect("embedded")
        });
        let mut module = MODULE.clone();
        if let Some(place) = module.get_mut(at) {
            *place = byte;
        }
        module.truncate(end.max(1));
        if let Ok(stripped) = cases::embed(&module, &[]) {
            let inside = tollgate_builder::cases::embedded(&stripped).expect("readable");
            prop_assert!(inside.is_empty());
        }
    }
}
