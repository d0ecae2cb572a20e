//! Any charge and any refund can be explained, and decided again to the byte; what was tampered with is found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tollgate::records::{self, RecordEncoder};
use tollgate_domain::transcript::{Outcome, Transcript};
use tollgate_tests::generator::compensations::{Compensation, Sort};
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::{Host, Setup, binary};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::servers::folder::Folder;

const SECOND_US: i64 = 1_000_000;

/// Runs the command with lines on its standard input.
struct Runner {
    config: PathBuf,
    _folder: Folder,
}

impl Runner {
    fn new(setup: &Setup) -> Self {
        let folder = Folder::new("explain").unwrap();
        let config = folder.file("tollgate.toml");
        std::fs::write(&config, setup.toml(0)).unwrap();
        Self { config, _folder: folder }
    }

    fn run(&self, arguments: &[&str], lines: &str) -> Output {
        let mut child = Command::new(binary().unwrap())
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let lines = lines.to_owned();
        let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        output
    }

    /// One explanation by its place; the exit code says whether there is a finding.
    fn explain(&self, (topic, partition, offset): (&str, i32, i64)) -> (Option<i32>, Value) {
        let place = format!("{topic}:0:{partition}:{offset}");
        let output = self.run(&["explain", "--json", "--history", &place], "");
        let found = serde_json::from_slice(&output.stdout);
        let found = found.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), found)
    }
}

/// Clicks with poison and duplicates, compensations of every sort, everything settled.
fn settled(name: &str, database: Database, clicks: i64) -> Scenario {
    let scenario = Scenario::new(name, database, limited_campaigns(40, 8)).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let mix = Mix {
        seed: 77,
        impressions_ppm: 100_000,
        clicks_ppm: 880_000,
        poison_ppm: 20_000,
        repeats_ppm: 100_000,
        ..Mix::default()
    };
    let mut generator = Generator::new(mix, &scenario.campaigns);
    let (sender, begin_us) = (scenario.sender().unwrap(), now_us() - clicks * SECOND_US / 50);
    for at in 0..clicks {
        let at_us = begin_us + at * SECOND_US / 50;
        sender.send(&generator.next(at_us), at_us).unwrap();
    }
    sender.flush().unwrap();
    let setup = scenario
        .setup
        .clone()
        .key("batch.clicks_max", "300")
        .key("compensation.look_ms", "50")
        .key("compensation.settle_s", "1")
        .key("compensation.expire_s", "1");
    let mut host = Host::start(&setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    // Only now: they expire after a second, which is no time to wait for clicks that are still to be charged.
    let compensations = scenario.compensation_sender().unwrap();
    let mut random = SmallRng::seed_from_u64(78);
    for repeat in generator.take_repeats(i64::MAX) {
        let sort = Sort::ALL[random.random_range(0..Sort::ALL.len())];
        let sort = if random.random_bool(0.5) { Sort::Honest } else { sort };
        let compensation = Compensation::new(&repeat, &scenario.campaigns, now_us()).sort(sort);
        compensations.send(&compensation.event(), now_us()).unwrap();
    }
    compensations.flush().unwrap();
    scenario.wait_settled(&host, 0).unwrap();
    assert!(host.terminate(std::time::Duration::from_secs(60)).unwrap().success());
    scenario
}

/// Random places of both topics, as lines.
fn places(scenario: &mut Scenario, count: usize) -> Vec<(String, i64, i64)> {
    let mut all = Vec::new();
    for topic in [scenario.topic.clone(), scenario.compensation_topic()] {
        for row in scenario.ledger.progress(&topic).unwrap() {
            let offsets = row.first_offset..row.next_offset;
            all.extend(offsets.map(|offset| (topic.clone(), row.kafka_partition, offset)));
        }
    }
    all.shuffle(&mut SmallRng::seed_from_u64(79));
    all.truncate(count);
    all
}

fn random_ones_are_the_same(name: &str, database: Database, clicks: i64) -> (Scenario, Runner) {
    let mut scenario = settled(name, database, clicks);
    let places = places(&mut scenario, 1_000);
    let runner = Runner::new(&scenario.setup);
    let mut lines = String::new();
    for (topic, partition, offset) in &places {
        writeln!(lines, "{topic} {partition} {offset}").unwrap();
    }
    let output = runner.run(&["explain", "--stdin"], &lines);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let found: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found.len(), places.len());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (one, (_, _, offset)) in found.iter().zip(&places) {
        assert_eq!(one["place"]["offset"], *offset);
        let (fate, result) =
            (one["fate"].as_str().unwrap(), one["again"]["result"].as_str().unwrap());
        *seen.entry(format!("{fate} {result}")).or_default() += 1;
        if fate == "CHARGED" {
            check_charge(one);
        }
    }
    for expected in
        ["CHARGED SAME", "COMPENSATION SAME", "SKIPPED NO_RECORD", "DEAD_LETTER NO_RECORD"]
    {
        assert!(seen.contains_key(expected), "{seen:?}");
    }
    assert!(!seen.contains_key("CHARGED NO_RECORD"), "{seen:?}");
    (scenario, runner)
}

