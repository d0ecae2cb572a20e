//! Partitions that must not be read as if nothing had happened.

use std::sync::Arc;

use rdkafka::producer::Producer;

use crate::lanes::reading::expect_all;
use crate::support::book::Book;
use crate::support::kafka::brokers;
use crate::support::member::{Member, config};
use crate::support::topics::{Topic, click, device};
use crate::support::until;

/// Re-creates a topic whose ledger stands at 100 with a log of the given length, while members read or not.
fn check_recreated(label: &str, length: i64, while_reading: bool) {
    let topic = Topic::new(&brokers(), label, 2);
    let book = Arc::new(Book::default());
    let mut member = Some(Member::start(config(&topic), &book));
    (0..2).for_each(|partition| topic.produce(partition, 0..100));
    until("all clicks are there", || book.clicks(&topic.name) == 200);
    if !while_reading {
        member.take().unwrap().stop_cleanly();
    }
    let old = topic.id();
    topic.delete();
    topic.create(2);
    assert_ne!(topic.id(), old);
    let member = member.unwrap_or_else(|| Member::start(config(&topic), &book));
    until("both partitions halt", || {
        (0..2).all(|partition| member.halt_code(partition) == Some("HALTED_BY_LEDGER"))
    });
    (0..2).for_each(|partition| topic.produce(partition, 1_000..1_000 + length));
    // The operator has looked at it, and lets one of them go on from the new beginning.
    book.go_on(&topic.name, 0, 0, &topic.id());
    until("it goes on", || book.row(&topic.name, 0).next_offset == length);
    let row = book.row(&topic.name, 0);
    assert_eq!((row.incarnation, row.devices.len()), (1, 100 + length as usize));
    assert_eq!(row.devices[100], device(0, 1_000));
    assert_eq!(member.halt_code(0), None);
    assert_eq!(member.halt_code(1), Some("HALTED_BY_LEDGER"));
    expect_all(&book, &topic, 1, 100);
    member.stop_cleanly();
}

#[test]
fn a_topic_that_was_recreated_halts() {
    check_recreated("again-shorter", 10, false);
    check_recreated("again-longer", 300, false);
    check_recreated("again-shorter-live", 10, true);
    check_recreated("again-longer-live", 300, true);
}

#[test]
fn a_longer_log_that_appears_at_once_is_not_read_on() {
    let topic = Topic::new(&brokers(), "swapped", 4);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    // So that it is not the watch that saves it.
    config.recheck_ms = 20_000;
    let member = Member::start(config.clone(), &book);
    (0..4).for_each(|partition| topic.produce(partition, 0..100));
    until("all clicks are there", || book.clicks(&topic.name) == 400);
    topic.delete();
    topic.create(4);
    (0..4).for_each(|partition| topic.produce(partition, 1_000..1_300));
    until("every partition halts", || {
        (0..4).all(|partition| member.halt_code(partition) == Some("HALTED_BY_LEDGER"))
    });
    (0..4).for_each(|partition| expect_all(&book, &topic, partition, 100));
    member.stop_cleanly();
}

#[test]
fn records_that_were_deleted_unread_halt_their_partition_only() {
    let topic = Topic::new(&brokers(), "deleted", 2);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    (0..2).for_each(|partition| topic.produce(partition, 0..10));
    until("all clicks are there", || book.clicks(&topic.name) == 20);
    member.stop_cleanly();
    (0..2).for_each(|partition| topic.produce(partition, 10..100));
    topic.delete_records(0, 40);
    let member = Member::start(config(&topic), &book);
    until("it halts", || member.halt_code(0) == Some("OFFSET_GONE"));
    until("the other goes on", || book.clicks(&topic.name) == 110);
    let halts = book.row(&topic.name, 0).halts;
    assert!(halts[0].contains("wants offset 10") && halts[0].contains("--offset 40"), "{halts:?}");
    let asked = book.row(&topic.name, 0).asked + 3;
    until("it was tried again", || book.row(&topic.name, 0).asked >= asked);
    assert_eq!(member.halt_code(0), Some("OFFSET_GONE"));
    assert_eq!(book.row(&topic.name, 0).halts.len(), 1, "told once");
    book.go_on(&topic.name, 0, 40, &topic.id());
    until("it goes on", || book.row(&topic.name, 0).next_offset == 100);
    assert_eq!(book.row(&topic.name, 0).devices[10], device(0, 40));
    assert_eq!(member.halt_code(0), None);
    member.stop_cleanly();
}

#[test]
fn records_that_are_deleted_while_they_are_wanted_halt() {
    let topic = Topic::new(&brokers(), "deleted-live", 1);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    // A queue that holds little, so that the broker still has what is wanted next.
    config.properties.insert("queued.min.messages".into(), "10".into());
    config.properties.insert("queued.max.messages.kbytes".into(), "16".into());
    config.properties.insert("fetch.message.max.bytes".into(), "4096".into());
    config.in_flight_bytes_max = 8 << 10;
    config.slice_bytes_max = 4 << 10;
    let member = Member::start(config, &book);
    member.await_reading(1);
    member.shut();
    // In small batches, because the broker hands out a batch as a whole.
    let producer = topic.producer_with(&[("batch.num.messages", "10")]);
    (0..5_000).for_each(|number| topic.send(&producer, 0, &click(0, number)));
    producer.flush(std::time::Duration::from_secs(60)).unwrap();
    until("the writer stands still", || member.is_held_back());
    topic.delete_records(0, 5_000);
    member.open();
    until("it halts", || member.halt_code(0) == Some("OFFSET_GONE"));
    let row = book.row(&topic.name, 0);
    assert_eq!(row.devices.len() as i64, row.next_offset);
    assert!(row.next_offset < 5_000);
    expect_all(&book, &topic, 0, row.next_offset);
    member.stop_cleanly();
}

#[test]
fn a_ledger_that_is_ahead_of_the_log_halts() {
    let topic = Topic::new(&brokers(), "ahead", 1);
    let book = Arc::new(Book::default());
    topic.produce(0, 0..10);
    let member = Member::start(config(&topic), &book);
    until("all clicks are there", || book.clicks(&topic.name) == 10);
    member.stop_cleanly();
    book.change(&topic.name, 0, |row| row.next_offset = 25);
    let member = Member::start(config(&topic), &book);
    until("it halts", || member.halt_code(0) == Some("LOG_TRUNCATED"));
    let halts = book.row(&topic.name, 0).halts;
    assert!(halts[0].contains("ends at 10") && halts[0].contains("--offset 10"), "{halts:?}");
    // A log that grows past the wanted offset does not make good what is missing.
    topic.produce(0, 10..40);
    let asked = book.row(&topic.name, 0).asked + 3;
    until("it was tried again", || book.row(&topic.name, 0).asked >= asked);
    assert_eq!(member.halt_code(0), Some("LOG_TRUNCATED"));
    book.go_on(&topic.name, 0, 10, &topic.id());
    until("it goes on", || book.clicks(&topic.name) == 40);
    expect_all(&book, &topic, 0, 40);
    member.stop_cleanly();
}
