//! Batches are invisible: however a log is cut, the shipped rules and a real database give the same ledger, on
//! remembered rows and on locked ones.

#[expect(dead_code, reason = "the table of budgets uses more of it")]
mod desk;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate_domain::book::Status;
use tollgate_domain::money::Micros;
use tollgate_domain::slice::Slice;
use tollgate_ledger::NewCampaign;
use tollgate_tests::harness::ledger as reader;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::postgres::create_database;

use desk::{Desk, TOPIC, UNIT};

/// A record of the log: which partition, which campaign, how many hours from now.
#[derive(Clone, Copy, Debug)]
struct Sent {
    partition: i32,
    campaign: u8,
    hours: i8,
}

/// What stays the same while a log is charged.
#[derive(Clone, Copy, Debug)]
struct World {
    /// What Redis has counted for every campaign, in units.
    counter: Option<i64>,
    /// Status of one of the campaigns.
    status: Status,
}

/// Charges the log in batches of these sizes and gives everything that must not depend on them.
fn run(desk: &mut Desk, world: World, log: &[Sent], cuts: &[usize], always_lock: bool) -> String {
    desk.begin(&table(world.status), 2);
    desk.put_balance("a0", Micros(500 * UNIT));
    desk.hint.counter = world.counter.map(|units| Micros(units * UNIT));
    let (mut rest, mut cuts) = (log, cuts.iter().cycle());
    while !rest.is_empty() {
        let size = (*cuts.next().unwrap()).min(rest.len());
        let (batch, later) = rest.split_at(size);
        let slices = slices(desk, batch);
        desk.charge(slices, always_lock);
        rest = later;
    }
    desk.look(&["c0", "c1", "c2", "c3"]);
    outcome(desk)
}

fn table(status: Status) -> [NewCampaign; 4] {
    let campaign = |number: u8, budget: Option<i64>, cpc: i64| NewCampaign {
        id: format!("c{number}"),
        advertiser: format!("a{}", number / 2),
        status: Status::Active,
        daily_budget: budget.map(|units| Micros(units * UNIT)),
        cpc: Micros(cpc * UNIT + 1),
        time_zone: ["Asia/Seoul", "America/New_York", "UTC", "Asia/Kathmandu"][usize::from(number)]
            .to_owned(),
        ad: Default::default(),
    };
    [
        campaign(0, Some(100), 9),
        NewCampaign { status, ..campaign(1, Some(50), 7) },
        campaign(2, None, 1_000),
        campaign(3, Some(20), 30),
    ]
}

/// One slice for each run of records of one partition, so that the order of the log is kept.
fn slices(desk: &mut Desk, sent: &[Sent]) -> Vec<Slice> {
    let runs = sent.chunk_by(|one, next| one.partition == next.partition);
    runs.map(|run| {
        let payloads: Vec<_> = run.iter().map(|record| payload(desk.now_us, *record)).collect();
        desk.slice(run[0].partition, &payloads)
    })
    .collect()
}

fn payload(now_us: i64, sent: Sent) -> String {
    let at_us = now_us + i64::from(sent.hours) * 3_600_000_000;
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap();
    match sent.campaign {
        number @ 0..=3 => format!(
            r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"c{number}","advertiser_id":"a{}","ad_id":"ad","device_id":"d{}"}}"#,
            number / 2,
            sent.hours
        ),
        4 => r#"{"event_type":"IMPRESSION"}"#.to_owned(),
        5 => format!(
            r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"nobody","advertiser_id":"a0"}}"#
        ),
        _ => "nonsense".to_owned(),
    }
}

fn outcome(desk: &mut Desk) -> String {
    desk.audit();
    let reader = &mut desk.reader;
    let sum = |reader: &mut reader::Ledger, sql: &str| reader.number(sql).unwrap();
    let chain = sum(
        reader,
        "SELECT CAST(coalesce(sum(balance_after_micros % 1000003 * (kafka_offset + 1)), 0) AS bigint) \
         FROM ad_balance_histories",
    );
    let levels = sum(
        reader,
        "SELECT CAST(coalesce(sum(warned_ppm * 3 + paused_ppm * 5 + overspent_micros), 0) AS bigint) \
         FROM campaign_daily_spend",
    );
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{chain} {levels}",
        reader.history(TOPIC).unwrap(),
        reader.dead_letters(TOPIC).unwrap(),
        reader.progress(TOPIC).unwrap(),
        reader.spend().unwrap(),
        reader.balances().unwrap(),
        reader.crossings().unwrap(),
        reader.campaigns().unwrap(),
        reader.outbox().unwrap(),
    )
}

fn log() -> impl Strategy<Value = Vec<Sent>> {
    let hours = prop_oneof![3 => Just(0_i8), 1 => -30..1_i8];
    let record = (0..2, 0..7_u8, hours);
    let record =
        record.prop_map(|(partition, campaign, hours)| Sent { partition, campaign, hours });
    prop::collection::vec(record, 1..50)
}

fn world() -> impl Strategy<Value = World> {
    let status = prop_oneof![4 => Just(Status::Active), 1 => Just(Status::Pending)];
    let counter = prop_oneof![2 => Just(None), 1 => (0_i64..120).prop_map(Some)];
    (counter, status).prop_map(|(counter, status)| World { counter, status })
}

fn check(url: &str, cases: u32) {
    check_with(Desk::new(url, &[]), cases);
    // Here the rule decides what a click may charge, and so depends on what it knows of the clicks before.
    let strict = [("charge_after_pause", "false")];
    check_with(Desk::new(url, &strict), cases);
    // Two campaigns are a candidate's, and their rows are parted from the others' in every call.
    check_with(Desk::with_candidate(url, &strict, &["c0", "c2"]), cases);
}

fn check_with(desk: Desk, cases: u32) {
    let desk = RefCell::new(desk);
    let cuts = prop::collection::vec(1..25_usize, 1..10);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let given = (log(), cuts, any::<bool>(), world());
    let outcome = runner.run(&given, |(log, cuts, always_lock, world)| {
        let mut desk = desk.borrow_mut();
        let single = run(&mut desk, world, &log, &[1], false);
        let batched = run(&mut desk, world, &log, &cuts, always_lock);
        let whole = run(&mut desk, world, &log, &[log.len()], !always_lock);
        prop_assert_eq!(&single, &batched);
        prop_assert_eq!(&single, &whole);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn postgres_gives_the_same_ledger_for_every_cut() {
    let servers = Servers::shared().unwrap();
    let url = create_database(&servers.postgres_url, "splits").unwrap();
    check(&url, 24);
}

#[test]
fn sqlite_gives_the_same_ledger_for_every_cut() {
    let folder = Folder::new("splits").unwrap();
    check(&format!("sqlite://{}", folder.file("ledger.db").display()), 24);
}
