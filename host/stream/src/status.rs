//! What a stream says about itself, for readiness, metrics and people.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::halt::Halt;
use crate::shared::{LaneShared, Shared, lock};

/// A snapshot of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub topic_name: String,
    pub topic: TopicState,
    /// The last failure of looking at the topic; `None` since the last success.
    pub topic_error: Option<String>,
    pub lanes: Vec<LaneStatus>,
    /// Partitions in the hands of this process, in ascending order.
    pub partitions: Vec<PartitionStatus>,
    /// Bytes of slices that are sent and not done.
    pub in_flight_bytes: usize,
}

impl Status {
    /// Whether every lane is a member of the group and the topic is there. Halted partitions do not matter here:
    /// all others are read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.topic == TopicState::Present && self.lanes.iter().all(|lane| lane.state.is_member())
    }
}

/// Whether the topic exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// No broker has answered yet.
    Unknown,
    /// The brokers do not know it; the stream waits for it.
    Missing,
    Present,
}

impl TopicState {
    /// The stable name of the state.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "TOPIC_UNKNOWN",
            Self::Missing => "TOPIC_MISSING",
            Self::Present => "TOPIC_PRESENT",
        }
    }
}

/// What a lane does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaneState {
    /// Waits until the topic exists and its first sight is written down.
    #[default]
    WaitingForTopic,
    /// Has asked to be a member of the group.
    Joining,
    /// Is a member; it may have no partitions.
    Reading,
    /// Has too much in flight, or the channel is full.
    Waiting,
    /// Leaves, to join again with a new consumer.
    Restarting,
    Stopped,
}

impl LaneState {
    fn is_member(self) -> bool {
        matches!(self, Self::Reading | Self::Waiting)
    }

    /// The stable name of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForTopic => "waiting-for-topic",
            Self::Joining => "joining",
            Self::Reading => "reading",
            Self::Waiting => "waiting",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
        }
    }
}

/// Snapshot of a lane. Counters count since the start of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    pub lane: usize,
    pub state: LaneState,
    /// Records read.
    pub records: u64,
    /// Polls that brought at least one record.
    pub polls: u64,
    /// Offsets without a record between records that were read.
    pub absent: u64,
    pub rebalances: u64,
    pub restarts: u64,
    /// Offset commits to Kafka that failed; harmless, because they are hints.
    pub commit_failures: u64,
    pub last_error: Option<String>,
}

/// Snapshot of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    pub partition: i32,
    pub lane: usize,
    /// Next offset by the ledger; `None` while the partition is not acquired.
    pub next_offset: Option<i64>,
    /// Offsets that the ledger does not have yet, as of the last look at the log's end.
    pub lag: Option<i64>,
    /// Why it is not read.
    pub halt: Option<Halt>,
}

impl Shared {
    pub(crate) fn status(&self) -> Status {
        let (topic, topic_error, ends) = {
            let view = lock(&self.topic);
            (view.state, view.last_error.clone(), view.ends.clone())
        };
        let held = self.held();
        let mut partitions = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            for (&partition, halt) in &lock(&lane.view).partitions {
                let holding = held
                    .iter()
                    .find(|held| held.lane == number && held.source.partition == partition);
                let next_offset = holding.map(|held| load(&held.committed));
                let lag = next_offset
                    .zip(ends.get(&partition))
                    .map(|(next_offset, end)| (end - next_offset).max(0));
                let halt = halt.clone();
                partitions.push(PartitionStatus {
                    partition,
                    lane: number,
                    next_offset,
                    lag,
                    halt,
                });
            }
        }
        partitions.sort_by_key(|status| status.partition);
        let lanes = self.lanes.iter().enumerate().map(|(number, lane)| lane.status(number));
        Status {
            topic_name: self.config.topic.clone(),
            topic,
            topic_error,
            lanes: lanes.collect(),
            partitions,
            in_flight_bytes: self.in_flight_bytes.load(Ordering::Acquire),
        }
    }
}

impl LaneShared {
    fn status(&self, lane: usize) -> LaneStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let view = lock(&self.view);
        LaneStatus {
            lane,
            state: view.state,
            records: count(&self.records),
            polls: count(&self.polls),
            absent: count(&self.absent),
            rebalances: count(&self.rebalances),
            restarts: count(&self.restarts),
            commit_failures: count(&self.commit_failures),
            last_error: view.last_error.clone(),
        }
    }
}

fn load(value: &AtomicI64) -> i64 {
    value.load(Ordering::Acquire)
}
