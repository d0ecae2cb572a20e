//! Partitions of a lane: taken when the group gives them, started where the ledger says, given up in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Happening;
use crate::error::StreamError;
use crate::halt::Halt;
use crate::lane::{End, Session};
use crate::positions::{Acquired, Acquisition};
use crate::reading::Reading;
use crate::shared::{Holding, lock};
use crate::status::LaneState;
use crate::topic_id::configured_topic_id;
use crate::watch::{ends, led};

/// How long a lane waits for an answer of the brokers.
pub(crate) const ANSWER_PAUSE: Duration = Duration::from_secs(10);
/// How soon partitions are tried again when the ledger or the brokers did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A partition that the group gave to the lane.
pub(crate) enum Held {
    /// To be acquired.
    Wanted,
    Halted {
        halt: Halt,
        /// The ledger has it written down, so its answer decides when to go on.
        is_told: bool,
    },
    Reading(Reading),
}

impl Session {
    /// Works off what the group decided since the last look.
    pub(crate) fn work_off(&mut self) -> Result<(), End> {
        for happening in self.consumer.context().take() {
            match happening {
                Happening::Assigned(partitions) => self.assigned(&partitions)?,
                Happening::Revoked { partitions, lost } => self.revoked(&partitions, lost)?,
            }
        }
        Ok(())
    }

    /// Tries partitions again that could not be read so far.
    pub(crate) fn acquire_due(&mut self) -> Result<(), End> {
        if self.retry_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let starts = self.acquire();
        if starts.is_empty() { Ok(()) } else { self.start(starts) }
    }

    /// Partitions that are being read.
    pub(crate) fn reading(&self) -> Vec<Arc<Holding>> {
        let reading = self.held.values().filter_map(|held| match held {
            Held::Reading(reading) => Some(Arc::clone(&reading.holding)),
            _ => None,
        });
        reading.collect()
    }

    /// Stops reading a partition and tries to acquire it at once, or halts it for the given reason.
    pub(crate) fn take_back(&mut self, partition: i32, halt: Option<Halt>) -> Result<(), End> {
        self.let_go(&[partition], true)?;
        let held = match halt {
            Some(halt) => {
                tracing::error!(
                    lane = self.number,
                    partition,
                    "partition halted. {}",
                    halt.reason()
                );
                let is_told = self.tell_halted(partition, &halt);
                Held::Halted { halt, is_told }
            }
            None => Held::Wanted,
        };
        let wants_now = matches!(held, Held::Wanted);
        self.held.insert(partition, held);
        self.plan(wants_now);
        self.show();
        Ok(())
    }

    fn assigned(&mut self, partitions: &[i32]) -> Result<(), End> {
        tracing::info!(lane = self.number, ?partitions, "partitions assigned");
        for partition in partitions {
            self.held.entry(*partition).or_insert(Held::Wanted);
        }
        // Whatever cannot be acquired now is added later; the group must not wait for it.
        let starts = self.acquire();
        self.start(starts)?;
        self.lane().set_state(LaneState::Reading);
        Ok(())
    }

    fn revoked(&mut self, partitions: &[i32], lost: bool) -> Result<(), End> {
        tracing::info!(lane = self.number, ?partitions, lost, "partitions revoked");
        self.let_go(partitions, !lost)?;
        self.show();
        Ok(())
    }

    /// Gives partitions up: no more reading, in-flight slices done, offsets told, then unassigned.
    fn let_go(&mut self, partitions: &[i32], waits: bool) -> Result<(), End> {
        let mut list = TopicPartitionList::new();
        let mut leaving = Vec::new();
        for &partition in partitions {
            if self.unsent.as_ref().is_some_and(|out| out.slice.source.partition == partition) {
                self.unsent = None;
            }
            // Dropping the queue before it is unassigned keeps at most one queue object per partition.
            if let Some(Held::Reading(reading)) = self.held.remove(&partition) {
                list.add_partition(&self.shared.config.topic, partition);
                leaving.push(reading.holding);
            }
        }
        if waits {
            self.drain(&leaving, Duration::from_millis(self.shared.config.revoke_wait_ms));
            self.hint(&leaving);
        }
        leaving.iter().for_each(|holding| self.shared.release(holding));
        self.consumer.incremental_unassign(&list).map_err(|error| {
            End::Restart(format!("partitions could not be given up ({error}); starting over"))
        })
    }

