//! Duplicates are paid back once, whenever their compensations arrive and whatever is killed.

use std::time::Duration;

use jiff::civil::Date;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_tests::generator::campaigns::{Campaign, campaigns};
use tollgate_tests::generator::compensations::{Compensation, Malformed, Sort};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generated, Generator, Kind, Mix, Repeat};
use tollgate_tests::harness::host::{Host, Setup};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, zone_at};
use tollgate_tests::harness::topic::{Log, Sender};
use tollgate_tests::harness::verify::verify_refunds;
use tollgate_tests::model::Model;
use tollgate_tests::model::refunds::{Refunds, State};
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(120);
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;

/// Clicks of more than an hour, so that one of two neighbouring time zones has its midnight among them.
const SPAN_US: i64 = 70 * MINUTE_US;
const CHUNKS: usize = 8;

/// Sets how many times as many clicks and kills there are than usual.
const SCALE: &str = "TOLLGATE_SUITE_SCALE";

/// Events and the compensations for them, by the chunk with which each is sent.
struct Story {
    events: Vec<(Generated, i64)>,
    chunks: Vec<Vec<Compensation>>,
    /// Sent when all clicks are charged.
    after: Vec<Compensation>,
    /// Clicks of which nobody has complained yet.
    silent: Vec<Repeat>,
    /// Compensations of the chunks that wait for a click that never comes, or for a campaign.
    waiting: i64,
}

/// Campaigns without tight budgets, of which every other one has its midnight earlier.
fn table() -> Vec<Campaign> {
    let mut known = campaigns(51, 60, 20);
    for (at, campaign) in known.iter_mut().enumerate() {
        campaign.time_zone = zone_at(i8::from(at % 2 == 1));
    }
    known
}

/// The campaign that is paid back as a whole, by one compensation.
fn fenced(known: &[Campaign]) -> usize {
    known.len() - 1
}

impl Story {
    fn new(seed: u64, clicks: usize, chunks: usize, known: &[Campaign]) -> Self {
        let mix = Mix {
            seed,
            impressions_ppm: 0,
            clicks_ppm: 990_000,
            poison_ppm: 5_000,
            repeats_ppm: 50_000,
            zipf: false,
            ..Mix::default()
        };
        let mut generator = Generator::new(mix, known);
        let begin_us = now_us() - SPAN_US - 5 * MINUTE_US;
        let at_us = |at: usize| begin_us + SPAN_US * at as i64 / clicks as i64;
        let mut events: Vec<_> =
            (0..clicks).map(|at| (generator.next(at_us(at)), at_us(at))).collect();
        let nights = nights(known, begin_us);
        let of_night = |night: &Repeat| {
            let click = |at_us: &i64| (click(night, known, *at_us), *at_us);
            night.at_us.iter().map(click).collect::<Vec<_>>()
        };
        events.extend(nights.iter().flat_map(of_night));
        events.sort_by_key(|(_, at_us)| *at_us);
        let mut story = Self {
            events,
            chunks: vec![Vec::new(); chunks],
            after: Vec::new(),
            silent: Vec::new(),
            waiting: 0,
        };
        let mut random = SmallRng::seed_from_u64(seed);
        for repeat in generator.take_repeats(i64::MAX).into_iter().chain(nights) {
            let last_us = repeat.at_us.last().copied().unwrap_or_default();
            let chunk = (last_us - begin_us) * chunks as i64 / SPAN_US;
            story.complain(repeat, chunk as usize, known, &mut random);
        }
        let whole = Repeat {
            campaign: fenced(known),
            device: "device".to_owned(),
            ad: "ad".to_owned(),
            at_us: vec![begin_us, begin_us + SPAN_US],
        };
        let whole = Compensation::new(&whole, known, begin_us + SPAN_US).sort(Sort::TooLarge);
        story.after.push(whole.sort(Sort::Untimed));
        story
    }

