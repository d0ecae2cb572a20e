//! Where partitions start that nobody has seen before.

use std::sync::Arc;

use tollgate_stream::{FirstSight, TopicState};

use crate::lanes::reading::expect_all;
use crate::support::book::Book;
use crate::support::kafka::brokers;
use crate::support::member::{Member, config};
use crate::support::topics::{Topic, device};
use crate::support::until;

/// Produces before and after the very first start; tells which numbers are to arrive.
fn check(label: &str, first_sight: FirstSight, before: i64, expected: std::ops::Range<i64>) {
    let topic = Topic::new(&brokers(), label, 2);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    config.first_sight = first_sight;
    (0..2).for_each(|partition| topic.produce(partition, 0..before));
    let member = Member::start(config.clone(), &book);
    member.await_reading(2);
    (0..2).for_each(|partition| topic.produce(partition, before..before + 5));
    let wanted = (expected.end - expected.start) as usize;
    until("all clicks are there", || book.clicks(&topic.name) == 2 * wanted);
    member.stop_cleanly();
    // Whatever comes while nobody reads is not skipped by the next start.
    (0..2).for_each(|partition| topic.produce(partition, before + 5..before + 8));
    let member = Member::start(config, &book);
    until("all clicks are there", || book.clicks(&topic.name) == 2 * (wanted + 3));
    for partition in 0..2 {
        let devices: Vec<_> =
            (expected.start..expected.end + 3).map(|number| device(partition, number)).collect();
        assert_eq!(book.row(&topic.name, partition).devices, devices);
    }
    member.stop_cleanly();
}

#[test]
fn the_first_sight_is_applied_once() {
    check("latest", FirstSight::Latest, 7, 7..12);
    check("latest-empty", FirstSight::Latest, 0, 0..5);
    check("earliest", FirstSight::Earliest, 7, 0..12);
    check("earliest-empty", FirstSight::Earliest, 0, 0..5);
}

#[test]
fn partitions_that_were_empty_are_not_skipped_later() {
    let topic = Topic::new(&brokers(), "empty", 8);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    config.first_sight = FirstSight::Latest;
    let member = Member::start(config.clone(), &book);
    member.await_reading(8);
    member.stop_cleanly();
    (0..8).for_each(|partition| topic.produce(partition, 0..20));
    let member = Member::start(config, &book);
    until("all clicks are there", || book.clicks(&topic.name) == 8 * 20);
    (0..8).for_each(|partition| expect_all(&book, &topic, partition, 20));
    member.stop_cleanly();
}

#[test]
fn partitions_that_were_added_start_at_their_beginning() {
    let topic = Topic::new(&brokers(), "grown", 2);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    config.first_sight = FirstSight::Latest;
    let member = Member::start(config.clone(), &book);
    member.await_reading(2);
    topic.grow(4);
    (0..4).for_each(|partition| topic.produce(partition, 0..50));
    until("all clicks are there", || book.clicks(&topic.name) == 4 * 50);
    member.stop_cleanly();
    // And the same while nobody reads.
    topic.grow(6);
    (0..6).for_each(|partition| topic.produce(partition, 50..100));
    (4..6).for_each(|partition| topic.produce(partition, 0..50));
    let member = Member::start(config, &book);
    until("all clicks are there", || book.clicks(&topic.name) == 6 * 100);
    (0..4).for_each(|partition| expect_all(&book, &topic, partition, 100));
    (4..6).for_each(|partition| assert!(book.knows(&topic.name, partition)));
    member.stop_cleanly();
}

#[test]
fn a_topic_that_is_missing_is_waited_for() {
    let topic = Topic::named(&brokers(), "missing");
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    until("it is seen", || member.status().topic == TopicState::Missing);
    assert!(!member.status().is_ready());
    assert_eq!(TopicState::Missing.code(), "TOPIC_MISSING");
    topic.create(3);
    topic.produce(1, 0..10);
    until("all clicks are there", || book.clicks(&topic.name) == 10);
    // One lane may have read them all before the others are members.
    until("every lane is a member", || member.status().is_ready());
    member.stop_cleanly();
}

#[test]
fn more_lanes_than_partitions_are_ready_too() {
    let topic = Topic::new(&brokers(), "idle", 1);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    until("every lane is a member", || member.status().is_ready());
    member.stop_cleanly();
}
