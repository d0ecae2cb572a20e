//! Properties of librdkafka: what a user may pass, what safety owns, and what is preset.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::watch::{Onlooker, Quiet};

const LEDGER: &str = "positions live in the ledger, not in Kafka";
const SETTING: &str = "it has a setting of its own";

/// Properties that safety owns, each with the reason.
const OWNED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "a misspelt topic must be seen, not created"),
    ("auto.commit.enable", LEDGER),
    ("auto.commit.interval.ms", LEDGER),
    ("auto.offset.reset", "a wanted offset that is gone must halt its partition, never be skipped"),
    ("bootstrap.servers", SETTING),
    ("check.crcs", "a damaged record must not be billed"),
    ("client.id", SETTING),
    ("enable.auto.commit", LEDGER),
    ("enable.auto.offset.store", LEDGER),
    ("enable.partition.eof", "the end of a partition is not an error"),
    ("group.id", SETTING),
    ("group.instance.id", "the lanes of one process would throw each other out of the group"),
    ("group.protocol", "the newer protocol goes on reading when it has lost its group"),
    ("group.remote.assignor", "the newer group protocol is not used"),
    ("isolation.level", "records of aborted transactions must not be billed"),
    ("metadata.broker.list", SETTING),
    ("offset.store.method", LEDGER),
    ("offset.store.path", LEDGER),
    ("offset.store.sync.interval.ms", LEDGER),
    (
        "partition.assignment.strategy",
        "a rebalance must leave partitions that stay where they are alone",
    ),
    ("plugin.library.paths", "foreign code is not loaded into a process that moves money"),
    ("session.timeout.ms", SETTING),
    ("topic.blacklist", "a topic that is hidden looks like one that is missing"),
];

/// Values that safety gives to consumers; none can be changed.
const SAFE: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("isolation.level", "read_committed"),
];

/// Values that are better than librdkafka's for this purpose; a user may change them.
const PRESET: &[(&str, &str)] = &[
    // The broker answers at once when there is something; a short wait lets a new partition join the next fetch.
    ("fetch.wait.max.ms", "50"),
    ("fetch.min.bytes", "1"),
    // With librdkafka's second of back-off a partition that was full stands still for that second.
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "50"),
    ("fetch.message.max.bytes", "4194304"),
    ("fetch.max.bytes", "33554432"),
    // A record may have 64 MiB; the rest is the protocol's.
    ("receive.message.max.bytes", "68157440"),
    // Per partition, because each partition has a queue of its own.
    ("queued.max.messages.kbytes", "8192"),
    ("queued.min.messages", "20000"),
    // Members learn by heartbeat that partitions move, so it bounds how long a partition that moves stands still.
    ("heartbeat.interval.ms", "500"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Beginnings of properties that hold for producers as well: connections, security, sizes.
const SHARED: &[&str] = &[
    "api.version.",
    "broker.address.",
    "client.dns.lookup",
    "connections.max.idle.ms",
    "debug",
    "enable.sasl.",
    "enable.ssl.",
    "https.ca.",
    "message.max.bytes",
    "metadata.recovery.",
    "reconnect.",
    "resolve.",
    "retry.backoff.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
];

/// A property that cannot be passed to librdkafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Kafka property `{name}` cannot be set: {reason}")]
pub struct PropertyError {
    pub name: String,
    /// Half a sentence; never holds the property's value.
    pub reason: String,
}

/// Every property that is owned by safety, is unknown to librdkafka, or has a value that it does not accept.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyError> {
    properties
        .iter()
        .filter_map(|(name, value)| {
            let reason = owned(name).map(str::to_owned).or_else(|| refused(name, value))?;
            Some(PropertyError { name: name.clone(), reason })
        })
        .collect()
}