    /// Decides how and when one hears of duplicates, whose last click comes with `chunk`.
    fn complain(
        &mut self,
        repeat: Repeat,
        chunk: usize,
        known: &[Campaign],
        random: &mut SmallRng,
    ) {
        if repeat.campaign == fenced(known) {
            return;
        }
        let found_at_us = repeat.at_us.last().copied().unwrap_or_default() + SECOND_US;
        let honest = Compensation::new(&repeat, known, found_at_us);
        if !is_of_one_day(&repeat, known, found_at_us) {
            // A day gives back what its own clicks have cost, whatever else it gives back.
            if day_covers(&repeat, known) {
                self.chunks[chunk].push(honest);
            }
            return;
        }
        // Whatever chance decides of the others: windows slide over this one.
        if repeat.at_us.len() > 2 && self.sliding().next().is_none() {
            return self.silent.push(repeat);
        }
        let sort = |sorts: &[Sort], random: &mut SmallRng| {
            if random.random_bool(0.5) {
                Sort::Honest
            } else {
                sorts[random.random_range(0..sorts.len())]
            }
        };
        let (when, compensation) = match random.random_range(0..10) {
            0..3 => (0, honest.sort(sort(&Sort::AT_ANY_TIME, random))),
            3..7 => {
                let when = random.random_range(0..=chunk + 1).min(self.chunks.len() - 1);
                (when, honest.sort(sort(&Sort::AT_ANY_TIME, random)))
            }
            7..9 => return self.after.push(honest.sort(sort(&Sort::ALL, random))),
            _ => return self.silent.push(repeat),
        };
        self.waiting += i64::from(waits(&compensation, &repeat));
        if random.random_bool(0.1) {
            self.repeat_later(&compensation, when, random);
        }
        self.chunks[when].push(compensation);
    }

    /// The clicks without a complaint that two overlapping windows find.
    fn sliding(&self) -> impl Iterator<Item = &Repeat> {
        self.silent.iter().filter(|repeat| repeat.at_us.len() > 2)
    }

    /// The same one comes again, now or later, perhaps with another amount.
    fn repeat_later(&mut self, compensation: &Compensation, when: usize, random: &mut SmallRng) {
        if !is_paid(compensation) {
            return;
        }
        let again =
            compensation.clone().sort([Sort::Honest, Sort::Mean][random.random_range(0..2)]);
        // Later than its chunk: the first one counts, and the order within a chunk is open.
        match self.chunks.get_mut(when + 1 + random.random_range(0..3)) {
            Some(chunk) => chunk.push(again),
            None => self.after.push(again),
        }
    }
}

/// Clicks of a device with a midnight among them, whatever chance decides of the others: most duplicates come before it,
/// and the last one after it.
fn nights(known: &[Campaign], begin_us: i64) -> Vec<Repeat> {
    let night = |campaign: usize| {
        let zone = jiff::tz::TimeZone::get(&known[campaign].time_zone).unwrap();
        let last = day_of(&known[campaign], begin_us + SPAN_US);
        let midnight_us = last.to_zoned(zone).unwrap().timestamp().as_microsecond();
        let at_us = [-3, -2, -1, 1].map(|seconds| midnight_us + seconds * SECOND_US).to_vec();
        Repeat { campaign, device: "night".to_owned(), ad: "ad".to_owned(), at_us }
    };
    let is_among = |night: &Repeat| {
        night.at_us[0] > begin_us && night.at_us[3] < begin_us + SPAN_US - SECOND_US
    };
    let nights: Vec<_> = (0..fenced(known)).map(night).filter(is_among).collect();
    assert!(!nights.is_empty());
    nights
}

fn click(repeat: &Repeat, known: &[Campaign], at_us: i64) -> Generated {
    let campaign = &known[repeat.campaign];
    let payload = serde_json::json!({
        "event_type": "CLICK", "timestamp": jiff::Timestamp::from_microsecond(at_us).unwrap().to_string(),
        "campaign_id": campaign.id, "advertiser_id": campaign.advertiser, "ad_id": repeat.ad,
        "device_id": repeat.device
    });
    let payload = Some(payload.to_string().into_bytes());
    Generated { kind: Kind::Click(repeat.campaign), key: repeat.device.clone(), payload }
}

