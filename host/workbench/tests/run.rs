//! `run`: events and facts of a file to answers, line by line.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use support::{Guest, TRAP_ON_POISON, shipped};
use tollgate_domain::day::Zone;
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits, Rule};
use tollgate_workbench::cases::{Campaigns, default_fence};
use tollgate_workbench::run::{Answer, Runner, Surroundings};

const CAMPAIGNS: &str = r#"
{"id": "campaign_1", "advertiser": "advertiser_1", "stored_price": "1.20"}
{"id": "poison", "advertiser": "advertiser_1", "stored_price": "13.000013", "zone": "UTC"}
"#;

fn runner(world: World, bytes: &[u8], campaigns: Option<&str>) -> Runner {
    let engine = Engine::new(EngineLimits::default()).expect("the engine starts");
    let module = engine.admit(world, bytes).expect("admitted");
    let rule = Rule::bind(module, &BTreeMap::new()).expect("parameters");
    let campaigns = campaigns.map(|text| Campaigns::parse("c.ndjson", text).expect("campaigns"));
    let surroundings = Surroundings {
        decode: DecodeLimits::default(),
        fence: default_fence(),
        zone: Zone::new("Asia/Seoul").expect("a zone"),
    };
    Runner::new(rule, campaigns, surroundings)
}

fn click(campaign: &str) -> String {
    format!(
        r#"{{"event_type": "CLICK", "timestamp": "2026-11-20T09:30:00+09:00", "campaign_id": "{campaign}",
            "advertiser_id": "advertiser_1"}}"#
    )
}

/// Fields of the first row, or the code of the failure.
fn shown(answer: &Answer) -> String {
    match &answer.failure {
        Some(failure) => failure.code.clone(),
        None => answer.rows[0].values().cloned().collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn clicks_are_priced_one_by_one() {
    let bytes = Guest::pricing(TRAP_ON_POISON).build();
    let mut runner = runner(World::Pricing, &bytes, Some(CAMPAIGNS));
    let mut check = |line: &str, expected: Option<&str>| {
        let answer = runner.ask(line);
        assert_eq!(answer.as_ref().map(shown).as_deref(), expected, "{line}");
    };
    check(&click("campaign_1"), Some("0.001 COMPUTED"));
    check(&click("campaign_9"), Some("UNKNOWN_CAMPAIGN"));
    check(&click("poison"), Some("RULE_TRAP"));
    check(&click("campaign_1").replace("advertiser_1", "another"), Some("ADVERTISER_MISMATCH"));
    check(&click("campaign_1").replace("CLICK", "IMPRESSION"), None);
    check("{", Some("NOT_JSON"));
    check("", None);
    check(&click("campaign_1"), Some("0.001 COMPUTED"));
    let totals = runner.totals();
    assert_eq!((totals.lines, totals.answered, totals.failed, totals.skipped), (8, 2, 4, 1));
    assert_eq!(totals.amount.as_deref(), Some("0.002"));
    assert_eq!(totals.reasons, BTreeMap::from([("COMPUTED".to_owned(), 2)]));
    assert_eq!(totals.codes["RULE_TRAP"], 1);
    assert!(totals.fuel > 0 && totals.memory_bytes_max >= 65_536, "{totals:?}");
    let text = totals.text();
    assert!(text.contains("sum              0.002\n"), "{text}");
}

#[test]
fn without_campaigns_every_click_costs_one() {
    let mut runner = runner(World::Pricing, &shipped(World::Pricing), None);
    let answer = runner.ask(&click("whatever")).expect("an answer");
    assert_eq!(shown(&answer), "1 STORED_PRICE");
    assert!(answer.columns(World::Pricing).contains("whatever"), "{answer:?}");
}

#[test]
fn the_other_worlds_read_facts_as_cases_give_them() {
    fn check(world: World, line: &str, expected: &str) {
        let mut runner = runner(world, &shipped(world), None);
        let answer = runner.ask(line).expect("an answer");
        let found = answer.columns(world);
        assert!(found.contains(expected), "{line}\n{found}");
        assert_eq!(
            answer.columns(world).lines().count(),
            answer.rows.len().max(1),
            "each row has a line"
        );
    }
    let day = r#"{"day": {"daily_budget": "10", "spent": 8}, "movement": {"amount": "1"}}"#;
    check(World::Threshold, day, "warn          0.9 LEDGER");
    check(
        World::Refund,
        r#"{"compensation": {"claimed": 0}}"#,
        "reject              0 NOTHING_CLAIMED",
    );
    check(
        World::Notification,
        r#"{"happening": {"kind": "resumed"}}"#,
        "slack:default Campaign resumed",
    );
    check(
        World::Refund,
        r#"{"compensation": {"claimed": 0.5}}"#,
        "FACTS_UNREADABLE: `claimed` is not an amount",
    );
    check(World::Refund, r#"{"compensations": {}}"#, "`compensations` is a table, expected a list");
    check(World::Refund, "[]", "FACTS_UNREADABLE: ");
}

#[test]
fn campaigns_are_read_strictly() {
    fn check(text: &str, expected: &str) {
        let error = Campaigns::parse("c.ndjson", text).expect_err("unreadable");
        assert_eq!(error.to_string(), expected, "{text}");
    }
    check("{}", "c.ndjson:1: a campaign needs its `id`");
    check(
        "{\"id\": \"a\"}\n{\"id\": \"b\", \"zone\": \"Mars\"}",
        "c.ndjson:2: \"Mars\" is not an IANA time zone; use a name such as \"Asia/Seoul\"",
    );
    check(
        "{\"id\": \"a\", \"price\": \"1\"}",
        "c.ndjson:1: unknown key `price`; known here: `advertiser`, `balance`, `cached_price`, `id`, `stored_price`, \
         `zone`",
    );
}
