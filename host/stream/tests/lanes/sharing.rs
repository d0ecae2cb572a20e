//! Several members in a group, and the ledger's fence.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::lanes::reading::expect_all;
use crate::support::book::Book;
use crate::support::kafka::brokers;
use crate::support::member::{Member, config};
use crate::support::topics::{Topic, click};
use crate::support::until;

#[test]
fn members_that_join_and_leave_lose_and_repeat_nothing() {
    let topic = Topic::new(&brokers(), "sharing", 8);
    let book = Arc::new(Book::default());
    let stays = Member::start(config(&topic), &book);
    stays.await_reading(8);
    let producer = topic.producer();
    let mut produced = 0;
    let mut feed = |until: i64| {
        for number in produced..until {
            (0..8)
                .for_each(|partition| topic.send(&producer, partition, &click(partition, number)));
        }
        produced = until;
    };
    for round in 1..=4 {
        feed(round * 1_000 - 500);
        let guest = Member::start(config(&topic), &book);
        let began = std::time::Instant::now();
        until("both have a share", || {
            if began.elapsed().as_secs() == 20 {
                eprintln!("G {:#?}\nS {:#?}", guest.status(), stays.status());
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            guest.reading() >= 3 && stays.reading() >= 3 && guest.reading() + stays.reading() == 8
        });
        feed(round * 1_000);
        guest.stop_cleanly();
        stays.await_reading(8);
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(60)).unwrap();
    until("all clicks are there", || book.clicks(&topic.name) == 8 * 4_000);
    (0..8).for_each(|partition| expect_all(&book, &topic, partition, 4_000));
    // Everybody waited for the slices in flight, so no work was thrown away.
    assert_eq!(book.refused.load(Ordering::Relaxed), 0);
    stays.stop_cleanly();
}

#[test]
fn a_partition_is_given_up_when_its_slices_are_done() {
    let topic = Topic::new(&brokers(), "drained", 4);
    let book = Arc::new(Book::default());
    let mut config = config(&topic);
    config.lanes = 1;
    config.revoke_wait_ms = 60_000;
    let member = Member::start(config.clone(), &book);
    member.await_reading(4);
    member.shut();
    (0..4).for_each(|partition| topic.produce(partition, 0..50));
    until("every slice is in flight", || member.status().lanes[0].records == 200);
    let rebalances = member.rebalances();
    let guest = Member::start(config, &book);
    until("partitions are asked back", || member.rebalances() > rebalances);
    // Nothing may happen now, and the time in which it does not happen is all there is to see.
    let began = Instant::now();
    until("others had time to take over", || began.elapsed() > Duration::from_secs(3));
    assert_eq!(guest.reading(), 0);
    member.open();
    until("the guest has its share", || guest.reading() == 2);
    until("all clicks are there", || book.clicks(&topic.name) == 200);
    assert_eq!(book.refused.load(Ordering::Relaxed), 0);
    guest.stop_cleanly();
    member.stop_cleanly();
}

#[test]
fn a_lane_that_was_fenced_acquires_again() {
    let topic = Topic::new(&brokers(), "fenced", 3);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    member.await_reading(3);
    for round in 0..3 {
        // Somebody else takes a partition, as a process does that Kafka believes to be alive.
        book.change(&topic.name, 1, |row| row.epoch += 1);
        let restarts = member.restarts();
        (0..3).for_each(|partition| topic.produce(partition, round * 100..(round + 1) * 100));
        let wanted = 3 * 100 * (round as usize + 1);
        until("all clicks are there", || book.clicks(&topic.name) == wanted);
        assert!(member.restarts() > restarts);
    }
    assert!(book.refused.load(Ordering::Relaxed) >= 3);
    (0..3).for_each(|partition| expect_all(&book, &topic, partition, 300));
    member.stop_cleanly();
}

#[test]
fn a_ledger_that_is_elsewhere_is_followed() {
    let topic = Topic::new(&brokers(), "elsewhere", 1);
    let book = Arc::new(Book::default());
    let member = Member::start(config(&topic), &book);
    topic.produce(0, 0..100);
    until("all clicks are there", || book.clicks(&topic.name) == 100);
    // A standby took over that had lost the last commits.
    book.change(&topic.name, 0, |row| {
        row.next_offset = 60;
        row.devices.truncate(60);
    });
    topic.produce(0, 100..150);
    until("everything was read again", || book.clicks(&topic.name) == 150);
    expect_all(&book, &topic, 0, 150);
    member.stop_cleanly();
}

#[test]
fn a_ledger_that_does_not_answer_is_waited_for() {
    let topic = Topic::new(&brokers(), "silent", 3);
    let book = Arc::new(Book::default());
    topic.produce(0, 0..10);
    book.is_down.store(true, Ordering::Relaxed);
    let member = Member::start(config(&topic), &book);
    until("the failure is seen", || {
        member.status().topic_error.is_some_and(|error| error.contains("ledger"))
    });
    assert!(!member.status().is_ready());
    book.is_down.store(false, Ordering::Relaxed);
    until("all clicks are there", || book.clicks(&topic.name) == 10);
    book.is_down.store(true, Ordering::Relaxed);
    let guest = Member::start(config(&topic), &book);
    drop(guest.stop());
    // A lane that has to acquire waits, and the others read on.
    book.change(&topic.name, 0, |row| row.epoch += 1);
    topic.produce(0, 10..20);
    until("the failure is seen", || {
        let lanes = member.status().lanes;
        lanes.iter().any(|l| l.last_error.as_ref().is_some_and(|error| error.contains("ledger")))
    });
    book.is_down.store(false, Ordering::Relaxed);
    until("all clicks are there", || book.clicks(&topic.name) == 20);
    expect_all(&book, &topic, 0, 20);
    member.stop_cleanly();
}
