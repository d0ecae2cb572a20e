//! What a replay says of a candidate is what really happens under it: the same sums, warnings and pauses as a host that
//! runs it on the same topic and an empty ledger, and as the reference model says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::{Timestamp, ToSpan};
use serde_json::Value;
use tollgate_domain::rule::World;
use tollgate_tests::generator::campaigns::{Campaign, limit};
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::{Host, binary};
use tollgate_tests::harness::ledger::Ledger;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::harness::topic::Log;
use tollgate_tests::model::{Fate, Model, Outcome};
use tollgate_tests::servers::folder::Folder;

use crate::guests::{Guest, shipped};

const EVENTS: usize = 20_000;
const SCALE: &str = "TOLLGATE_SUITE_SCALE";
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);
const OPENING_MICROS: i64 = 1_000_000_000_000_000;

/// What the candidate charges for every click, and where it warns.
const PRICE_MICROS: i64 = 150_000_000;
const WARN_PPM: i64 = 800_000;

/// A folder with the rules of the candidate, which a host can run.
struct Candidate {
    folder: Folder,
}

impl Candidate {
    fn new() -> Self {
        let folder = Folder::new("candidate").unwrap();
        let price = format!("(call $answer (local.get $rows) (i64.const {PRICE_MICROS}))");
        for world in World::ALL {
            let bytes = match world {
                World::Pricing => Guest::pricing(&price).build(),
                world => shipped(world),
            };
            fs::write(folder.file(&format!("{world}.wasm")), bytes).unwrap();
        }
        Self { folder }
    }

    fn file(&self, world: World) -> String {
        self.folder.file(&format!("{world}.wasm")).display().to_string()
    }

    /// Arguments that name it.
    fn arguments(&self) -> Vec<String> {
        let (pricing, threshold) = (self.file(World::Pricing), self.file(World::Threshold));
        let words =
            ["--candidate", &pricing, "--candidate", &threshold, "--params", "warn_at=0.80"];
        words.map(str::to_owned).to_vec()
    }
}

/// Runs `tollgate rule replay` with a scenario's configuration.
struct Runner {
    config: PathBuf,
    folder: Folder,
}

impl Runner {
    fn new(scenario: &Scenario) -> Self {
        let folder = Folder::new("replay").unwrap();
        let config = folder.file("tollgate.toml");
        fs::write(&config, scenario.setup.toml(0)).unwrap();
        Self { config, folder }
    }

    fn run(&self, arguments: &[String]) -> Output {
        Command::new(binary().unwrap())
            .args(["rule", "replay", "--json"])
            .args(arguments)
            .args([Path::new("--config"), &self.config])
            .output()
            .unwrap()
    }

    /// The report; the command must succeed.
    fn report(&self, arguments: &[String]) -> Value {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

type Days = BTreeSet<(String, String)>;

fn days(report: &Value, list: &str) -> Days {
    let crossed = report[list].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    crossed.map(|crossed| (text(&crossed["campaign"]), text(&crossed["day"]))).collect()
}

/// Charges by campaign on one side of a report.
fn sums(report: &Value, side: &str) -> BTreeMap<String, i64> {
    let campaigns = report["campaigns"].as_array().unwrap().iter();
    let sum = |line: &Value| {
        let id = line["campaign"].as_str().unwrap().to_owned();
        (id, line[format!("{side}_micros")].as_i64().unwrap())
    };
    campaigns.map(sum).collect()
}

fn model_sums(outcome: &Outcome) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for ((campaign, _), spent) in &outcome.spent {
        *sums.entry(campaign.clone()).or_default() += spent;
    }
    sums
}

fn ledger_sums(ledger: &mut Ledger) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for row in ledger.spend().unwrap() {
        *sums.entry(row.campaign_id).or_default() += row.spent_micros;
    }
    sums
}

/// Holds a report against the models of both sides.
fn check_report(report: &Value, before: &Outcome, after: &Outcome) {
    assert_eq!(sums(report, "before"), model_sums(before));
    assert_eq!(sums(report, "after"), model_sums(after));
    let only = |one: &Days, other: &Days| -> Days { one.difference(other).cloned().collect() };
    for (list, expected) in [
        ("newly_paused", only(&after.exhausted, &before.exhausted)),
        ("no_longer_paused", only(&before.exhausted, &after.exhausted)),
    ] {
        assert_eq!(days(report, list), expected, "{list}");
    }
    let totals = &report["totals"];
    for (side, outcome) in [("before", before), ("after", after)] {
        assert_eq!(totals[side]["pauses"], outcome.exhausted.len(), "{side}");
        assert_eq!(totals[side]["warnings"], outcome.warned.len(), "{side}");
    }
    let charged = |outcome: &Outcome| outcome.charged.values().sum::<i64>();
    assert_eq!(totals["difference_micros"], charged(after) - charged(before));
}

fn models(scenario: &Scenario) -> (Model, Model) {
    let before = Model::new(&scenario.campaigns);
    let after = Model::new(&scenario.campaigns)
        .with_hostile_pricing(PRICE_MICROS, [])
        .with_warning_at(WARN_PPM);
    (before, after)
}

