//! A lane: one thread with one consumer, from joining the group to leaving it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use crate::assignment::Held;
use crate::context::{Context, LaneConsumer};
use crate::properties;
use crate::shared::{LaneShared, Shared};
use crate::status::LaneState;
use crate::ticket::Delivery;
use crate::unwound::unwound;

/// Longest time between two looks at the main queue: heartbeats of the application, rebalances, errors.
const MAIN_QUEUE_PAUSE: Duration = Duration::from_millis(100);
/// Events of the main queue that are served in a row, so that a flood of them does not stop the reading.
const EVENTS_MAX: usize = 1_000;
/// A send gives up after this time, so that the main queue is looked at while the writer is slow.
const SEND_PAUSE: Duration = Duration::from_millis(50);
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    Stop,
    /// Something that a new consumer heals.
    Restart(String),
    /// The other side of the channel is gone.
    NoWriter,
}

/// Runs a lane until the stream stops.
pub(crate) fn run(shared: &Arc<Shared>, number: usize, out: Sender<Delivery>) {
    let lane = &shared.lanes[number];
    lane.thread.get_or_init(thread::current);
    // Also after a panic the status must not say that this lane reads.
    let _stopped = Stopped(lane);
    let mut back_off = BACK_OFF_MIN;
    while !shared.is_stopping() {
        lane.set_state(LaneState::WaitingForTopic);
        if !shared.wait_topic(Duration::from_secs(1)) {
            continue;
        }
        let began = Instant::now();
        match Session::open(shared, number, &out).map(Session::run) {
            Ok(End::Stop) => break,
            Ok(End::NoWriter) => {
                tracing::error!(lane = number, "the writer is gone, the lane ends");
                break;
            }
            Ok(End::Restart(reason)) => lane.fail(number, reason),
            Err(error) => lane.fail(number, format!("the consumer could not be made: {error}")),
        }
        lane.restarts.fetch_add(1, Ordering::Relaxed);
        lane.set_state(LaneState::Restarting);
        if began.elapsed() > BACK_OFF_MAX {
            back_off = BACK_OFF_MIN;
        }
        shared.rest(back_off);
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

struct Stopped<'a>(&'a LaneShared);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.set_state(LaneState::Stopped);
    }
}

/// A lane with a consumer.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) consumer: Arc<LaneConsumer>,
    /// Partitions that the group gave to this lane.
    pub(crate) held: BTreeMap<i32, Held>,
    /// A slice that the channel had no room for. Nothing is read while there is one.
    pub(crate) unsent: Option<Delivery>,
    /// Where a record could not be read, by partition; a second failure at the same place halts.
    pub(crate) damaged: BTreeMap<i32, i64>,
    pub(crate) retry_at: Option<Instant>,
    /// Records that the next poll takes at most.
    pub(crate) limit: usize,
    /// Partition at which the next poll begins.
    pub(crate) turn: i32,
    hint_at: Instant,
    out: Sender<Delivery>,
}

impl Session {
    fn open(
        shared: &Arc<Shared>,
        number: usize,
        out: &Sender<Delivery>,
    ) -> Result<Self, KafkaError> {
        let lane = &shared.lanes[number];
        lane.set_state(LaneState::Joining);
        let config = properties::member(&shared.config, number);
        let context = Context::new(shared, number);
        let mut consumer: LaneConsumer = config.create_with_context(context)?;
        let me = thread::current();
        consumer.set_nonempty_callback(move || me.unpark());
        consumer.subscribe(&[&shared.config.topic])?;
        Ok(Self {
            shared: Arc::clone(shared),
            number,
            consumer: Arc::new(consumer),
            held: BTreeMap::new(),
            unsent: None,
            damaged: BTreeMap::new(),
            retry_at: None,
            limit: shared.config.poll_records_max,
            turn: 0,
            hint_at: Instant::now(),
            out: out.clone(),
        })
    }

