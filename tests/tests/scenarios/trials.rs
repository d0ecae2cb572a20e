//! Candidates beside the rules in force: a shadow moves no money and counts exactly, a canary ends by itself, and the
//! ledger alone tells whom it has touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tollgate_domain::rule::World;
use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{Campaign, campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::harness::topic::Log;
use tollgate_tests::model::{Fate, Model, Outcome};
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::wait::wait_until;

use crate::guests::{Guest, NEGATIVE, TRAP, shipped};

const EVENTS: usize = 6_000;
const LIMIT: Duration = Duration::from_secs(60);

/// Above every price of the generator.
const DEAR_MICROS: i64 = 5_000_000_000;

/// Charges the stored price, and for prices from `from_micros` on `percent` more.
fn raising(from_micros: i64, percent: i64) -> Guest {
    let raised = format!(
        "(func $raised (param $arguments i32) (param $rows i32) (result i32)
           (local $quotes i32) (local $row i32) (local $price i64)
           (local.set $quotes (call $answer (local.get $rows) (i64.const 0)))
           (block $done (loop $next
             (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
             (local.set $price (call $stored (local.get $arguments) (local.get $row)))
             (if (i64.ge_s (local.get $price) (i64.const {from_micros}))
               (then (local.set $price (i64.add (local.get $price)
                 (i64.div_s (i64.mul (local.get $price) (i64.const {percent})) (i64.const 100))))))
             (i64.store
               (i32.add (i32.load (local.get $quotes)) (i32.mul (local.get $row) (i32.const 8)))
               (local.get $price))
             (local.set $row (i32.add (local.get $row) (i32.const 1)))
             (br $next)))
           (local.get $quotes))"
    );
    let price = "(call $raised (local.get $arguments) (local.get $rows))";
    // The template names its parts in a comment too, which ends with the line.
    Guest::pricing(price).extra(&raised.replace('\n', " "))
}

/// A scenario with a candidate in a file of its own.
struct Trial {
    scenario: Scenario,
    candidate: PathBuf,
    _folder: Folder,
}

impl Trial {
    fn new(name: &str, database: Database, known: Vec<Campaign>, candidate: &Guest) -> Self {
        Self::of(name, database, known, &candidate.build())
    }

    fn of(name: &str, database: Database, known: Vec<Campaign>, candidate: &[u8]) -> Self {
        let folder = Folder::new(name).unwrap();
        let path = folder.file("candidate.wasm");
        fs::write(&path, candidate).unwrap();
        let scenario = Scenario::new(name, database, known).unwrap();
        Self { scenario, candidate: path, _folder: folder }
    }

    /// `tollgate rule KIND start CANDIDATE` with more arguments; then waits until all hosts take part.
    fn start(&self, kind: &str, more: &[&str], hosts: &[&Host]) {
        let candidate = self.candidate.display().to_string();
        let mut arguments = vec!["rule", kind, "start", &candidate, "--note", "a trial"];
        arguments.extend(more);
        self.scenario.setup.run(&arguments).unwrap();
        let id = self.status(kind)["id"].as_i64().unwrap();
        let gauge = format!("tollgate_trial_active_micros{{kind=\"{kind}\",trial=\"{id}\"}}");
        for host in hosts {
            let noticed = wait_until("the trial to be noticed", LIMIT, || host.metric(&gauge));
            noticed.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
        }
    }

    fn status(&self, kind: &str) -> Value {
        let top = ["--top", "1000", "--json"];
        let arguments = [&["rule", kind, "status"][..], &top].concat();
        serde_json::from_str(&self.scenario.setup.run(&arguments).unwrap()).unwrap()
    }

    /// Waits until so many clicks are accounted for.
    fn wait_compared(&self, kind: &str, figures: &[&str], clicks: usize, host: &Host) -> Value {
        let sum = |status: &Value| -> i64 {
            figures.iter().map(|figure| status["total"][figure].as_i64().unwrap()).sum()
        };
        let compared = wait_until("the clicks to be compared", LIMIT, || {
            Some(self.status(kind)).filter(|status| sum(status) >= clicks as i64)
        });
        let status = compared.unwrap_or_else(|error| {
            panic!("{error}: {:#}\n{}", self.status(kind), host.log());
        });
        assert_eq!((sum(&status), &status["cost"]["skipped"]), (clicks as i64, &0.into()));
        status
    }

    fn outcome(&self) -> Outcome {
        let log = Log::read(&self.scenario.brokers, &self.scenario.topic).unwrap();
        Model::new(&self.scenario.campaigns).judge(&log.records)
    }

    fn number(&mut self, sql: &str) -> i64 {
        self.scenario.ledger.number(sql).unwrap()
    }

    fn end(&mut self, hosts: Vec<Host>) {
        for mut host in hosts {
            assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
        }
        self.scenario.setup.run(&["audit"]).unwrap();
    }
}

fn charges(outcome: &Outcome) -> BTreeMap<String, Vec<i64>> {
    let mut charges: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for fate in outcome.fates.values() {
        if let Fate::Charged(charge) = fate {
            charges.entry(charge.campaign.clone()).or_default().push(charge.amount_micros);
        }
    }
    charges
}

#[test]
fn a_shadow_counts_exactly_and_moves_no_money() {
    let mut known = campaigns(21, 30, 6);
    for (campaign, price) in known.iter_mut().zip([5_000_000_000, 6_123_456_789, 7_000_000_050]) {
        campaign.cpc_micros = price;
    }
    let candidate = raising(DEAR_MICROS, 1);
    let mut trial = Trial::new("shadow", Database::Postgres, known, &candidate);
    let setup = trial.scenario.setup.clone();
    let hosts = vec![Host::start(&setup).unwrap(), Host::start(&setup).unwrap()];
    trial.start("shadow", &[], &[&hosts[0], &hosts[1]]);
    trial.scenario.produce(Mix { seed: 41, ..Mix::default() }, EVENTS).unwrap();
    trial.scenario.wait_charged(&hosts[0]).unwrap();

    let charges = charges(&trial.outcome());
    let clicks = charges.values().map(Vec::len).sum();
    let status = trial.wait_compared("shadow", &["clicks"], clicks, &hosts[0]);
    let found = status["by_campaign"].as_array().unwrap();
    assert_eq!(found.len(), charges.len());
    let (mut drift, mut differing) = (0, 0);
    for line in found {
        let campaign = line["campaign_id"].as_str().unwrap();
        let charged = &charges[campaign];
        let raised = |charge: &i64| if *charge >= DEAR_MICROS { charge / 100 } else { 0 };
        let expected: i64 = charged.iter().map(raised).sum();
        assert_eq!(line["clicks"], charged.len(), "{campaign}");
        assert_eq!(line["active_micros"], charged.iter().sum::<i64>(), "{campaign}");
        assert_eq!((&line["drift_micros"], &line["lowered_micros"]), (&expected.into(), &0.into()));
        drift += expected;
        differing += charged.iter().filter(|charge| raised(charge) != 0).count();
    }
    assert!(differing > 100, "{differing}");
    assert_eq!(
        (&status["total"]["drift_micros"], &status["total"]["gross_micros"]),
        (&drift.into(), &drift.into())
    );
    assert_eq!(status["total"]["clicks_differing"], differing);
    let gauge = "tollgate_trial_drift_micros{kind=\"shadow\",trial=\"1\"}";
    let shown = wait_until("the gauge", LIMIT, || {
        hosts[1].metric(gauge).filter(|sum| *sum as i64 == drift)
    });
    shown.unwrap();
    setup.run(&["rule", "shadow", "stop", "--note", "seen"]).unwrap();
    assert_eq!(trial.status("shadow")["state"], "STOPPED");
    trial.end(hosts);
    let model = Model::new(&trial.scenario.campaigns);
    trial.scenario.verify(&model).unwrap();
}

/// What was charged after the pauses of campaign-days, by the spends that the ledger has: each campaign has one price.
const AFTER_PAUSES: &str = "
SELECT COALESCE(SUM(CASE WHEN spent_micros > whole_micros THEN spent_micros - whole_micros ELSE 0 END), 0) FROM (
  SELECT d.spent_micros, (c.daily_budget_micros + c.cpc_micros - 1) / c.cpc_micros * c.cpc_micros AS whole_micros
  FROM campaign_daily_spend d JOIN campaigns c USING (campaign_id) WHERE c.daily_budget_micros IS NOT NULL) AS days
";

#[test]
fn a_shadow_counts_what_a_threshold_rule_would_not_charge() {
    let mut known = campaigns(23, 30, 6);
    known.iter_mut().take(10).for_each(|campaign| limit(campaign, 5));
    let threshold = shipped(World::Threshold);
    let mut trial = Trial::of("allowed", Database::Sqlite, known, &threshold);
    let hosts = vec![Host::start(&trial.scenario.setup).unwrap()];
    trial.start("shadow", &["--params", "charge_after_pause=false"], &[&hosts[0]]);
    trial.scenario.produce(Mix { seed: 43, ..Mix::default() }, EVENTS).unwrap();
    trial.scenario.wait_charged(&hosts[0]).unwrap();

    let clicks = charges(&trial.outcome()).values().map(Vec::len).sum();
    let status = trial.wait_compared("shadow", &["clicks"], clicks, &hosts[0]);
    let after_pauses = trial.number(AFTER_PAUSES);
    assert!(after_pauses > 0, "no campaign was charged after its pause");
    assert_eq!(status["total"]["drift_micros"], -after_pauses);
    assert_eq!(status["total"]["lowered_micros"], after_pauses);
    trial.end(hosts);
}

/// Places of campaigns by the salt of the canary, and what each row of history must have charged: from the tables of the
/// ledger alone.
const TOUCHED: &str = "
WITH canary AS (SELECT * FROM rule_trials WHERE kind = 'CANARY'),
hashed AS (
  SELECT h.*, c.cpc_micros, t.generation AS canary, t.share_ppm,
    ('x' || encode(substr(sha256(convert_to(t.salt, 'UTF8') || '\\x00'::bytea || convert_to(h.campaign_id, 'UTF8')), 1, 8),
      'hex'))::bit(64)::bigint::numeric AS first
  FROM ad_balance_histories h JOIN campaigns c USING (campaign_id), canary t),
placed AS (
  SELECT *, div((first + CASE WHEN first < 0 THEN 18446744073709551616 ELSE 0 END) * 1000000, 18446744073709551616)
    < share_ppm AS is_mine
  FROM hashed),
touched AS (SELECT * FROM placed WHERE generation = canary AND is_mine)
";

#[test]
fn a_canary_that_charges_far_more_ends_by_itself_and_the_ledger_shows_whom_it_touched() {
    let candidate = raising(0, 50);
    let mut trial = Trial::new("canary", Database::Postgres, campaigns(22, 60, 12), &candidate);
    let setup = trial.scenario.setup.clone();
    let hosts = vec![Host::start(&setup).unwrap(), Host::start(&setup).unwrap()];
    let produce = |trial: &mut Trial, seed| {
        trial.scenario.produce(Mix { seed, ..Mix::default() }, EVENTS / 4).unwrap();
        trial.scenario.wait_charged(&hosts[0]).unwrap();
    };
    produce(&mut trial, 50);
    let limits = ["--share", "20%", "--salt", "pepper", "--drift-max", "5%", "--clicks-min", "50"];
    trial.start("canary", &limits, &[&hosts[0], &hosts[1]]);
    let mut seed = 51;
    let ended = wait_until("the canary to end", LIMIT, || {
        produce(&mut trial, seed);
        seed += 1;
        Some(trial.status("canary")).filter(|status| status["state"] != "RUNNING")
    });
    let status = ended.unwrap_or_else(|error| panic!("{error}:\n{}", hosts[0].log()));
    assert_eq!((&status["state"], &status["generation"]), (&"ABORTED".into(), &2.into()));
    assert!(status["end_note"].as_str().unwrap().starts_with("CANARY_DRIFT"), "{status:#}");
    produce(&mut trial, seed);
    trial.end(hosts);

    let clicks: usize = charges(&trial.outcome()).values().map(Vec::len).sum();
    let rows = trial.number("SELECT count(*) FROM ad_balance_histories");
    assert_eq!(rows, clicks as i64);
    let by = |generation: &str| {
        format!("SELECT count(*) FROM ad_balance_histories WHERE generation {generation}")
    };
    assert!(trial.number(&by("= 1")) > 0 && trial.number(&by("= 3")) > 0);

    // Charged by the candidate: exactly the campaigns of the canary in its generation, and nothing else.
    let touched = trial.number(&format!("{TOUCHED} SELECT count(*) FROM touched"));
    let wrong = "SELECT count(*) FROM placed WHERE (amount_micros, price_source) <>
      (CASE WHEN generation = canary AND is_mine THEN -(cpc_micros + cpc_micros * 50 / 100) ELSE -cpc_micros END,
       CASE WHEN generation = canary AND is_mine THEN 'RULE' ELSE 'DATABASE' END)";
    assert_eq!(trial.number(&format!("{TOUCHED} {wrong}")), 0);
    assert!(touched >= 50, "{touched}");
    let of_rule =
        trial.number("SELECT count(*) FROM ad_balance_histories WHERE price_source = 'RULE'");
    assert_eq!(of_rule, touched);

    let shown = setup.run(&["rule", "canary", "status", "--touched", "--json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let shown = shown["touched"].as_array().unwrap();
    let campaigns = format!("{TOUCHED} SELECT count(DISTINCT campaign_id) FROM touched");
    assert_eq!(shown.len() as i64, trial.number(&campaigns));
    let sum: i64 = shown.iter().map(|line| line["clicks"].as_i64().unwrap()).sum();
    assert_eq!(sum, touched);

    let told =
        "SELECT count(*) FROM outbox WHERE kind = 'RULE_FAULT' AND dedup_key LIKE 'canary:%'";
    assert_eq!(trial.number(told), 1);
    let changes =
        "SELECT count(*) FROM rule_changes WHERE kind IN ('CANARY_START', 'CANARY_ABORT')";
    assert_eq!(trial.number(changes), 2);
    explain_touched(&mut trial);
}

/// A click that the candidate has priced can be explained, and decided again to the byte.
fn explain_touched(trial: &mut Trial) {
    for (side, is_candidates) in
        [("touched", true), ("placed WHERE generation = canary AND NOT is_mine", false)]
    {
        let pick = |column: &str| {
            format!(
                "{TOUCHED} SELECT {column} FROM {side} ORDER BY kafka_partition, kafka_offset LIMIT 1"
            )
        };
        let (partition, offset) =
            (trial.number(&pick("kafka_partition::bigint")), trial.number(&pick("kafka_offset")));
        let place = format!("{}:0:{partition}:{offset}", trial.scenario.topic);
        let explained =
            trial.scenario.setup.run(&["explain", "--json", "--history", &place]).unwrap();
        let explained: Value = serde_json::from_str(&explained).unwrap();
        assert_eq!(explained["again"]["result"], "SAME", "{explained:#}");
        let call = &explained["decision"]["calls"][0];
        assert_eq!(call["candidate"].as_bool().unwrap_or(false), is_candidates, "{call:#}");
        let name = call["module"]["name"].as_str().unwrap();
        assert_eq!(name == "test-rule", is_candidates, "{name}");
    }
}

/// A candidate that fails at every click, in a shadow and in a canary: no money moves, nothing becomes a dead letter.
fn check_failing(name: &str, behaviour: &str, figure: &str) {
    let candidate = Guest::pricing(behaviour);
    let mut trial = Trial::new(name, Database::Postgres, campaigns(23, 20, 5), &candidate);
    let setup = trial.scenario.setup.clone();
    let host = Host::start(&setup).unwrap();
    trial.start("shadow", &[], &[&host]);
    trial.scenario.produce(Mix { seed: 61, ..Mix::default() }, EVENTS / 4).unwrap();
    trial.scenario.wait_charged(&host).unwrap();
    let clicks = charges(&trial.outcome()).values().map(Vec::len).sum();
    trial.wait_compared("shadow", &[figure], clicks, &host);
    setup.run(&["rule", "shadow", "stop", "--note", "it fails"]).unwrap();

    let limits = ["--share", "100%", "--drift-max", "1%", "--faults-max"];
    trial.start("canary", &[&limits[..], &["1000000"]].concat(), &[&host]);
    trial.scenario.produce(Mix { seed: 62, ..Mix::default() }, EVENTS / 4).unwrap();
    trial.scenario.wait_charged(&host).unwrap();
    let all: usize = charges(&trial.outcome()).values().map(Vec::len).sum();
    trial.wait_compared("canary", &[figure], all - clicks, &host);
    setup.run(&["rule", "canary", "abort", "--note", "it fails"]).unwrap();

    trial.start("canary", &[&limits[..], &["3"]].concat(), &[&host]);
    trial.scenario.produce(Mix { seed: 63, ..Mix::default() }, EVENTS / 4).unwrap();
    trial.scenario.wait_charged(&host).unwrap();
    let ended = wait_until("the canary to end", LIMIT, || {
        Some(trial.status("canary")).filter(|status| status["state"] == "ABORTED")
    });
    let note = ended.unwrap()["end_note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("CANARY_FAULTS"), "{note}");
    trial.end(vec![host]);
    let model = Model::new(&trial.scenario.campaigns);
    trial.scenario.verify(&model).unwrap();
}

#[test]
fn a_candidate_that_fails_costs_no_click() {
    check_failing("trapping", TRAP, "failed");
    check_failing("refused", NEGATIVE, "refused");
}

#[test]
fn a_canary_that_behaves_is_promoted() {
    let candidate = raising(0, 2);
    let mut trial = Trial::new("promoted", Database::Sqlite, campaigns(24, 10, 3), &candidate);
    let setup = trial.scenario.setup.clone();
    let host = Host::start(&setup).unwrap();
    let chosen = trial.scenario.campaigns[0].id.clone();
    trial.start("canary", &["--campaign", &chosen, "--drift-max", "2.5%"], &[&host]);
    trial.scenario.produce(Mix { seed: 71, ..Mix::default() }, EVENTS / 4).unwrap();
    trial.scenario.wait_charged(&host).unwrap();
    let clicks = charges(&trial.outcome())[&chosen].len();
    let status = trial.wait_compared("canary", &["clicks"], clicks, &host);
    let price = trial.scenario.campaigns[0].cpc_micros;
    assert_eq!(status["total"]["drift_micros"], price * 2 / 100 * clicks as i64);
    assert_eq!(status["state"], "RUNNING");
    setup.run(&["rule", "canary", "promote", "--note", "good"]).unwrap();
    trial.scenario.produce(Mix { seed: 72, ..Mix::default() }, EVENTS / 4).unwrap();
    trial.scenario.wait_charged(&host).unwrap();
    let wrong = "SELECT count(*) FROM ad_balance_histories h JOIN campaigns c USING (campaign_id)
      WHERE amount_micros <> -(cpc_micros + CASE WHEN generation = 3 OR generation = 2 AND campaign_id = 'CHOSEN'
        THEN cpc_micros * 2 / 100 ELSE 0 END)";
    assert_eq!(trial.number(&wrong.replace("CHOSEN", &chosen)), 0);
    assert!(trial.number("SELECT count(*) FROM ad_balance_histories WHERE generation = 3") > 100);
    trial.end(vec![host]);
}

#[test]
fn what_cannot_be_tried_is_said() {
    let refund = Guest::refund("(unreachable)");
    let trial = Trial::new("untried", Database::Sqlite, campaigns(25, 2, 1), &refund);
    let setup = &trial.scenario.setup;
    let candidate = trial.candidate.display().to_string();
    let mut host = Host::start(setup).unwrap();
    let check = |arguments: &[&str], code: &str| {
        let error = setup.run(arguments).unwrap_err().to_string();
        assert!(error.contains(code), "{arguments:?}: {error}");
    };
    check(&["rule", "shadow", "start", &candidate, "--note", ""], "TRIAL_WORLD_UNSUPPORTED");
    check(&["rule", "shadow", "start", "nobody@1.0.0", "--note", ""], "no published module");
    check(&["rule", "shadow", "start", "cost-per-click@1.0.0", "--note", ""], "NOT_ALLOWED");
    let higher = "cached_price_highest=5";
    let start = ["rule", "shadow", "start", "cost-per-click@1.0.0", "--note", "", "--params"];
    check(&[&start[..], &["no=1"]].concat(), "BAD_PARAMETERS");
    check(&[&start[..], &[higher, "--share", "7"]].concat(), "TRIAL_SHARE");
    setup.run(&[&start[..], &[higher]].concat()).unwrap();
    check(&[&start[..], &[higher]].concat(), "NOT_ALLOWED");
    check(&["rule", "canary", "promote", "--note", ""], "NOT_FOUND");
    assert!(host.terminate(LIMIT).unwrap().success());
}
