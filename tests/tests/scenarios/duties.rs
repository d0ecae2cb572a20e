//! Sending messages and publishing dead letters are duties of their own: each has its leader among the hosts that do it, and
//! a host that cannot do its duty leaves it to another.

use std::fs;
use std::time::Duration;

use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{Campaign, campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::slack::{Mode, Slack};
use tollgate_tests::wait::wait_until;

use super::dead_letters::{create_dead_letter_topic, wait_published};
use crate::guests::Guest;

const LIMIT: Duration = Duration::from_secs(60);
const CAMPAIGNS: usize = 4;
const UNWORDED: &str = "SELECT count(*) FROM outbox WHERE worded_at IS NULL";
const UNSENT: &str = "SELECT count(*) FROM deliveries WHERE outcome IS NULL";

fn small_budgets() -> Vec<Campaign> {
    let mut known = campaigns(91, CAMPAIGNS, 2);
    for campaign in &mut known {
        limit(campaign, 10);
        campaign.time_zone = noon_zone();
    }
    known
}

fn clicks(poison_ppm: u32) -> Mix {
    let clicks_ppm = 1_000_000 - poison_ppm;
    Mix { impressions_ppm: 0, clicks_ppm, poison_ppm, zipf: false, ..Mix::default() }
}

fn wait_for(scenario: &mut Scenario, what: &str, sql: &str, wanted: i64, host: &Host) {
    let reached = wait_until(what, LIMIT, || {
        scenario.ledger.number(sql).ok().filter(|found| *found == wanted)
    });
    reached.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

/// Two hosts, each with one of the two duties. Both are done, whichever host was there first.
fn check(name: &str, is_relay_first: bool) {
    let slack = Slack::with_pace(1_000, Duration::from_secs(1)).unwrap();
    let mut scenario = Scenario::new(name, Database::Postgres, small_budgets()).unwrap();
    create_dead_letter_topic(&scenario.brokers, &scenario.topic);
    let setup = scenario.setup.clone().slack(&[("default", slack.url("default"))]);
    let sends = setup.clone().key("dead_letters.publish", "false");
    let publishes = setup.dead_letter_topics().key("notify.enabled", "false");
    let order = if is_relay_first { [sends, publishes] } else { [publishes, sends] };
    let mut hosts = order.map(|setup| Host::start(&setup).unwrap());
    scenario.produce(clicks(50_000), CAMPAIGNS * 50).unwrap();
    scenario.wait_charged(&hosts[0]).unwrap();
    let paused = "SELECT count(*) FROM outbox WHERE kind = 'CAMPAIGN_PAUSED'";
    assert_eq!(scenario.ledger.number(paused).unwrap(), CAMPAIGNS as i64);
    assert!(scenario.ledger.number("SELECT count(*) FROM dead_letters").unwrap() > 0);
    wait_published(&mut scenario, &hosts[0]);
    wait_for(&mut scenario, "everything to have its words", UNWORDED, 0, &hosts[0]);
    wait_for(&mut scenario, "everything to be sent", UNSENT, 0, &hosts[0]);
    let keys: Vec<_> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    let pauses = keys.iter().filter(|key| key.starts_with("pause:")).count();
    assert_eq!(pauses, CAMPAIGNS, "{keys:?}");
    for host in &mut hosts {
        assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    }
}

#[test]
fn a_host_that_only_publishes_dead_letters_keeps_nobody_from_sending() {
    check("duties-letters", false);
}

#[test]
fn a_host_that_only_sends_keeps_nobody_from_publishing_dead_letters() {
    check("duties-relay", true);
}

#[test]
fn a_host_that_cannot_load_the_notification_rule_leaves_it_to_another() {
    let slack = Slack::with_pace(1_000, Duration::from_secs(1)).unwrap();
    slack.set("default", Mode::Failing);
    let scenario = Scenario::new("duties-rule", Database::Postgres, small_budgets());
    let mut scenario = scenario.unwrap();
    let setup = scenario
        .setup
        .clone()
        .key("rules.source", "\"ledger\"")
        .slack(&[("default", slack.url("default"))])
        .key("notify.attempts_max", "1000")
        .key("notify.retry_ms_max", "500")
        .key("notify.lease_ms", "1500");
    // What other hosts admit, this one does not.
    let mut strict = Host::start(&setup.clone().key("rules.fuel_base_max", "30000000")).unwrap();
    scenario.produce(clicks(0), CAMPAIGNS * 50).unwrap();
    scenario.wait_charged(&strict).unwrap();
    wait_for(&mut scenario, "everything to have its words", UNWORDED, 0, &strict);
    assert!(scenario.ledger.number(UNSENT).unwrap() >= CAMPAIGNS as i64);
    let hungry = Guest::notification("(unreachable)");
    let hungry = hungry.described(|description| description.fuel_base = 40_000_000);
    let folder = Folder::new("hungry").unwrap();
    fs::write(folder.file("hungry.wasm"), hungry.build()).unwrap();
    let path = folder.file("hungry.wasm").display().to_string();
    setup.run(&["rule", "activate", &path, "--note", "hungry"]).unwrap();
    let unready = wait_until("the host to say what it cannot load", LIMIT, || {
        strict
            .get("/readyz")
            .ok()
            .filter(|(code, text)| *code == 503 && text.contains("FUEL_TOO_HIGH"))
    });
    unready.unwrap();
    let happened =
        "INSERT INTO outbox (dedup_key, kind, payload) VALUES ('by-hand', 'BUDGET_WARNING', '{}')";
    scenario.ledger.execute(happened).unwrap();
    slack.set("default", Mode::Taking);
    wait_for(&mut scenario, "what has its words to be sent", UNSENT, 0, &strict);
    assert_eq!(scenario.ledger.number(UNWORDED).unwrap(), 1);

    let mut able = Host::start(&setup).unwrap();
    wait_for(&mut scenario, "another host to word the rest", UNWORDED, 0, &strict);
    wait_for(&mut scenario, "another host to send the rest", UNSENT, 0, &able);
    let keys: Vec<_> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    assert_eq!(keys.iter().filter(|key| *key == "by-hand#0").count(), 1, "{keys:?}");
    for host in [&mut strict, &mut able] {
        assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    }
}
