//! What cannot be charged stands in a topic of its own, as it came and with what is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::generator::compensations::{Compensation, Malformed};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generator, Mix, Repeat};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::harness::topic::{Whole, read_whole, watermarks};
use tollgate_tests::model::Model;
use tollgate_tests::servers::kafka::{create_topic, delete_topic};
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(180);
const EVENTS: usize = 5_000;
const POISON: usize = 200;
/// A poison event comes every so many events.
const EVERY: usize = EVENTS / POISON;

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// Headers as producers write them: any name, any bytes, repeated names, an empty value.
fn headers(at: usize) -> Headers {
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    match at % 4 {
        0 => Vec::new(),
        1 => vec![header("trace", format!("trace-{at}").as_bytes())],
        2 => vec![header("bytes", b"\x00\xff\xfe"), header("empty", b"")],
        _ => vec![header("twice", b"1"), header("twice", b"2"), ("none".to_owned(), None)],
    }
}

/// Creates the topic of the dead letters of another one.
pub(crate) fn create_dead_letter_topic(brokers: &str, topic: &str) -> String {
    let dead = format!("{topic}.dlq");
    drop(delete_topic(brokers, &dead));
    create_topic(brokers, &dead, 4, 7).unwrap();
    dead
}

/// Splits off what tollgate has added to a dead letter.
fn split(record: Whole) -> (Whole, BTreeMap<String, String>) {
    let (added, headers): (Vec<_>, Vec<_>) =
        record.headers.into_iter().partition(|(name, _)| name.starts_with("tollgate-"));
    let count = added.len();
    let texts = added.into_iter().map(|(name, value)| {
        (name, String::from_utf8(value.expect("a header that tollgate adds has a value")).unwrap())
    });
    let added: BTreeMap<_, _> = texts.collect();
    assert_eq!(added.len(), count, "each header once");
    (Whole { headers, ..record }, added)
}

/// Every dead letter of `topic` is in its own topic, byte by byte, and says what the ledger says.
pub(crate) fn check_published(scenario: &mut Scenario, topic: &str, group: &str, stages: &[&str]) {
    let dead = format!("{topic}.dlq");
    let letters = scenario.ledger.dead_letters(topic).unwrap();
    let records = read_whole(&scenario.brokers, topic).unwrap().into_iter();
    let records: BTreeMap<_, _> =
        records.map(|record| ((record.partition, record.offset), record)).collect();
    let mut published = BTreeMap::new();
    for record in read_whole(&scenario.brokers, &dead).unwrap() {
        let (record, added) = split(record);
        let number = |name: &str| added[name].parse::<i64>().unwrap();
        let place = (number("tollgate-partition") as i32, number("tollgate-offset"));
        let again = published.insert(place, (record, added));
        assert!(again.is_none(), "{place:?} is published twice");
    }
    assert_eq!(published.len(), letters.len());
    for letter in letters {
        let place = (letter.kafka_partition as i32, letter.kafka_offset);
        let (found, added) = &published[&place];
        let original = &records[&place];
        assert_eq!(found.key, original.key, "{place:?}");
        assert!(found.payload == original.payload, "{place:?}: other bytes");
        assert_eq!(found.headers, original.headers, "{place:?}");
        let text = |name: &str| added[name].as_str();
        assert_eq!((text("tollgate-code"), text("tollgate-topic")), (letter.code.as_str(), topic));
        assert_eq!(text("tollgate-group"), group);
        assert!(!text("tollgate-sentence").is_empty(), "{place:?}");
        assert!(stages.contains(&text("tollgate-stage")), "{place:?}: {added:?}");
        text("tollgate-generation").parse::<u64>().unwrap();
        let at: jiff::Timestamp = text("tollgate-time").parse().unwrap();
        assert!((now_us() - at.as_microsecond()).abs() < 3_600_000_000, "{at}");
    }
    let unpublished = "SELECT count(*) FROM dead_letters WHERE published_at IS NULL";
    assert_eq!(scenario.ledger.number(unpublished).unwrap(), 0);
}

