//! One process of the group: lanes and the writer behind them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tollgate_domain::event::DecodeLimits;
use tollgate_stream::{Delivery, FirstSight, Lanes, Status, StopReport, StreamConfig};

use super::book::Book;
use super::topics::Topic;
use super::until;

pub(crate) struct Member {
    pub(crate) lanes: Arc<Lanes>,
    writer: Option<JoinHandle<()>>,
    gate: Arc<Gate>,
}

/// Holds the writer back.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    is_idle: AtomicBool,
}

/// Settings that make a test quick.
pub(crate) fn config(topic: &Topic) -> StreamConfig {
    let mut config = StreamConfig {
        brokers: topic.brokers.clone(),
        group: format!("group-{}", topic.name),
        topic: topic.name.clone(),
        session_timeout_ms: 6_000,
        first_sight: FirstSight::Earliest,
        recheck_ms: 300,
        hint_ms: 100,
        revoke_wait_ms: 3_000,
        decode: DecodeLimits { age_ms_max: i64::MAX / 4, ..DecodeLimits::default() },
        ..StreamConfig::default()
    };
    config.properties.insert("topic.metadata.refresh.interval.ms".into(), "1000".into());
    config.properties.insert("heartbeat.interval.ms".into(), "200".into());
    config
}

impl Member {
    pub(crate) fn start(config: StreamConfig, book: &Arc<Book>) -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        }
        let (out, slices) = crossbeam_channel::bounded::<Delivery>(8);
        let lanes = Arc::new(Lanes::start(config, Arc::clone(book) as _, out).unwrap());
        let gate = Arc::new(Gate::default());
        let (hints, book, guard) = (Arc::clone(&lanes), Arc::clone(book), Arc::clone(&gate));
        let writer = thread::spawn(move || {
            for Delivery { slice, ticket } in slices {
                guard.pass();
                if book.commit(&slice) {
                    hints.committed(&slice.source, slice.next_offset);
                } else {
                    hints.fenced(&slice.source);
                }
                drop(ticket);
            }
        });
        Self { lanes, writer: Some(writer), gate }
    }

    pub(crate) fn status(&self) -> Status {
        self.lanes.status()
    }

    /// Partitions that are read.
    pub(crate) fn reading(&self) -> usize {
        let status = self.status();
        status.partitions.iter().filter(|p| p.next_offset.is_some() && p.halt.is_none()).count()
    }

    /// Number of partitions of each lane.
    pub(crate) fn shares(&self) -> Vec<usize> {
        let status = self.status();
        let share = |lane| status.partitions.iter().filter(|p| p.lane == lane).count();
        status.lanes.iter().map(|lane| share(lane.lane)).collect()
    }

    pub(crate) fn rebalances(&self) -> u64 {
        self.status().lanes.iter().map(|lane| lane.rebalances).sum()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.status().lanes.iter().map(|lane| lane.restarts).sum()
    }

    pub(crate) fn await_reading(&self, partitions: usize) {
        until("partitions are read", || self.reading() == partitions);
    }

    /// Code of the halt of a partition.
    pub(crate) fn halt_code(&self, partition: i32) -> Option<&'static str> {
        let status = self.status();
        let found = status.partitions.iter().find(|p| p.partition == partition);
        found.and_then(|p| p.halt.as_ref()).map(|halt| halt.code)
    }

    /// Makes the writer wait.
    pub(crate) fn shut(&self) {
        *self.gate.is_shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.gate.is_shut.lock().unwrap() = false;
        self.gate.opened.notify_all();
    }

    /// Whether the writer has a slice in hand and waits.
    pub(crate) fn is_held_back(&self) -> bool {
        self.gate.is_idle.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(mut self) -> StopReport {
        let report = self.lanes.stop(Duration::from_secs(10));
        self.open();
        if report.unfinished.is_empty() {
            self.writer.take().unwrap().join().unwrap();
        }
        report
    }

    pub(crate) fn stop_cleanly(self) {
        assert_eq!(self.stop().unfinished, Vec::<String>::new());
    }
}

impl Gate {
    fn pass(&self) {
        let mut is_shut = self.is_shut.lock().unwrap();
        while *is_shut {
            self.is_idle.store(true, Ordering::Relaxed);
            is_shut = self.opened.wait(is_shut).unwrap();
        }
        self.is_idle.store(false, Ordering::Relaxed);
    }
}
