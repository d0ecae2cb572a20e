//! A producer for what leaves the host: few records, each awaited until the brokers have it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Message};

use crate::error::StreamError;
use crate::log;
use crate::properties::{self, PropertyError};

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the topic {topic:?} does not exist; create it, or correct its name")]
    TopicMissing { topic: String },
    #[error("the brokers do not let this host write to {topic:?}; give it the right to")]
    Denied { topic: String },
    #[error(
        "the record for {topic:?} has {bytes} bytes, which is too large; raise `message.max.bytes` of Kafka's \
         properties and `max.message.bytes` of the topic"
    )]
    TooLarge { topic: String, bytes: usize },
    #[error("the brokers refuse the record for {topic:?} ({cause}); look at the topic's settings")]
    Refused { topic: String, cause: String },
    #[error(
        "Kafka did not take a record for {topic:?} ({cause}); check that the brokers run and can be reached"
    )]
    Unavailable { topic: String, cause: String },
}

impl PublishError {
    /// The stable name of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TopicMissing { .. } => "TOPIC_MISSING",
            Self::Denied { .. } => "TOPIC_DENIED",
            Self::TooLarge { .. } => "RECORD_TOO_LARGE",
            Self::Refused { .. } => "RECORD_REFUSED",
            Self::Unavailable { .. } => "KAFKA_UNAVAILABLE",
        }
    }

    /// Whether the same record may be taken later. A record that is refused for what it is never will be.
    #[must_use]
    pub fn may_pass_later(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Refused { .. })
    }

    fn new(error: &KafkaError, topic: &str, bytes: usize) -> Self {
        use RDKafkaErrorCode as Code;
        let topic = topic.to_owned();
        match error.rdkafka_error_code() {
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::InvalidTopic,
            ) => Self::TopicMissing { topic },
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                Self::Denied { topic }
            }
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => {
                Self::TooLarge { topic, bytes }
            }
            Some(code @ (Code::InvalidRecord | Code::InvalidMessage | Code::PolicyViolation)) => {
                Self::Refused { topic, cause: code.to_string() }
            }
            Some(code) => Self::Unavailable { topic, cause: code.to_string() },
            None => Self::Unavailable { topic, cause: error.to_string() },
        }
    }
}

/// Writes records, each at least once, and in order among those that are awaited one after the other. Equal keys
/// share a partition, the one that Java's producers choose for them.
///
/// Dropping it waits for records on their way, for the deadline at most.
pub struct Publisher {
    config: ClientConfig,
    deadline: Duration,
    /// `None` after a failure that no producer recovers from; the next record makes a new one.
    producer: Mutex<Option<Inner>>,
}

type Inner = ThreadedProducer<Deliveries>;

impl Publisher {
    /// Sets a producer up; it connects in the background. `properties` are those of the consumers, of which it takes
    /// what concerns connections, security and sizes. No record is waited for longer than `deadline`.
    ///
    /// # Errors
    /// librdkafka does not accept the properties.
    pub fn start(
        brokers: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
        deadline: Duration,
    ) -> Result<Self, StreamError> {
        let config = properties::producer(brokers, client_id, properties, deadline);
        let producer = make(&config).map_err(set_up)?;
        Ok(Self { config, deadline, producer: Mutex::new(Some(producer)) })
    }

    /// Writes a record and waits until all replicas that have to have it do.
    ///
    /// # Errors
    /// It was not taken, or nobody knows: it may arrive all the same.
    pub async fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), PublishError> {
        let bytes = key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
        let failed = |error: KafkaError| PublishError::new(&error, topic, bytes);
        let delivery = self.enqueue(topic, key, payload, headers).map_err(failed)?;
        let delivered = delivery.await.unwrap_or(Err(KafkaError::Canceled));
        if let Err(error) = &delivered {
            self.give_up_on_fatal(error);
        }
        delivered.map_err(failed)
    }

    fn enqueue(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<oneshot::Receiver<Delivered>, KafkaError> {
        let (done, delivery) = oneshot::channel();
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(done));
        record.key = key;
        record.payload = payload;
        if !headers.is_empty() {
            record.headers = Some(owned(headers));
        }
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = match producer.take() {
            Some(inner) => inner,
            None => make(&self.config)?,
        };
        let sent = producer.insert(inner).send(record);
        drop(producer);
        if let Err((error, _)) = &sent {
            self.give_up_on_fatal(error);
        }
        sent.map(|()| delivery).map_err(|(error, _)| error)
    }

    /// An idempotent producer that has met a fatal error takes no record ever again.
    fn give_up_on_fatal(&self, error: &KafkaError) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let fatal = producer.as_ref().and_then(|inner| inner.client().fatal_error());
        let is_fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if let Some((code, reason)) = fatal
            && let Some(broken) = producer.take()
        {
            tracing::warn!(%code, "the producer is beyond recovery ({reason}); making a new one");
            drop(producer);
            drop(broken);
        } else if is_fatal {
            tracing::debug!(%error, "another record has given the producer up already");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let producer = self.producer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = producer
            && let Err(error) = producer.flush(Timeout::After(self.deadline))
        {
            tracing::warn!(%error, "records were still on their way when the producer ended");
        }
    }
}

