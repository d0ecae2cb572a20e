//! librdkafka's callbacks, turned into one closed list of happenings that a lane works off in its own time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use crate::log;
use crate::shared::{Shared, lock};

/// The consumer of a lane.
pub(crate) type LaneConsumer = BaseConsumer<Context>;

/// What the group decided.
#[derive(Debug)]
pub(crate) enum Happening {
    Assigned(Vec<i32>),
    /// `lost`: others may have the partitions already, so there is nothing to wait for.
    Revoked {
        partitions: Vec<i32>,
        lost: bool,
    },
}

/// Receives callbacks for one consumer of one lane.
pub(crate) struct Context {
    shared: Arc<Shared>,
    lane: usize,
    happenings: Mutex<Vec<Happening>>,
    served: AtomicU64,
    /// The consumer is being closed: nobody works off happenings any more, so they are answered on the spot.
    is_closing: AtomicBool,
}

impl Context {
    pub(crate) fn new(shared: &Arc<Shared>, lane: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            lane,
            happenings: Mutex::default(),
            served: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn take(&self) -> Vec<Happening> {
        std::mem::take(&mut *lock(&self.happenings))
    }

    /// Number of callbacks so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers what the group may have asked for, and from now on everything on the spot: nobody works off happenings
    /// any more. What was asked is not always known, and an answer that nobody waits for changes nothing.
    pub(crate) fn leave(&self, consumer: &BaseConsumer<Self>) {
        self.is_closing.store(true, Ordering::Release);
        lock(&self.happenings).clear();
        self.let_go(consumer, true);
        self.let_go(consumer, false);
    }

    /// Gives up everything, so that a consumer that closes can come to its end.
    fn let_go(&self, consumer: &BaseConsumer<Self>, assigns: bool) {
        let result = if assigns {
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            consumer.assignment().and_then(|all| consumer.incremental_unassign(&all))
        };
        if let Err(error) = result {
            tracing::debug!(lane = self.lane, %error, "a consumer that closes could not let go");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.serve();
        // Put into the main queue before librdkafka reads on from the new log at the old offset, and there is no
        // other sign. Without this the records until the watch's next look would be taken for the old topic's.
        if log::is_recreation(line) {
            self.shared.lanes[self.lane].demand_restart("the topic was re-created; starting over");
        }
        log::librdkafka(level, facility, line);
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {
        self.serve();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.serve();
        self.shared.lanes[self.lane].fail(self.lane, format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.serve();
        let assigns = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.shared.lanes[self.lane].rebalances.fetch_add(1, Ordering::Relaxed);
        if self.is_closing.load(Ordering::Acquire) {
            return self.let_go(consumer, assigns);
        }
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        let happening = if assigns {
            Happening::Assigned(partitions)
        } else {
            Happening::Revoked { partitions, lost: consumer.assignment_lost() }
        };
        lock(&self.happenings).push(happening);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.serve();
        if let Err(error) = result {
            let lane = &self.shared.lanes[self.lane];
            lane.commit_failures.fetch_add(1, Ordering::Relaxed);
            if lane.brake.lets() {
                tracing::info!(lane = self.lane, %error, "Kafka did not take the offsets, a hint only");
            }
        }
    }
}
