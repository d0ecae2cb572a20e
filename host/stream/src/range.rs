//! Reading a range of a topic from outside of any group: nothing is joined, nothing is committed, nobody is disturbed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::assignment::ANSWER_PAUSE;
use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::properties;
use crate::watch::{self, Onlooker, Quiet};

/// Records that are fetched ahead of each partition.
const AHEAD: usize = 512;
/// How long a partition is waited for before all are served again.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// Longest silence of the brokers.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const READ: &str = "read the topic";

/// An end of a range, in every partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Offset(i64),
    /// The first record that is not older, in milliseconds since 1970.
    AtMs(i64),
}

/// Which records are meant. Without a bound it is the end of the log, as it is when the reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub topic: String,
    pub from: Option<Bound>,
    /// Not included.
    pub until: Option<Bound>,
    /// Only this partition.
    pub partition: Option<i32>,
}

/// A record of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRecord {
    pub partition: i32,
    pub offset: i64,
    /// Timestamp in milliseconds; -1 when it has none.
    pub at_ms: i64,
    pub payload: Option<Vec<u8>>,
}

/// Reads a range, the partitions merged by the time of their records; equal times in the order of partitions.
pub struct RangeReader {
    partitions: Vec<Partition>,
    consumer: Arc<Onlooker>,
    heard: Instant,
    /// Offsets of the range, and those that are behind.
    offsets: u64,
    done: u64,
}

struct Partition {
    number: i32,
    queue: PartitionQueue<Quiet>,
    ahead: VecDeque<RangeRecord>,
    next_offset: i64,
    end: i64,
    /// Everything before `end` is in `ahead` or was handed out.
    is_read: bool,
}

impl RangeReader {
    /// # Errors
    /// The topic does not exist, the range begins before what the topic still has, or no broker answered.
    pub fn open(config: &StreamConfig, range: &Range) -> Result<Self, StreamError> {
        let mut client = properties::reader(&config.brokers, &config.client_id, &config.properties);
        // An assignment needs the name of a group, and joins none. The end of a partition is how a range ends whose
        // last offsets hold no records.
        client.set("group.id", format!("{}-range", config.group));
        client.set("enable.partition.eof", "true");
        let failed = |error| StreamError::kafka("be set up", error);
        let consumer: BaseConsumer<Quiet> = client.create_with_context(Quiet).map_err(failed)?;
        let consumer = Arc::new(consumer);
        let spans = spans(&consumer, range)?;
        let mut assignment = TopicPartitionList::new();
        for (partition, (first, end)) in &spans {
            if first < end {
                let from = Offset::Offset(*first);
                let added = assignment.add_partition_offset(&range.topic, *partition, from);
                added.map_err(|error| StreamError::kafka(READ, error))?;
            }
        }
        consumer.assign(&assignment).map_err(|error| StreamError::kafka(READ, error))?;
        let mut partitions = Vec::new();
        let mut offsets = 0;
        for (&number, &(first, end)) in spans.iter().filter(|(_, (first, end))| first < end) {
            let queue = consumer.split_partition_queue(&range.topic, number);
            let queue = queue.ok_or_else(|| StreamError::kafka(READ, "a partition is gone"))?;
            offsets += (end - first).unsigned_abs();
            let ahead = VecDeque::with_capacity(AHEAD);
            partitions.push(Partition {
                number,
                queue,
                ahead,
                next_offset: first,
                end,
                is_read: false,
            });
        }
        Ok(Self { partitions, consumer, heard: Instant::now(), offsets, done: 0 })
    }

    /// The next record; `None` at the end of the range.
    ///
    /// # Errors
    /// A record cannot be read, or the brokers have fallen silent.
    pub fn next_record(&mut self) -> Result<Option<RangeRecord>, StreamError> {
        while let Some(waiting) = self.partitions.iter().position(Partition::is_waiting) {
            self.fetch(waiting)?;
        }
        let earliest = self
            .partitions
            .iter()
            .enumerate()
            .filter_map(|(at, partition)| partition.ahead.front().map(|first| (first.at_ms, at)))
            .min();
        let Some((_, at)) = earliest else {
            self.done = self.offsets;
            return Ok(None);
        };
        let partition = &mut self.partitions[at];
        let record = partition.ahead.pop_front();
        if let Some(record) = &record {
            self.done += (record.offset + 1 - partition.next_offset).unsigned_abs();
            partition.next_offset = record.offset + 1;
        }
        Ok(record)
    }

