//! Another policy without another host: first by parameters, then by another module of rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tollgate_tests::generator::campaigns::{Campaign, campaigns, limit};
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::{Host, Setup, binary, workspace};
use tollgate_tests::harness::ledger::DeliveryRow;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone, zone_at};
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::mail::Mail;
use tollgate_tests::servers::slack::Slack;
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(60);
const BUDGET_CLICKS: i64 = 40;
/// Enough that each campaign of a pair gets its forty.
const CLICKS: usize = 160;

/// Hosts in sequence on one ledger, each for a pair of campaigns of its own: one at noon, one at night.
struct Policies {
    scenario: Scenario,
    binary: Vec<u8>,
}

impl Policies {
    fn new(slack: &Slack, mail: &Mail) -> Self {
        let mut known = campaigns(31, 6, 6);
        for (at, campaign) in known.iter_mut().enumerate() {
            limit(campaign, BUDGET_CLICKS);
            campaign.time_zone = if at % 2 == 0 { noon_zone() } else { zone_at(2) };
        }
        let mut scenario = Scenario::new("policy", Database::Postgres, known).unwrap();
        let addresses: [(&str, &[&str]); 2] =
            [("default", &["ops@example.com"]), ("finance", &["finance@example.com"])];
        scenario.setup = scenario
            .setup
            .clone()
            .slack(&[("default", slack.url("default"))])
            .email(mail, &addresses);
        Self { scenario, binary: fs::read(binary().unwrap()).unwrap() }
    }

    /// Lets a host with this configuration charge a pair of campaigns beyond their budgets, and gives the messages about
    /// each, of which `held_back` wait for the morning.
    fn run(&mut self, setup: &Setup, pair: usize, held_back: i64) -> [Vec<DeliveryRow>; 2] {
        let scenario = &mut self.scenario;
        let pair: Vec<Campaign> = scenario.campaigns[pair * 2..pair * 2 + 2].to_vec();
        let mix = Mix {
            impressions_ppm: 0,
            clicks_ppm: 1_000_000,
            poison_ppm: 0,
            zipf: false,
            ..Mix::default()
        };
        let (sender, mut generator) = (scenario.sender().unwrap(), Generator::new(mix, &pair));
        for _ in 0..CLICKS {
            let at_us = now_us();
            sender.send(&generator.next(at_us), at_us).unwrap();
        }
        sender.flush().unwrap();
        let mut host = Host::start(setup).unwrap();
        scenario.wait_charged(&host).unwrap();
        let left = "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NULL) * 1000 \
                    + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)";
        let settled = wait_until("the messages to be sent", LIMIT, || {
            scenario.ledger.number(left).ok().filter(|left| *left == held_back)
        });
        settled.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
        assert!(host.terminate(LIMIT).unwrap().success());
        setup.run(&["audit"]).unwrap();
        let same = fs::read(binary().unwrap()).unwrap() == self.binary;
        assert!(same, "the host is another file");
        let deliveries = scenario.ledger.deliveries().unwrap();
        [&pair[0], &pair[1]].map(|campaign| {
            let rows = deliveries.iter().filter(|row| row.campaign_id == campaign.id);
            rows.cloned().collect()
        })
    }

    fn levels(&mut self, campaign: usize) -> Vec<(String, i64)> {
        let id = &self.scenario.campaigns[campaign].id;
        let rows = self.scenario.ledger.crossings().unwrap();
        let rows = rows.into_iter().filter(|row| row.campaign_id == *id);
        rows.map(|row| (row.kind, row.level_ppm)).collect()
    }
}

/// Kind, channel, route and outcome of messages, without their order.
fn shapes(rows: &[DeliveryRow]) -> BTreeSet<[&str; 4]> {
    let shape = |row: &'_ DeliveryRow| row.outcome.clone().map_or("waits", |_| "SENT");
    rows.iter().map(|row| [&*row.kind, &*row.channel, &*row.route, shape(row)]).collect()
}

/// The shipped rules with other words.
fn terse_rules() -> Folder {
    let (folder, shipped) = (Folder::new("terse").unwrap(), workspace().join("target/rules"));
    let copy = |from: &Path, name: &str| fs::copy(shipped.join(from), folder.file(name)).unwrap();
    for name in ["pricing.wasm", "threshold.wasm", "refund.wasm"] {
        copy(Path::new(name), name);
    }
    copy(Path::new("others/terse_notification.wasm"), "notification.wasm");
    folder
}