    fn run(mut self) -> End {
        let turned = unwound(|| {
            loop {
                if let Err(end) = self.turn() {
                    break end;
                }
            }
        });
        // After a panic the consumer may wait for anything, so a new one goes on.
        let end = turned.unwrap_or_else(|cause| {
            End::Restart(format!("the lane panicked ({cause}); starting over"))
        });
        if let End::Restart(_) = end {
            self.lane().set_state(LaneState::Restarting);
        }
        self.close();
        end
    }

    pub(crate) fn lane(&self) -> &LaneShared {
        &self.shared.lanes[self.number]
    }

    /// One round: what the group says, what is due, then records.
    fn turn(&mut self) -> Result<(), End> {
        if self.shared.is_stopping() {
            return Err(End::Stop);
        }
        if let Some(reason) = self.lane().take_restart() {
            return Err(End::Restart(reason));
        }
        let busy = self.poll_main()?;
        self.work_off()?;
        self.acquire_due()?;
        self.hint_due();
        if let Some(delivery) = self.unsent.take() {
            return self.offer(delivery);
        }
        if !self.has_room() {
            self.wait_for_room();
            return Ok(());
        }
        let read = self.read_round()?;
        if read == 0 && !busy {
            thread::park_timeout(MAIN_QUEUE_PAUSE);
        }
        Ok(())
    }

    /// Serves the main queue until it is empty; whether there was anything. A poll serves one event, and says
    /// nothing about it when it was a callback's, so the context counts.
    pub(crate) fn poll_main(&self) -> Result<bool, End> {
        let began = self.consumer.context().served();
        for _ in 0..EVENTS_MAX {
            let served = self.consumer.context().served();
            match self.consumer.poll(Duration::ZERO) {
                None if self.consumer.context().served() == served => break,
                None => {}
                Some(Ok(_)) => {
                    // Records have queues of their own; this one would be out of order.
                    let reason = "a record came through the main queue; starting over";
                    return Err(End::Restart(reason.to_owned()));
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let reason = format!("librdkafka cannot go on ({code}); starting over");
                    return Err(End::Restart(reason));
                }
                Some(Err(error)) => {
                    self.lane().fail(self.number, format!("Kafka reports: {error}"));
                }
            }
        }
        Ok(self.consumer.context().served() != began)
    }

    /// Sends without waiting; what finds no room is kept.
    pub(crate) fn send(&mut self, delivery: Delivery) -> Result<(), End> {
        match self.out.try_send(delivery) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(delivery)) => {
                self.unsent = Some(delivery);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(End::NoWriter),
        }
    }

    fn offer(&mut self, delivery: Delivery) -> Result<(), End> {
        match self.out.send_timeout(delivery, SEND_PAUSE) {
            Ok(()) => {
                self.lane().set_state(LaneState::Reading);
                Ok(())
            }
            Err(SendTimeoutError::Timeout(delivery)) => {
                self.lane().set_state(LaneState::Waiting);
                self.unsent = Some(delivery);
                Ok(())
            }
            Err(SendTimeoutError::Disconnected(_)) => Err(End::NoWriter),
        }
    }

    fn has_room(&self) -> bool {
        let out = self.shared.in_flight_bytes.load(Ordering::SeqCst);
        out < self.shared.config.in_flight_bytes_max
    }

    fn wait_for_room(&self) {
        self.lane().set_state(LaneState::Waiting);
        self.lane().is_waiting.store(true, Ordering::SeqCst);
        // Asked again after the flag is up: a ticket dropped in between would wake nobody.
        if !self.has_room() {
            thread::park_timeout(MAIN_QUEUE_PAUSE);
        }
        self.lane().is_waiting.store(false, Ordering::SeqCst);
        if self.has_room() {
            self.lane().set_state(LaneState::Reading);
        }
    }

    fn hint_due(&mut self) {
        if self.hint_at.elapsed() >= Duration::from_millis(self.shared.config.hint_ms) {
            self.hint_at = Instant::now();
            self.hint(&self.reading());
        }
    }
}
