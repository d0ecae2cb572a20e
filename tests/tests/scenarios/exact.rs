//! Whatever happens to the host, the ledger equals the model row by row.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns};
use tollgate_tests::model::Model;
use tollgate_tests::pace::{Tally, produce};
use tollgate_tests::wait::wait_until;

const EVENTS: usize = 200_000;
const KILLS: usize = 25;
const LIMIT: Duration = Duration::from_secs(120);

/// The acceptance mix with every class of poison, and a value of 20 MB.
#[test]
fn two_hundred_thousand_events_have_one_fate_each() {
    let mut scenario =
        Scenario::new("exact", Database::Postgres, limited_campaigns(500, 120)).unwrap();
    let mut generator = Generator::new(Mix::default(), &scenario.campaigns);
    let (sender, at_us) = (scenario.sender().unwrap(), now_us());
    sender.send(&generator.poison(Poison::Huge, at_us), at_us).unwrap();
    sender.flush().unwrap();
    scenario.produce(Mix::default(), EVENTS).unwrap();
    let model = Model::new(&scenario.campaigns);
    let outcome = scenario.charge_and_verify(&model).unwrap();
    assert_eq!(outcome.fates.len(), EVENTS + 1);
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (3, 3));
}

#[test]
fn a_sqlite_ledger_is_as_exact() {
    let mut scenario =
        Scenario::new("sqlite", Database::Sqlite, limited_campaigns(200, 40)).unwrap();
    scenario.produce(Mix { seed: 2, ..Mix::default() }, 20_000).unwrap();
    let model = Model::new(&scenario.campaigns);
    let outcome = scenario.charge_and_verify(&model).unwrap();
    assert_eq!(outcome.fates.len(), 20_000);
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (2, 2));
}

/// A thread that produces, and what it has produced.
pub(crate) type Producing = (Arc<Tally>, JoinHandle<()>);

/// Produces in the background until it is told to stop.
pub(crate) fn produce_steadily(scenario: &Scenario, seed: u64, rate: u32) -> Producing {
    let tally = Arc::new(Tally::default());
    let counting = Arc::clone(&tally);
    let sender = scenario.sender().unwrap();
    let mix = Mix { seed, clicks_ppm: 290_000, poison_ppm: 10_000, ..Mix::default() };
    let mut generator = Generator::new(mix, &scenario.campaigns);
    let thread = thread::spawn(move || {
        produce(&sender, &mut generator, rate, 3_600, &counting).unwrap();
    });
    (tally, thread)
}

pub(crate) fn stop_producing((tally, thread): Producing) {
    tally.stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

/// Waits until the ledger has moved on by some offsets, at a moment that nobody has chosen.
fn wait_progress(scenario: &mut Scenario, offsets: i64) {
    let wanted = scenario.done().unwrap() + offsets;
    wait_until("progress", LIMIT, || scenario.done().ok().filter(|done| *done >= wanted)).unwrap();
}

#[test]
fn twenty_five_kills_lose_and_double_nothing() {
    let mut scenario =
        Scenario::new("kills", Database::Postgres, limited_campaigns(300, 60)).unwrap();
    let setup = scenario.setup.clone().key("batch.clicks_max", "200");
    let mut random = SmallRng::seed_from_u64(25);
    let producing = produce_steadily(&scenario, 3, 3_000);
    for _ in 0..KILLS {
        let mut host = Host::launch(&setup).unwrap();
        wait_progress(&mut scenario, random.random_range(1..4_000));
        host.kill();
    }
    stop_producing(producing);
    let model = Model::new(&scenario.campaigns);
    let outcome = scenario.charge_and_verify(&model).unwrap();
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (3, 3));
}

#[test]
fn hosts_that_come_and_go_lose_and_double_nothing() {
    let mut scenario =
        Scenario::new("members", Database::Postgres, limited_campaigns(300, 60)).unwrap();
    let setup = scenario.setup.clone().key("batch.clicks_max", "200");
    let producing = produce_steadily(&scenario, 4, 3_000);
    let mut first = Host::start(&setup).unwrap();
    for round in 0..8 {
        let mut second = Host::start(&setup).unwrap();
        wait_progress(&mut scenario, 3_000);
        match round % 4 {
            0 => assert!(second.terminate(LIMIT).unwrap().success()),
            1 => second.kill(),
            2 => {
                first.kill();
                first = second;
            }
            _ => {
                assert!(first.terminate(LIMIT).unwrap().success());
                first = second;
            }
        }
        wait_progress(&mut scenario, 3_000);
    }
    stop_producing(producing);
    assert!(first.terminate(LIMIT).unwrap().success());
    let model = Model::new(&scenario.campaigns);
    let outcome = scenario.charge_and_verify(&model).unwrap();
    assert_eq!((outcome.warned.len(), outcome.exhausted.len()), (3, 3));
}
