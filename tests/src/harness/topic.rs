//! Writes and reads whole topics, without the host.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::generator::Generated;
use crate::model::Record;

/// Longest silence of a broker while a topic is read.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Produces events.
pub struct Sender {
    producer: BaseProducer,
    topic: String,
}

impl Sender {
    /// Sends each event at once, over a connection that is already there.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn new(brokers: &str, topic: &str) -> Result<Self> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true")
            .set("message.max.bytes", "67108864")
            .create()?;
        producer.client().fetch_metadata(Some(topic), Duration::from_secs(10))?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// As `new`, waiting a little for full batches; for loading much at once.
    ///
    /// # Errors
    /// As `new`.
    pub fn bulk(brokers: &str, topic: &str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("message.max.bytes", "67108864")
            .set("queue.buffering.max.messages", "500000")
            .create()?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Hands an event over, with its record's timestamp; waits while the queue is full.
    ///
    /// # Errors
    /// The record is refused.
    pub fn send(&self, event: &Generated, at_us: i64) -> Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(&event.key).timestamp(at_us / 1_000);
        if let Some(payload) = &event.payload {
            record = record.payload(payload);
        }
        self.put(record)
    }

    /// As `send`, to a partition of choice.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_to(&self, partition: i32, payload: Option<&[u8]>, at_us: i64) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.topic).partition(partition).timestamp(at_us / 1_000);
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        self.put(record)
    }

    /// As `send`, with headers; a value may be missing.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_with(
        &self,
        event: &Generated,
        headers: &[(String, Option<Vec<u8>>)],
        at_us: i64,
    ) -> Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(&event.key).timestamp(at_us / 1_000);
        if let Some(payload) = &event.payload {
            record = record.payload(payload);
        }
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            all = all.insert(Header { key, value: value.as_ref() });
        }
        self.put(record.headers(all))
    }

    /// Serves the producer until `due`.
    pub fn serve_until(&self, due: Instant) {
        self.producer.poll(Duration::ZERO);
        // librdkafka waits in whole milliseconds and would spin for the rest, on a core that the host needs.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    /// Waits until the broker has everything.
    ///
    /// # Errors
    /// It does not take it.
    pub fn flush(&self) -> Result<()> {
        Ok(self.producer.flush(Duration::from_secs(60))?)
    }

    fn put<K, P>(&self, record: BaseRecord<'_, K, P>) -> Result<()>
    where
        K: rdkafka::message::ToBytes + ?Sized,
        P: rdkafka::message::ToBytes + ?Sized,
    {
        let mut waiting = record;
        loop {
            match self.producer.send(waiting) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => {
                    waiting = record;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

/// A whole topic, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Log {
    pub topic: String,
    pub records: Vec<Record>,
    /// First and next offset of every partition.
    pub ends: Vec<(i32, (i64, i64))>,
}

/// A record as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record by its key, as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    pub key: String,
    pub payload: String,
    pub headers: Vec<(String, String)>,
}

impl Log {
    /// # Errors
    /// As `read_all`.
    pub fn read(brokers: &str, topic: &str) -> Result<Self> {
        let records = read_all(brokers, topic)?;
        Ok(Self { topic: topic.to_owned(), records, ends: watermarks(brokers, topic)? })
    }
}

/// Reads every record from the beginning to the end that the topic has when the reading begins.
///
/// # Errors
/// The broker does not answer, or falls silent before the end.
pub fn read_all(brokers: &str, topic: &str) -> Result<Vec<Record>> {
    read_each(brokers, topic, |message| Record {
        partition: message.partition(),
        offset: message.offset(),
        at_ms: message.timestamp().to_millis().unwrap_or(-1),
        payload: message.payload().map(<[u8]>::to_vec),
    })
}

/// As `read_all`, with keys instead of offsets.
///
/// # Errors
/// As `read_all`.
pub fn read_keyed(brokers: &str, topic: &str) -> Result<Vec<Keyed>> {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    read_each(brokers, topic, |message| Keyed {
        key: text(message.key()),
        payload: text(message.payload()),
        headers: message
            .headers()
            .map(|headers| {
                headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
            })
            .unwrap_or_default(),
    })
}

/// As `read_all`, with everything that a record has but its time.
///
/// # Errors
/// As `read_all`.
pub fn read_whole(brokers: &str, topic: &str) -> Result<Vec<Whole>> {
    let header =
        |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
    read_each(brokers, topic, |message| Whole {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .map(|headers| headers.iter().map(header).collect())
            .unwrap_or_default(),
    })
}

fn read_each<T>(
    brokers: &str,
    topic: &str,
    read: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<Vec<T>> {
    let consumer = consumer(brokers)?;
    let mut left = ends(&consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    for (partition, _) in &left {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    left.retain(|(_, (low, high))| low < high);
    let (mut records, mut heard) = (Vec::new(), Instant::now());
    while !left.is_empty() {
        if heard.elapsed() > SILENCE_MAX {
            bail!("{topic} is silent before its end; partitions left: {left:?}");
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {
                // Offsets at the end may hold markers instead of records.
                let position = consumer.position()?;
                left.retain(|(partition, (_, high))| {
                    let at = position.find_partition(topic, *partition).map(|found| found.offset());
                    !matches!(at, Some(Offset::Offset(at)) if at >= *high)
                });
            }
            Some(message) => {
                let message = message?;
                heard = Instant::now();
                left.retain(|(partition, (_, high))| {
                    *partition != message.partition() || message.offset() + 1 < *high
                });
                records.push(read(&message));
            }
        }
    }
    Ok(records)
}

/// First and next offset of every partition.
///
/// # Errors
/// The broker does not know the topic.
pub fn watermarks(brokers: &str, topic: &str) -> Result<Vec<(i32, (i64, i64))>> {
    ends(&consumer(brokers)?, topic)
}

/// Records of a topic that a group has not committed.
///
/// # Errors
/// The broker does not answer.
pub fn uncommitted(brokers: &str, group: &str, topic: &str) -> Result<i64> {
    let consumer = consumer_of(brokers, group)?;
    let ends = ends(&consumer, topic)?;
    let mut asked = TopicPartitionList::new();
    for (partition, _) in &ends {
        asked.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(asked, Duration::from_secs(10))?;
    let left = ends.into_iter().map(|(partition, (low, high))| {
        let next = committed.find_partition(topic, partition).map(|found| found.offset());
        match next {
            Some(Offset::Offset(next)) => high - next.max(low),
            _ => high - low,
        }
    });
    Ok(left.sum())
}

fn consumer(brokers: &str) -> Result<BaseConsumer> {
    consumer_of(brokers, "tollgate-suite-reader")
}

fn consumer_of(brokers: &str, group: &str) -> Result<BaseConsumer> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "67108864")
        .set("receive.message.max.bytes", "134217728")
        .create()?;
    Ok(consumer)
}

fn ends(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i32, (i64, i64))>> {
    let limit = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
    if partitions.is_empty() {
        bail!("topic {topic} does not exist");
    }
    partitions
        .iter()
        .map(|part| Ok((part.id(), consumer.fetch_watermarks(topic, part.id(), limit)?)))
        .collect()
}
