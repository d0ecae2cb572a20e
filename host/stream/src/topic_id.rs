//! The identity of a topic, which tells a re-created topic from the one that was there before.
//!
//! rdkafka has no safe wrapper for this, so this file calls librdkafka itself, as `headers.rs` does.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::config::StreamConfig;
use crate::error::StreamError;

const WHAT: &str = "describe the topic";

/// The id of the stream's topic; empty when the configuration says not to ask.
///
/// # Errors
/// As [`topic_id`].
pub(crate) fn configured_topic_id<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    config: &StreamConfig,
    timeout: Duration,
) -> Result<String, StreamError> {
    if config.topic_ids { topic_id(client, &config.topic, timeout) } else { Ok(String::new()) }
}

/// Asks the brokers for the topic's id. Empty when they have none.
///
/// # Errors
/// The topic does not exist, or no broker answered in time.
pub(crate) fn topic_id<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, StreamError> {
    let name = CString::new(topic).map_err(|error| StreamError::kafka(WHAT, error))?;
    let reply = ask(client.native_ptr(), &name, timeout)?;
    read(&reply, topic)
}

/// The event that answers, freed at the end.
struct Reply(*mut sys::rd_kafka_event_t);

impl Drop for Reply {
    #[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
    fn drop(&mut self) {
        // SAFETY: the event came from `rd_kafka_queue_poll`, is destroyed once, and null is allowed.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
fn ask(
    client: *mut sys::rd_kafka_t,
    name: &CString,
    timeout: Duration,
) -> Result<Reply, StreamError> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut names = [name.as_ptr()];
    // SAFETY: the caller's borrow keeps the client alive. librdkafka copies the names and the options. Everything
    // made here is destroyed here, once, after its last use; the reply outlives the queue it came through.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let mut text: [c_char; 256] = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            text.as_mut_ptr(),
            text.len(),
        );
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        // The request ends by its own timeout; the second on top is only for a queue that is slow.
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        if event.is_null() {
            return Err(StreamError::kafka(WHAT, "no answer in time"));
        }
        Ok(Reply(event))
    }
}

#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
fn read(reply: &Reply, topic: &str) -> Result<String, StreamError> {
    // SAFETY: everything read here belongs to the reply, which is alive; pointers are compared with null before
    // they are followed, and the texts are copied.
    unsafe {
        check(sys::rd_kafka_event_error(reply.0), topic)?;
        let result = sys::rd_kafka_event_DescribeTopics_result(reply.0);
        if result.is_null() {
            return Err(StreamError::kafka(WHAT, "the answer is of another kind"));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, ptr::addr_of_mut!(count));
        if topics.is_null() || count == 0 {
            return Err(StreamError::TopicMissing { topic: topic.to_owned() });
        }
        let description = *topics;
        let error = sys::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            check(sys::rd_kafka_error_code(error), topic)?;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let is_zero = id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0);
        if is_zero {
            return Ok(String::new());
        }
        let text = sys::rd_kafka_Uuid_base64str(id);
        if text.is_null() {
            return Err(StreamError::kafka(WHAT, "the topic's id cannot be read"));
        }
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

fn check(code: sys::rd_kafka_resp_err_t, topic: &str) -> Result<(), StreamError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicId => {
            Err(StreamError::TopicMissing { topic: topic.to_owned() })
        }
        code => Err(StreamError::kafka(WHAT, code)),
    }
}