/// What the calls say is what history has.
fn check_charge(one: &Value) {
    assert_eq!(one["again"]["result"], "SAME", "{one:#}");
    let calls = one["decision"]["calls"].as_array().unwrap();
    let last = |world: &str| calls.iter().rfind(|call| call["world"] == world).unwrap();
    let (pricing, threshold) = (last("pricing"), last("threshold"));
    let quoted = pricing["answer"]["charge_micros"].as_i64().unwrap();
    let allowed = threshold["answer"]["allowed_micros"].as_i64().unwrap();
    assert_eq!(threshold["facts"]["amount_micros"], quoted);
    assert_eq!(one["charge"]["amount_micros"], -quoted.min(allowed));
    assert_eq!(one["charge"]["generation"], one["decision"]["generation"]);
    for call in [pricing, threshold] {
        assert!(!call["module"]["digest"].as_str().unwrap().is_empty());
        assert!(!call["reason"]["name"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_charge_is_explained_from_postgres_and_tampering_is_found() {
    let (mut scenario, runner) = random_ones_are_the_same("explain", Database::Postgres, 4_000);
    let topic = scenario.topic.clone();
    let row = "SELECT kafka_partition || ' ' || kafka_offset || ' ' || device_id || ' ' ||
               to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
               FROM ad_balance_histories WHERE type = 'DEDUCT' AND device_id IS NOT NULL AND amount_micros < 0
               ORDER BY kafka_partition, kafka_offset LIMIT 1";
    let row = scenario.ledger.texts(row).unwrap().remove(0);
    let words: Vec<&str> = row.split(' ').collect();
    let (partition, offset): (i32, i64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    let place = (topic.as_str(), partition, offset);

    // By device and instant it is the same explanation, and in words it says what it costs.
    let device = ["explain", "--device", words[2], "--at", words[3]];
    let output = runner.run(&device, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("{topic} {partition} {offset}: a click that was charged")),
        "{text}"
    );
    assert!(text.contains("decided again: the same, to the byte"), "{text}");
    assert_eq!(runner.explain(place).0, Some(0));

    // The row of the record, which may stand in another partition of the batch.
    let span = format!(
        "topic = '{topic}' AND kafka_partition = {partition} AND first_offset <= {offset} AND next_offset > {offset}"
    );
    let lead = format!(
        "(SELECT coalesce(lead_topic, topic) || coalesce(lead_partition, kafka_partition) || '/' ||
          coalesce(lead_next_offset, next_offset) FROM decision_records WHERE {span})"
    );
    let is_lead = format!("topic || kafka_partition || '/' || next_offset = {lead}");
    let body = format!("SELECT encode(body, 'hex') FROM decision_records WHERE {is_lead}");
    let whole = unhex(&scenario.ledger.texts(&body).unwrap()[0]);
    let mut keep = |bytes: &[u8]| {
        let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
            write!(digits, "{byte:02x}").unwrap();
            digits
        });
        let sql =
            format!("UPDATE decision_records SET body = decode('{digits}', 'hex') WHERE {is_lead}");
        scenario.ledger.execute(&sql).unwrap();
    };

    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    keep(&flipped);
    let (exit, one) = runner.explain(place);
    assert_eq!((exit, &one["again"]["result"]), (Some(2), &"DAMAGED".into()), "{one:#}");

    let Transcript::Clicks(mut transcript) = records::decode(&whole).unwrap() else {
        panic!("clicks")
    };
    let at = transcript.row_of((&topic, 0, partition), offset).unwrap();
    let call = transcript
        .price_calls
        .iter_mut()
        .find(|call| call.range().contains(&at) && matches!(call.outcome, Outcome::Answered(_)));
    let call = call.unwrap();
    let row = at - call.first as usize;
    let Outcome::Answered(quotes) = &mut call.outcome else { panic!("it was answered") };
    quotes.charge_micros[row] += 1;
    let tampered = RecordEncoder::new().unwrap().encode(&Transcript::Clicks(transcript)).unwrap();
    keep(&tampered);
    let (exit, one) = runner.explain(place);
    assert_eq!((exit, &one["again"]["result"]), (Some(2), &"DIFFERENT".into()), "{one:#}");
    let output = runner.run(&["explain", "--stdin"], &format!("{topic} {partition} {offset}\n"));
    assert_eq!(output.status.code(), Some(2));

    keep(&whole);
    assert_eq!(runner.explain(place).0, Some(0));
    scenario.ledger.execute("DELETE FROM decision_records").unwrap();
    let (exit, one) = runner.explain(place);
    assert_eq!((exit, &one["again"]["result"]), (Some(0), &"NO_RECORD".into()), "{one:#}");
    statements_add_up(&mut scenario, &runner);
}

#[test]
fn a_charge_is_explained_from_sqlite() {
    let (mut scenario, runner) = random_ones_are_the_same("explain-lite", Database::Sqlite, 1_500);
    statements_add_up(&mut scenario, &runner);
}

/// The statements of all days of every advertiser hang together, from the opening balance to the balance of now.
fn statements_add_up(scenario: &mut Scenario, runner: &Runner) {
    let days = "SELECT DISTINCT CAST(day AS TEXT) FROM campaign_daily_spend ORDER BY 1";
    let days = scenario.ledger.texts(days).unwrap();
    let ids = "SELECT advertiser_id FROM advertiser_balances ORDER BY 1";
    let (mut refunds, mut clicks) = (0, 0);
    for id in scenario.ledger.texts(ids).unwrap() {
        let mut closing = None;
        for day in &days {
            let made = ["statement", "--advertiser", &id, "--day", day, "--zone", "UTC", "--json"];
            let output = runner.run(&made, "");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{said}");
            let one: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(closing.is_none() || closing == Some(one["opening_micros"].clone()), "{one:#}");
            for line in one["campaigns"].as_array().unwrap() {
                refunds += line["refunds"].as_i64().unwrap();
                clicks += line["clicks"].as_i64().unwrap();
            }
            closing = Some(one["closing_micros"].clone());
            if day == days.last().unwrap() {
                assert_eq!(one["is_last_day"], true);
                assert_eq!(one["closing_micros"], one["balance_micros"]);
            }
        }
    }
    let count =
        |kind: &str| format!("SELECT count(*) FROM ad_balance_histories WHERE type = '{kind}'");
    assert_eq!(scenario.ledger.number(&count("DEDUCT")).unwrap(), clicks);
    assert_eq!(scenario.ledger.number(&count("REFUND")).unwrap(), refunds);
    assert!(refunds > 0);
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}
