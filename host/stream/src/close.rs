//! Leaving: offsets told to Kafka as a hint, and the end of a consumer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::lane::Session;
use crate::shared::Holding;

impl Session {
    /// Tells Kafka how far the ledger is, without waiting for an answer. Nobody reads it back but lag tools.
    pub(crate) fn hint(&self, holdings: &[Arc<Holding>]) {
        let mut list = TopicPartitionList::new();
        for holding in holdings {
            let committed = holding.committed.load(Ordering::Acquire);
            if holding.hinted.swap(committed, Ordering::AcqRel) == committed {
                continue;
            }
            let partition = holding.source.partition;
            let offset = Offset::Offset(committed);
            if list.add_partition_offset(&self.shared.config.topic, partition, offset).is_err() {
                holding.hinted.store(-1, Ordering::Release);
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            self.lane().commit_failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(lane = self.number, %error, "offsets could not be told to Kafka");
        }
    }

    /// Leaves the group: in-flight slices done, offsets told, and what every end of a session comes to.
    pub(crate) fn close(mut self) {
        self.unsent = None;
        let holdings = self.reading();
        self.drain(&holdings, Duration::from_millis(self.shared.config.revoke_wait_ms));
        self.hint(&holdings);
    }
}

impl Drop for Session {
    /// Queues dropped, the group answered, consumer closed; also on the way out of a panic, because a consumer waits for
    /// ever for an answer that it was not given.
    fn drop(&mut self) {
        let holdings = self.reading();
        self.unsent = None;
        self.held.clear();
        self.show();
        holdings.iter().for_each(|holding| self.shared.release(holding));
        self.consumer.context().leave(&self.consumer);
        // The queues are gone, so this is the last reference to the consumer, which closes and polls until it is closed.
    }
}
