//! What the threads of a stream have in common.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tollgate_domain::slice::Source;

use crate::config::StreamConfig;
use crate::halt::Halt;
use crate::log::Brake;
use crate::positions::Positions;
use crate::status::{LaneState, TopicState};

/// Locks, also when a thread has panicked with the lock in hand: what is kept under these locks is valid at any
/// moment, and the status must stay readable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of one stream.
pub(crate) struct Shared {
    pub(crate) config: StreamConfig,
    pub(crate) positions: Arc<dyn Positions>,
    pub(crate) lanes: Vec<LaneShared>,
    pub(crate) topic: Mutex<TopicView>,
    /// Wakes lanes that wait for the topic, and the watch when it is to stop.
    pub(crate) topic_changed: Condvar,
    pub(crate) in_flight_bytes: AtomicUsize,
    /// The latest holding of each partition in this process.
    holdings: Mutex<HashMap<i32, Arc<Holding>>>,
    stop_by: Mutex<Option<Instant>>,
    stopping: AtomicBool,
    /// Threads that run, by name.
    pub(crate) running: Mutex<Vec<String>>,
    pub(crate) ended: Condvar,
}

/// What is known about the topic.
#[derive(Debug)]
pub(crate) struct TopicView {
    pub(crate) state: TopicState,
    pub(crate) last_error: Option<String>,
    /// First sight is written down: lanes may join.
    pub(crate) ready: bool,
    /// End of each partition's log, as of the last look.
    pub(crate) ends: BTreeMap<i32, i64>,
}

/// The part of a lane that others see.
#[derive(Default)]
pub(crate) struct LaneShared {
    pub(crate) thread: OnceLock<Thread>,
    /// The lane waits for slices to be done, so whoever finishes one has to wake it.
    pub(crate) is_waiting: AtomicBool,
    /// Why the lane has to start over. There is no flag beside it, so that the two cannot differ.
    restart: Mutex<Option<String>>,
    pub(crate) records: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) absent: AtomicU64,
    pub(crate) rebalances: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) commit_failures: AtomicU64,
    pub(crate) view: Mutex<LaneView>,
    pub(crate) brake: Brake,
}

/// The part of a lane's status that changes rarely.
#[derive(Debug, Default)]
pub(crate) struct LaneView {
    pub(crate) state: LaneState,
    pub(crate) last_error: Option<String>,
    /// Partitions that the group gave to the lane; the value says why one is not read.
    pub(crate) partitions: BTreeMap<i32, Option<Halt>>,
}

/// A partition in the hands of a lane, from acquisition to release.
pub(crate) struct Holding {
    pub(crate) lane: usize,
    pub(crate) source: Arc<Source>,
    /// The topic's id under which it was acquired.
    pub(crate) topic_id: String,
    /// Slices sent and not done.
    pub(crate) in_flight: AtomicUsize,
    /// Next offset by the ledger, as far as the writer has told.
    pub(crate) committed: AtomicI64,
    /// What was told to Kafka last; -1 when nothing was.
    pub(crate) hinted: AtomicI64,
}

