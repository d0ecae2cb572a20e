//! Topics and records for tests.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;
use tollgate_stream::admin::{Outcome, TopicSpec, describe, ensure_topics};

use super::until;

/// A topic with a name of its own.
pub(crate) struct Topic {
    pub(crate) brokers: String,
    pub(crate) name: String,
}

impl Topic {
    pub(crate) fn named(brokers: &str, label: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{label}-{}-{number}", std::process::id());
        Self { brokers: brokers.to_owned(), name }
    }

    pub(crate) fn new(brokers: &str, label: &str, partitions: i32) -> Self {
        let topic = Self::named(brokers, label);
        topic.create(partitions);
        topic
    }

    pub(crate) fn create(&self, partitions: i32) {
        let spec = TopicSpec {
            name: self.name.clone(),
            partitions,
            replication: 1,
            retention_ms: Some(86_400_000),
            configs: BTreeMap::from([("max.message.bytes".to_owned(), "70000000".to_owned())]),
        };
        // A topic that was just deleted may still be on its way out.
        until("the topic is made", || {
            ensure_topics(&self.brokers, &BTreeMap::new(), std::slice::from_ref(&spec))
                .unwrap()
                .iter()
                .all(|ensured| ensured.outcome == Outcome::Created)
        });
        until("the topic is led", || describe(&self.brokers, &BTreeMap::new(), &self.name).is_ok());
    }

    pub(crate) fn id(&self) -> String {
        describe(&self.brokers, &BTreeMap::new(), &self.name).unwrap().topic_id
    }

    pub(crate) fn delete(&self) {
        let results = block_on(self.admin().delete_topics(&[&self.name], &AdminOptions::new()));
        results.unwrap().remove(0).unwrap();
    }

    pub(crate) fn grow(&self, partitions: usize) {
        let wanted = NewPartitions::new(&self.name, partitions);
        let results = block_on(self.admin().create_partitions([&wanted], &AdminOptions::new()));
        results.unwrap().remove(0).unwrap();
        until("the partitions are led", || {
            describe(&self.brokers, &BTreeMap::new(), &self.name)
                .is_ok_and(|topic| topic.partitions.len() == partitions)
        });
    }

    pub(crate) fn delete_records(&self, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(before)).unwrap();
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    pub(crate) fn producer(&self) -> BaseProducer {
        self.producer_with(&[])
    }

    pub(crate) fn producer_with(&self, properties: &[(&str, &str)]) -> BaseProducer {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("message.max.bytes", "70000000")
            .set("queue.buffering.max.kbytes", "200000")
            .set("queue.buffering.max.messages", "1000000")
            .set("linger.ms", "1");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    /// Produces clicks whose device is `{partition}-{number}`.
    pub(crate) fn produce(&self, partition: i32, numbers: std::ops::Range<i64>) {
        let producer = self.producer();
        for number in numbers {
            self.send(&producer, partition, &click(partition, number));
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    pub(crate) fn send(&self, producer: &BaseProducer, partition: i32, value: &str) {
        let mut record = BaseRecord::<str, str>::to(&self.name).partition(partition).payload(value);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(
                error.rdkafka_error_code(),
                Some(rdkafka::error::RDKafkaErrorCode::QueueFull)
            );
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }

    /// Sends a record with headers whose names are any bytes.
    #[allow(unsafe_code, reason = "rdkafka takes names that are UTF-8 only")]
    pub(crate) fn send_with(
        &self,
        producer: &BaseProducer,
        partition: i32,
        value: &str,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        use sys::rd_kafka_vtype_t as With;
        let topic = CString::new(self.name.as_str()).unwrap();
        let fine = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        // SAFETY: librdkafka copies names and values of headers, the topic and the payload, all of which outlive the
        // calls; the producer owns the headers once it has taken the record.
        unsafe {
            let all = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let (value, bytes) =
                    value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
                let (name, letters) = (name.as_ptr().cast(), name.len().cast_signed());
                let bytes = bytes.cast_signed();
                let added = sys::rd_kafka_header_add(all, name, letters, value.cast(), bytes);
                assert_eq!(added, fine);
            }
            let sent = sys::rd_kafka_producev(
                producer.client().native_ptr(),
                With::RD_KAFKA_VTYPE_TOPIC,
                topic.as_ptr(),
                With::RD_KAFKA_VTYPE_PARTITION,
                partition,
                With::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                With::RD_KAFKA_VTYPE_VALUE,
                value.as_ptr(),
                value.len(),
                With::RD_KAFKA_VTYPE_HEADERS,
                all,
                With::RD_KAFKA_VTYPE_END,
            );
            assert_eq!(sent, fine);
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }
}

pub(crate) fn device(partition: i32, number: i64) -> String {
    format!("{partition}-{number}")
}

pub(crate) fn click(partition: i32, number: i64) -> String {
    format!(
        "{{\"event_type\":\"CLICK\",\"timestamp\":\"2026-01-15T10:30:00Z\",\
         \"campaign_id\":\"campaign_{}\",\"advertiser_id\":\"advertiser_1\",\
         \"device_id\":\"{}\",\"ad_id\":\"ad_7\",\"bid_price\":0.25}}",
        number % 10,
        device(partition, number)
    )
}

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
