//! Reading: records of a lane's partitions, decoded into slices.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::slice::{Record, Slice, SliceBuilder};

use crate::assignment::Held;
use crate::config::StreamConfig;
use crate::context::Context;
use crate::halt::Halt;
use crate::headers::headers;
use crate::lane::{End, Session};
use crate::shared::Holding;
use crate::ticket::{Delivery, Ticket};
use crate::unwound::unwound;

/// A partition that is being read.
pub(crate) struct Reading {
    pub(crate) queue: PartitionQueue<Context>,
    pub(crate) holding: Arc<Holding>,
    /// Offset that the next slice begins with.
    pub(crate) next_offset: i64,
}

/// What one visit to a partition brought.
struct Visit {
    slice: Slice,
    records: usize,
    bytes: usize,
    /// The slice is full, although the partition may have more.
    is_cut: bool,
    error: Option<KafkaError>,
}

/// A visit that panicked; nothing that it read was sent.
struct Panicked {
    /// Offset of the record at which it happened.
    at: i64,
    cause: String,
}

impl Session {
    /// One poll: visits the partitions in turn until the limit is reached. Returns the number of records.
    pub(crate) fn read_round(&mut self) -> Result<usize, End> {
        let (mut left, mut is_cut) = (self.limit, false);
        for partition in self.order() {
            if left == 0 || self.unsent.is_some() {
                break;
            }
            let Some(Held::Reading(reading)) = self.held.get(&partition) else { continue };
            // Up to a record that could not be read it goes one by one, so that all before it are sent.
            let is_near = self.damaged.get(&partition).is_some_and(|at| reading.next_offset <= *at);
            let records_max = if is_near { 1 } else { left };
            let visit = match reading.visit(records_max, &self.shared.config) {
                Ok(visit) => visit,
                Err(Panicked { at, cause }) => {
                    let cause = format!("reading it panicked ({cause})");
                    let sentence = format!("partition {partition}, offset {at}: {cause}");
                    self.lane().fail(self.number, sentence);
                    self.turn = partition + 1;
                    self.damaged(partition, at, &cause)?;
                    continue;
                }
            };
            left -= visit.records;
            is_cut |= visit.is_cut;
            self.turn = partition + 1;
            self.take(partition, visit)?;
        }
        let read = self.limit - left;
        if read > 0 {
            self.lane().polls.fetch_add(1, Ordering::Relaxed);
        }
        self.adapt(left == 0 || is_cut || self.unsent.is_some());
        Ok(read)
    }

    /// Partitions, beginning after the one that was visited last.
    fn order(&self) -> Vec<i32> {
        let after = self.held.range(self.turn..).map(|(&partition, _)| partition);
        after.chain(self.held.range(..self.turn).map(|(&partition, _)| partition)).collect()
    }

    /// A lane that is behind takes more at a time; one that keeps up takes little, for the sake of latency.
    fn adapt(&mut self, is_full: bool) {
        let config = &self.shared.config;
        self.limit = if is_full {
            (self.limit * 2).min(config.poll_records_behind_max)
        } else {
            config.poll_records_max
        };
    }

    fn take(&mut self, partition: i32, visit: Visit) -> Result<(), End> {
        // Records of another topic of the same name come after the word of it in the main queue; so the word is
        // heard before they are sent, and then they are thrown away. See `Context::log`.
        self.poll_main()?;
        if self.lane().must_restart() {
            return Ok(());
        }
        let Some(Held::Reading(reading)) = self.held.get_mut(&partition) else { return Ok(()) };
        if visit.records > 0 {
            reading.next_offset = visit.slice.next_offset;
            let holding = Arc::clone(&reading.holding);
            let lane = self.lane();
            lane.records.fetch_add(visit.records as u64, Ordering::Relaxed);
            lane.absent.fetch_add(visit.slice.absent.unsigned_abs(), Ordering::Relaxed);
            let ticket = Ticket::new(&self.shared, &holding, visit.bytes);
            self.send(Delivery { slice: visit.slice, ticket })?;
        }
        match visit.error {
            None => Ok(()),
            Some(error) => self.failed(partition, &error),
        }
    }

    fn failed(&mut self, partition: i32, error: &KafkaError) -> Result<(), End> {
        let Some(code) = error.rdkafka_error_code() else { return Ok(()) };
        self.lane().fail(self.number, format!("partition {partition}: {error}"));
        match code {
            // The wanted offset is out of the log's range: the ends are looked at again, and the partition halts.
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                self.take_back(partition, None)
            }
            RDKafkaErrorCode::LogTruncation => {
                let at = self.position(partition);
                let topic = &self.shared.config.topic;
                let halt = Halt::truncated(topic, partition, at, &error.to_string());
                self.take_back(partition, Some(halt))
            }
            // librdkafka passes over a record that it cannot read; that would be a click that nobody billed.
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::NotImplemented => {
                self.damaged(partition, self.position(partition), &error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Reads a damaged record a second time, in case the damage was done on the way, then halts.
    fn damaged(&mut self, partition: i32, at: i64, cause: &str) -> Result<(), End> {
        let is_again = self.damaged.insert(partition, at) == Some(at);
        let halt = Halt::damaged(&self.shared.config.topic, partition, at, cause);
        self.take_back(partition, is_again.then_some(halt))
    }

    fn position(&self, partition: i32) -> i64 {
        match self.held.get(&partition) {
            Some(Held::Reading(reading)) => reading.next_offset,
            _ => 0,
        }
    }
}

impl Reading {
    /// Takes up to `records_max` records that are here already. A record that makes it panic stops its own partition
    /// only, as a damaged one does.
    fn visit(&self, records_max: usize, config: &StreamConfig) -> Result<Visit, Panicked> {
        let at = Cell::new(self.next_offset);
        let visited = unwound(|| self.take_records(records_max, config, &at));
        visited.map_err(|cause| Panicked { at: at.get(), cause })
    }

    /// `at` follows the record that is being read.
    fn take_records(&self, records_max: usize, config: &StreamConfig, at: &Cell<i64>) -> Visit {
        let source = Arc::clone(&self.holding.source);
        let mut builder = SliceBuilder::new(source, self.next_offset, config.reading);
        let (mut records, mut bytes, mut error) = (0, 0, None);
        let is_full = |records, bytes| records >= records_max || bytes >= config.slice_bytes_max;
        while !is_full(records, bytes) {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    at.set(message.offset());
                    bytes += message.payload_len() + message.key_len();
                    push(&mut builder, &message, &config.decode);
                    records += 1;
                }
                Some(Err(failure)) => {
                    error = Some(failure);
                    break;
                }
            }
        }
        let is_cut = is_full(records, bytes);
        Visit { slice: builder.finish(), records, bytes, is_cut, error }
    }
}

fn push(builder: &mut SliceBuilder, message: &BorrowedMessage<'_>, limits: &DecodeLimits) {
    let headers = headers(message);
    let record = Record {
        offset: message.offset(),
        at_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        payload: message.payload(),
        headers: &headers,
    };
    builder.push(&record, limits);
}
