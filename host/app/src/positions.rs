//! Answers the lanes' question where to read, from the ledger, over a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tollgate_ledger::{self as ledger, Ledger, LedgerError};
use tollgate_stream::{self as stream, Halt, Positions, PositionsError};

/// The ledger's side of reading.
pub struct LedgerPositions {
    ledger: Mutex<Ledger>,
    runtime: Handle,
    owner: String,
}

impl LedgerPositions {
    /// `owner` is written beside each partition, for people. Calls block on `runtime`, so they must not come from
    /// its own threads.
    #[must_use]
    pub fn new(ledger: Ledger, runtime: Handle, owner: String) -> Self {
        Self { ledger: Mutex::new(ledger), runtime, owner }
    }

    /// Runs an operation; after an outage the connection is opened again before the next one.
    fn with_ledger<T>(
        &self,
        operation: impl AsyncFnOnce(&mut Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, PositionsError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(async {
            let outcome = operation(&mut ledger).await;
            if let Err(error) = &outcome
                && error.is_outage()
                && let Err(error) = ledger.reopen().await
            {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
            outcome.map_err(PositionsError::new)
        })
    }
}

impl Positions for LedgerPositions {
    fn first_sight(
        &self,
        topic: &str,
        topic_id: &str,
        offsets: &[(i32, i64)],
    ) -> Result<(), PositionsError> {
        let written =
            self.with_ledger(async |ledger| ledger.first_sight(topic, topic_id, offsets).await)?;
        if written {
            tracing::info!(topic, ?offsets, "first sight of the topic is written down");
        }
        Ok(())
    }

    fn acquire(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[(i32, i64)],
    ) -> Result<Vec<stream::Acquired>, PositionsError> {
        let acquired = self.with_ledger(async |ledger| {
            ledger.acquire(&self.owner, topic, topic_id, partitions).await
        })?;
        let low = |partition| {
            partitions.iter().find(|(known, _)| *known == partition).map_or(0, |(_, low)| *low)
        };
        let answers = acquired.into_iter().map(|acquired| {
            let low = low(acquired.partition);
            answer(acquired, topic, topic_id, low)
        });
        Ok(answers.collect())
    }

    fn halted(&self, topic: &str, partition: i32, reason: &str) -> Result<(), PositionsError> {
        // Written down, because a log that was truncated looks whole again once it has grown.
        self.with_ledger(async |ledger| ledger.halt(topic, partition, reason).await)
    }
}

fn answer(acquired: ledger::Acquired, topic: &str, topic_id: &str, low: i64) -> stream::Acquired {
    let partition = acquired.partition;
    let outcome = match acquired.result {
        ledger::Acquisition::Held { source, next_offset, .. } => {
            stream::Acquisition::Held { source: Arc::clone(&source), next_offset }
        }
        ledger::Acquisition::Halted { reason } => stream::Acquisition::Halted { reason },
        ledger::Acquisition::TopicRecreated { known_id } => {
            let halt = Halt::recreated(topic, partition, low, &known_id, topic_id);
            stream::Acquisition::Halted { reason: halt.reason() }
        }
    };
    stream::Acquired { partition, outcome }
}
