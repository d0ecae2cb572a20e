//! Panics: a thread that reads survives them, and nothing is passed over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::producer::Producer;

use crate::lanes::reading::expect_all;
use crate::support::book::Book;
use crate::support::kafka::brokers;
use crate::support::member::{Member, config};
use crate::support::topics::{Topic, click};
use crate::support::until;

/// The ledger's side panics at the first sight, and in the middle of rebalances, which the group waits for.
#[test]
fn a_panic_in_a_rebalance_costs_a_restart_and_no_record() {
    let topic = Topic::new(&brokers(), "panics", 6);
    let book = Arc::new(Book::default());
    book.panics.store(1, Ordering::Relaxed);
    let member = Member::start(config(&topic), &book);
    (0..6).for_each(|partition| topic.produce(partition, 0..100));
    until("all clicks are there", || book.clicks(&topic.name) == 600);
    assert_eq!(member.restarts(), 0);
    let second = Member::start(config(&topic), &book);
    until("they share", || second.reading() > 0 && member.reading() + second.reading() == 6);
    book.panics.store(2, Ordering::Relaxed);
    second.stop_cleanly();
    until("it has panicked", || book.panics.load(Ordering::Relaxed) == 0);
    (0..6).for_each(|partition| topic.produce(partition, 100..200));
    until("all clicks are there", || book.clicks(&topic.name) == 1_200);
    until("it is ready", || member.status().is_ready());
    assert!(member.restarts() > 0, "{:?}", member.status());
    (0..6).for_each(|partition| expect_all(&book, &topic, partition, 200));
    member.stop_cleanly();
}

#[test]
fn a_record_that_cannot_be_read_without_a_panic_halts_its_partition_only() {
    let topic = Topic::new(&brokers(), "panic-at", 2);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    // No configuration has such a limit: the arithmetic of the present minus it overflows, which panics. Only clicks
    // are held against it.
    config.decode.age_ms_max = i64::MIN;
    let producer = topic.producer();
    let other = r#"{"event_type":"IMPRESSION"}"#;
    (0..5).for_each(|_| topic.send(&producer, 0, other));
    topic.send(&producer, 0, &click(0, 5));
    (0..5).for_each(|_| topic.send(&producer, 0, other));
    (0..20).for_each(|_| topic.send(&producer, 1, other));
    producer.flush(std::time::Duration::from_secs(60)).unwrap();
    let member = Member::start(config, &book);
    until("it halts", || member.halt_code(0) == Some("RECORD_DAMAGED"));
    until("the other is read", || book.row(&topic.name, 1).next_offset == 20);
    let row = book.row(&topic.name, 0);
    assert_eq!((row.next_offset, row.skipped), (5, 5), "everything before it is read");
    let said = &row.halts[0];
    assert!(said.contains("offset 5") && said.contains("panicked"), "{said}");
    assert!(said.contains("--offset 6"), "{said}");
    assert_eq!(row.halts.len(), 1, "told once");
    assert_eq!(member.restarts(), 0);
    book.go_on(&topic.name, 0, 6, &topic.id());
    until("it goes on", || book.row(&topic.name, 0).next_offset == 11);
    member.stop_cleanly();
}