/// Waits until the ledger takes every dead letter to be published.
pub(crate) fn wait_published(scenario: &mut Scenario, host: &Host) {
    let left = "SELECT count(*) FROM dead_letters WHERE published_at IS NULL";
    let published = wait_until("the dead letters to be published", LIMIT, || {
        scenario.ledger.number(left).ok().filter(|left| *left == 0)
    });
    published.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

fn produce_clicks(scenario: &Scenario) {
    let mix =
        Mix { impressions_ppm: 500_000, clicks_ppm: 500_000, poison_ppm: 0, ..Mix::default() };
    let mut generator = Generator::new(mix, &scenario.campaigns);
    let sender = scenario.sender().unwrap();
    for at in 0..EVENTS {
        let at_us = now_us();
        let event = if at % EVERY == 0 {
            let class = Poison::SMALL[at / EVERY % Poison::SMALL.len()];
            generator.poison(class, at_us)
        } else {
            generator.next(at_us)
        };
        sender.send_with(&event, &headers(at / EVERY), at_us).unwrap();
    }
    sender.flush().unwrap();
}

#[test]
fn every_dead_letter_is_published_as_it_came() {
    let known = campaigns(61, 40, 10);
    let mut scenario = Scenario::new("dlq", Database::Postgres, known).unwrap();
    let topic = scenario.topic.clone();
    let dead = create_dead_letter_topic(&scenario.brokers, &topic);
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    produce_clicks(&scenario);
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    wait_published(&mut scenario, &host);
    assert!(host.terminate(LIMIT).unwrap().success());
    let ends = watermarks(&scenario.brokers, &dead).unwrap();
    assert_eq!(ends.iter().map(|(_, (low, high))| high - low).sum::<i64>(), POISON as i64);
    let group = scenario.setup.group.clone();
    check_published(&mut scenario, &topic, &group, &["decode", "resolve"]);
    scenario.verify(&Model::new(&scenario.campaigns.clone())).unwrap();
}

#[test]
fn dead_letters_wait_for_their_topic() {
    let mut scenario = Scenario::new("dlq-late", Database::Sqlite, campaigns(62, 10, 5)).unwrap();
    let topic = scenario.topic.clone();
    drop(delete_topic(&scenario.brokers, &format!("{topic}.dlq")));
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    produce_clicks(&scenario);
    let mut host = Host::start(&scenario.setup).unwrap();
    // Nothing that is charged depends on a topic that does not exist.
    scenario.wait_charged(&host).unwrap();
    let left = "SELECT count(*) FROM dead_letters WHERE published_at IS NULL";
    assert_eq!(scenario.ledger.number(left).unwrap(), POISON as i64);
    create_dead_letter_topic(&scenario.brokers, &topic);
    wait_published(&mut scenario, &host);
    assert!(host.terminate(LIMIT).unwrap().success());
    let group = scenario.setup.group.clone();
    check_published(&mut scenario, &topic, &group, &["decode", "resolve"]);
}

#[test]
fn compensations_that_cannot_be_read_are_published_too() {
    let scenario = Scenario::new("dlq-refunds", Database::Sqlite, campaigns(63, 4, 2)).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let topic = scenario.compensation_topic();
    create_dead_letter_topic(&scenario.brokers, &scenario.topic);
    create_dead_letter_topic(&scenario.brokers, &topic);
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    let at_us = now_us();
    let repeat = Repeat { campaign: 0, device: "d".into(), ad: "a".into(), at_us: vec![at_us; 2] };
    let honest = Compensation::new(&repeat, &scenario.campaigns, at_us);
    let sender = scenario.compensation_sender().unwrap();
    for (at, class) in Malformed::all().into_iter().enumerate() {
        sender.send_with(&honest.spoiled(class), &headers(at), at_us).unwrap();
    }
    sender.flush().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_settled(&host, 0).unwrap();
    wait_published(&mut scenario, &host);
    assert!(host.terminate(LIMIT).unwrap().success());
    check_published(&mut scenario, &topic, &format!("{topic}-group"), &["decode"]);
    scenario.verify_refunds(&Model::new(&scenario.campaigns.clone())).unwrap();
}
