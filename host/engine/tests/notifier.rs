//! Messages: what the shipped rules make of a happening, what operators steer, and what a hostile rule gets away with.

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use support::{Guest, built, shipped};
use tollgate_domain::notice::{
    Channel, Happening, HappeningFacts, HappeningKind, Message, Severity,
};
use tollgate_domain::rule::{RuleError, World};
use tollgate_engine::{Engine, EngineLimits, Notifier, Rule};

/// Fuel as the shipped configuration limits it, which is less than the engine's own defaults.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let limits = EngineLimits { fuel_per_item_max: 100_000, ..EngineLimits::default() };
    Engine::new(limits).expect("the engine starts")
});

fn notifier(bytes: &[u8], params: &[(&str, &str)]) -> Notifier {
    let module = ENGINE.admit(World::Notification, bytes).expect("the module is admitted");
    let params = params.iter().map(|(name, text)| ((*name).to_owned(), vec![(*text).to_owned()]));
    let rule = Rule::bind(module, &params.collect()).expect("the rule binds");
    Notifier::new(rule).expect("the world is right")
}

fn happening(kind: HappeningKind, advertiser: &str, local_minute: u16) -> Happening {
    Happening {
        kind,
        facts: HappeningFacts {
            campaign_id: "campaign_100".to_owned(),
            advertiser_id: advertiser.to_owned(),
            day: "2026-11-21".to_owned(),
            today: true,
            level_ppm: 900_000,
            usage_ppm: 912_345,
            spent_micros: Some(45_600_000_000),
            daily_budget_micros: Some(50_000_000_000),
            reason: "COUNTER".to_owned(),
            count: 1,
            detail: "Nothing to do.".to_owned(),
            ..HappeningFacts::default()
        },
        local_minute,
        weekday: 6,
        sent_today: 0,
        minutes_since_last: None,
    }
}

#[test]
fn the_shipped_rule_words_every_fact() {
    let mut notifier = notifier(&shipped(World::Notification), &[]);
    let asked = [
        happening(HappeningKind::Resumed, "advertiser_50", 720),
        happening(HappeningKind::Warning, "advertiser_50", 720),
    ];
    let messages = notifier.compose(&asked).expect("the rule answers");
    let told: Vec<_> = messages
        .iter()
        .map(|it| (it.happening, it.channel, &*it.route, it.severity, it.delay_minutes))
        .collect();
    let expected = [
        (0, Channel::Slack, "default", Severity::Info, 0),
        (1, Channel::Slack, "default", Severity::Warning, 0),
        (1, Channel::Email, "default", Severity::Warning, 0),
    ];
    assert_eq!(told, expected);
    assert_eq!(messages[2].title, "Budget warning: campaign_100 at 91.2 %");
    assert_eq!(
        messages[2].body,
        "campaign_100 of advertiser_50 has reached 90 % of its daily budget of 2026-11-21.\n\
         Spent 45,600 of 50,000 (91.2 %)\n\
         Decided by: COUNTER\n\
         Nothing to do."
    );
    let stats = notifier.take_stats();
    assert_eq!((stats.calls, stats.rows, stats.faults), (1, 2, 0));
    assert_eq!(notifier.take_stats().calls, 0);
    assert_eq!(notifier.compose(&[]), Ok(Vec::new()));
}

#[test]
fn every_kind_and_every_absent_fact_crosses() {
    let mut notifier = notifier(&shipped(World::Notification), &[]);
    let mut titles = std::collections::BTreeSet::new();
    for kind in HappeningKind::ALL {
        let facts = HappeningFacts::default();
        let bare = Happening { facts, ..happening(kind, "", 0) };
        let messages = notifier.compose(&[bare]).expect("the rule answers");
        let body = &messages[0].body;
        assert!(!body.contains("Spent") && !body.contains("-1"), "{kind:?}: {body}");
        titles.insert(messages[0].title.clone());
    }
    // A bare crossing has a day that is not today, so the three of them are about late clicks.
    assert_eq!(titles.len(), HappeningKind::ALL.len() - 2, "{titles:?}");
}

#[test]
fn gaps_count_from_the_last_message() {
    let mut notifier = notifier(&shipped(World::Notification), &[("min_gap", "30")]);
    let mut check = |minutes_since_last, expected: usize| {
        let asked = happening(HappeningKind::Warning, "advertiser_50", 720);
        let messages = notifier.compose(&[Happening { minutes_since_last, ..asked }]);
        assert_eq!(messages.map(|messages| messages.len()), Ok(expected));
    };
    check(None, 2);
    check(Some(29), 0);
    check(Some(30), 2);
    check(Some(u32::MAX), 2);
}

/// Quiet hours at night and e-mail for one advertiser only, as an operator writes it; then other words.
#[test]
fn a_policy_is_parameters_and_other_words_are_another_module() {
    let policy = [
        ("language", "ko"),
        ("quiet_from", "22:00"),
        ("quiet_until", "07:00"),
        ("email_warning", ""),
        ("email_critical", ""),
        ("advertiser_routes", "advertiser_7=slack:default+email:desk"),
    ];
    let asked = [
        happening(HappeningKind::Warning, "advertiser_50", 23 * 60),
        happening(HappeningKind::Warning, "advertiser_7", 23 * 60),
        happening(HappeningKind::Paused, "advertiser_50", 23 * 60),
    ];
    let check = |mut notifier: Notifier, expected: &[(u32, Channel, &str, u32)], title: &str| {
        let messages: Vec<Message> = notifier.compose(&asked).expect("the rule answers");
        let told: Vec<_> = messages
            .iter()
            .map(|it| (it.happening, it.channel, &*it.route, it.delay_minutes))
            .collect();
        assert_eq!(told, expected);
        assert_eq!(messages[0].title, title);
    };
    check(
        notifier(&shipped(World::Notification), &policy),
        &[
            (0, Channel::Slack, "default", 480),
            (1, Channel::Slack, "default", 480),
            (1, Channel::Email, "desk", 480),
            (2, Channel::Slack, "default", 0),
        ],
        "예산 경고: campaign_100 소진율 91.2%",
    );
    check(
        notifier(&built("others/terse_notification.wasm"), &[("route", "ops")]),
        &[0, 1, 2].map(|at| (at, Channel::Slack, "ops", 0)),
        "WARN campaign_100 91.2%",
    );
}