    /// Offsets that are behind, and those of the whole range.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.done, self.offsets)
    }

    /// Waits a little for a partition, and takes what others have meanwhile.
    fn fetch(&mut self, waiting: usize) -> Result<(), StreamError> {
        // Errors of the connection are told here; librdkafka goes on by itself.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let mut has_any = false;
        for (at, partition) in self.partitions.iter_mut().enumerate() {
            let pause = if at == waiting { POLL_PAUSE } else { Duration::ZERO };
            has_any |= partition.fill(pause)?;
        }
        if has_any {
            self.heard = Instant::now();
        } else if self.heard.elapsed() > SILENCE_MAX {
            let seconds = SILENCE_MAX.as_secs();
            let cause = format!("nothing came for {seconds} s before the end of the range");
            return Err(StreamError::kafka(READ, cause));
        }
        Ok(())
    }
}

impl Partition {
    fn is_waiting(&self) -> bool {
        self.ahead.is_empty() && !self.is_read
    }

    /// Takes what is here; true when there was anything.
    fn fill(&mut self, pause: Duration) -> Result<bool, StreamError> {
        let mut pause = pause;
        let mut has_any = false;
        while !self.is_read && self.ahead.len() < AHEAD {
            match self.queue.poll(pause) {
                None => break,
                Some(Ok(message)) if message.offset() >= self.end => self.is_read = true,
                Some(Ok(message)) => {
                    self.is_read = message.offset() + 1 >= self.end;
                    let record = record(&message);
                    self.ahead.push_back(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.is_read = true,
                Some(Err(error)) => {
                    let cause = format!("partition {}: {error}", self.number);
                    return Err(StreamError::kafka(READ, cause));
                }
            }
            (has_any, pause) = (true, Duration::ZERO);
        }
        Ok(has_any)
    }
}

fn record(message: &BorrowedMessage<'_>) -> RangeRecord {
    RangeRecord {
        partition: message.partition(),
        offset: message.offset(),
        at_ms: message.timestamp().to_millis().unwrap_or(-1),
        payload: message.payload().map(<[u8]>::to_vec),
    }
}

/// First and next offset of each partition of the range.
fn spans(client: &Onlooker, range: &Range) -> Result<BTreeMap<i32, (i64, i64)>, StreamError> {
    let topic = &range.topic;
    let mut partitions = watch::led(client, topic)?;
    if let Some(only) = range.partition {
        partitions.retain(|partition| *partition == only);
        if partitions.is_empty() {
            return Err(StreamError::kafka(READ, format!("it has no partition {only}")));
        }
    }
    let lows = watch::ends(client, topic, &partitions, Offset::Beginning)?;
    let highs = watch::ends(client, topic, &partitions, Offset::End)?;
    let from = bounds(client, topic, &highs, range.from)?;
    let until = bounds(client, topic, &highs, range.until)?;
    let mut spans = BTreeMap::new();
    for (&partition, &high) in &highs {
        let low = lows.get(&partition).copied().unwrap_or(0);
        let first = from.get(&partition).copied().unwrap_or(low);
        if first < low {
            let cause = format!("partition {partition} begins at {low}; read from there or later");
            return Err(StreamError::kafka("go back so far", cause));
        }
        let end = until.get(&partition).copied().unwrap_or(high).min(high);
        spans.insert(partition, (first, end));
    }
    Ok(spans)
}

/// The offset of a bound in each partition; empty without one.
fn bounds(
    client: &Onlooker,
    topic: &str,
    highs: &BTreeMap<i32, i64>,
    bound: Option<Bound>,
) -> Result<BTreeMap<i32, i64>, StreamError> {
    const WHAT: &str = "find records by their time";
    let at_ms = match bound {
        None => return Ok(BTreeMap::new()),
        Some(Bound::Offset(offset)) => {
            return Ok(highs.keys().map(|partition| (*partition, offset)).collect());
        }
        Some(Bound::AtMs(at_ms)) => at_ms,
    };
    let failed = |error: KafkaError| StreamError::kafka(WHAT, error);
    let mut list = TopicPartitionList::new();
    for partition in highs.keys() {
        list.add_partition_offset(topic, *partition, Offset::Offset(at_ms)).map_err(failed)?;
    }
    let found = client.offsets_for_times(list, ANSWER_PAUSE).map_err(failed)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        element.error().map_err(failed)?;
        // Without a record that is young enough it is the end of the log.
        let high = highs.get(&element.partition()).copied().unwrap_or(0);
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => high,
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}
