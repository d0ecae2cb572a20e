//! The watch: a thread that looks at the topic as a whole. It applies the first sight before lanes join, and
//! then compares the topic's id and reads the ends of its partitions every few seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::ANSWER_PAUSE;
use crate::config::FirstSight;
use crate::error::StreamError;
use crate::log::{self, Brake};
use crate::properties;
use crate::shared::{Shared, lock};
use crate::status::TopicState;
use crate::topic_id::configured_topic_id;
use crate::unwound::unwound;

/// How soon a topic that is missing, or brokers that do not answer, are looked at again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A consumer that is in no group.
pub(crate) type Onlooker = BaseConsumer<Quiet>;

/// Context of clients that have nothing to call back.
pub(crate) struct Quiet;

impl rdkafka::ClientContext for Quiet {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, line: &str) {
        log::librdkafka(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Runs the watch until the stream stops.
pub(crate) fn run(shared: &Shared, client: &Onlooker) {
    let brake = Brake::default();
    while !shared.is_stopping() {
        // Events of this client are served, so that they do not pile up.
        while client.poll(Duration::ZERO).is_some() {}
        let looked = unwound(|| look(shared, client)).unwrap_or_else(|cause| {
            let text = format!("the look at the topic panicked ({cause}); looking again");
            Err(Trouble { text, missing: false })
        });
        let is_ready = {
            let mut view = lock(&shared.topic);
            match &looked {
                Ok(()) => {
                    view.state = TopicState::Present;
                    view.ready = true;
                    view.last_error = None;
                }
                Err(sentence) => {
                    if sentence.missing {
                        view.state = TopicState::Missing;
                    }
                    view.last_error = Some(sentence.text.clone());
                    if brake.lets() {
                        tracing::warn!(topic = shared.config.topic, "{}", sentence.text);
                    }
                }
            }
            view.ready
        };
        shared.topic_changed.notify_all();
        let recheck = Duration::from_millis(shared.config.recheck_ms);
        shared.rest(if is_ready { recheck } else { RETRY_PAUSE.min(recheck) });
    }
}

/// Why a look brought nothing.
struct Trouble {
    text: String,
    missing: bool,
}

impl From<StreamError> for Trouble {
    fn from(error: StreamError) -> Self {
        let missing = matches!(error, StreamError::TopicMissing { .. });
        Self { text: error.to_string(), missing }
    }
}

fn look(shared: &Shared, client: &Onlooker) -> Result<(), Trouble> {
    let topic = &shared.config.topic;
    let id = configured_topic_id(client.client(), &shared.config, ANSWER_PAUSE)?;
    restart_strangers(shared, &id);
    let partitions = led(client, topic)?;
    let highs = ends(client, topic, &partitions, Offset::End)?;
    if !lock(&shared.topic).ready {
        all_led(client, topic, &partitions)?;
        let starts = match shared.config.first_sight {
            FirstSight::Latest => highs.clone(),
            FirstSight::Earliest => ends(client, topic, &partitions, Offset::Beginning)?,
        };
        let starts: Vec<(i32, i64)> = starts.into_iter().collect();
        let seen = shared.positions.first_sight(topic, &id, &starts);
        seen.map_err(|error| Trouble { text: error.to_string(), missing: false })?;
    }
    lock(&shared.topic).ends = highs;
    Ok(())
}

/// Lanes that read a topic with another id start over; the ledger then says what becomes of its partitions.
fn restart_strangers(shared: &Shared, id: &str) {
    for holding in shared.held() {
        if holding.topic_id != id {
            shared.lanes[holding.lane].demand_restart("the topic was re-created; starting over");
        }
    }
}

/// Makes a client for [`run`] and for one-off questions.
///
/// # Errors
/// librdkafka does not accept the properties.
pub(crate) fn onlooker(
    brokers: &str,
    client_id: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Arc<Onlooker>, StreamError> {
    properties::reader(brokers, client_id, properties)
        .create_with_context(Quiet)
        .map(Arc::new)
        .map_err(|error| StreamError::kafka("be set up", error))
}

/// The first sight has to cover every partition, so it waits for those that have no leader.
fn all_led(client: &Onlooker, topic: &str, led: &[i32]) -> Result<(), StreamError> {
    let leaderless = partitions(client, topic)?.into_iter().find(|(one, _)| !led.contains(one));
    leaderless.map_or(Ok(()), |(partition, _)| {
        Err(StreamError::kafka("see every partition", format!("{partition} has no leader")))
    })
}

/// Partitions that have a leader.
///
/// # Errors
/// The topic does not exist, or no broker answered.
pub(crate) fn led<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
) -> Result<Vec<i32>, StreamError> {
    let partitions = partitions(client, topic)?;
    Ok(partitions.into_iter().filter(|(_, led)| *led).map(|(partition, _)| partition).collect())
}

/// Numbers of the topic's partitions, and whether they have a leader.
///
/// # Errors
/// The topic does not exist, or no broker answered.
pub(crate) fn partitions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
) -> Result<Vec<(i32, bool)>, StreamError> {
    const WHAT: &str = "list the topic's partitions";
    let missing = || StreamError::TopicMissing { topic: topic.to_owned() };
    let metadata = client
        .fetch_metadata(Some(topic), ANSWER_PAUSE)
        .map_err(|error| StreamError::kafka(WHAT, error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(missing)?;
    if let Some(error) = found.error() {
        return Err(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => missing(),
            code => StreamError::kafka(WHAT, code),
        });
    }
    let partitions: Vec<(i32, bool)> = found
        .partitions()
        .iter()
        .map(|partition| (partition.id(), partition.leader() >= 0))
        .collect();
    if partitions.is_empty() { Err(missing()) } else { Ok(partitions) }
}

/// One end of each partition's log, asked with a single request per broker. The upper end is the one that
/// committed records reach.
///
/// # Errors
/// No broker answered, or one of the partitions has no leader at the moment.
pub(crate) fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    end: Offset,
) -> Result<BTreeMap<i32, i64>, StreamError> {
    const WHAT: &str = "tell the ends of the topic's partitions";
    let failed = |error: rdkafka::error::KafkaError| StreamError::kafka(WHAT, error);
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::new();
    for &partition in partitions {
        list.add_partition_offset(topic, partition, end).map_err(failed)?;
    }
    let found = client.offsets_for_times(list, ANSWER_PAUSE).map_err(failed)?;
    let mut ends = BTreeMap::new();
    for element in found.elements() {
        element.error().map_err(failed)?;
        let Offset::Offset(offset) = element.offset() else {
            return Err(StreamError::kafka(WHAT, "the answer has no offset"));
        };
        ends.insert(element.partition(), offset);
    }
    Ok(ends)
}
