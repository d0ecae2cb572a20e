//! Rules that change all the time under load, with two hosts: no click is lost, doubled, or priced by rules that were not
//! the ones in force at its offset.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tollgate_ledger::{Activation, Ledger, LedgerConfig, LedgerError, Part};
use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::harness::topic::Log;
use tollgate_tests::model::{Fate, Model};
use tollgate_tests::pace::{Tally, produce};
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::wait::wait_until;

use crate::guests::{GOOD, Guest};
use crate::refunds::scale;

const CLICKS_A_SECOND: u32 = 5_000;
/// Times the scale of the suite.
const ACTIVATIONS: usize = 100;
/// What the other module charges for every click.
const FLAT_MICROS: i64 = 1_000;
const LIMIT: Duration = Duration::from_secs(120);
/// Clicks that are charged before anything is measured, so that the lanes have shared out the partitions.
const FIRST_CLICKS: i64 = 30_000;
/// Clicks that are charged without activations, for comparison.
const CALM_CLICKS: i64 = 30_000;
/// Clicks that are charged at least between two activations: ten activations a second.
const CLICKS_BETWEEN: i64 = 500;

/// A thread that produces clicks at a steady rate, and what it has produced.
fn produce_clicks(scenario: &Scenario) -> (Arc<Tally>, JoinHandle<()>) {
    let (tally, sender) = (Arc::new(Tally::default()), scenario.sender().unwrap());
    let mix = Mix { impressions_ppm: 0, clicks_ppm: 999_000, poison_ppm: 1_000, ..Mix::default() };
    let mut generator = Generator::new(mix, &scenario.campaigns);
    let counting = Arc::clone(&tally);
    let work = move || {
        produce(&sender, &mut generator, CLICKS_A_SECOND, 3_600, &counting).unwrap();
    };
    (tally, thread::spawn(work))
}

/// Whoever activates, in this process, so that nothing but activations is measured.
struct Operator {
    runtime: tokio::runtime::Runtime,
    ledger: Ledger,
    /// The shipped rules, and the same with the flat price.
    parts: [Vec<Part>; 2],
}

impl Operator {
    fn new(scenario: &Scenario, flat: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = LedgerConfig::new(&scenario.setup.ledger_url, &scenario.setup.group);
        let mut ledger = runtime.block_on(Ledger::open(&config)).unwrap();
        let shipped = runtime.block_on(ledger.active()).unwrap().unwrap().parts;
        let mut other = shipped.clone();
        for part in other.iter_mut().filter(|part| part.world == "pricing") {
            *part = Part { digest: flat.to_owned(), params: "{}".to_owned(), ..part.clone() };
        }
        Self { runtime, ledger, parts: [shipped, other] }
    }

