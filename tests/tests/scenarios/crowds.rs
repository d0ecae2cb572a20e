//! Many clicks of a device at one instant, more than one compensation can name: each duplicate is paid back once,
//! however they are cut into compensations.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tollgate_tests::generator::campaigns::{Campaign, campaigns};
use tollgate_tests::generator::compensations::Compensation;
use tollgate_tests::generator::{Generated, Kind, Repeat};
use tollgate_tests::harness::host::{Host, Setup};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario, noon_zone};
use tollgate_tests::harness::topic::{Log, Sender};
use tollgate_tests::model::Model;
use tollgate_tests::model::refunds::{Refunds, State};

const LIMIT: Duration = Duration::from_secs(60);
const SECOND_US: i64 = 1_000_000;
const PRICE: i64 = 1_000_000;

/// A device that clicks this often at each second, and the compensations for it.
struct Crowd {
    device: &'static str,
    clicks: Vec<usize>,
    events: Vec<Event>,
}

/// What a compensation counts, and how often it names each second.
type Event = (usize, Vec<usize>);

fn crowds() -> Vec<Crowd> {
    let of = |device, clicks: &[usize], events: &[Event]| Crowd {
        device,
        clicks: clicks.to_vec(),
        events: events.to_vec(),
    };
    vec![
        // As Flink's statement cuts them: an instant is one event's, named as often as there is room.
        of("at_once", &[250], &[(250, vec![100])]),
        of(
            "at_the_cut",
            &[1, 2, 96, 150, 4],
            &[(249, vec![1, 2, 96, 1]), (5, vec![1, 0, 0, 0, 4])],
        ),
        // As somebody else may: where the event is full, so that the next one names the same instant, or nothing else.
        of("elsewhere", &[250], &[(100, vec![100]), (99, vec![99]), (53, vec![53])]),
        of("in_between", &[1, 60, 60, 60], &[(100, vec![1, 60, 39]), (82, vec![1, 0, 21, 60])]),
        of("pair", &[1, 1, 2, 1], &[(3, vec![1, 1, 1]), (3, vec![1, 0, 1, 1])]),
        // The last duplicate of one is the first click of the next.
        of("chain", &[1, 5, 1], &[(4, vec![1, 3]), (4, vec![0, 3, 1])]),
        // Without saying how many there are at each instant.
        of("short", &[3, 1, 7], &[(11, vec![1, 1, 1])]),
    ]
}

impl Crowd {
    fn clicks(&self, known: &Campaign, begin_us: i64) -> Vec<(Generated, i64)> {
        let seconds = self.clicks.iter().enumerate();
        let at_us = seconds.flat_map(|(second, many)| {
            std::iter::repeat_n(begin_us + second as i64 * SECOND_US, *many)
        });
        at_us.map(|at_us| (click(known, self.device, at_us), at_us)).collect()
    }

    fn compensations(&self, known: &[Campaign], begin_us: i64) -> Vec<Compensation> {
        let compensation = |(count, named): &Event| {
            let at_us = named.iter().enumerate().flat_map(|(second, many)| {
                std::iter::repeat_n(begin_us + second as i64 * SECOND_US, *many)
            });
            let (device, ad) = (self.device.to_owned(), "ad".to_owned());
            let repeat = Repeat { campaign: 0, device, ad, at_us: at_us.collect() };
            let honest = Compensation::new(&repeat, known, begin_us + 30 * SECOND_US);
            Compensation { count: *count, refund_micros: (*count as i64 - 1) * PRICE, ..honest }
        };
        self.events.iter().map(compensation).collect()
    }
}

fn click(known: &Campaign, device: &str, at_us: i64) -> Generated {
    let at = Timestamp::from_microsecond(at_us).unwrap();
    let payload = json!({
        "event_type": "CLICK", "timestamp": at.to_string(), "campaign_id": known.id,
        "advertiser_id": known.advertiser, "ad_id": "ad", "device_id": device
    });
    let payload = Some(payload.to_string().into_bytes());
    Generated { kind: Kind::Click(0), key: device.to_owned(), payload }
}

fn start(name: &str, database: Database) -> Scenario {
    let mut known = campaigns(57, 1, 1);
    known[0].cpc_micros = PRICE;
    known[0].daily_budget_micros = None;
    known[0].time_zone = noon_zone();
    Scenario::new(name, database, known).unwrap().with_compensations().unwrap()
}

fn setup(scenario: &Scenario, settle_s: &str) -> Setup {
    let setup = scenario.setup.clone().key("compensation.look_ms", "50");
    setup.key("compensation.settle_s", settle_s)
}

fn send(sender: &Sender, clicks: impl Iterator<Item = (Generated, i64)>) {
    clicks.for_each(|(click, at_us)| sender.send(&click, at_us).unwrap());
    sender.flush().unwrap();
}

fn send_compensations(sender: &Sender, compensations: impl Iterator<Item = Compensation>) {
    compensations.for_each(|one| sender.send(&one.event(), now_us()).unwrap());
    sender.flush().unwrap();
}