impl std::fmt::Debug for Publisher {
    /// Leaves out the properties, because passwords are among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

type Delivered = Result<(), KafkaError>;

/// Hands each record's fate to whoever waits for it.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log::librdkafka(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Delivered>>;

    fn delivery(&self, result: &DeliveryResult<'_>, done: Self::DeliveryOpaque) {
        let fate = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Whoever waited may have given up; then nobody wants to know.
        if done.send(fate).is_err() {
            let topic = result.as_ref().map_or_else(|(_, record)| record.topic(), Message::topic);
            tracing::debug!(topic, "a record's fate came after its sender had gone");
        }
    }
}

/// librdkafka's sentence about a property repeats its value, which may be a secret.
fn set_up(error: KafkaError) -> StreamError {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => {
            let reason = "librdkafka does not accept its value".to_owned();
            StreamError::Property(PropertyError { name, reason })
        }
        error => StreamError::kafka("be set up", error),
    }
}

fn make(config: &ClientConfig) -> Result<Inner, KafkaError> {
    config.create_with_context(Deliveries)
}

fn owned(headers: &[(&str, Option<&[u8]>)]) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (key, value)| all.insert(Header { key, value: *value }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::block_on;

    fn send(publisher: &Publisher) -> PublishError {
        block_on(publisher.send("topic", None, Some(b"x"), &[])).unwrap_err()
    }

    #[allow(unsafe_code, reason = "librdkafka's way to try a fatal error has no safe wrapper")]
    fn break_for_good(publisher: &Publisher) {
        let producer = publisher.producer.lock().unwrap();
        let client = producer.as_ref().unwrap().client().native_ptr();
        // SAFETY: the lock keeps the client alive, and the text ends with a NUL.
        unsafe {
            let code =
                rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
            rdkafka_sys::rd_kafka_test_fatal_error(client, code, c"a test".as_ptr());
        }
    }

    #[test]
    fn a_producer_that_is_beyond_recovery_is_replaced() {
        let deadline = Duration::from_millis(200);
        let publisher =
            Publisher::start("127.0.0.1:1", "test", &BTreeMap::new(), deadline).unwrap();
        break_for_good(&publisher);
        let error = send(&publisher);
        assert!(error.may_pass_later() && error.to_string().contains("Fatal"), "{error}");
        assert!(publisher.producer.lock().unwrap().is_none());
        let error = send(&publisher);
        assert!(error.may_pass_later() && !error.to_string().contains("Fatal"), "{error}");
        assert!(publisher.producer.lock().unwrap().is_some());
    }

    fn check(code: RDKafkaErrorCode, name: &str, may_pass_later: bool) {
        let error = PublishError::new(&KafkaError::MessageProduction(code), "topic", 7);
        assert_eq!((error.code(), error.may_pass_later()), (name, may_pass_later), "{code}");
        assert!(error.to_string().contains("\"topic\""), "{error}");
    }

    #[test]
    fn only_a_record_that_is_refused_for_what_it_is_is_given_up() {
        use RDKafkaErrorCode as Code;
        check(Code::UnknownTopic, "TOPIC_MISSING", true);
        check(Code::UnknownTopicOrPartition, "TOPIC_MISSING", true);
        check(Code::TopicAuthorizationFailed, "TOPIC_DENIED", true);
        check(Code::ClusterAuthorizationFailed, "TOPIC_DENIED", true);
        check(Code::MessageSizeTooLarge, "RECORD_TOO_LARGE", false);
        check(Code::InvalidRecord, "RECORD_REFUSED", false);
        check(Code::PolicyViolation, "RECORD_REFUSED", false);
        check(Code::MessageTimedOut, "KAFKA_UNAVAILABLE", true);
        check(Code::QueueFull, "KAFKA_UNAVAILABLE", true);
        check(Code::NotEnoughReplicas, "KAFKA_UNAVAILABLE", true);
        check(Code::Fatal, "KAFKA_UNAVAILABLE", true);
    }
}
