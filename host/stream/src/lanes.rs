//! The handle of a running stream.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tollgate_domain::slice::Source;

use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::lane;
use crate::positions::Positions;
use crate::shared::{Shared, lock};
use crate::status::Status;
use crate::ticket::Delivery;
use crate::watch;

/// The lanes of one topic. Dropping it stops them without waiting.
pub struct Lanes {
    shared: Arc<Shared>,
}

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Names of threads that had not ended at the deadline. They hold nothing that the ledger needs; the process
    /// may exit.
    pub unfinished: Vec<String>,
}

impl Lanes {
    /// Starts the lanes. They send what they read to `out`; each partition's slices come in order and without
    /// gaps from the position that `positions` gave. The receiver sees the end when all lanes have ended.
    ///
    /// # Errors
    /// A setting cannot work, or threads cannot be started. Brokers that do not answer are not an error.
    pub fn start(
        config: StreamConfig,
        positions: Arc<dyn Positions>,
        out: Sender<Delivery>,
    ) -> Result<Self, StreamError> {
        config.check()?;
        let client = watch::onlooker(&config.brokers, &config.client_id, &config.properties)?;
        let shared = Arc::new(Shared::new(config, positions));
        let lanes = Self { shared };
        let watcher = Arc::clone(&lanes.shared);
        lanes.spawn("watch".to_owned(), move || watch::run(&watcher, &client))?;
        for number in 0..lanes.shared.lanes.len() {
            let (shared, out) = (Arc::clone(&lanes.shared), out.clone());
            lanes.spawn(format!("lane-{number}"), move || lane::run(&shared, number, out))?;
        }
        Ok(lanes)
    }

    /// Says that the ledger has everything of this partition below `next_offset`. Cheap; called by the writer
    /// after each commit.
    pub fn committed(&self, source: &Source, next_offset: i64) {
        if let Some(holding) = self.shared.holding(source) {
            holding.committed.fetch_max(next_offset, Ordering::AcqRel);
        }
    }

    /// Says that the ledger refused a slice because somebody else holds the partition, or because its position
    /// is another one. The lane starts over with a new consumer and acquires its partitions again. Slices of
    /// older acquisitions are ignored, so it may be called for every refused slice.
    pub fn fenced(&self, source: &Source) {
        if let Some(holding) = self.shared.holding(source) {
            let reason = format!(
                "the ledger refused partition {} of epoch {}; starting over",
                source.partition, source.epoch
            );
            self.shared.lanes[holding.lane].demand_restart(&reason);
        }
    }

    /// A snapshot for readiness and metrics.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Stops: no more reading, slices in flight are waited for, offsets are told to Kafka, the group is left.
    /// The receiver of the slices has to go on receiving meanwhile. Returns at the deadline at the latest.
    #[must_use]
    pub fn stop(&self, deadline: Duration) -> StopReport {
        let until = Instant::now() + deadline;
        // Leaving the group takes its time after the slices are done.
        self.shared.stop(Instant::now() + deadline * 4 / 5);
        let running = lock(&self.shared.running);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shared.ended.wait_timeout_while(running, left, |names| !names.is_empty());
        let unfinished = waited.unwrap_or_else(PoisonError::into_inner).0.clone();
        if !unfinished.is_empty() {
            tracing::warn!(?unfinished, "the stream did not end in time");
        }
        StopReport { unfinished }
    }

    fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), StreamError> {
        let shared = Arc::clone(&self.shared);
        lock(&shared.running).push(name.clone());
        let entry = Running { shared, name: name.clone() };
        let spawned = thread::Builder::new().name(name).spawn(move || {
            // Also removed when the body panics, so that a stop does not wait for it.
            let _entry = entry;
            body();
        });
        spawned.map(|_| ()).map_err(|error| StreamError::Thread { cause: error.to_string() })
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shared.stop(Instant::now());
    }
}

/// A thread's entry in the list of those that run.
struct Running {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.shared.running).retain(|name| *name != self.name);
        self.shared.ended.notify_all();
    }
}