/// Everything but the first click of each device is paid back, by compensations of which none fails.
fn check_refunds(refunds: &Refunds) {
    let duplicates: usize =
        crowds().iter().map(|crowd| crowd.clicks.iter().sum::<usize>() - 1).sum();
    assert!(refunds.settled.values().all(|row| row.state == State::Refunded), "{refunds:#?}");
    assert_eq!(refunds.given_back.len(), duplicates);
    assert_eq!(refunds.by_day.values().sum::<i64>(), duplicates as i64 * PRICE);
}

/// All clicks are there before the compensations come, one after the other.
fn check_one_by_one(name: &str, database: Database) {
    let mut scenario = start(name, database);
    let (clicks, compensations) =
        (scenario.sender().unwrap(), scenario.compensation_sender().unwrap());
    let begin_us = now_us() - 60 * SECOND_US;
    for crowd in crowds() {
        send(&clicks, crowd.clicks(&scenario.campaigns[0], begin_us).into_iter());
    }
    let mut host = Host::start(&setup(&scenario, "86400")).unwrap();
    scenario.wait_charged(&host).unwrap();
    let known = scenario.campaigns.clone();
    for one in crowds().iter().flat_map(|crowd| crowd.compensations(&known, begin_us)) {
        send_compensations(&compensations, [one].into_iter());
        scenario.wait_settled(&host, 0).unwrap();
    }
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let (_, refunds) = scenario.verify_refunds(&Model::new(&scenario.campaigns.clone())).unwrap();
    check_refunds(&refunds);
}

/// The compensations come first, and their clicks bit by bit: whatever is settled meanwhile, nobody takes the charges of
/// another one for its own, and in the end everything is paid.
fn check_bit_by_bit(name: &str, database: Database, hosts: usize) {
    let mut scenario = start(name, database);
    let (clicks, compensations) =
        (scenario.sender().unwrap(), scenario.compensation_sender().unwrap());
    let begin_us = now_us() - 60 * SECOND_US;
    // An instant that is named once may be one that was paid already, so nobody would wait for another click of it.
    let (later, first): (Vec<_>, Vec<_>) =
        crowds().into_iter().partition(|crowd| crowd.device == "pair");
    let of = |crowds: Vec<Crowd>, known: &[Campaign]| {
        let all = crowds.iter().flat_map(|crowd| crowd.compensations(known, begin_us));
        all.collect::<Vec<_>>()
    };
    send_compensations(&compensations, of(first, &scenario.campaigns).into_iter());
    let setup = setup(&scenario, "86400");
    let mut running: Vec<Host> = (0..hosts).map(|_| Host::start(&setup).unwrap()).collect();
    for part in 0..4 {
        for crowd in crowds() {
            let its = crowd.clicks(&scenario.campaigns[0], begin_us).into_iter();
            // Of each instant a part, so that it is not its last click that comes last.
            send(&clicks, its.skip(part).step_by(4));
        }
        scenario.wait_charged(&running[0]).unwrap();
    }
    send_compensations(&compensations, of(later, &scenario.campaigns).into_iter());
    scenario.wait_settled(&running[0], 0).unwrap();
    for host in &mut running {
        assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    }

    // Which of two compensations gave back a click of an instant that both name depends on who came first. What each is
    // paid, and which clicks are given back, does not.
    let model = Model::new(&scenario.campaigns.clone());
    let log = Log::read(&scenario.brokers, &scenario.topic).unwrap();
    let topic = scenario.compensation_topic();
    let compensations = Log::read(&scenario.brokers, &topic).unwrap();
    let refunds = Refunds::judge(&model, &model.judge(&log.records), &compensations.records);
    check_refunds(&refunds);
    let paid: Vec<_> = scenario.ledger.compensations(&topic).unwrap();
    let paid = paid.iter().map(|row| {
        let place = (row.kafka_partition as i32, row.kafka_offset);
        (place, row.state.clone(), row.refund_micros)
    });
    let expected = refunds.settled.iter();
    let expected = expected.map(|(place, row)| (*place, "REFUNDED".to_owned(), row.refund_micros));
    assert_eq!(paid.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let given_back = scenario.ledger.given_back(&scenario.topic.clone()).unwrap();
    let given_back: BTreeSet<_> =
        given_back.iter().map(|row| (row.kafka_partition as i32, row.kafka_offset)).collect();
    assert_eq!(given_back, refunds.given_back.keys().copied().collect());
    scenario.setup.run(&["audit"]).unwrap();
}

#[test]
fn refunds_of_a_crowd_are_those_of_the_model() {
    check_one_by_one("refund-crowds-postgres", Database::Postgres);
    check_one_by_one("refund-crowds-sqlite", Database::Sqlite);
}

#[test]
fn refunds_of_a_crowd_wait_for_clicks_of_their_own() {
    check_bit_by_bit("refund-bits-postgres", Database::Postgres, 2);
    check_bit_by_bit("refund-bits-sqlite", Database::Sqlite, 1);
}
