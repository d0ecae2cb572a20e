//! What the producer promises.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, OwnedMessage};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tollgate_stream::{PublishError, Publisher};

use crate::support::kafka::{Kafka, brokers};
use crate::support::topics::{Topic, block_on};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(20);

fn publisher(brokers: &str, deadline: Duration) -> Publisher {
    Publisher::start(brokers, "tollgate-test", &BTreeMap::new(), deadline).unwrap()
}

fn send(
    publisher: &Publisher,
    topic: &Topic,
    key: &str,
    payload: &str,
) -> Result<(), PublishError> {
    let (key, payload) = (Some(key.as_bytes()), Some(payload.as_bytes()));
    block_on(publisher.send(
        &topic.name,
        key,
        payload,
        &[("tollgate-key", Some(b"k#1")), ("none", None)],
    ))
}

/// The first records of all partitions.
fn records(topic: &Topic, partitions: i32, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &topic.brokers)
        .set("group.id", "none")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&topic.name, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    until("the records arrive", || {
        let record = consumer.poll(Duration::from_millis(50));
        records.extend(record.map(|record| record.unwrap().detach()));
        records.len() >= count
    });
    records
}

#[test]
fn a_record_that_was_sent_is_there_as_it_was() {
    let topic = Topic::new(&brokers(), "publish", 1);
    let publisher = publisher(&topic.brokers, DEADLINE);
    send(&publisher, &topic, "HOME:books", "{\"a\":1}").unwrap();
    block_on(publisher.send(&topic.name, None, Some(b"bare"), &[])).unwrap();
    block_on(publisher.send(&topic.name, Some(b"gone"), None, &[])).unwrap();
    let records = records(&topic, 1, 3);
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let seen: Vec<_> = records.iter().map(|one| [text(one.key()), text(one.payload())]).collect();
    let expected =
        [[Some("HOME:books"), Some("{\"a\":1}")], [None, Some("bare")], [Some("gone"), None]];
    assert_eq!(seen, expected.map(|pair| pair.map(|text| text.map(str::to_owned))));
    let header = records[0].headers().unwrap().get(0);
    assert_eq!((header.key, header.value), ("tollgate-key", Some(&b"k#1"[..])));
    let header = records[0].headers().unwrap().get(1);
    assert_eq!((header.key, header.value), ("none", None), "no value is not an empty one");
    assert!(records[1].headers().is_none());
}

#[test]
fn equal_keys_share_the_partition_that_javas_producers_choose() {
    let topic = Topic::new(&brokers(), "partition", 8);
    let publisher = publisher(&topic.brokers, DEADLINE);
    // The hashes that the tests of Kafka's Java client expect of these keys, without their sign, modulo 8.
    let hashes = [("21", -973_932_308), ("foobar", -790_332_482), ("abc", 479_470_107)];
    let expected = hashes.map(|(key, hash): (&str, i32)| (key, (hash & i32::MAX) % 8));
    for (key, _) in expected {
        send(&publisher, &topic, key, "x").unwrap();
        send(&publisher, &topic, key, "y").unwrap();
    }
    for record in records(&topic, 8, 6) {
        let key = std::str::from_utf8(record.key().unwrap()).unwrap();
        let found = expected.iter().find(|(expected, _)| *expected == key);
        assert_eq!(found.map(|(_, partition)| *partition), Some(record.partition()), "{key}");
    }
}

#[test]
fn a_topic_that_is_missing_is_named_and_works_once_it_is_there() {
    let topic = Topic::named(&brokers(), "publish-missing");
    let publisher = publisher(&topic.brokers, Duration::from_secs(10));
    let error = send(&publisher, &topic, "k", "x").unwrap_err();
    assert_eq!((error.code(), error.may_pass_later()), ("TOPIC_MISSING", true), "{error}");
    assert!(error.to_string().contains(&topic.name), "{error}");
    topic.create(1);
    until("the record is taken", || send(&publisher, &topic, "k", "x").is_ok());
    assert_eq!(records(&topic, 1, 1)[0].payload(), Some(&b"x"[..]));
}

#[test]
fn a_record_that_is_too_large_is_refused_for_good() {
    let topic = Topic::new(&brokers(), "publish-large", 1);
    let publisher = publisher(&topic.brokers, DEADLINE);
    let error = send(&publisher, &topic, "k", &"x".repeat(2_000_000)).unwrap_err();
    assert_eq!((error.code(), error.may_pass_later()), ("RECORD_TOO_LARGE", false), "{error}");
    assert!(error.to_string().contains("2000001 bytes"), "{error}");
    // A property of the consumers raises the limit of the producer.
    let larger = BTreeMap::from([("message.max.bytes".to_owned(), "5000000".to_owned())]);
    let larger = Publisher::start(&topic.brokers, "tollgate-test", &larger, DEADLINE).unwrap();
    send(&larger, &topic, "k", &"x".repeat(2_000_000)).unwrap();
}

#[test]
fn brokers_that_are_away_fail_a_record_which_may_pass_later() {
    let mut kafka = Kafka::start();
    let topic = Topic::new(&kafka.brokers, "publish-away", 1);
    let publisher = publisher(&topic.brokers, Duration::from_secs(2));
    until("a record is taken", || send(&publisher, &topic, "k", "x").is_ok());
    kafka.kill();
    let error = send(&publisher, &topic, "k", "y").unwrap_err();
    assert_eq!((error.code(), error.may_pass_later()), ("KAFKA_UNAVAILABLE", true), "{error}");
}

#[test]
fn dropping_the_producer_lets_records_arrive_that_nobody_waits_for() {
    let topic = Topic::new(&brokers(), "publish-drop", 1);
    let publisher = publisher(&topic.brokers, DEADLINE);
    for _ in 0..100 {
        let mut sending = Box::pin(publisher.send(&topic.name, Some(b"k"), Some(b"x"), &[]));
        // Begun, and given up before anybody answered.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut context).is_pending());
    }
    drop(publisher);
    assert_eq!(records(&topic, 1, 100).len(), 100);
}

#[test]
fn properties_that_only_consumers_know_do_not_harm() {
    let properties =
        [("fetch.wait.max.ms", "7"), ("max.poll.interval.ms", "300000"), ("acks", "0")];
    let properties =
        properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let topic = Topic::new(&brokers(), "publish-properties", 1);
    let publisher =
        Publisher::start(&topic.brokers, "tollgate-test", &properties, DEADLINE).unwrap();
    send(&publisher, &topic, "k", "x").unwrap();
    let wrong = BTreeMap::from([("security.protocol".to_owned(), "hunter2".to_owned())]);
    let error = Publisher::start(&topic.brokers, "tollgate-test", &wrong, DEADLINE).unwrap_err();
    assert_eq!(error.code(), "PROPERTY_REFUSED");
    assert!(error.to_string().contains("security.protocol"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
