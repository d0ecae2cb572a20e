//! How a host stops: in time, whoever hangs and however much is left, and without losing any of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate_tests::generator::campaigns::{campaigns, limit};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::{Host, Setup};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::model::Model;
use tollgate_tests::servers::mail::Mail;
use tollgate_tests::servers::slack::{Mode, Slack};
use tollgate_tests::wait::wait_until;

use crate::dead_letters::{check_published, create_dead_letter_topic, wait_published};

const LIMIT: Duration = Duration::from_secs(120);
/// The exit code of a stop that was cut off.
const CUT_OFF: Option<i32> = Some(75);
const CAMPAIGNS: usize = 10;
const DEAD_LETTERS: usize = 6_000;
const HAPPENINGS: usize = 4_000;

const UNPUBLISHED: &str = "SELECT count(*) FROM dead_letters WHERE published_at IS NULL";
const UNWORDED: &str = "SELECT count(*) FROM outbox WHERE worded_at IS NULL";
const UNSENT: &str = "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NULL) \
                      + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)";

fn clicks() -> Mix {
    Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, zipf: false, ..Mix::default() }
}

fn wait_for(scenario: &mut Scenario, host: &Host, what: &str, sql: &str, wanted: fn(i64) -> bool) {
    let waited =
        wait_until(what, LIMIT, || scenario.ledger.number(sql).ok().filter(|found| wanted(*found)));
    waited.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

fn produce_poison(scenario: &Scenario) {
    let mut generator = Generator::new(clicks(), &scenario.campaigns);
    let sender = scenario.sender().unwrap();
    for at in 0..DEAD_LETTERS {
        let at_us = now_us();
        let class = Poison::SMALL[at % Poison::SMALL.len()];
        sender.send(&generator.poison(class, at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
}

/// Letters that wait for their topic and happenings that wait for words, more than a stop should wait for.
#[test]
fn a_stop_leaves_what_waits_to_the_next_host() {
    let known = campaigns(71, CAMPAIGNS, 3);
    let mut scenario = Scenario::new("stop-backlog", Database::Sqlite, known).unwrap();
    let topic = scenario.topic.clone();
    create_dead_letter_topic(&scenario.brokers, &topic);
    scenario.setup = scenario.setup.clone().key("dead_letters.halt_percent", "100");
    produce_poison(&scenario);
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    // Of one kind and without a campaign, so that they are worded one by one.
    let happenings = format!(
        "INSERT INTO outbox (dedup_key, kind, payload) WITH RECURSIVE n(i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {HAPPENINGS}) \
         SELECT 'backlog:' || i, 'RULE_FAULT', '{{}}' FROM n"
    );
    scenario.ledger.execute(&happenings).unwrap();
    let left = scenario.ledger.number(UNPUBLISHED).unwrap();

    scenario.setup = scenario.setup.clone().dead_letter_topics();
    let mut host = Host::launch(&scenario.setup).unwrap();
    let begun = format!(
        "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NOT NULL AND dedup_key LIKE 'backlog:%') > 0 \
         AND (SELECT count(*) FROM dead_letters WHERE published_at IS NULL) < {left}"
    );
    wait_for(&mut scenario, &host, "the backlogs to shrink", &begun, |begun| begun == 1);
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let (unpublished, unworded) =
        (scenario.ledger.number(UNPUBLISHED).unwrap(), scenario.ledger.number(UNWORDED).unwrap());
    assert!(unpublished > 0 && unworded > 0, "{unpublished} letters, {unworded} happenings");

    let mut host = Host::start(&scenario.setup).unwrap();
    wait_published(&mut scenario, &host);
    wait_for(&mut scenario, &host, "the happenings to be worded", UNWORDED, |left| left == 0);
    assert!(host.terminate(LIMIT).unwrap().success());
    // Each letter once, although two hosts have published them.
    let group = scenario.setup.group.clone();
    check_published(&mut scenario, &topic, &group, &["decode", "resolve"]);
    scenario.setup.run(&["audit"]).unwrap();
}

/// A host whose neighbours all hang, with messages on their way to both.
fn hanging(scenario: &mut Scenario, setup: &Setup, slack: &Slack, mail: &Mail) -> Host {
    slack.set("any", Mode::Hanging);
    mail.freeze().unwrap();
    let asked = slack.asked().len();
    let host = Host::start(setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    // An attempt is written down before it begins.
    let tried =
        "SELECT count(DISTINCT channel) FROM deliveries WHERE attempts > 0 AND outcome IS NULL";
    wait_for(scenario, &host, "attempts on both channels", tried, |channels| channels == 2);
    wait_until("Slack to be asked", LIMIT, || (slack.asked().len() > asked).then_some(())).unwrap();
    host
}

#[test]
fn a_stop_is_not_kept_by_neighbours_that_hang() {
    let (slack, mut mail) = (Slack::start().unwrap(), Mail::start().unwrap());
    let mut known = campaigns(72, CAMPAIGNS, 3);
    for campaign in &mut known {
        limit(campaign, 10);
        campaign.time_zone = noon_zone();
    }
    let mut scenario = Scenario::new("stop-hanging", Database::Sqlite, known).unwrap();
    scenario.setup = scenario
        .setup
        .clone()
        .slack(&[("default", slack.url("any"))])
        .email(&mail, &[("default", &["ops@example.com"])])
        .key("rules.notification.slack_warning", "\"default\"")
        .key("rules.notification.slack_critical", "\"default\"")
        .key("notify.attempts_max", "1000")
        .key("notify.retry_ms_max", "1000")
        .key("notify.lease_ms", "1500");
    scenario.produce(clicks(), CAMPAIGNS * 30).unwrap();
    // An answer that never comes is waited for much longer than a stop may take.
    let patient = scenario.setup.clone().key("notify.deadline_ms", "120000");

    let setup = patient.clone().key("shutdown.drain_ms", "2000");
    let mut host = hanging(&mut scenario, &setup, &slack, &mail);
    let status = host.terminate(Duration::from_secs(30)).unwrap();
    assert_eq!(status.code(), CUT_OFF, "{}", host.log());
    assert!(host.log().contains("tasks were cut off"), "{}", host.log());
    assert!(scenario.ledger.number(UNSENT).unwrap() > 0);
    mail.restart().unwrap();

    // Who does not want to wait asks twice.
    let setup = patient.key("shutdown.drain_ms", "600000");
    let mut host = hanging(&mut scenario, &setup, &slack, &mail);
    host.signal("TERM").unwrap();
    let drained = "everything that was read is charged";
    wait_until("the drain to end", LIMIT, || host.log().contains(drained).then_some(())).unwrap();
    let status = host.terminate(Duration::from_secs(30)).unwrap();
    assert_eq!(status.code(), CUT_OFF, "{}", host.log());

    slack.set("any", Mode::Taking);
    mail.restart().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    wait_for(&mut scenario, &host, "the messages to be sent", UNSENT, |left| left == 0);
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    check_sent(&mut scenario, &slack, &mail);
    scenario.verify(&Model::new(&scenario.campaigns.clone())).unwrap();
}

/// Every message has arrived, on both channels.
fn check_sent(scenario: &mut Scenario, slack: &Slack, mail: &Mail) {
    let deliveries = scenario.ledger.deliveries().unwrap();
    assert!(deliveries.iter().all(|row| row.outcome.as_deref() == Some("SENT")), "{deliveries:?}");
    let keys = |channel: &str| -> BTreeSet<String> {
        let rows = deliveries.iter().filter(|row| row.channel == channel);
        rows.map(|row| row.key.clone()).collect()
    };
    let taken: BTreeSet<String> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    assert_eq!(taken, keys("slack"));
    let letters = mail.letters().unwrap().into_iter();
    assert_eq!(letters.map(|letter| letter.key).collect::<BTreeSet<_>>(), keys("email"));
    // A warning and a pause of each campaign, at least.
    assert!(taken.len() >= 2 * CAMPAIGNS, "{taken:?}");
}