/// The dearest parameters and happenings that operators and the host can come up with.
#[test]
fn declared_fuel_is_enough_for_the_longest_texts() {
    let many = |entry: fn(usize) -> String| {
        let mut text = String::new();
        for at in 0.. {
            let entry = entry(at);
            if text.len() + entry.len() > 4_000 {
                return text;
            }
            text += &entry;
        }
        text
    };
    let shortest = many(|at| format!("{at}=slack:a,"));
    let unreadable = many(|at| format!("{at},"));
    let routes: Vec<_> = (0..8).map(|at| format!("email:r{at}")).collect();
    let crowded = format!("advertiser_50={},{unreadable}", routes.join("+"));
    let crowded = crowded[..4_000].to_owned();
    for routes in [&shortest, &unreadable, &crowded] {
        for language in ["en", "ko"] {
            let params = [("language", language), ("advertiser_routes", routes)];
            let mut notifier = notifier(&shipped(World::Notification), &params);
            let mut long = happening(HappeningKind::PauseRefused, "advertiser_50", 720);
            long.facts.detail = "유".repeat(4_000);
            long.facts.campaign_id = "캠\n".repeat(200);
            long.facts.reason = "R".repeat(64);
            let description = notifier.description();
            let (base, per_item) = (description.fuel_base, description.fuel_per_item);
            for rows in [0, 1, 100] {
                let messages = notifier.compose(&vec![long.clone(); rows]);
                let count = messages.as_ref().map(Vec::len);
                let fuel = notifier.take_stats().fuel;
                println!("{language}, {rows} rows: {fuel} fuel, {count:?} messages");
                assert!(messages.is_ok(), "{messages:?}");
                assert!(fuel * 3 < (base + per_item * rows as u64) * 2, "{rows} rows use {fuel}");
            }
        }
    }
}

#[test]
fn a_hostile_rule_harms_nobody() {
    const ABOUT_ALL: &str = "(local.get $rows) (i32.const 0)";
    let check = |compose: &str, expected: Result<usize, &str>| {
        let mut notifier = notifier(&Guest::notification(compose).build(), &[]);
        let asked = vec![happening(HappeningKind::Paused, "advertiser_50", 720); 3];
        let answer = notifier.compose(&asked);
        let found = match &answer {
            Ok(messages) => Ok(messages.len()),
            Err(RuleError::Fault(fault)) => Err(fault.code.as_str()),
            Err(RuleError::Host(sentence)) => panic!("{sentence}"),
        };
        assert_eq!(found, expected, "{compose}: {answer:?}");
        let stats = notifier.take_stats();
        assert_eq!((stats.calls, stats.rows), (1, 3), "{compose}");
        assert_eq!(stats.faults, u64::from(expected.is_err()), "{compose}");
    };
    let sized = |title: u32, body: u32| {
        format!("(call $answer {ABOUT_ALL} (i32.const {title}) (i32.const {body}))")
    };
    let some = |rows: u32, first: u32| {
        let texts = "(i32.const 9) (i32.const 9)";
        format!("(call $answer (i32.const {rows}) (i32.const {first}) {texts})")
    };
    check(&sized(300, 8_000), Ok(3));
    check(&sized(1, 0), Ok(3));
    check(&some(0, 0), Ok(0));
    check(&some(2, 1), Ok(2));
    check(support::TRAP, Err("RULE_TRAP"));
    check(support::ENDLESS, Err("RULE_OUT_OF_FUEL"));
    check(support::RECURSION, Err("RULE_TRAP"));
    check(
        &format!("(drop (memory.grow (i32.const 60000))) {}", sized(9, 9)),
        Err("RULE_OUT_OF_MEMORY"),
    );
    check("(i32.const 2147483640)", Err("RULE_WRONG_ANSWERS"));
    check(&sized(0, 9), Err("FENCE_BREACH"));
    check(&sized(301, 9), Err("FENCE_BREACH"));
    check(&sized(9, 8_001), Err("FENCE_BREACH"));
    check(&some(4, 0), Err("FENCE_BREACH"));
    check(&some(1, 3), Err("FENCE_BREACH"));
    check(&some(1, u32::MAX), Err("FENCE_BREACH"));
    // Texts that lie outside of memory, and more messages than a list can hold in it.
    check(&sized(9, u32::MAX), Err("RULE_WRONG_ANSWERS"));
    check(&some(1_000_000, 0), Err("RULE_OUT_OF_MEMORY"));
}

#[test]
fn only_a_notification_rule_words_messages() {
    let module = ENGINE.admit(World::Threshold, &shipped(World::Threshold)).expect("admitted");
    let rule = Rule::bind(module, &BTreeMap::new()).expect("the rule binds");
    let error = Notifier::new(rule).expect_err("it has the wrong world");
    assert_eq!(error.code(), "WRONG_WORLD");
    let rule = notifier(&shipped(World::Notification), &[]);
    assert_eq!(rule.module().world(), World::Notification);
    assert_eq!(rule.description().name, "budget-messages");
}