fn levels(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(kind, level)| ((*kind).to_owned(), *level)).collect()
}

#[test]
fn parameters_and_modules_change_the_policy_of_the_same_host() {
    let (slack, mail) = (Slack::start().unwrap(), Mail::start().unwrap());
    let mut policies = Policies::new(&slack, &mail);
    let setup = policies.scenario.setup.clone();

    // As shipped: everybody hears of everything, at noon and at night.
    let [noon, night] = policies.run(&setup, 0, 0);
    let all = BTreeSet::from([
        ["BUDGET_WARNING", "slack", "default", "SENT"],
        ["BUDGET_WARNING", "email", "default", "SENT"],
        ["CAMPAIGN_PAUSED", "slack", "default", "SENT"],
        ["CAMPAIGN_PAUSED", "email", "default", "SENT"],
    ]);
    assert_eq!((shapes(&noon), shapes(&night)), (all.clone(), all));
    assert_eq!(policies.levels(0), levels(&[("PAUSE", 1_000_000), ("WARN", 900_000)]));

    // Quiet at night, warnings at 80 and 95 %, mail for one advertiser only.
    let favourite = policies.scenario.campaigns[2].advertiser.clone();
    let routes = format!("{favourite}=slack:default+email:finance");
    let quiet = setup
        .clone()
        .key("rules.threshold.warn_at", r#"["0.80", "0.95"]"#)
        .key("rules.notification.quiet_from", r#""22:00""#)
        .key("rules.notification.quiet_until", r#""07:00""#)
        .key("rules.notification.email_warning", r#""""#)
        .key("rules.notification.email_critical", r#""""#)
        .key("rules.notification.advertiser_routes", format!("{routes:?}"));
    let [noon, night] = policies.run(&quiet, 1, 2);
    let with_mail = BTreeSet::from([
        ["BUDGET_WARNING", "slack", "default", "SENT"],
        ["BUDGET_WARNING", "email", "finance", "SENT"],
        ["CAMPAIGN_PAUSED", "slack", "default", "SENT"],
        ["CAMPAIGN_PAUSED", "email", "finance", "SENT"],
    ]);
    assert_eq!(shapes(&noon), with_mail);
    let at_night = BTreeSet::from([
        ["BUDGET_WARNING", "slack", "default", "waits"],
        ["CAMPAIGN_PAUSED", "slack", "default", "SENT"],
    ]);
    assert_eq!(shapes(&night), at_night);
    let twice = levels(&[("PAUSE", 1_000_000), ("WARN", 800_000), ("WARN", 950_000)]);
    assert_eq!((policies.levels(2), policies.levels(3)), (twice.clone(), twice));
    // It is about two at night, and seven is the end of the quiet hours.
    let until_morning = "SELECT count(*) FROM deliveries WHERE outcome IS NULL \
                         AND next_attempt_at - created_at BETWEEN interval '3 hours' AND interval '5 hours'";
    assert_eq!(policies.scenario.ledger.number(until_morning).unwrap(), 2);

    // Other words, by another module; the messages of the night go on waiting.
    let folder = terse_rules();
    let terse = Setup { rules_dir: folder.path().to_owned(), ..setup };
    let [noon, night] = policies.run(&terse, 2, 2);
    for (rows, campaign) in [(noon, 4), (night, 5)] {
        let id = &policies.scenario.campaigns[campaign].id;
        let titles: Vec<_> = rows.iter().map(|row| row.title.clone()).collect();
        assert_eq!(titles, [format!("WARN {id} 90%"), format!("STOP {id} 100%")]);
        assert!(rows.iter().all(|row| row.channel == "slack"), "{rows:?}");
    }

    let told: BTreeSet<String> =
        mail.letters().unwrap().into_iter().map(|letter| letter.to).collect();
    assert_eq!(
        told,
        BTreeSet::from(["finance@example.com".to_owned(), "ops@example.com".to_owned()])
    );
    let keys: BTreeSet<String> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    let rows = policies.scenario.ledger.deliveries().unwrap();
    let sent = rows.into_iter().filter(|row| row.channel == "slack" && row.outcome.is_some());
    assert_eq!(keys, sent.map(|row| row.key).collect());
}