    /// Waits until the slices of these partitions are done, for a bounded time.
    pub(crate) fn drain(&self, leaving: &[Arc<Holding>], wanted: Duration) {
        let until = Instant::now() + self.shared.patience(wanted);
        let pending = || leaving.iter().any(|held| held.in_flight.load(Ordering::SeqCst) > 0);
        self.lane().is_waiting.store(true, Ordering::SeqCst);
        while pending() && Instant::now() < until {
            thread::park_timeout(Duration::from_millis(20));
        }
        self.lane().is_waiting.store(false, Ordering::SeqCst);
        if pending() {
            let sentence = "the writer did not finish in time; the ledger's fence protects";
            tracing::warn!(lane = self.number, "{sentence}");
        }
    }

    /// Acquires whatever is not read yet and gives back what can be started, with its offset.
    fn acquire(&mut self) -> Vec<(Holding, i64)> {
        self.retry_at = None;
        self.tell_again();
        let open = |held: &Held| matches!(held, Held::Wanted | Held::Halted { is_told: true, .. });
        let wanted: Vec<i32> = self
            .held
            .iter()
            .filter(|(_, held)| open(held))
            .map(|(&partition, _)| partition)
            .collect();
        if wanted.is_empty() {
            self.plan(false);
            return Vec::new();
        }
        let starts = self.try_acquire(&wanted).unwrap_or_else(|sentence| {
            self.lane().fail(self.number, sentence);
            Vec::new()
        });
        // Planned as if nothing came of it; `start` plans again.
        self.plan(false);
        self.show();
        starts
    }

    fn try_acquire(&mut self, wanted: &[i32]) -> Result<Vec<(Holding, i64)>, String> {
        let topic = &self.shared.config.topic;
        let sentence = |error: StreamError| error.to_string();
        let client = self.consumer.client();
        let id =
            configured_topic_id(client, &self.shared.config, ANSWER_PAUSE).map_err(sentence)?;
        // A partition without a leader has no ends; the others must not wait for it.
        let led = led(&self.consumer, topic).map_err(sentence)?;
        let wanted: Vec<i32> = wanted.iter().copied().filter(|one| led.contains(one)).collect();
        let lows = ends(&self.consumer, topic, &wanted, Offset::Beginning).map_err(sentence)?;
        let asked: Vec<(i32, i64)> =
            lows.iter().map(|(&partition, &low)| (partition, low)).collect();
        let acquired =
            self.shared.positions.acquire(topic, &id, &asked).map_err(|error| error.to_string())?;
        // Asked after the ledger, so that an end that grew in between cannot look like one that shrank.
        let highs = ends(&self.consumer, topic, &wanted, Offset::End).map_err(sentence)?;
        let mut starts = Vec::new();
        for Acquired { partition, outcome } in acquired {
            let (Some(&low), Some(&high)) = (lows.get(&partition), highs.get(&partition)) else {
                continue;
            };
            match outcome {
                Acquisition::Held { source, next_offset } => {
                    match Halt::judge(&self.shared.config.topic, partition, next_offset, low, high)
                    {
                        None => starts.push((self.holding(source, next_offset, &id), next_offset)),
                        Some(halt) => self.halt(partition, halt, true),
                    }
                }
                Acquisition::Halted { reason } => {
                    let halt = Halt::by_ledger(&self.shared.config.topic, partition, low, &reason);
                    self.halt(partition, halt, false);
                }
            }
        }
        Ok(starts)
    }

