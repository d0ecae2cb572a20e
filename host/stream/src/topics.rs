//! Topics as they are, and where they differ from how they should be.

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::admin::{TopicSpec, block_on};
use crate::assignment::ANSWER_PAUSE;
use crate::error::StreamError;
use crate::properties;
use crate::watch::{self, Quiet};

/// A topic as the brokers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicShape {
    pub partitions: i32,
    /// Copies of the partition that has the fewest.
    pub replicas_min: i32,
    /// Settings of the topic that [`differences`] looks at; `None` when the brokers do not show them to us.
    pub settings: Option<BTreeMap<String, String>>,
}

/// Where a topic is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
    /// What is, what should be, and what to do.
    pub sentence: String,
}

/// In which way a topic is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    Missing,
    FewerPartitions,
    MorePartitions,
    ShorterRetention,
    LongerRetention,
    SizeLimit,
    Compacted,
    FewerReplicas,
    Unknown,
}

impl DifferenceKind {
    /// The stable name of the difference.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "TOPIC_MISSING",
            Self::FewerPartitions => "PARTITIONS_FEWER",
            Self::MorePartitions => "PARTITIONS_MORE",
            Self::ShorterRetention => "RETENTION_SHORTER",
            Self::LongerRetention => "RETENTION_LONGER",
            Self::SizeLimit => "RETENTION_BY_SIZE",
            Self::Compacted => "CLEANUP_COMPACTS",
            Self::FewerReplicas => "REPLICAS_FEWER",
            Self::Unknown => "SETTINGS_UNKNOWN",
        }
    }

    /// Whether the system works all the same, and it is only said.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        matches!(self, Self::MorePartitions | Self::LongerRetention | Self::Unknown)
    }
}

/// Between two looks for a topic that was just made.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

const RETENTION: &str = "retention.ms";
const SIZE_LIMIT: &str = "retention.bytes";
const CLEANUP: &str = "cleanup.policy";

