//! Leaving: offsets told to Kafka as a hint, and the end of a consumer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::Held;
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

    /// Leaves the group: in-flight slices done, offsets told, queues dropped, consumer closed.
    pub(crate) fn close(mut self) {
        self.unsent = None;
        let holdings = self.reading();
        self.drain(&holdings, Duration::from_millis(self.shared.config.revoke_wait_ms));
        self.hint(&holdings);
        self.consumer.context().close();
        // A rebalance that came before the context was closed is answered by leaving.
        let _ = self.consumer.context().take();
        self.held.retain(|_, held| !matches!(held, Held::Reading(_)));
        self.held.clear();
        self.show();
        holdings.iter().for_each(|holding| self.shared.release(holding));
        // The queues are gone, so this is the last reference; its drop closes and polls until it is closed.
        drop(self.consumer);
    }
}
