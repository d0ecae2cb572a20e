//! Each warning and each pause happens once and is told, whatever is killed and whoever does not listen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{Campaign, campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::ledger::DeliveryRow;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::harness::topic::read_keyed;
use tollgate_tests::model::Model;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::kafka::{create_topic, delete_topic};
use tollgate_tests::servers::mail::Mail;
use tollgate_tests::servers::slack::{Mode, Slack};
use tollgate_tests::wait::wait_until;

const CAMPAIGNS: usize = 200;
const CLICKS: usize = 20_000;
/// Of about a hundred clicks that each campaign gets.
const BUDGET_CLICKS: i64 = 40;
const KILLS: usize = 15;
const LIMIT: Duration = Duration::from_secs(120);
const CAMPAIGN_TOPIC: &str = "suite-messages-campaigns";
const WARNINGS: &str = "warnings";
const PAUSES: &str = "pauses";

/// Happenings without words, and messages without an outcome.
const WAITING: &str = "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NULL) \
                       + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)";

/// What Slack and the mail server do during a step.
const MODES: [Mode; 5] =
    [Mode::Taking, Mode::Busy(1), Mode::Failing, Mode::Hanging, Mode::Dropping];

#[derive(Clone, Copy)]
enum MailMode {
    Up,
    Frozen,
    Down,
}
const MAIL_MODES: [MailMode; 3] = [MailMode::Up, MailMode::Frozen, MailMode::Down];

fn clicks() -> Mix {
    Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, zipf: false, ..Mix::default() }
}

/// Campaigns that all cross both levels; every other one has a place in the ranking.
fn small_budgets() -> Vec<Campaign> {
    let mut known = campaigns(21, CAMPAIGNS, 40);
    for campaign in &mut known {
        limit(campaign, BUDGET_CLICKS);
        campaign.time_zone = noon_zone();
    }
    known
}

/// A scenario with everything that messages go to.
fn scenario(slack: &Slack, mail: &Mail) -> Scenario {
    let brokers = &Servers::shared().unwrap().brokers;
    drop(delete_topic(brokers, CAMPAIGN_TOPIC));
    create_topic(brokers, CAMPAIGN_TOPIC, 4, 7).unwrap();
    let mut scenario = Scenario::new("messages", Database::Postgres, small_budgets()).unwrap();
    scenario
        .ledger
        .execute(
            "UPDATE campaigns SET placement = 'HOME', category = '패션/신발', bid_micros = 1500000 \
         WHERE right(campaign_id, 1) IN ('0', '2', '4', '6', '8')",
        )
        .unwrap();
    let text = |value: &str| format!("{value:?}");
    scenario.setup = scenario
        .setup
        .clone()
        .campaign_events(CAMPAIGN_TOPIC)
        .slack(&[(WARNINGS, slack.url(WARNINGS)), (PAUSES, slack.url(PAUSES))])
        .email(mail, &[("default", &["ops@example.com"])])
        .key("rules.notification.slack_warning", text(WARNINGS))
        .key("rules.notification.slack_critical", text(PAUSES))
        // Neighbours misbehave for long here, and nobody should wait for them longer than for the test.
        .key("notify.attempts_max", "1000")
        .key("notify.retry_ms_max", "1000")
        .key("notify.deadline_ms", "1000")
        .key("notify.lease_ms", "1500")
        // The stand-in counts from when a request is there, the host from before it has left.
        .key("slack.gap_ms", "1500")
        .key("batch.clicks_max", "500");
    scenario
}

#[test]
fn kills_and_deaf_neighbours_lose_no_message_and_double_no_crossing() {
    let (slack, mut mail) = (Slack::start().unwrap(), Mail::start().unwrap());
    let mut scenario = scenario(&slack, &mail);
    let mut hosts = [(); 2].map(|()| Host::start(&scenario.setup).unwrap());
    scenario.produce(clicks(), CLICKS).unwrap();
    let mut random = SmallRng::seed_from_u64(15);
    for step in 0..KILLS {
        slack.set(WARNINGS, MODES[step % MODES.len()]);
        slack.set(PAUSES, MODES[(step / 2 + 1) % MODES.len()]);
        set_mail(&mut mail, MAIL_MODES[step % MAIL_MODES.len()]);
        let much = random.random_range(1..12);
        wait_for_something(&mut scenario, &slack, much);
        let host = &mut hosts[random.random_range(0..2)];
        host.kill();
        *host = Host::launch(&scenario.setup).unwrap();
    }
    [WARNINGS, PAUSES].iter().for_each(|hook| slack.set(hook, Mode::Taking));
    set_mail(&mut mail, MailMode::Up);
    hosts.iter_mut().for_each(|host| host.wait_ready().unwrap());
    scenario.wait_charged(&hosts[0]).unwrap();
    let deliveries = wait_settled(&mut scenario, &hosts);
    for mut host in hosts {
        assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    }
    let model = Model::new(&scenario.campaigns);
    let outcome = scenario.verify(&model).unwrap();
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (CAMPAIGNS, CAMPAIGNS));
    check_deliveries(&deliveries);
    check_slack(&slack, &deliveries);
    check_mail(&mail, &deliveries);
    check_campaign_events(&mut scenario, &deliveries);
}

fn set_mail(mail: &mut Mail, mode: MailMode) {
    match mode {
        MailMode::Up => mail.restart().unwrap(),
        MailMode::Frozen => mail.freeze().unwrap(),
        MailMode::Down => mail.kill(),
    }
}