/// Whether librdkafka accepts the settings together; it connects to nobody yet.
///
/// # Errors
/// Two settings contradict each other.
pub(crate) fn try_out(config: &StreamConfig) -> Result<(), StreamError> {
    let made = member(config, 0).create_with_context::<_, Onlooker>(Quiet);
    made.map(drop).map_err(|error| StreamError::Setting {
        setting: "properties",
        sentence: format!("do not go together: {error}"),
    })
}

/// What a lane's consumer is made of.
pub(crate) fn member(config: &StreamConfig, lane: usize) -> ClientConfig {
    let mut client = reader(&config.brokers, &config.client_id, &config.properties);
    client
        .set("client.id", format!("{}-{lane}", config.client_id))
        .set("group.id", &config.group)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", config.session_timeout_ms.to_string());
    // librdkafka says only in its debug log that a topic was re-created; see `Context::log`.
    let debug = config.properties.get("debug").map_or("topic".to_owned(), |d| format!("{d},topic"));
    client.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    if let Some(interval_ms) = config.properties.get("max.poll.interval.ms") {
        client.set("max.poll.interval.ms", interval_ms);
    }
    client
}

/// What a consumer outside of any group is made of.
pub(crate) fn reader(
    brokers: &str,
    client_id: &str,
    properties: &BTreeMap<String, String>,
) -> ClientConfig {
    let mut client = base(brokers, client_id);
    for (name, value) in PRESET {
        client.set(*name, *value);
    }
    pass(&mut client, properties);
    // It is compared with the session's timeout, which a consumer outside of any group does not have.
    client.remove("max.poll.interval.ms");
    for (name, value) in SAFE {
        client.set(*name, *value);
    }
    client
}

/// What a producer is made of. Only those of the consumers' properties pass that a producer shares with them.
pub(crate) fn producer(
    brokers: &str,
    client_id: &str,
    properties: &BTreeMap<String, String>,
    deadline: Duration,
) -> ClientConfig {
    let mut client = base(brokers, client_id);
    client.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "2000");
    client.set("socket.keepalive.enable", "true").set("socket.nagle.disable", "true");
    let is_shared = |name: &str| SHARED.iter().any(|prefix| name.starts_with(prefix));
    let shared = properties.iter().filter(|(name, _)| is_shared(name));
    pass(&mut client, &shared.map(|(name, value)| (name.clone(), value.clone())).collect());
    let deadline_ms = deadline.as_millis().max(100);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        // As Java's producers do, so that equal keys of different writers stay in order.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", deadline_ms.to_string())
        // A topic that is missing is told as such before the deadline hides it.
        .set("topic.metadata.propagation.max.ms", (deadline_ms / 2).to_string());
    client
}

/// What an admin client is made of.
pub(crate) fn admin(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut client = base(brokers, "tollgate-admin");
    pass(&mut client, properties);
    client
}

fn base(brokers: &str, client_id: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("client.id", client_id);
    client.set_log_level(RDKafkaLogLevel::Info);
    client
}

fn pass(client: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    for (name, value) in properties.iter().filter(|(name, _)| owned(name).is_none()) {
        client.set(name, value);
    }
}

fn owned(name: &str) -> Option<&'static str> {
    OWNED.iter().find(|(owned, _)| *owned == name).map(|(_, reason)| *reason)
}

/// Why librdkafka does not take the property, when it does not.
fn refused(name: &str, value: &str) -> Option<String> {
    if name.contains('\0') || value.contains('\0') {
        return Some("it contains a NUL character".to_owned());
    }
    let mut client = ClientConfig::new();
    client.set(name, value);
    match client.create_native_config() {
        Ok(_) => None,
        // librdkafka's sentence repeats the value, which may be a secret.
        Err(KafkaError::ClientConfig(_, text, _, _)) if text.contains("No such") => {
            Some("librdkafka does not know it".to_owned())
        }
        Err(KafkaError::ClientConfig(..)) => {
            Some("librdkafka does not accept its value".to_owned())
        }
        Err(error) => Some(format!("librdkafka does not accept it ({error})")),
    }
}

#[cfg(test)]
mod tests;
