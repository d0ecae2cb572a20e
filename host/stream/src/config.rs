//! Settings of a stream.

use std::collections::BTreeMap;
use std::fmt;

use tollgate_domain::event::DecodeLimits;
use tollgate_domain::slice::Reading;

use crate::error::StreamError;
use crate::properties::{check_properties, try_out};

/// Where reading starts when a topic is seen for the very first time. Applied once and written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstSight {
    /// At the end: what happened before the first start is not billed.
    #[default]
    Latest,
    /// At the oldest record that the broker still has.
    Earliest,
}

/// Settings of a stream: one topic, read by one group.
#[derive(Clone)]
pub struct StreamConfig {
    /// Addresses of brokers, `host:port` separated by commas.
    pub brokers: String,
    /// Consumer group, such as `click-balance-processor`.
    pub group: String,
    pub topic: String,
    /// What the topic's records are.
    pub reading: Reading,
    /// Name under which the broker's logs and quotas know this process.
    pub client_id: String,
    /// Threads that read; each is a member of the group. More lanes than partitions idle.
    pub lanes: usize,
    /// Records taken at most by one poll of a lane that keeps up.
    pub poll_records_max: usize,
    /// Records taken at most by one poll of a lane that is behind.
    pub poll_records_behind_max: usize,
    /// Bytes of keys and values after which a slice is closed; a larger record is a slice of its own.
    pub slice_bytes_max: usize,
    /// Bytes of all slices that are sent and not done, for all lanes together. A lane that finds it reached reads
    /// no more, so it is exceeded by one slice per lane at most.
    pub in_flight_bytes_max: usize,
    /// Silence after which the broker gives a lane's partitions to others.
    pub session_timeout_ms: u32,
    pub first_sight: FirstSight,
    /// Whether to ask for the topic's id, which tells a re-created topic. Off for brokers that do not answer, such as
    /// librdkafka's mock cluster.
    pub topic_ids: bool,
    /// Properties of librdkafka that are passed through; see [`check_properties`] for those that are not.
    pub properties: BTreeMap<String, String>,
    /// Limits of what is accepted as an event.
    pub decode: DecodeLimits,
    /// How long a lane that has to give up a partition waits for the slices it has in flight.
    pub revoke_wait_ms: u64,
    /// How often halted partitions are tried again, and the topic's id and ends are compared.
    pub recheck_ms: u64,
    /// How often committed offsets are told to Kafka.
    pub hint_ms: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            group: "click-balance-processor".into(),
            topic: "ad-events".into(),
            reading: Reading::Clicks,
            client_id: "tollgate".into(),
            lanes: 3,
            poll_records_max: 100,
            poll_records_behind_max: 5_000,
            slice_bytes_max: 4 << 20,
            in_flight_bytes_max: 32 << 20,
            session_timeout_ms: 30_000,
            first_sight: FirstSight::Latest,
            topic_ids: true,
            properties: BTreeMap::new(),
            decode: DecodeLimits::default(),
            revoke_wait_ms: 10_000,
            recheck_ms: 1_000,
            hint_ms: 1_000,
        }
    }
}

impl StreamConfig {
    /// Looks at the settings, without waiting for a broker.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn check(&self) -> Result<(), StreamError> {
        if let Some(error) = check_properties(&self.properties).into_iter().next() {
            return Err(StreamError::Property(error));
        }
        let refuse = |setting, sentence: &str| {
            Err(StreamError::Setting { setting, sentence: sentence.to_owned() })
        };
        for (setting, text) in [
            ("brokers", &self.brokers),
            ("group", &self.group),
            ("topic", &self.topic),
            ("client_id", &self.client_id),
        ] {
            if text.trim().is_empty() || text.contains('\0') {
                return refuse(setting, "must not be empty");
            }
        }
        if !(1..=256).contains(&self.lanes) {
            return refuse("lanes", "must lie between 1 and 256");
        }
        if self.poll_records_max == 0 || self.poll_records_behind_max < self.poll_records_max {
            return refuse(
                "poll_records_max",
                "must be at least 1 and at most poll_records_behind_max",
            );
        }
        if self.slice_bytes_max == 0 || self.slice_bytes_max > 1 << 30 {
            return refuse("slice_bytes_max", "must lie between 1 byte and 1 GiB");
        }
        if self.in_flight_bytes_max < self.slice_bytes_max {
            return refuse("in_flight_bytes_max", "must be at least slice_bytes_max");
        }
        if self.recheck_ms == 0 || self.hint_ms == 0 {
            return refuse("recheck_ms", "recheck_ms and hint_ms must be at least 1");
        }
        try_out(self)
    }
}

impl fmt::Debug for StreamConfig {
    /// Leaves out the values of properties, because passwords are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("topic", &self.topic)
            .field("reading", &self.reading)
            .field("client_id", &self.client_id)
            .field("lanes", &self.lanes)
            .field("poll_records_max", &self.poll_records_max)
            .field("poll_records_behind_max", &self.poll_records_behind_max)
            .field("slice_bytes_max", &self.slice_bytes_max)
            .field("in_flight_bytes_max", &self.in_flight_bytes_max)
            .field("session_timeout_ms", &self.session_timeout_ms)
            .field("first_sight", &self.first_sight)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Option<&str>, change: impl FnOnce(&mut StreamConfig)) {
        let mut config = StreamConfig { brokers: "127.0.0.1:1".into(), ..StreamConfig::default() };
        change(&mut config);
        let found = config.check();
        assert_eq!(found.as_ref().err().map(StreamError::code), code, "{found:?} {config:?}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let pass = |config: &mut StreamConfig, name: &str, value: &str| {
            config.properties.insert(name.into(), value.into());
        };
        let invalid = Some("SETTING_INVALID");
        check(None, |_| {});
        check(invalid, |config| config.brokers.clear());
        check(invalid, |config| config.topic = " ".into());
        check(invalid, |config| config.group.clear());
        check(invalid, |config| config.client_id = "a\0b".into());
        check(invalid, |config| config.lanes = 0);
        check(invalid, |config| config.lanes = 257);
        check(invalid, |config| config.poll_records_max = 0);
        check(invalid, |config| config.poll_records_behind_max = 99);
        check(None, |config| config.poll_records_behind_max = 100);
        check(invalid, |config| config.slice_bytes_max = 0);
        check(invalid, |config| config.in_flight_bytes_max = 1 << 20);
        check(invalid, |config| config.recheck_ms = 0);
        check(invalid, |config| config.hint_ms = 0);
        check(Some("PROPERTY_REFUSED"), |config| pass(config, "group.id", "x"));
        check(Some("PROPERTY_REFUSED"), |config| pass(config, "no.such", "x"));
        check(None, |config| pass(config, "max.poll.interval.ms", "30000"));
        check(invalid, |config| pass(config, "max.poll.interval.ms", "29999"));
        check(invalid, |config| pass(config, "receive.message.max.bytes", "1000"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = StreamConfig::default();
        config.properties.insert("sasl.password".into(), "hunter2".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
