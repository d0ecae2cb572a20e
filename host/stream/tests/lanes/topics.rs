//! Topics are made once, compared, and never changed.

use std::collections::BTreeMap;

use tollgate_stream::admin::{Outcome, TopicSpec, ensure_topics};
use tollgate_stream::topics::{differences, shape, shape_when_made};

use crate::support::kafka::brokers;
use crate::support::topics::Topic;

const DAY_MS: i64 = 86_400_000;

fn spec(topic: &Topic, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: topic.name.clone(),
        partitions,
        replication: -1,
        retention_ms: Some(7 * DAY_MS),
        configs: BTreeMap::new(),
    }
}

fn ensure(spec: &TopicSpec) -> Outcome {
    let ensured = ensure_topics(&brokers(), &BTreeMap::new(), std::slice::from_ref(spec));
    ensured.unwrap().remove(0).outcome
}

fn codes(spec: &TopicSpec) -> Vec<&'static str> {
    let shape = shape(&brokers(), &BTreeMap::new(), &spec.name).unwrap();
    differences(spec, shape.as_ref()).iter().map(|found| found.kind.code()).collect()
}

#[test]
fn a_topic_is_made_as_designed_and_only_once() {
    let topic = Topic::named(&brokers(), "designed");
    let designed = spec(&topic, 8);
    assert_eq!(codes(&designed), ["TOPIC_MISSING"]);
    assert_eq!(ensure(&designed), Outcome::Created);
    let made = shape_when_made(&brokers(), &BTreeMap::new(), &topic.name).unwrap().unwrap();
    assert_eq!((made.partitions, made.replicas_min), (8, 1));
    assert_eq!(made.settings.as_ref().unwrap()["retention.ms"], "604800000");
    assert_eq!(differences(&designed, Some(&made)), []);
    assert_eq!(ensure(&designed), Outcome::Present);
    assert_eq!(codes(&designed), [""; 0]);
}

#[test]
fn what_is_there_is_compared_and_left_alone() {
    let topic = Topic::named(&brokers(), "differs");
    let narrow = TopicSpec {
        retention_ms: Some(DAY_MS),
        configs: BTreeMap::from([("cleanup.policy".to_owned(), "compact,delete".to_owned())]),
        ..spec(&topic, 2)
    };
    assert_eq!(ensure(&narrow), Outcome::Created);
    shape_when_made(&brokers(), &BTreeMap::new(), &topic.name).unwrap().unwrap();
    let designed = TopicSpec { replication: 3, ..spec(&topic, 4) };
    assert_eq!(ensure(&designed), Outcome::Present);
    let expected = ["PARTITIONS_FEWER", "REPLICAS_FEWER", "RETENTION_SHORTER", "CLEANUP_COMPACTS"];
    assert_eq!(codes(&designed), expected);
    topic.grow(6);
    assert_eq!(
        codes(&spec(&topic, 4)),
        ["RETENTION_SHORTER", "CLEANUP_COMPACTS", "PARTITIONS_MORE"]
    );
}

#[test]
fn what_brokers_refuse_is_said_for_that_topic() {
    let (refused, made) = (Topic::named(&brokers(), "refused"), Topic::named(&brokers(), "made"));
    let specs = [TopicSpec { replication: 3, ..spec(&refused, 1) }, spec(&made, 1)];
    let ensured = ensure_topics(&brokers(), &BTreeMap::new(), &specs).unwrap();
    let outcomes: Vec<_> = ensured.iter().map(|ensured| &ensured.outcome).collect();
    assert!(matches!(outcomes[..], [Outcome::Refused(_), Outcome::Created]), "{outcomes:?}");
}