impl Shared {
    pub(crate) fn new(config: StreamConfig, positions: Arc<dyn Positions>) -> Self {
        let lanes = (0..config.lanes).map(|_| LaneShared::default()).collect();
        Self {
            config,
            positions,
            lanes,
            topic: Mutex::new(TopicView {
                state: TopicState::Unknown,
                last_error: None,
                ready: false,
                ends: BTreeMap::new(),
            }),
            topic_changed: Condvar::new(),
            in_flight_bytes: AtomicUsize::new(0),
            holdings: Mutex::default(),
            stop_by: Mutex::new(None),
            stopping: AtomicBool::new(false),
            running: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self, by: Instant) {
        lock(&self.stop_by).get_or_insert(by);
        self.stopping.store(true, Ordering::Release);
        drop(lock(&self.topic));
        self.topic_changed.notify_all();
        self.lanes.iter().for_each(LaneShared::wake);
    }

    /// Time left for a drain that wants `wanted`; less when the stream is stopping.
    pub(crate) fn patience(&self, wanted: Duration) -> Duration {
        match *lock(&self.stop_by) {
            Some(by) => by.saturating_duration_since(Instant::now()).min(wanted),
            None => wanted,
        }
    }

    pub(crate) fn hold(&self, holding: &Arc<Holding>) {
        lock(&self.holdings).insert(holding.source.partition, Arc::clone(holding));
    }

    pub(crate) fn release(&self, holding: &Arc<Holding>) {
        let mut holdings = lock(&self.holdings);
        let partition = holding.source.partition;
        if holdings.get(&partition).is_some_and(|held| Arc::ptr_eq(held, holding)) {
            holdings.remove(&partition);
        }
    }

    /// The holding of exactly this acquisition, when it is still the current one.
    pub(crate) fn holding(&self, source: &Source) -> Option<Arc<Holding>> {
        lock(&self.holdings)
            .get(&source.partition)
            .filter(|held| *held.source == *source)
            .map(Arc::clone)
    }

    pub(crate) fn held(&self) -> Vec<Arc<Holding>> {
        lock(&self.holdings).values().map(Arc::clone).collect()
    }

    /// Waits until the topic is ready, the stream stops, or the time is over.
    pub(crate) fn wait_topic(&self, timeout: Duration) -> bool {
        let waits = |view: &mut TopicView| !view.ready && !self.is_stopping();
        let view = lock(&self.topic);
        let waited = self.topic_changed.wait_timeout_while(view, timeout, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.ready
    }

    /// Sleeps; a stop ends it.
    pub(crate) fn rest(&self, timeout: Duration) {
        let view = lock(&self.topic);
        let waits = |_: &mut TopicView| !self.is_stopping();
        drop(self.topic_changed.wait_timeout_while(view, timeout, waits));
    }
}

impl LaneShared {
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Asks the lane to start over with a new consumer.
    pub(crate) fn demand_restart(&self, reason: &str) {
        lock(&self.restart).get_or_insert_with(|| reason.to_owned());
        self.wake();
    }

    /// Whether the lane was asked to start over and has not done so.
    pub(crate) fn must_restart(&self) -> bool {
        lock(&self.restart).is_some()
    }

    /// The reason to start over, once.
    pub(crate) fn take_restart(&self) -> Option<String> {
        lock(&self.restart).take()
    }

    pub(crate) fn set_state(&self, state: LaneState) {
        lock(&self.view).state = state;
    }

    /// Remembers a failure and writes it to the log, at most once in a while.
    pub(crate) fn fail(&self, lane: usize, sentence: String) {
        if self.brake.lets() {
            tracing::warn!(lane, "{sentence}");
        }
        lock(&self.view).last_error = Some(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_starts_over_once_and_knows_why() {
        let lane = LaneShared::default();
        assert!(!lane.must_restart());
        assert_eq!(lane.take_restart(), None);
        lane.demand_restart("first");
        lane.demand_restart("second");
        assert!(lane.must_restart());
        assert_eq!(lane.take_restart().as_deref(), Some("first"));
        assert!(!lane.must_restart());
        assert_eq!(lane.take_restart(), None);
    }

    /// Reading is given up as soon as there is a demand, so a demand must never go without its restart.
    #[test]
    fn a_demand_that_was_seen_is_taken_whoever_else_demands() {
        let lane = LaneShared::default();
        std::thread::scope(|scope| {
            let demands = scope.spawn(|| (0..20_000).for_each(|_| lane.demand_restart("again")));
            while !demands.is_finished() || lane.must_restart() {
                if lane.must_restart() {
                    assert_eq!(lane.take_restart().as_deref(), Some("again"));
                }
            }
        });
    }
}