/// How many times as much there is as usual; `TOLLGATE_SUITE_SCALE=10` makes it 300,000 clicks and 83 kills.
pub(crate) fn scale() -> usize {
    std::env::var(SCALE).ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

fn waits(compensation: &Compensation, repeat: &Repeat) -> bool {
    compensation.count > repeat.at_us.len() && compensation.refund_micros > 0
        || compensation.campaign.ends_with("unheard_of")
}

fn is_paid(compensation: &Compensation) -> bool {
    compensation.refund_micros > 0
        && !compensation.campaign.ends_with("unheard_of")
        && !compensation.advertiser.ends_with("of_another")
}

fn is_of_one_day(repeat: &Repeat, known: &[Campaign], found_at_us: i64) -> bool {
    let day = day_of(&known[repeat.campaign], found_at_us);
    days(repeat, known).iter().all(|other| *other == day)
}

/// Whether the day of most duplicates, the later of two, has as many clicks as there are duplicates.
fn day_covers(repeat: &Repeat, known: &[Campaign]) -> bool {
    let days = days(repeat, known);
    let count = |days: &[Date], day: &Date| days.iter().filter(|other| *other == day).count();
    let duplicates = &days[1..];
    let day = duplicates.iter().max_by_key(|day| (count(duplicates, day), **day));
    day.is_some_and(|day| count(&days, day) >= duplicates.len())
}

fn days(repeat: &Repeat, known: &[Campaign]) -> Vec<Date> {
    repeat.at_us.iter().map(|at_us| day_of(&known[repeat.campaign], *at_us)).collect()
}

fn day_of(campaign: &Campaign, at_us: i64) -> Date {
    let zone = jiff::tz::TimeZone::get(&campaign.time_zone).unwrap();
    zone.to_datetime(jiff::Timestamp::from_microsecond(at_us).unwrap()).date()
}

fn send(sender: &Sender, compensations: &[Compensation]) {
    for compensation in compensations {
        sender.send(&compensation.event(), now_us()).unwrap();
    }
    sender.flush().unwrap();
}

/// One compensation of every class that cannot be read.
fn send_malformed(sender: &Sender, any: &Compensation) {
    for class in Malformed::all().into_iter().chain([Malformed::Like(Poison::Huge)]) {
        let any = Compensation { found_at_us: now_us(), ..any.clone() };
        sender.send(&any.spoiled(class), now_us()).unwrap();
    }
    sender.flush().unwrap();
}

/// Hosts that wait for clicks for as long as it takes.
fn patient(setup: &Setup) -> Setup {
    setup
        .clone()
        .key("batch.clicks_max", "200")
        .key("compensation.look_ms", "50")
        .key("compensation.settle_s", "86400")
}

/// Hosts that take the ledger to have all clicks.
fn impatient(setup: &Setup) -> Setup {
    patient(setup).key("compensation.settle_s", "1").key("compensation.expire_s", "1")
}

/// Waits until the clicks have moved on a little, at a moment that nobody has chosen, and kills one of the hosts.
fn kill_one(scenario: &mut Scenario, hosts: &mut [Host], setup: &Setup, random: &mut SmallRng) {
    let wanted = scenario.done().unwrap() + random.random_range(1..2_000);
    // There may be less left to do than that.
    let moved = wait_until("progress", Duration::from_secs(15), || {
        scenario.done().ok().filter(|done| *done >= wanted)
    });
    drop(moved);
    let host = &mut hosts[random.random_range(0..2)];
    host.kill();
    *host = Host::launch(setup).unwrap();
}

fn stop(hosts: Vec<Host>) {
    for mut host in hosts {
        host.wait_ready().unwrap();
        assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    }
}

#[test]
fn kills_lose_and_double_no_refund() {
    let clicks = 30_000 * scale();
    let chunks = CHUNKS * scale();
    let mut scenario = Scenario::new("refunds", Database::Postgres, table())
        .unwrap()
        .with_compensations()
        .unwrap();
    let story = Story::new(52, clicks, chunks, &scenario.campaigns);
    let (clicks, compensations) =
        (scenario.sender().unwrap(), scenario.compensation_sender().unwrap());
    let mut random = SmallRng::seed_from_u64(53);
    let setup = patient(&scenario.setup);
    let mut hosts: Vec<Host> = (0..2).map(|_| Host::launch(&setup).unwrap()).collect();
    for (events, chunk) in
        story.events.chunks(story.events.len().div_ceil(chunks)).zip(&story.chunks)
    {
        send(&compensations, chunk);
        for (event, at_us) in events {
            clicks.send(event, *at_us).unwrap();
        }
        clicks.flush().unwrap();
        kill_one(&mut scenario, &mut hosts, &setup, &mut random);
    }
    send_malformed(&compensations, &story.after[0]);
    scenario.wait_charged(&hosts[0]).unwrap();
    scenario.wait_settled(&hosts[0], story.waiting).unwrap();
    stop(hosts);

    // Everything that waited for what never came is settled now, and so is all that comes after its clicks.
    let setup = impatient(&scenario.setup);
    let mut hosts: Vec<Host> = (0..2).map(|_| Host::launch(&setup).unwrap()).collect();
    send(&compensations, &story.after);
    kill_one(&mut scenario, &mut hosts, &setup, &mut random);
    scenario.wait_settled(&hosts[0], 0).unwrap();

    // Windows that slide over clicks that were paid back: one after the other, since their order matters.
    let now = now_us();
    let windows = |from: usize| {
        let window = |repeat: &Repeat| {
            let at_us = repeat.at_us[from..from + 2].to_vec();
            Compensation::new(&Repeat { at_us, ..repeat.clone() }, &scenario.campaigns, now)
        };
        story.sliding().map(window).collect::<Vec<_>>()
    };
    let (first, second) = (windows(0), windows(1));
    assert!(!first.is_empty());
    send(&compensations, &first);
    scenario.wait_settled(&hosts[0], 0).unwrap();
    send(&compensations, &second);
    // The same ones again, in a partition that they do not belong to.
    for (at, again) in first.iter().enumerate() {
        let payload = again.event().payload;
        compensations.send_to(at as i32 % 4, payload.as_deref(), now_us()).unwrap();
    }
    compensations.flush().unwrap();
    kill_one(&mut scenario, &mut hosts, &setup, &mut random);
    scenario.wait_settled(&hosts[0], 0).unwrap();
    stop(hosts);

    let (_, refunds) = scenario.verify_refunds(&Model::new(&scenario.campaigns.clone())).unwrap();
    check_variety(&refunds, 1_000 * scale());
}

/// What the run was made for has happened.
fn check_variety(refunds: &Refunds, compensations: usize) {
    let count = |state: State| refunds.settled.values().filter(|row| row.state == state).count();
    assert!(count(State::Refunded) > compensations / 2);
    assert!(refunds.given_back.len() > compensations / 2);
    for state in [
        State::Repeated,
        State::Rejected("COMPENSATION_REJECTED"),
        State::Rejected("ADVERTISER_MISMATCH"),
        State::Expired("UNKNOWN_CAMPAIGN"),
    ] {
        assert!(count(state) > 0, "{state:?}");
    }
    assert_eq!(refunds.malformed.len(), Malformed::all().len() + 1);
    let contradictory = refunds.settled.values().filter(|row| row.is_contradictory).count();
    assert!(contradictory > compensations / 20, "{contradictory}");
}

/// Compensations for one campaign, each sent when the one before it is settled: overlapping windows, claims above the
/// day, repetitions.
#[test]
fn the_fence_cuts_in_the_order_of_settlement() {
    const PRICE: i64 = 1_000_000;
    let mut known = campaigns(54, 1, 1);
    known[0].cpc_micros = PRICE;
    let scenario = Scenario::new("refund-order", Database::Sqlite, known).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let setup = impatient(&scenario.setup);
    let mut host = Host::start(&setup).unwrap();
    let mix = Mix {
        impressions_ppm: 0,
        clicks_ppm: 1_000_000,
        poison_ppm: 0,
        repeats_ppm: 900_000,
        ..Mix::default()
    };
    let mut generator = Generator::new(mix, &scenario.campaigns);
    let (clicks, begin_us) = (scenario.sender().unwrap(), now_us() - MINUTE_US);
    for at in 0..20 {
        let at_us = begin_us + at * SECOND_US;
        clicks.send(&generator.next(at_us), at_us).unwrap();
    }
    clicks.flush().unwrap();
    scenario.wait_charged(&host).unwrap();
    let repeats = generator.take_repeats(i64::MAX);
    let repeat =
        repeats.iter().find(|repeat| repeat.at_us.len() > 3).expect("a device clicks often");
    let of = |range: std::ops::Range<usize>, claimed: i64| {
        let at_us = repeat.at_us[range].to_vec();
        let part = Repeat { at_us, ..repeat.clone() };
        let honest = Compensation::new(&part, &scenario.campaigns, begin_us + MINUTE_US / 2);
        Compensation { refund_micros: claimed * PRICE, ..honest }
    };
    let untimed = |claimed, later| {
        let untimed = of(0..2, claimed).sort(Sort::Untimed);
        Compensation { found_at_us: untimed.found_at_us + later, ..untimed }
    };
    let table = [
        of(0..2, 1),
        of(1..3, 1),
        of(0..3, 2),
        of(0..4, 3),
        of(0..2, 9),
        untimed(9, 0),
        untimed(9, 0),
        untimed(9, 1),
        of(2..4, 1),
    ];
    let sender = scenario.compensation_sender().unwrap();
    for compensation in table {
        send(&sender, &[compensation]);
        scenario.wait_settled(&host, 0).unwrap();
    }
    assert!(host.terminate(LIMIT).unwrap().success());
    let (_, refunds) = scenario.verify_refunds(&Model::new(&scenario.campaigns.clone())).unwrap();
    let cut = refunds
        .settled
        .values()
        .filter(|row| (1..row.claim.claimed_micros).contains(&row.refund_micros));
    assert!(cut.count() > 1);
}

#[test]
fn a_sqlite_ledger_refunds_as_exactly_and_every_wrong_row_is_found() {
    const CLICKS: usize = 4_000;
    let scenario = Scenario::new("refunds-sqlite", Database::Sqlite, table()).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let story = Story::new(55, CLICKS, CHUNKS, &scenario.campaigns);
    let (clicks, compensations) =
        (scenario.sender().unwrap(), scenario.compensation_sender().unwrap());
    send(&compensations, &story.chunks[0]);
    let mut host = Host::start(&patient(&scenario.setup)).unwrap();
    for (event, at_us) in &story.events {
        clicks.send(event, *at_us).unwrap();
    }
    clicks.flush().unwrap();
    story.chunks[1..].iter().for_each(|chunk| send(&compensations, chunk));
    send_malformed(&compensations, &story.after[0]);
    scenario.wait_charged(&host).unwrap();
    scenario.wait_settled(&host, story.waiting).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let mut host = Host::start(&impatient(&scenario.setup)).unwrap();
    send(&compensations, &story.after);
    scenario.wait_settled(&host, 0).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let model = Model::new(&scenario.campaigns.clone());
    let (_, refunds) = scenario.verify_refunds(&model).unwrap();
    check_variety(&refunds, 100);
    check_judge(&mut scenario, &model);
}

/// The judge finds single wrong rows.
fn check_judge(scenario: &mut Scenario, model: &Model) {
    let clicks = Log::read(&scenario.brokers, &scenario.topic).unwrap();
    let topic = scenario.compensation_topic();
    let compensations = Log::read(&scenario.brokers, &topic).unwrap();
    let first = |table: &str, wanted: &str| {
        format!("rowid = (SELECT min(rowid) FROM {table} WHERE {wanted})")
    };
    let mut wrong = vec![
        "UPDATE campaign_daily_spend SET spent_micros = spent_micros + 1".to_owned(),
        "UPDATE advertiser_balances SET balance_micros = balance_micros + 1".to_owned(),
        format!("UPDATE consumer_progress SET dead = dead - 1 WHERE topic = '{topic}'"),
        format!("UPDATE dead_letters SET code = 'NOT_JSON' WHERE topic = '{topic}'"),
        format!("DELETE FROM dead_letters WHERE topic = '{topic}' AND code = 'UNKNOWN_CAMPAIGN'"),
        "DELETE FROM compensations WHERE state = 'REPEATED'".to_owned(),
    ];
    let mut change = |table: &str, wanted: &str, changes: &[&str]| {
        let row = first(table, wanted);
        wrong.push(format!("DELETE FROM {table} WHERE {row}"));
        wrong.extend(changes.iter().map(|set| format!("UPDATE {table} SET {set} WHERE {row}")));
    };
    change(
        "ad_balance_histories",
        "type = 'REFUND'",
        &[
            "amount_micros = amount_micros + 1",
            "budget_day = '2020-01-01'",
            "campaign_id = 'x'",
            "advertiser_id = 'x'",
            "device_id = 'x'",
            "ad_id = 'x'",
            "price_source = 'RULE'",
            "kafka_offset = 1000000",
        ],
    );
    change(
        "duplicate_click_logs",
        "refunded <> '[]'",
        &[
            "refund_micros = refund_micros + 1",
            "claimed_micros = claimed_micros + 1",
            "duplicate_count = duplicate_count + 1",
            "timestamps = '[]'",
            "refunded = '[]'",
            "campaign_id = 'x'",
        ],
    );
    change("duplicate_click_logs", "mismatch IS NULL", &["mismatch = 'x'"]);
    change("duplicate_click_logs", "mismatch IS NOT NULL", &["mismatch = NULL"]);
    change(
        "refunded_charges",
        "true",
        &[
            "kafka_offset = 1000000",
            "compensation_id = (SELECT id FROM compensations WHERE state = 'REJECTED')",
        ],
    );
    let row = first("compensations", "state = 'REFUNDED'");
    for set in ["refund_micros = refund_micros + 1", "claimed_micros = 1", "device_id = 'x'"] {
        wrong.push(format!("UPDATE compensations SET {set} WHERE {row}"));
    }
    let row = first("compensations", "state = 'REJECTED'");
    wrong.push(format!("UPDATE compensations SET state = 'EXPIRED' WHERE {row}"));
    for wrong in wrong {
        scenario.ledger.execute(&format!("BEGIN; {wrong}")).unwrap();
        let judged = verify_refunds(&clicks, &compensations, &mut scenario.ledger, model);
        assert!(judged.is_err(), "{wrong}");
        scenario.ledger.execute("ROLLBACK").unwrap();
    }
    verify_refunds(&clicks, &compensations, &mut scenario.ledger, model).unwrap();
}
