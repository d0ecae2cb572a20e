//! Leaving, whatever is going on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::lanes::reading::expect_all;
use crate::support::book::Book;
use crate::support::kafka::{Kafka, brokers};
use crate::support::member::{Member, config};
use crate::support::topics::Topic;
use crate::support::until;

#[test]
fn a_stop_under_load_leaves_nothing_half_done() {
    let topic = Topic::new(&brokers(), "stopped", 8);
    let book = Arc::new(Book::default());
    (0..8).for_each(|partition| topic.produce(partition, 0..20_000));
    for round in 1..=5 {
        let before = book.clicks(&topic.name);
        let member = Member::start(config(&topic), &book);
        until("some clicks are there", || book.clicks(&topic.name) > before || round > 4);
        member.stop_cleanly();
    }
    let member = Member::start(config(&topic), &book);
    until("all clicks are there", || book.clicks(&topic.name) == 8 * 20_000);
    member.stop_cleanly();
    (0..8).for_each(|partition| expect_all(&book, &topic, partition, 20_000));
    assert_eq!(book.refused.load(Ordering::Relaxed), 0);
}

#[test]
fn a_stop_does_not_wait_for_a_broker_that_is_down() {
    let mut kafka = Kafka::start();
    let topic = Topic::new(&kafka.brokers, "down", 3);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    (0..3).for_each(|partition| topic.produce(partition, 0..100));
    until("all clicks are there", || book.clicks(&topic.name) == 300);
    kafka.kill();
    until("the failure is seen", || member.status().topic_error.is_some());
    assert_eq!(member.restarts(), 0);
    // What matters is that it returns; threads of librdkafka may be left to the end of the process.
    let report = member.stop();
    assert!(!report.unfinished.contains(&"watch".to_owned()), "{report:?}");
}

#[test]
fn a_stop_before_anything_was_reached_returns() {
    let topic = Topic::named("127.0.0.1:1", "nowhere");
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    until("the failure is seen", || member.status().topic_error.is_some());
    assert!(!member.status().is_ready());
    member.stop_cleanly();
}

#[test]
fn a_writer_that_never_returns_does_not_keep_a_stop() {
    let topic = Topic::new(&brokers(), "stuck", 3);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    member.await_reading(3);
    member.shut();
    (0..3).for_each(|partition| topic.produce(partition, 0..100));
    until("the writer stands still", || member.is_held_back());
    member.stop_cleanly();
}
