//! What cannot be charged stands in a topic of its own, as it came and with what is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::generator::compensations::{Compensation, Malformed};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generated, Generator, Kind, Mix, Repeat};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::harness::topic::{Whole, read_whole, watermarks};
use tollgate_tests::model::Model;
use tollgate_tests::servers::kafka::{create_limited_topic, create_topic, delete_topic};
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

/// A topic's limit when nobody has set it.
const KAFKAS_BYTES_MAX: usize = 1_048_588;

/// A record with a value of junk, and one header.
fn junk(key: &str, value_bytes: usize, header_bytes: usize) -> (Generated, Headers) {
    let payload = Some(vec![b'x'; value_bytes]);
    let event = Generated { kind: Kind::Poison(Poison::NotJson), key: key.to_owned(), payload };
    (event, vec![("long".to_owned(), Some(vec![b'h'; header_bytes]))])
}

#[test]
fn a_letter_that_its_topic_refuses_holds_up_no_other() {
    let scenario = Scenario::new("dlq-large", Database::Postgres, campaigns(64, 4, 2)).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let topic = scenario.topic.clone();
    let dead = create_dead_letter_topic(&scenario.brokers, &topic);
    delete_topic(&scenario.brokers, &dead).unwrap();
    create_limited_topic(&scenario.brokers, &dead, (4, 7), KAFKAS_BYTES_MAX).unwrap();
    create_dead_letter_topic(&scenario.brokers, &scenario.compensation_topic());
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    let sender = scenario.sender().unwrap();
    let records = [
        // More than librdkafka's producers take unless they are told to, and not too much for the topic.
        junk("whole", 1_040_000, 1),
        // Too much for the topic once it has the headers that say what is wrong.
        junk("valueless", 1_048_400, 1),
        // Too much for anybody.
        junk("huge", 3_000_000, 1),
        junk("bare", 5, 1_048_300),
    ];
    for (event, headers) in &records {
        sender.send_with(event, headers, now_us()).unwrap();
    }
    sender.flush().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    let mix = Mix { impressions_ppm: 500_000, poison_ppm: 200_000, ..Mix::default() };
    scenario.produce(mix, 200).unwrap();
    let compensations = scenario.compensation_sender().unwrap();
    compensations.send_to(1, Some(b"no JSON"), now_us()).unwrap();
    compensations.flush().unwrap();
    scenario.wait_charged(&host).unwrap();
    scenario.wait_settled(&host, 0).unwrap();
    wait_published(&mut scenario, &host);
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());

    let published = read_whole(&scenario.brokers, &dead).unwrap();
    let letters = scenario.ledger.dead_letters(&topic).unwrap();
    assert_eq!(published.len(), letters.len());
    assert!(letters.len() > records.len() + 10);
    let published: Vec<_> = published.into_iter().map(split).collect();
    let check = |at: usize, omitted: &[(&str, usize)]| {
        let (event, headers) = &records[at];
        let is_omitted = |name: &str| omitted.iter().any(|(known, _)| *known == name);
        let key =
            Some(event.key.as_bytes().to_vec()).filter(|_| !is_omitted("tollgate-key-omitted"));
        let value = event.payload.clone().filter(|_| !is_omitted("tollgate-value-omitted"));
        let headers = if is_omitted("tollgate-headers-omitted") { &[][..] } else { &headers[..] };
        let found = published.iter().filter(|(record, added)| {
            let said: Vec<_> =
                added.iter().filter(|(name, _)| name.ends_with("-omitted")).collect();
            record.key == key
                && record.payload == value
                && record.headers == headers
                && said.len() == omitted.len()
                && omitted.iter().all(|(name, bytes)| added.get(*name) == Some(&bytes.to_string()))
        });
        assert_eq!(found.count(), 1, "{}", event.key);
    };
    check(0, &[]);
    check(1, &[("tollgate-value-omitted", 1_048_400)]);
    check(2, &[("tollgate-value-omitted", 3_000_000)]);
    let bare = [
        ("tollgate-value-omitted", 5),
        ("tollgate-key-omitted", 4),
        ("tollgate-headers-omitted", 1_048_304),
    ];
    check(3, &bare);
    // The ledger keeps what was left out.
    let kept = |bytes: usize| {
        let is = |payload: &Vec<u8>| payload.len() == bytes && payload.iter().all(|b| *b == b'x');
        letters.iter().any(|letter| letter.payload.as_ref().is_some_and(is))
    };
    assert!(kept(1_040_000) && kept(1_048_400) && kept(3_000_000) && kept(5));
}

#[test]
fn a_topic_that_takes_nothing_holds_up_no_other_topic() {
    let scenario = Scenario::new("dlq-apart", Database::Sqlite, campaigns(65, 4, 2)).unwrap();
    let mut scenario = scenario.with_compensations().unwrap();
    let (topic, compensations) = (scenario.topic.clone(), scenario.compensation_topic());
    drop(delete_topic(&scenario.brokers, &format!("{topic}.dlq")));
    create_dead_letter_topic(&scenario.brokers, &compensations);
    scenario.setup = scenario.setup.clone().dead_letter_topics();
    let sender = scenario.sender().unwrap();
    // More than are published at once, and older than those of the other topic.
    for _ in 0..500 {
        sender.send_to(0, Some(b"no JSON"), now_us()).unwrap();
    }
    sender.flush().unwrap();
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.wait_charged(&host).unwrap();
    let sender = scenario.compensation_sender().unwrap();
    for _ in 0..5 {
        sender.send_to(1, Some(b"no JSON"), now_us()).unwrap();
    }
    sender.flush().unwrap();
    scenario.wait_settled(&host, 0).unwrap();
    let published = format!(
        "SELECT count(*) FROM dead_letters WHERE topic = '{compensations}' AND published_at IS NOT NULL"
    );
    let reached = wait_until("the other topic's letters", LIMIT, || {
        scenario.ledger.number(&published).ok().filter(|published| *published == 5)
    });
    reached.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
    let left = "SELECT count(*) FROM dead_letters WHERE published_at IS NULL";
    assert_eq!(scenario.ledger.number(left).unwrap(), 500);
    create_dead_letter_topic(&scenario.brokers, &topic);
    wait_published(&mut scenario, &host);
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let group = scenario.setup.group.clone();
    check_published(&mut scenario, &topic, &group, &["decode"]);
}