    /// Activates the other rules than those of the generation before.
    fn activate(&mut self, at: usize) -> u64 {
        let parts = &self.parts[at % 2];
        let activation =
            Activation { parts, author: "suite", note: "again", ..Activation::default() };
        loop {
            match self.runtime.block_on(self.ledger.activate_rules(&activation)) {
                Ok(done) => return done.number,
                Err(LedgerError::Transient { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_thousand_activations_leave_every_click_to_the_rules_in_force() {
    let activations = ACTIVATIONS * scale();
    let mut scenario =
        Scenario::new("activations", Database::Postgres, campaigns(71, 200, 50)).unwrap();
    let folder = Folder::new("activations").unwrap();
    let cache = folder.file("compiled").display().to_string();
    let setup = scenario
        .setup
        .clone()
        .key("rules.source", "\"ledger\"")
        .key("rules.cache_dir", format!("{cache:?}"));
    let mut hosts = [Host::start(&setup).unwrap(), Host::start(&setup).unwrap()];
    let flat = Guest::pricing(GOOD).build();
    let path = folder.file("flat.wasm");
    fs::write(&path, &flat).unwrap();
    let path = path.display().to_string();
    setup.run(&["rule", "publish", &path, "--note", "the same for everybody"]).unwrap();
    let mut operator = Operator::new(&scenario, &tollgate_engine::digest(&flat));

    let (tally, producing) = produce_clicks(&scenario);
    let first = wait_done(&mut scenario, FIRST_CLICKS);
    let calm_since = scenario.ledger.texts("SELECT CAST(now() AS text)").unwrap().concat();
    let mut done = wait_done(&mut scenario, first + CALM_CLICKS);
    let mut waits = Vec::with_capacity(activations);
    let mut memory = Vec::new();
    for at in 1..=activations {
        let number = operator.activate(at);
        assert_eq!(number, at as u64 + 1);
        let (before, activated) = (scenario.done().unwrap(), Instant::now());
        // Whatever moves now was priced by the new generation.
        wait_done(&mut scenario, before + 1);
        waits.push(activated.elapsed());
        done = wait_done(&mut scenario, done + CLICKS_BETWEEN);
        if at % 100 == 0 {
            memory.push([0, 1].map(|host: usize| hosts[host].resident_kib().unwrap()));
        }
    }
    tally.stop.store(true, Ordering::Relaxed);
    producing.join().unwrap();
    scenario.wait_charged(&hosts[0]).unwrap();
    for host in &mut hosts {
        assert!(host.ended().is_none(), "{}", host.log());
        assert!(host.terminate(LIMIT).unwrap().success());
    }
    check_charges(&mut scenario, activations);
    setup.run(&["audit"]).unwrap();
    report(&mut scenario, &calm_since, &mut waits, &memory);
    // What is compiled and forgotten again and again does not pile up.
    for host in 0..2 {
        let (first, last) = (memory[0][host], memory[memory.len() - 1][host]);
        assert!(last * 10 <= first * 11, "host {host} grows: {memory:?} KiB");
    }
}

/// How many events are done, once it is as many as these.
fn wait_done(scenario: &mut Scenario, done_min: i64) -> i64 {
    let done = || scenario.done().ok().filter(|done| *done >= done_min);
    wait_until("clicks that are charged", LIMIT, done).unwrap()
}

/// From history and the starts of generations alone: each click is charged once, by the generation in force at its offset,
/// and at the price of its rules.
fn check_charges(scenario: &mut Scenario, activations: usize) {
    let log = Log::read(&scenario.brokers, &scenario.topic).unwrap();
    let outcome = Model::new(&scenario.campaigns).judge(&log.records);
    let prices: BTreeMap<(i64, i64), i64> = outcome
        .fates
        .iter()
        .filter_map(|((partition, offset), fate)| match fate {
            Fate::Charged(charge) => Some(((i64::from(*partition), *offset), charge.amount_micros)),
            _ => None,
        })
        .collect();
    let mut starts: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for row in scenario.ledger.generation_starts(&scenario.topic).unwrap() {
        starts.entry(row.kafka_partition).or_default().push((row.first_offset, row.generation));
    }
    let rows = scenario.ledger.history(&scenario.topic).unwrap();
    assert_eq!(rows.len(), prices.len(), "clicks that are charged");
    let (mut charged, mut generations) = (BTreeSet::new(), BTreeSet::new());
    for row in &rows {
        let place = (row.kafka_partition, row.kafka_offset);
        assert!(charged.insert(place), "{place:?} is charged twice");
        let starts = &starts[&row.kafka_partition];
        let begun = starts.partition_point(|(first_offset, _)| *first_offset <= row.kafka_offset);
        assert_eq!(row.generation, starts[begun - 1].1, "{place:?}");
        let price = if row.generation % 2 == 1 { prices[&place] } else { FLAT_MICROS };
        assert_eq!(-row.amount_micros, price, "{place:?} of generation {}", row.generation);
        generations.insert(row.generation);
    }
    assert_eq!(generations.len(), activations + 1, "generations that have charged something");
}

/// Prints what an operator wants to know; how long things take is no condition of the test.
fn report(scenario: &mut Scenario, calm_since: &str, waits: &mut [Duration], memory: &[[u64; 2]]) {
    let mut p99_us = |generations: &str| {
        let sql = format!(
            "SELECT CAST(percentile_disc(0.99) WITHIN GROUP (ORDER BY created_at - occurred_at) AS text)
             FROM ad_balance_histories
             WHERE occurred_at >= CAST('{calm_since}' AS timestamptz) AND generation {generations}"
        );
        scenario.ledger.texts(&sql).unwrap().concat()
    };
    let (calm, changing) = (p99_us("= 1"), p99_us("> 1"));
    waits.sort();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "{} activations: to the first charge under new rules {median:?} (median), {worst:?} (worst); p99 from the click \
         to the transaction that charges it {calm} without and {changing} with activations; memory of the hosts in KiB \
         after each hundred {memory:?}",
        waits.len(),
    );
}