/// Waits until clicks were charged, or messages tried, as often as wanted, or nothing is left to do.
fn wait_for_something(scenario: &mut Scenario, slack: &Slack, much: i64) {
    let mut look = || {
        let asked = i64::try_from(slack.asked().len()).unwrap();
        let tried = "SELECT CAST(coalesce(sum(attempts), 0) AS bigint) FROM deliveries";
        let (charged, tried) = (scenario.done().unwrap(), scenario.ledger.number(tried).unwrap());
        let is_over = charged == CLICKS as i64 && scenario.ledger.number(WAITING).unwrap() == 0;
        (asked + charged / 500 + tried / 20, is_over)
    };
    let wanted = look().0 + much;
    let something = wait_until("something to happen", LIMIT, || {
        let (done, is_over) = look();
        (done >= wanted || is_over).then_some(())
    });
    something.unwrap();
}

/// Waits until every happening is worded and every message has its outcome.
fn wait_settled(scenario: &mut Scenario, hosts: &[Host]) -> Vec<DeliveryRow> {
    let settled = wait_until("the messages to be sent", LIMIT, || {
        scenario.ledger.number(WAITING).ok().filter(|waiting| *waiting == 0)
    });
    if let Err(error) = settled {
        let waiting = scenario.ledger.number(WAITING).unwrap();
        let logs: Vec<_> = hosts.iter().map(Host::log).collect();
        panic!("{error}: {waiting} are waiting\n{}", logs.join("\n"));
    }
    scenario.ledger.deliveries().unwrap()
}

/// A warning and a pause of each campaign: to Slack and by mail, and the pause to the ranking.
fn check_deliveries(deliveries: &[DeliveryRow]) {
    let mut counts = BTreeMap::new();
    for row in deliveries {
        assert_eq!(row.outcome.as_deref(), Some("SENT"), "{row:?}");
        *counts.entry((row.kind.as_str(), row.channel.as_str())).or_insert(0) += 1;
    }
    let kinds = [
        (("BUDGET_WARNING", "email"), CAMPAIGNS),
        (("BUDGET_WARNING", "slack"), CAMPAIGNS),
        (("CAMPAIGN_PAUSED", "email"), CAMPAIGNS),
        (("CAMPAIGN_PAUSED", "slack"), CAMPAIGNS),
        (("CAMPAIGN_PAUSED", "topic"), CAMPAIGNS),
    ];
    assert_eq!(counts, BTreeMap::from(kinds));
}

fn keys_of<'a>(deliveries: &'a [DeliveryRow], channel: &str, route: &str) -> BTreeSet<&'a str> {
    let rows = deliveries.iter().filter(|row| row.channel == channel && row.route == route);
    rows.map(|row| row.key.as_str()).collect()
}

fn check_slack(slack: &Slack, deliveries: &[DeliveryRow]) {
    let taken = slack.taken();
    for route in [WARNINGS, PAUSES] {
        let of_route = taken.iter().filter(|asked| asked.hook == route);
        let keys: BTreeSet<String> = of_route.flat_map(|asked| asked.keys()).collect();
        let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(keys, keys_of(deliveries, "slack", route), "{route}");
    }
    let mut codes = BTreeMap::new();
    for asked in slack.asked() {
        *codes.entry(asked.code).or_insert(0) += 1;
    }
    // Slack was deaf in every way, and never because it was asked too fast.
    let met: Vec<_> = codes.keys().copied().collect();
    assert_eq!(met, [None, Some(200), Some(429), Some(500)], "{codes:?}");
    assert_eq!(slack.hurried(), 0, "{codes:?}");
}

fn check_mail(mail: &Mail, deliveries: &[DeliveryRow]) {
    let letters = mail.letters().unwrap();
    let keys: BTreeSet<&str> = letters.iter().map(|letter| letter.key.as_str()).collect();
    assert_eq!(keys, keys_of(deliveries, "email", "default"));
    // A mail that comes twice is recognised by its id.
    let ids: BTreeSet<&str> = letters.iter().map(|letter| letter.message_id.as_str()).collect();
    assert_eq!(ids.len(), keys.len());
}

/// The times of the clicks that have paused the campaigns.
fn clicked_at(scenario: &mut Scenario) -> BTreeMap<String, Timestamp> {
    let sql = "SELECT json_build_array(campaign_id, CAST(extract(epoch FROM occurred_at) * 1000000 AS bigint))::text \
               FROM deliveries WHERE channel = 'topic'";
    let rows = scenario.ledger.texts(sql).unwrap();
    let pairs = rows.iter().map(|row| serde_json::from_str::<(String, i64)>(row).unwrap());
    pairs.map(|(id, at_us)| (id, Timestamp::from_microsecond(at_us).unwrap())).collect()
}

fn check_campaign_events(scenario: &mut Scenario, deliveries: &[DeliveryRow]) {
    let clicked = clicked_at(scenario);
    let mut paused = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for record in read_keyed(&scenario.brokers, CAMPAIGN_TOPIC).unwrap() {
        let event: Value = serde_json::from_str(&record.payload).unwrap();
        let campaign = event["campaign_id"].as_str().unwrap().to_owned();
        let placed = campaign.ends_with(['0', '2', '4', '6', '8']);
        assert_eq!(record.key, if placed { "HOME:패션/신발" } else { &campaign }, "{event}");
        assert_eq!(event["event_type"], "CAMPAIGN_STATUS_CHANGED");
        assert_eq!(
            (&event["status"], event["bid_price"].as_f64()),
            (&"PAUSED".into(), placed.then_some(1.5))
        );
        // A pause is as old as the transaction that made it, and so newer than its click.
        let at: Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(at > clicked[&campaign], "{event}, clicked at {}", clicked[&campaign]);
        keys.extend(record.headers.into_iter().map(|(_, key)| key));
        paused.insert(campaign);
    }
    assert_eq!(paused, scenario.campaigns.iter().map(|known| known.id.clone()).collect());
    let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(keys, keys_of(deliveries, "topic", CAMPAIGN_TOPIC));
}
