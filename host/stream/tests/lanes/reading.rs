//! Order, completeness, and what is not delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;
use tollgate_domain::slice::Reading;
use tollgate_stream::StreamConfig;

use crate::support::book::Book;
use crate::support::kafka::brokers;
use crate::support::member::{Member, config};
use crate::support::topics::{Topic, device};
use crate::support::until;

/// Everything that was produced is there, once, in order.
#[track_caller]
pub(super) fn expect_all(book: &Book, topic: &Topic, partition: i32, count: i64) {
    let expected: Vec<_> = (0..count).map(|number| device(partition, number)).collect();
    let row = book.row(&topic.name, partition);
    assert_eq!(row.devices.len(), expected.len(), "partition {partition}");
    assert_eq!(row.devices, expected, "partition {partition}");
}

fn produce_all(topic: &Topic, partitions: i32, count: i64) {
    let producer = topic.producer();
    for number in 0..count {
        for partition in 0..partitions {
            let value = crate::support::topics::click(partition, number);
            topic.send(&producer, partition, &value);
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

#[test]
fn every_partition_arrives_complete_and_in_order() {
    let topic = Topic::new(&brokers(), "order", 8);
    let book = Arc::new(Book::default());
    produce_all(&topic, 8, 3_000);
    let member = Member::start(config(&topic), &book);
    produce_all_again(&topic, 8, 3_000..4_000);
    until("all clicks are there", || book.clicks(&topic.name) == 8 * 4_000);
    (0..8).for_each(|partition| expect_all(&book, &topic, partition, 4_000));
    until("Kafka's tools see no lag", || {
        member.status().partitions.iter().all(|partition| partition.lag == Some(0))
    });
    assert!(member.status().is_ready());
    assert_eq!(book.refused.load(std::sync::atomic::Ordering::Relaxed), 0);
    member.stop_cleanly();
}

fn produce_all_again(topic: &Topic, partitions: i32, numbers: std::ops::Range<i64>) {
    (0..partitions).for_each(|partition| topic.produce(partition, numbers.clone()));
}

#[test]
fn compensations_are_read_as_such() {
    let topic = Topic::new(&brokers(), "compensations", 1);
    let book = Arc::new(Book::default());
    let producer = topic.producer();
    let compensation = |device: &str| {
        format!(
            r#"{{"timestamp":"2026-01-15T10:35:00Z","advertiser_id":"a","campaign_id":"c",
                "device_id":"{device}","duplicate_click_count":2,"refund_amount":1200}}"#
        )
    };
    topic.send(&producer, 0, &compensation("one"));
    topic.send(&producer, 0, &crate::support::topics::click(0, 0));
    topic.send(&producer, 0, &compensation("two"));
    producer.flush(Duration::from_secs(60)).unwrap();
    let config = StreamConfig { reading: Reading::Compensations, ..config(&topic) };
    let member = Member::start(config, &book);
    until("all records are there", || book.row(&topic.name, 0).next_offset == 3);
    let row = book.row(&topic.name, 0);
    assert_eq!(row.devices, ["one", "two"]);
    let dead: Vec<_> = row.dead.iter().map(|(offset, code, _)| (*offset, *code)).collect();
    assert_eq!(dead, [(1, "MISSING_FIELD")]);
    member.stop_cleanly();
}

#[test]
fn aborted_transactions_are_absent() {
    let topic = Topic::new(&brokers(), "aborted", 1);
    let book = Arc::new(Book::default());
    let producer = topic.producer_with(&[("transactional.id", &topic.name)]);
    let timeout = Duration::from_secs(30);
    producer.init_transactions(timeout).unwrap();
    for (number, commits) in [(0, true), (1, false), (2, false), (3, true)] {
        producer.begin_transaction().unwrap();
        topic.send(&producer, 0, &crate::support::topics::click(0, number));
        if commits {
            producer.commit_transaction(timeout).unwrap();
        } else {
            producer.flush(timeout).unwrap();
            producer.abort_transaction(timeout).unwrap();
        }
    }
    let member = Member::start(config(&topic), &book);
    until("both committed clicks are there", || book.clicks(&topic.name) == 2);
    let row = book.row(&topic.name, 0);
    assert_eq!(row.devices, [device(0, 0), device(0, 3)]);
    // Two records were aborted, and three transactions before the last record left a marker.
    assert_eq!((row.absent, row.next_offset), (5, 7));
    member.stop_cleanly();
}

/// A producer may write any bytes as the name of a header.
#[test]
fn a_header_whose_name_is_no_text_stops_nobody() {
    let topic = Topic::new(&brokers(), "headers", 1);
    let book = Arc::new(Book::default());
    topic.produce(0, 0..10);
    let producer = topic.producer();
    let headers: [(&[u8], Option<&[u8]>); 4] =
        [(b"\xff1", Some(b"\xff\x00")), (b"trace", Some(b"")), (b"trace", None), (b"", Some(b"1"))];
    topic.send_with(&producer, 0, &crate::support::topics::click(0, 10), &headers[..1]);
    topic.send_with(&producer, 0, "no JSON", &headers);
    producer.flush(Duration::from_secs(60)).unwrap();
    topic.produce(0, 11..20);
    let member = Member::start(config(&topic), &book);
    until("the records behind it are there", || book.row(&topic.name, 0).next_offset == 21);
    expect_all(&book, &topic, 0, 20);
    let row = book.row(&topic.name, 0);
    assert_eq!(row.dead, [(11, "NOT_JSON", 7)]);
    let text = |name: &str| name.to_owned();
    let expected = [
        (text("\u{fffd}1"), Some(b"\xff\x00".to_vec())),
        (text("trace"), Some(Vec::new())),
        (text("trace"), None),
        (text(""), Some(b"1".to_vec())),
    ];
    assert_eq!(row.headers, expected);
    assert_eq!(member.restarts(), 0);
    member.stop_cleanly();
}

#[test]
fn a_record_of_20_mb_arrives_whole() {
    let topic = Topic::new(&brokers(), "large", 1);
    let book = Arc::new(Book::default());
    let producer = topic.producer();
    let large = "x".repeat(20 << 20);
    topic.produce(0, 0..1);
    topic.send(&producer, 0, &large);
    producer.flush(Duration::from_secs(60)).unwrap();
    topic.produce(0, 1..2);
    let member = Member::start(config(&topic), &book);
    until("the record after it is there", || book.clicks(&topic.name) == 2);
    let row = book.row(&topic.name, 0);
    assert_eq!(row.dead, [(1, "PAYLOAD_TOO_LARGE", 20 << 20)]);
    until("its bytes are given back", || member.status().in_flight_bytes == 0);
    member.stop_cleanly();
}

#[test]
fn a_writer_that_stands_still_costs_no_membership() {
    let topic = Topic::new(&brokers(), "pressure", 4);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    config.properties.insert("max.poll.interval.ms".into(), "6000".into());
    // Room for few slices, so that the lanes are held back as well.
    config.in_flight_bytes_max = 64 << 10;
    config.slice_bytes_max = 16 << 10;
    let member = Member::start(config, &book);
    until("every lane has a share", || member.shares().iter().all(|share| *share > 0));
    member.await_reading(4);
    member.shut();
    produce_all(&topic, 4, 5_000);
    until("the writer stands still", || member.is_held_back());
    let rebalances = member.rebalances();
    // The broker's interval itself has to pass: that is what this test is about.
    let began = Instant::now();
    until("max.poll.interval.ms is over", || began.elapsed() > Duration::from_secs(9));
    let bound = (64 << 10) + 3 * (17 << 10);
    assert!(member.status().in_flight_bytes <= bound, "{:?}", member.status());
    assert_eq!(member.rebalances(), rebalances);
    assert_eq!(member.restarts(), 0);
    member.open();
    until("all clicks are there", || book.clicks(&topic.name) == 4 * 5_000);
    (0..4).for_each(|partition| expect_all(&book, &topic, partition, 5_000));
    assert_eq!(member.rebalances(), rebalances);
    member.stop_cleanly();
}

#[test]
fn committed_offsets_reach_kafka_as_hints() {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let topic = Topic::new(&brokers(), "hints", 2);
    let book = Arc::new(Book::default());
    produce_all(&topic, 2, 500);
    let config = config(&topic);
    let group = config.group.clone();
    let member = Member::start(config, &book);
    until("all clicks are there", || book.clicks(&topic.name) == 1_000);
    member.stop_cleanly();
    let reader: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.brokers)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_range(&topic.name, 0, 1);
    let found = reader.committed_offsets(list, Duration::from_secs(30)).unwrap();
    let offsets: BTreeMap<_, _> =
        found.elements().iter().map(|e| (e.partition(), e.offset())).collect();
    let all = rdkafka::Offset::Offset(500);
    assert_eq!(offsets, BTreeMap::from([(0, all), (1, all)]));
}