/// Looks at the shape of a topic; `None` when there is no such topic.
///
/// # Errors
/// The brokers did not answer.
pub fn shape(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<Option<TopicShape>, StreamError> {
    const WHAT: &str = "list the topic's partitions";
    let client = watch::onlooker(brokers, "tollgate-admin", properties)?;
    match watch::partitions(&client, topic) {
        Err(StreamError::TopicMissing { .. }) => return Ok(None),
        other => other.map(drop)?,
    }
    let metadata = client
        .fetch_metadata(Some(topic), ANSWER_PAUSE)
        .map_err(|error| StreamError::kafka(WHAT, error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.map_or(&[][..], |found| found.partitions());
    let fewest = partitions.iter().map(|partition| partition.replicas().len()).min();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(Some(TopicShape {
        partitions: number(partitions.len()),
        replicas_min: number(fewest.unwrap_or(0)),
        settings: settings(brokers, properties, topic)?,
    }))
}

/// As [`shape`], of a topic that was just made: brokers learn of it a little later than its maker.
///
/// # Errors
/// As [`shape`].
pub fn shape_when_made(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<Option<TopicShape>, StreamError> {
    let begin = Instant::now();
    loop {
        let found = shape(brokers, properties, topic)?;
        if found.is_some() || begin.elapsed() > ANSWER_PAUSE {
            return Ok(found);
        }
        thread::sleep(LOOK_PAUSE);
    }
}

/// Compares a topic with how it should be; the worst comes first.
#[must_use]
pub fn differences(spec: &TopicSpec, shape: Option<&TopicShape>) -> Vec<Difference> {
    let name = &spec.name;
    let Some(shape) = shape else {
        let sentence = format!("{name} does not exist; `tollgate topics create` makes it");
        return vec![Difference { kind: DifferenceKind::Missing, sentence }];
    };
    let mut found: Vec<_> = partitions(spec, shape).into_iter().collect();
    found.extend(replicas(spec, shape));
    match &shape.settings {
        Some(settings) => found.extend(kept(spec, settings)),
        None => found.push(Difference {
            kind: DifferenceKind::Unknown,
            sentence: format!(
                "the settings of {name} are not shown to us; allow DescribeConfigs on the topic to compare its retention"
            ),
        }),
    }
    found.sort_by_key(|difference| difference.kind.is_harmless());
    found
}

fn partitions(spec: &TopicSpec, shape: &TopicShape) -> Option<Difference> {
    let (name, wanted, there) = (&spec.name, spec.partitions, shape.partitions);
    let difference = |kind, sentence| Some(Difference { kind, sentence });
    if there < wanted {
        let sentence = format!(
            "{name} has {there} partitions, {wanted} are designed; adding some moves keys to other partitions, so let its \
             readers catch up first: kafka-topics.sh --alter --topic {name} --partitions {wanted}"
        );
        return difference(DifferenceKind::FewerPartitions, sentence);
    }
    if there > wanted {
        let sentence =
            format!("{name} has {there} partitions, {wanted} are designed; more are fine");
        return difference(DifferenceKind::MorePartitions, sentence);
    }
    None
}

fn replicas(spec: &TopicSpec, shape: &TopicShape) -> Option<Difference> {
    let (name, wanted, there) = (&spec.name, spec.replication, shape.replicas_min);
    (there < wanted).then(|| Difference {
        kind: DifferenceKind::FewerReplicas,
        sentence: format!(
            "{name} has {there} copies of a partition, {wanted} are wanted; add copies with kafka-reassign-partitions.sh, or \
             lower topics.replication"
        ),
    })
}

/// How long records are kept: by age, by size, by key.
fn kept(spec: &TopicSpec, settings: &BTreeMap<String, String>) -> Vec<Difference> {
    let name = &spec.name;
    let mut found = Vec::new();
    let setting = |key: &str| settings.get(key).map_or("", String::as_str);
    let alter = |change: &str| {
        format!("kafka-configs.sh --alter --entity-type topics --entity-name {name} {change}")
    };
    if let (Some(wanted), Ok(there)) = (spec.retention_ms, setting(RETENTION).parse::<i64>()) {
        // -1 stands for ever.
        let is_shorter = there >= 0 && (wanted < 0 || there < wanted);
        let is_longer = wanted >= 0 && (there < 0 || there > wanted);
        if is_shorter {
            let sentence = format!(
                "{name} keeps records {} instead of {}, and what is not read by then is lost: {}",
                span(there),
                span(wanted),
                alter(&format!("--add-config {RETENTION}={wanted}")),
            );
            found.push(Difference { kind: DifferenceKind::ShorterRetention, sentence });
        } else if is_longer {
            let sentence = format!(
                "{name} keeps records {} instead of {}; longer is fine",
                span(there),
                span(wanted)
            );
            found.push(Difference { kind: DifferenceKind::LongerRetention, sentence });
        }
    }
    if setting(SIZE_LIMIT).parse::<i64>().is_ok_and(|bytes| bytes >= 0) {
        let sentence = format!(
            "{name} drops records beyond {} bytes of a partition, however young they are: {}",
            setting(SIZE_LIMIT),
            alter(&format!("--delete-config {SIZE_LIMIT}")),
        );
        found.push(Difference { kind: DifferenceKind::SizeLimit, sentence });
    }
    if setting(CLEANUP).contains("compact") {
        let sentence = format!(
            "{name} is compacted, which drops all but the last event of a key: {}",
            alter(&format!("--add-config {CLEANUP}=delete")),
        );
        found.push(Difference { kind: DifferenceKind::Compacted, sentence });
    }
    found
}

/// How long, in the largest whole unit.
fn span(ms: i64) -> String {
    let units = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
        (1, "ms"),
    ];
    if ms < 0 {
        return "for ever".to_owned();
    }
    let (unit, name) =
        units.into_iter().find(|(unit, _)| ms % unit == 0 && ms > 0).unwrap_or((1, "ms"));
    let plural = if ms / unit == 1 || name == "ms" { "" } else { "s" };
    format!("for {} {name}{plural}", ms / unit)
}

/// The topic's settings; `None` when we may not see them.
fn settings(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topic: &str,
) -> Result<Option<BTreeMap<String, String>>, StreamError> {
    const WHAT: &str = "describe the topic's settings";
    let failed = |error: rdkafka::error::KafkaError| StreamError::kafka(WHAT, error);
    let client: AdminClient<Quiet> =
        properties::admin(brokers, properties).create_with_context(Quiet).map_err(failed)?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_PAUSE));
    let asked = [ResourceSpecifier::Topic(topic)];
    let mut answers = block_on(client.describe_configs(&asked, &options)).map_err(failed)?;
    match answers.pop() {
        Some(Ok(resource)) => Ok(Some(looked_at(&resource))),
        Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) => Ok(None),
        Some(Err(code)) => Err(StreamError::kafka(WHAT, code)),
        None => Err(StreamError::kafka(WHAT, "the answer is empty")),
    }
}

