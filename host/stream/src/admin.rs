//! Topics: making those that are missing, and looking at those that are there.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::assignment::ANSWER_PAUSE;
use crate::error::StreamError;
use crate::properties;
use crate::topic_id::topic_id;
use crate::watch::{self, Quiet};

/// How long the brokers may take to make a topic.
const CREATE_PAUSE: Duration = Duration::from_secs(30);

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    /// Copies of each partition; -1 for the brokers' default.
    pub replication: i32,
    /// How long records are kept; `None` for the brokers' default.
    pub retention_ms: Option<i64>,
    /// Other settings of the topic, such as `max.message.bytes`.
    pub configs: BTreeMap<String, String>,
}

/// What became of a [`TopicSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    pub name: String,
    pub outcome: Outcome,
}

/// What the brokers did about a topic that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created,
    /// It was there already, and is as it was.
    Present,
    /// They refused to make it; their reason.
    Refused(String),
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Empty when the brokers give none.
    pub topic_id: String,
    pub partitions: Vec<PartitionRange>,
}

/// The records of a partition: offsets from `low` to before `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRange {
    pub partition: i32,
    pub low: i64,
    /// Where the next record that can be read will be.
    pub high: i64,
}

/// Makes the topics that do not exist. Existing ones are left as they are.
///
/// # Errors
/// The brokers did not answer.
pub fn ensure_topics(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[TopicSpec],
) -> Result<Vec<Ensured>, StreamError> {
    const WHAT: &str = "make the topics";
    let failed = |error: rdkafka::error::KafkaError| StreamError::kafka(WHAT, error);
    let client: AdminClient<Quiet> =
        properties::admin(brokers, properties).create_with_context(Quiet).map_err(failed)?;
    let retentions: Vec<_> =
        topics.iter().map(|topic| topic.retention_ms.map(|ms| ms.to_string())).collect();
    let wanted: Vec<_> = topics.iter().zip(&retentions).map(|(t, ms)| new_topic(t, ms)).collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(CREATE_PAUSE))
        .request_timeout(Some(CREATE_PAUSE));
    let results = block_on(client.create_topics(&wanted, &options)).map_err(failed)?;
    let ensured = results.into_iter().map(|result| match result {
        Ok(name) => Ensured { name, outcome: Outcome::Created },
        Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
            Ensured { name, outcome: Outcome::Present }
        }
        Err((name, code)) => Ensured { name, outcome: Outcome::Refused(code.to_string()) },
    });
    Ok(ensured.collect())
}

/// Looks at a topic.
///
/// # Errors
/// It does not exist, or the brokers did not answer.
pub fn describe(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<TopicDescription, StreamError> {
    let client = watch::onlooker(brokers, "tollgate-admin", properties)?;
    let topic_id = topic_id(client.client(), topic, ANSWER_PAUSE)?;
    let all: Vec<i32> = watch::partitions(&client, topic)?.iter().map(|(one, _)| *one).collect();
    let partitions = watch::led(&client, topic)?;
    if partitions.len() < all.len() {
        return Err(StreamError::kafka("describe the topic", "a partition has no leader"));
    }
    let lows = watch::ends(&client, topic, &partitions, Offset::Beginning)?;
    let highs = watch::ends(&client, topic, &partitions, Offset::End)?;
    let ranges = lows.iter().filter_map(|(&partition, &low)| {
        highs.get(&partition).map(|&high| PartitionRange { partition, low, high })
    });
    Ok(TopicDescription { topic_id, partitions: ranges.collect() })
}

fn new_topic<'a>(topic: &'a TopicSpec, retention_ms: &'a Option<String>) -> NewTopic<'a> {
    let replication = TopicReplication::Fixed(topic.replication);
    let mut new = NewTopic::new(&topic.name, topic.partitions, replication);
    if let Some(ms) = retention_ms {
        new = new.set("retention.ms", ms);
    }
    topic.configs.iter().fold(new, |new, (name, value)| new.set(name, value))
}

/// Waits for an answer of the admin client, which has a thread of its own that wakes this one.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
