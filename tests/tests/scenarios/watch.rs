//! The running audit on every host, and the duplicate rate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tollgate_tests::generator::campaigns::{Campaign, campaigns};
use tollgate_tests::generator::compensations::Compensation;
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::harness::status::DuplicateRate;
use tollgate_tests::model::{Fate, Model};
use tollgate_tests::servers::slack::Slack;
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(120);
const CLICKS: usize = 4_000;
const ALERT_PPM: i64 = 40_000;
const CLICKS_MIN: i64 = 100;

/// Campaigns without tight budgets, whose day is not about to end.
fn table() -> Vec<Campaign> {
    let mut known = campaigns(71, 24, 6);
    for campaign in &mut known {
        campaign.time_zone = noon_zone();
        campaign.daily_budget_micros = None;
    }
    known
}

/// Clicks and duplicates by campaign, and by advertiser.
type Counts = BTreeMap<(&'static str, String), (i64, i64)>;

/// What the model says the ledger must have counted.
fn expected(scenario: &mut Scenario) -> Counts {
    let model = Model::new(&scenario.campaigns);
    let (clicks, refunds) = scenario.verify_refunds(&model).unwrap();
    let mut counts = Counts::new();
    for (place, fate) in &clicks.fates {
        let Fate::Charged(charge) = fate else { continue };
        for key in
            [("campaign", charge.campaign.clone()), ("advertiser", charge.advertiser.clone())]
        {
            let (clicks, duplicates) = counts.entry(key).or_default();
            *clicks += 1;
            *duplicates += i64::from(refunds.given_back.contains_key(place));
        }
    }
    counts
}

/// What `tollgate duplicates` says of the last day.
fn asked(scenario: &Scenario) -> (DuplicateRate, Counts) {
    let asked = ["duplicates", "--json", "--window", "1d", "--top", "1000"];
    let page: Value = serde_json::from_str(&scenario.setup.run(&asked).unwrap()).unwrap();
    let total = serde_json::from_value(page["totals"][0].clone()).unwrap();
    let mut counts = Counts::new();
    for rate in page["rates"].as_array().unwrap() {
        let is_campaign = rate["scope"] == "campaign";
        let (scope, id) =
            if is_campaign { ("campaign", "campaign_id") } else { ("advertiser", "advertiser_id") };
        let number = |name: &str| rate[name].as_i64().unwrap();
        let (clicks, duplicates) = (number("clicks"), number("duplicates"));
        assert_eq!(number("rate_ppm"), duplicates * 1_000_000 / clicks, "{rate}");
        counts.insert((scope, rate[id].as_str().unwrap().to_owned()), (clicks, duplicates));
    }
    (total, counts)
}

/// Produces clicks of which some are repeated, and complains about the repeated ones.
fn burst(scenario: &mut Scenario, host: &Host) {
    let mix = Mix {
        seed: 72,
        impressions_ppm: 100_000,
        clicks_ppm: 895_000,
        poison_ppm: 5_000,
        repeats_ppm: 60_000,
        ..Mix::default()
    };
    let (sender, mut generator) =
        (scenario.sender().unwrap(), Generator::new(mix, &scenario.campaigns));
    for _ in 0..CLICKS {
        let at_us = now_us();
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
    let complaints = scenario.compensation_sender().unwrap();
    for repeat in generator.take_repeats(i64::MAX) {
        let found = Compensation::new(&repeat, &scenario.campaigns, now_us());
        complaints.send(&found.event(), now_us()).unwrap();
    }
    complaints.flush().unwrap();
    scenario.wait_charged(host).unwrap();
    scenario.wait_settled(host, 0).unwrap();
}

/// The host that watches, once it has seen everything.
fn watcher(hosts: &[Host], total: DuplicateRate) -> &Host {
    let found = wait_until("a host to have watched everything", LIMIT, || {
        hosts.iter().find(|host| {
            let watch = host.status().map(|status| status.watch).unwrap_or_default();
            watch.watcher && watch.behind == Some(0) && watch.duplicates.get("1d") == Some(&total)
        })
    });
    found.unwrap_or_else(|error| panic!("{error}: {total:?}\n{}", hosts[0].log()))
}

/// Waits until every host answers `/readyz` with this code, and gives the answers.
fn readyz(hosts: &[Host], code: u16) -> Vec<String> {
    let asked = |host: &Host| host.get("/readyz").ok().filter(|answer| answer.0 == code);
    wait_until("every host to answer /readyz", LIMIT, || {
        hosts.iter().map(|host| Some(asked(host)?.1)).collect()
    })
    .unwrap()
}

#[test]
fn a_wrong_balance_turns_every_host_red_until_it_is_mended() {
    let slack = Slack::start().unwrap();
    let scenario = Scenario::new("watch", Database::Postgres, table()).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    scenario.setup = scenario
        .setup
        .clone()
        .slack(&[("default", slack.url("default"))])
        .key("audit.every_ms", "200")
        .key("compensation.look_ms", "50")
        .key("compensation.settle_s", "86400")
        .key("duplicates.alert_ppm", ALERT_PPM.to_string())
        .key("duplicates.clicks_min", CLICKS_MIN.to_string())
        .key("slack.gap_ms", "0");
    let mut hosts =
        vec![Host::start(&scenario.setup).unwrap(), Host::start(&scenario.setup).unwrap()];
    burst(&mut scenario, &hosts[0]);

    let expected = expected(&mut scenario);
    let campaigns = expected.iter().filter(|(key, _)| key.0 == "campaign");
    let (clicks, duplicates) =
        campaigns.fold((0, 0), |sum, (_, count)| (sum.0 + count.0, sum.1 + count.1));
    assert!(duplicates > 100, "{duplicates} of {clicks}");
    let total = DuplicateRate { clicks, duplicates, rate_ppm: duplicates * 1_000_000 / clicks };
    let watching = watcher(&hosts, total);
    assert_eq!(asked(&scenario), (total, expected.clone()));
    check_metrics(watching, total);
    check_alerts(&mut scenario, &slack, &expected);
    assert_eq!(readyz(&hosts, 200), ["ready\n"; 2]);
    assert_eq!(scenario.ledger.number("SELECT count(*) FROM audit_findings").unwrap(), 0);

    let wronged = scenario.campaigns[3].advertiser.clone();
    let add = |scenario: &mut Scenario, micros: i64| {
        let sql = format!(
            "UPDATE advertiser_balances SET balance_micros = balance_micros + {micros} \
             WHERE advertiser_id = '{wronged}'"
        );
        scenario.ledger.execute(&sql).unwrap();
    };
    add(&mut scenario, 1);
    for answer in readyz(&hosts, 503) {
        let sentence = format!("the ledger does not add up for advertiser {wronged}: ");
        assert!(answer.starts_with(&sentence) && answer.lines().count() == 1, "{answer}");
    }
    let title = format!("Ledger does not add up: {wronged}");
    wait_until("the message", LIMIT, || shown(&slack).contains(&title).then_some(())).unwrap();
    assert_eq!(hosts[0].metric("tollgate_audit_findings"), Some(1.0));
    let findings = hosts[1].status().unwrap().watch.findings;
    assert_eq!(findings.len(), 1);
    assert_eq!((&*findings[0].claim, &findings[0].advertiser), ("balances", &wronged));

    // Another host goes on when the one that watches is gone, and money goes on being charged.
    let at = hosts.iter().position(|host| host.status().unwrap().watch.watcher).unwrap();
    hosts[at].kill();
    hosts.remove(at);
    burst(&mut scenario, &hosts[0]);
    add(&mut scenario, -1);
    assert_eq!(readyz(&hosts, 200), ["ready\n"]);
    let (clicks, duplicates) = (2 * total.clicks, 2 * total.duplicates);
    watcher(&hosts, DuplicateRate { clicks, duplicates, ..total });
    assert!(hosts[0].terminate(LIMIT).unwrap().success(), "{}", hosts[0].log());
    // Told once, and delivered under one key however often.
    let told: BTreeSet<_> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    assert_eq!(told.iter().filter(|key| key.starts_with("audit-mismatch:")).count(), 1, "{told:?}");
}

/// Everything that Slack shows.
fn shown(slack: &Slack) -> String {
    slack.taken().iter().map(|asked| asked.message.to_string()).collect()
}

fn check_metrics(host: &Host, total: DuplicateRate) {
    let (_, page) = host.get("/metrics").unwrap();
    for line in [
        format!("tollgate_clicks{{window=\"1d\"}} {}", total.clicks),
        format!("tollgate_duplicate_clicks{{window=\"1d\"}} {}", total.duplicates),
        "tollgate_audit_findings 0".to_owned(),
        "tollgate_audit_behind_offsets 0".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    let starts = |start: &str| page.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(starts("tollgate_duplicate_rate_ppm{scope=\"advertiser\",id=\"advertiser_"), 18);
    assert!(starts("tollgate_audit_laps_total{result=\"compared\"}") == 1, "{page}");
}

/// Each advertiser and campaign above the level was told of, once for each window.
fn check_alerts(scenario: &mut Scenario, slack: &Slack, expected: &Counts) {
    let above = |(clicks, duplicates): &(i64, i64)| {
        *clicks >= CLICKS_MIN && duplicates * 1_000_000 / clicks > ALERT_PPM
    };
    let mut told = 0;
    for ((scope, id), count) in expected {
        let sql = format!(
            "SELECT count(*) FROM outbox WHERE dedup_key LIKE 'duplicate-rate:{scope}:%:{id}:%'"
        );
        let found = scenario.ledger.number(&sql).unwrap();
        if above(count) {
            assert_eq!(found, 3, "{scope} {id} {count:?}");
            told += 1;
        }
    }
    assert!(told > 3, "{told}");
    wait_until("a message", LIMIT, || shown(slack).contains("Many duplicate clicks").then_some(()))
        .unwrap();
}