fn looked_at(resource: &ConfigResource) -> BTreeMap<String, String> {
    let entries: HashMap<&str, _> = resource.entry_map();
    let value = |key: &str| Some((key.to_owned(), entries.get(key)?.value.clone()?));
    [RETENTION, SIZE_LIMIT, CLEANUP].into_iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn spec() -> TopicSpec {
        TopicSpec {
            name: "ad-events".into(),
            partitions: 8,
            replication: 3,
            retention_ms: Some(7 * DAY_MS),
            configs: BTreeMap::new(),
        }
    }

    fn shape_with(
        change: impl FnOnce(&mut TopicShape, &mut BTreeMap<String, String>),
    ) -> TopicShape {
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let settings =
            [(RETENTION, "604800000"), (SIZE_LIMIT, "-1"), (CLEANUP, "delete")].map(text);
        let (mut shape, mut settings) =
            (TopicShape { partitions: 8, replicas_min: 3, settings: None }, settings.into());
        change(&mut shape, &mut settings);
        shape.settings = Some(settings);
        shape
    }

    fn codes(spec: &TopicSpec, shape: Option<&TopicShape>) -> Vec<&'static str> {
        let found = differences(spec, shape);
        found.iter().map(|difference| difference.kind.code()).collect()
    }

    fn check(
        change: impl FnOnce(&mut TopicShape, &mut BTreeMap<String, String>),
        expected: &[&str],
    ) {
        let shape = shape_with(change);
        assert_eq!(codes(&spec(), Some(&shape)), expected, "{shape:?}");
    }

    fn set<'a>(
        key: &'a str,
        value: &'a str,
    ) -> impl FnOnce(&mut TopicShape, &mut BTreeMap<String, String>) + 'a {
        move |_, settings| drop(settings.insert(key.into(), value.into()))
    }

    #[test]
    fn every_difference_has_its_code() {
        check(|_, _| {}, &[]);
        check(|shape, _| shape.partitions = 7, &["PARTITIONS_FEWER"]);
        check(|shape, _| shape.partitions = 9, &["PARTITIONS_MORE"]);
        check(|shape, _| shape.replicas_min = 2, &["REPLICAS_FEWER"]);
        check(|shape, _| shape.replicas_min = 4, &[]);
        check(set(RETENTION, "604799999"), &["RETENTION_SHORTER"]);
        check(set(RETENTION, "0"), &["RETENTION_SHORTER"]);
        check(set(RETENTION, "604800001"), &["RETENTION_LONGER"]);
        check(set(RETENTION, "-1"), &["RETENTION_LONGER"]);
        check(set(SIZE_LIMIT, "1000000"), &["RETENTION_BY_SIZE"]);
        check(set(CLEANUP, "compact"), &["CLEANUP_COMPACTS"]);
        check(set(CLEANUP, "delete,compact"), &["CLEANUP_COMPACTS"]);
        check(|_, settings| settings.clear(), &[]);
        assert_eq!(codes(&spec(), None), ["TOPIC_MISSING"]);
        let unseen = TopicShape { partitions: 8, replicas_min: 3, settings: None };
        assert_eq!(codes(&spec(), Some(&unseen)), ["SETTINGS_UNKNOWN"]);
    }

    #[test]
    fn what_matters_comes_first() {
        let shape = shape_with(|shape, settings| {
            shape.partitions = 9;
            settings.insert(RETENTION.into(), "1000".into());
        });
        assert_eq!(codes(&spec(), Some(&shape)), ["RETENTION_SHORTER", "PARTITIONS_MORE"]);
    }

    #[test]
    fn what_is_left_to_the_brokers_is_not_compared() {
        let free = TopicSpec { replication: -1, retention_ms: None, ..spec() };
        let shape = shape_with(|shape, settings| {
            shape.replicas_min = 1;
            settings.insert(RETENTION.into(), "1000".into());
        });
        assert_eq!(codes(&free, Some(&shape)), [""; 0]);
        let for_ever = TopicSpec { retention_ms: Some(-1), ..spec() };
        assert_eq!(codes(&for_ever, Some(&shape_with(|_, _| {}))), ["RETENTION_SHORTER"]);
    }

    #[test]
    fn spans_are_shown_in_whole_units() {
        for (ms, expected) in [
            (7 * DAY_MS, "for 7 days"),
            (3_600_000, "for 1 hour"),
            (90_000, "for 90 seconds"),
            (1_500, "for 1500 ms"),
            (0, "for 0 ms"),
            (-1, "for ever"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }
}
