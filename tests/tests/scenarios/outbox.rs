//! What an operator does about messages that nobody takes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::servers::slack::{Mode, Slack};
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
const CAMPAIGNS: usize = 6;

fn keys(scenario: &Scenario, state: &str) -> BTreeSet<String> {
    let listed = scenario.setup.run(&["outbox", "list", "--state", state, "--json"]).unwrap();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    listed.iter().map(|message| message["key"].as_str().unwrap().to_owned()).collect()
}

fn wait_settled(scenario: &mut Scenario, host: &Host) {
    let left = "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NULL) \
                + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)";
    let settled = wait_until("the messages to be settled", LIMIT, || {
        scenario.ledger.number(left).ok().filter(|left| *left == 0)
    });
    settled.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

#[test]
fn a_deleted_hook_gives_up_its_messages_and_they_can_be_sent_again() {
    let slack = Slack::start().unwrap();
    let mut known = campaigns(41, CAMPAIGNS, 3);
    for campaign in &mut known {
        limit(campaign, 10);
        campaign.time_zone = noon_zone();
    }
    let mut scenario = Scenario::new("outbox", Database::Sqlite, known).unwrap();
    scenario.setup = scenario
        .setup
        .clone()
        .slack(&[("pauses", slack.url("pauses")), ("others", slack.url("others"))])
        .key("rules.notification.slack_warning", "\"\"")
        .key("rules.notification.slack_critical", "\"pauses\"")
        // The stand-in counts from when a request is there, the host from before it has left.
        .key("slack.gap_ms", "1500");
    slack.set("pauses", Mode::Gone);
    let all = Mix {
        impressions_ppm: 0,
        clicks_ppm: 1_000_000,
        poison_ppm: 0,
        zipf: false,
        ..Mix::default()
    };
    scenario.produce(all, CAMPAIGNS * 30).unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    wait_settled(&mut scenario, &host);

    // A digest that is refused is tried message by message, at the channel's pace, before anything is given up.
    let dead = keys(&scenario, "dead");
    let pauses =
        |keys: &BTreeSet<String>| keys.iter().filter(|key| key.starts_with("pause:")).count();
    assert_eq!(pauses(&dead), CAMPAIGNS, "{dead:?}");
    assert_eq!(slack.hurried(), 0);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'DELIVERY_FAILED'";
    let told = scenario.ledger.number(told).unwrap();
    assert!((1..=2).contains(&told), "an outage is told once an hour, not {told} times");

    // One is not worth sending any more; the others are, once the hook is there again.
    let dropped = dead.iter().find(|key| key.starts_with("pause:")).unwrap().clone();
    let note = ["--note", "the channel was moved"];
    scenario.setup.run(&[&["outbox", "drop", &dropped][..], &note].concat()).unwrap();
    slack.set("pauses", Mode::Taking);
    let said =
        scenario.setup.run(&[&["outbox", "retry", "--all-dead"][..], &note].concat()).unwrap();
    assert!(said.contains("sent again"), "{said}");
    wait_settled(&mut scenario, &host);
    assert_eq!(keys(&scenario, "dead"), BTreeSet::new());
    assert_eq!(keys(&scenario, "dropped"), BTreeSet::from([dropped.clone()]));
    let sent = keys(&scenario, "sent");
    assert_eq!(pauses(&sent), CAMPAIGNS - 1);
    let taken: BTreeSet<String> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    assert_eq!(taken, sent, "what Slack has is what the ledger says");
    assert_eq!(slack.hurried(), 0);
    let noted = "SELECT count(*) FROM operator_actions WHERE note = 'the channel was moved'";
    assert_eq!(scenario.ledger.number(noted).unwrap(), 2);
    assert!(host.terminate(LIMIT).unwrap().success());
    scenario.setup.run(&["audit"]).unwrap();
}
