//! Section about topics as designed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_stream::admin::TopicSpec;

use super::Config;

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    pub conversion_topic: String,
    pub unusable_suffix: String,
    pub replication: i32,
    pub campaign_events: Topic,
    pub ad_events: Topic,
    pub conversion_events: Topic,
    pub compensation_events: Topic,
    pub dead_letters: Topic,
    pub unusable_events: Topic,
}

/// Shape of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub partitions: i32,
    pub retention_days: i32,
}

const DAY_MS: i64 = 24 * 3_600_000;

impl Topics {
    /// The shapes by their keys.
    #[must_use]
    pub fn designed(&self) -> [(&'static str, Topic); 6] {
        [
            ("campaign_events", self.campaign_events),
            ("ad_events", self.ad_events),
            ("conversion_events", self.conversion_events),
            ("compensation_events", self.compensation_events),
            ("dead_letters", self.dead_letters),
            ("unusable_events", self.unusable_events),
        ]
    }
}

impl Topic {
    /// How long records are kept, in milliseconds; -1 for ever.
    #[must_use]
    pub fn retention_ms(self) -> i64 {
        if self.retention_days < 0 { -1 } else { i64::from(self.retention_days) * DAY_MS }
    }
}

impl Config {
    /// All topics that the system is made of, under the names that are configured. A topic without a name is off.
    #[must_use]
    pub fn topic_specs(&self) -> Vec<TopicSpec> {
        let topics = &self.topics;
        let mut shapes = vec![
            (self.campaign_events.topic.clone(), topics.campaign_events),
            (self.kafka.topic.clone(), topics.ad_events),
            (topics.conversion_topic.clone(), topics.conversion_events),
            (self.compensation.topic.clone(), topics.compensation_events),
        ];
        if self.dead_letters.publish {
            let suffix = &self.dead_letters.topic_suffix;
            let dead = [&self.kafka.topic, &self.compensation.topic];
            shapes.extend(dead.map(|topic| (format!("{topic}{suffix}"), topics.dead_letters)));
        }
        if !topics.unusable_suffix.is_empty() {
            let suffix = &topics.unusable_suffix;
            let read = [&self.campaign_events.topic, &self.kafka.topic, &topics.conversion_topic];
            let named = read.into_iter().filter(|topic| !topic.is_empty());
            shapes.extend(named.map(|topic| (format!("{topic}{suffix}"), topics.unusable_events)));
        }
        shapes.retain(|(name, _)| !name.is_empty());
        let spec = |(name, topic): (String, Topic)| TopicSpec {
            name,
            partitions: topic.partitions,
            replication: topics.replication,
            retention_ms: Some(topic.retention_ms()),
            configs: Default::default(),
        };
        shapes.into_iter().map(spec).collect()
    }
}