fn scale() -> usize {
    std::env::var(SCALE).ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// Campaigns of which some pass their budgets by so many events.
fn known(events: usize) -> Vec<Campaign> {
    let mut known = limited_campaigns(100, 20);
    let scale = (events / EVENTS) as i64;
    for (campaign, clicks) in known.iter_mut().zip([40, 300, 1_000]) {
        limit(campaign, clicks * scale);
    }
    known
}

/// A topic that a host has charged under the shipped rules.
fn charged(name: &str, database: Database, events: usize) -> (Scenario, Outcome) {
    let mut scenario = Scenario::new(name, database, known(events)).unwrap();
    let mix = Mix {
        seed: 44,
        impressions_ppm: 10_000,
        clicks_ppm: 980_000,
        poison_ppm: 5_000,
        ..Mix::default()
    };
    scenario.produce(mix, events).unwrap();
    let (before, _) = models(&scenario);
    let outcome = scenario.charge_and_verify(&before).unwrap();
    (scenario, outcome)
}

fn yesterday() -> String {
    let day = Timestamp::now() - 48.hours();
    day.strftime("%Y-%m-%d").to_string()
}

#[test]
fn a_replay_says_what_happens_under_the_candidate() {
    let events = EVENTS * scale();
    let (mut scenario, before) = charged("candidate", Database::Postgres, events);
    let (candidate, runner) = (Candidate::new(), Runner::new(&scenario));
    let (_, model) = models(&scenario);
    let after = model.judge(&Log::read(&scenario.brokers, &scenario.topic).unwrap().records);
    assert_ne!(before.exhausted, after.exhausted, "the candidate changes pauses");

    let topic = scenario.topic.clone();
    let page = runner.folder.file("report.html");
    let named =
        [words(&["--topic", &topic, "--html", page.to_str().unwrap()]), candidate.arguments()];
    let report = runner.report(&named.concat());
    check_report(&report, &before, &after);
    let dead = after.fates.values().filter(|fate| matches!(fate, Fate::Dead(_))).count();
    let totals = &report["totals"];
    let letters =
        totals["unreadable"].as_u64().unwrap() + totals["after"]["dead_letters"].as_u64().unwrap();
    assert_eq!(letters, dead as u64);
    assert!(fs::read_to_string(page).unwrap().contains("<svg"));
    println!("topic: {} clicks, {} a second", totals["clicks"], report["clicks_per_s"]);

    // The limit decides about the exit code and nothing else.
    let limited = |share: &str| {
        let more = words(&["--topic", &topic, "--max-delta", share]);
        runner.run(&[more, candidate.arguments()].concat()).status.code()
    };
    assert_eq!((limited("0.05%"), limited("100%")), (Some(2), Some(0)));

    // What was really answered, against the candidate on the facts of then.
    let past = words(&["--history", "--since", &yesterday()]);
    let report = runner.report(&[past.clone(), candidate.arguments()].concat());
    check_report(&report, &before, &after);
    assert_eq!(report["left_out"], Value::Array(Vec::new()));
    println!("history: {} clicks, {} a second", report["totals"]["clicks"], report["clicks_per_s"]);
    what_is_not_recorded_is_left_out(&mut scenario, &runner, &candidate);

    // And now it happens.
    let url = format!("sqlite://{}", candidate.folder.file("ledger.db").display());
    scenario.setup.ledger_url = url.clone();
    scenario.setup.group = format!("{topic}-candidate");
    scenario.setup.rules_dir = candidate.folder.path().to_owned();
    scenario.setup = scenario.setup.clone().key("rules.threshold.warn_at", r#"["0.80"]"#);
    scenario.setup.migrate().unwrap();
    scenario.ledger = Ledger::open(&url).unwrap();
    scenario.ledger.load(&scenario.campaigns, OPENING_MICROS).unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    assert_eq!(ledger_sums(&mut scenario.ledger), model_sums(&after));
    let crossings = scenario.ledger.crossings().unwrap();
    let crossed = |kind: &str| -> Days {
        let own = crossings.iter().filter(|row| row.kind == kind);
        own.map(|row| (row.campaign_id.clone(), row.day.clone())).collect()
    };
    assert_eq!((crossed("PAUSE"), crossed("WARN")), (after.exhausted, after.warned));
}

fn what_is_not_recorded_is_left_out(
    scenario: &mut Scenario,
    runner: &Runner,
    candidate: &Candidate,
) {
    let past = words(&["--history", "--since", &yesterday()]);
    let all = runner.report(&[past.clone(), candidate.arguments()].concat());
    let clicks = all["totals"]["clicks"].as_u64().unwrap();
    scenario
        .ledger
        .execute(
            "DELETE FROM decision_records WHERE decided_at = (SELECT min(decided_at) FROM decision_records)",
        )
        .unwrap();
    let report = runner.report(&[past, candidate.arguments()].concat());
    let left = report["left_out"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    let out = left[0]["clicks"].as_u64().unwrap();
    assert!(out > 0 && left[0]["why"].as_str().unwrap().contains("not recorded"), "{left:?}");
    assert_eq!(report["totals"]["clicks"].as_u64().unwrap() + out, clicks);
}

/// The rules that decided, as candidates: on the facts of then they answer the same.
fn the_past_is_the_same_under_the_rules_of_then(name: &str, database: Database) {
    let (scenario, before) = charged(name, database, EVENTS);
    let (candidate, runner) = (Candidate::new(), Runner::new(&scenario));
    let shipped = scenario.setup.rules_dir.join("pricing.wasm").display().to_string();
    let named = words(&["--candidate", &shipped, "--candidate", &candidate.file(World::Threshold)]);
    let past = words(&["--history", "--since", &yesterday()]);
    let report = runner.report(&[past, named.clone()].concat());
    check_report(&report, &before, &before);
    for list in ["left_out", "newly_warned", "no_longer_warned", "pauses_moved", "warnings_moved"] {
        assert_eq!(report[list], Value::Array(Vec::new()), "{list}");
    }
    assert_eq!(report["totals"]["clicks_changed"], 0);
    // By their own records' times, the same clicks as a topic give the same as well.
    let topic = words(&["--topic", &scenario.topic, "--max-delta", "0%"]);
    let report = runner.report(&[topic, named].concat());
    check_report(&report, &before, &before);
}

#[test]
fn the_past_in_postgres_is_the_same_under_the_rules_of_then() {
    the_past_is_the_same_under_the_rules_of_then("candidate-then", Database::Postgres);
}

#[test]
fn the_past_in_sqlite_is_the_same_under_the_rules_of_then() {
    the_past_is_the_same_under_the_rules_of_then("candidate-lite", Database::Sqlite);
}

#[test]
fn a_file_needs_no_server() {
    let events = EVENTS * scale();
    let known = known(events);
    let folder = Folder::new("offline").unwrap();
    let mix = Mix { seed: 45, clicks_ppm: 1_000_000, impressions_ppm: 0, ..Mix::default() };
    let mut generator = Generator::new(mix, &known);
    let begin_us = tollgate_tests::harness::now_us();
    let mut lines = Vec::new();
    let mut records = Vec::new();
    for at in 0..events as i64 {
        let at_us = begin_us + at;
        let payload = generator.next(at_us).payload.unwrap();
        lines.extend_from_slice(&payload);
        lines.push(b'\n');
        let at_ms = at_us / 1_000;
        records.push(tollgate_tests::model::Record {
            partition: 0,
            offset: at,
            at_ms,
            payload: Some(payload),
        });
    }
    let mut table =
        "campaign_id,advertiser_id,status,daily_budget_micros,cpc_micros,time_zone\n".to_owned();
    for campaign in &known {
        let budget =
            campaign.daily_budget_micros.map_or(String::new(), |budget| budget.to_string());
        let (id, advertiser, zone) = (&campaign.id, &campaign.advertiser, &campaign.time_zone);
        let (status, cpc) = (campaign.status, campaign.cpc_micros);
        writeln!(table, "{id},{advertiser},{status},{budget},{cpc},{zone}").unwrap();
    }
    let (clicks, campaigns) = (folder.file("events.ndjson"), folder.file("campaigns.csv"));
    fs::write(&clicks, lines).unwrap();
    fs::write(&campaigns, table).unwrap();

    let candidate = Candidate::new();
    let rules = shipped_folder();
    let config = folder.file("tollgate.toml");
    // Nobody answers at these addresses.
    let text = format!(
        "kafka.brokers = \"127.0.0.1:1\"\nledger.url = \"postgres://nobody@127.0.0.1:1/none\"\nrules.dir = {rules:?}\n"
    );
    fs::write(&config, text).unwrap();
    let runner = Runner { config, folder };
    let (clicks, campaigns) = (clicks.display().to_string(), campaigns.display().to_string());
    let named = words(&["--file", &clicks, "--campaigns", &campaigns]);
    let report = runner.report(&[named, candidate.arguments()].concat());
    let before = Model::new(&known).judge(&records);
    let model = Model::new(&known).with_hostile_pricing(PRICE_MICROS, []);
    let after = model.with_warning_at(WARN_PPM).judge(&records);
    check_report(&report, &before, &after);
    println!("file: {} clicks, {} a second", report["totals"]["clicks"], report["clicks_per_s"]);

    let refused = runner.run(&words(&[
        "--file",
        &clicks,
        "--campaigns",
        &campaigns,
        "--candidate",
        "none.wasm",
    ]));
    assert_eq!(refused.status.code(), Some(64));
    let refund = candidate.file(World::Refund);
    let refused =
        runner.run(&words(&["--file", &clicks, "--campaigns", &campaigns, "--candidate", &refund]));
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not asked about clicks"));
}

fn shipped_folder() -> String {
    tollgate_tests::harness::host::workspace().join("target/rules").display().to_string()
}