    fn holding(
        &self,
        source: Arc<tollgate_domain::slice::Source>,
        next_offset: i64,
        topic_id: &str,
    ) -> Holding {
        Holding {
            lane: self.number,
            source,
            topic_id: topic_id.to_owned(),
            in_flight: AtomicUsize::new(0),
            committed: AtomicI64::new(next_offset),
            hinted: AtomicI64::new(-1),
        }
    }

    /// Splits queues, then assigns all of them at once with their final offsets. Also called with nothing to
    /// start, because the group waits for an answer.
    fn start(&mut self, starts: Vec<(Holding, i64)>) -> Result<(), End> {
        let topic = self.shared.config.topic.clone();
        let mut list = TopicPartitionList::new();
        for (holding, next_offset) in starts {
            let partition = holding.source.partition;
            let queue = self.consumer.split_partition_queue(&topic, partition);
            let Some(mut queue) = queue else {
                return Err(End::Restart(format!("partition {partition} has no queue")));
            };
            let me = thread::current();
            queue.set_nonempty_callback(move || me.unpark());
            list.add_partition_offset(&topic, partition, Offset::Offset(next_offset))
                .map_err(|error| End::Restart(format!("offset {next_offset}: {error}")))?;
            let holding = Arc::new(holding);
            self.shared.hold(&holding);
            tracing::info!(lane = self.number, partition, next_offset, "partition started");
            self.held.insert(partition, Held::Reading(Reading { queue, holding, next_offset }));
        }
        self.consumer.incremental_assign(&list).map_err(|error| {
            End::Restart(format!("partitions could not be assigned ({error}); starting over"))
        })?;
        self.plan(false);
        self.show();
        Ok(())
    }

    fn halt(&mut self, partition: i32, halt: Halt, tells: bool) {
        let known = matches!(self.held.get(&partition),
            Some(Held::Halted { halt: old, .. }) if *old == halt);
        if !known {
            tracing::error!(lane = self.number, partition, "partition halted. {}", halt.reason());
        }
        let is_told = !tells || self.tell_halted(partition, &halt);
        self.held.insert(partition, Held::Halted { halt, is_told });
    }

    /// Has the ledger write a halt down; whether it did.
    fn tell_halted(&self, partition: i32, halt: &Halt) -> bool {
        let topic = &self.shared.config.topic;
        let told = self.shared.positions.halted(topic, partition, &halt.reason());
        if let Err(error) = &told {
            self.lane().fail(self.number, error.to_string());
        }
        told.is_ok()
    }

    fn tell_again(&mut self) {
        let untold: Vec<(i32, Halt)> = self
            .held
            .iter()
            .filter_map(|(&partition, held)| match held {
                Held::Halted { halt, is_told: false } => Some((partition, halt.clone())),
                _ => None,
            })
            .collect();
        for (partition, halt) in untold {
            let is_told = self.tell_halted(partition, &halt);
            self.held.insert(partition, Held::Halted { halt, is_told });
        }
    }

    /// Sets the time of the next try: soon for partitions without an answer, later for halted ones.
    fn plan(&mut self, now: bool) {
        let pause = if now {
            Some(Duration::ZERO)
        } else if self.held.values().any(|held| matches!(held, Held::Wanted)) {
            Some(RETRY_PAUSE)
        } else if self.held.values().any(|held| matches!(held, Held::Halted { .. })) {
            Some(Duration::from_millis(self.shared.config.recheck_ms))
        } else {
            None
        };
        self.retry_at = pause.map(|pause| Instant::now() + pause);
    }

    /// Makes the partitions visible in the status.
    pub(crate) fn show(&self) {
        let partitions = self.held.iter().map(|(&partition, held)| match held {
            Held::Halted { halt, .. } => (partition, Some(halt.clone())),
            _ => (partition, None),
        });
        lock(&self.lane().view).partitions = partitions.collect();
    }
}
