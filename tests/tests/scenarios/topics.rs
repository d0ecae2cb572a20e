//! `tollgate topics` against a real Kafka: what is missing is made once, and what differs is said and left alone.

use std::time::Duration;

use serde_json::Value;
use tollgate_tests::harness::host::Setup;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::kafka::{create_topic, delete_topic, describe};

const LIMIT: Duration = Duration::from_secs(120);
const WEEK_MS: &str = "604800000";
const DAYS3_MS: &str = "259200000";

/// The design, under names of its own.
fn setup(brokers: &str) -> (Setup, Vec<String>) {
    let name = |name: &str| format!("designed-{}-{name}", std::process::id());
    let names = ["campaigns", "clicks", "conversions", "compensations"].map(name);
    let [campaigns, clicks, conversions, compensations] = &names;
    let setup = Setup::new(brokers, clicks, "sqlite://not-needed.db")
        .campaign_events(campaigns)
        .compensations(compensations)
        .key("topics.conversion_topic", format!("{conversions:?}"))
        .key("topics.unusable_suffix", "\"\"")
        .dead_letter_topics();
    let letters = [clicks, compensations].map(|topic| format!("{topic}.dlq"));
    (setup, names.into_iter().chain(letters).collect())
}

fn told(setup: &Setup, words: &[&str]) -> (i32, Value) {
    let words = [words, &["--json"]].concat();
    let (code, output) = setup.launch(&words).unwrap().finish(LIMIT).unwrap();
    (code, serde_json::from_str(&output).unwrap_or(Value::String(output)))
}

fn codes(answer: &Value) -> Vec<(String, String)> {
    let topics = answer["topics"].as_array().expect("topics").iter();
    let notes = topics.flat_map(|topic| {
        let notes = topic["notes"].as_array().expect("notes").iter();
        notes.map(|note| (topic["topic"].clone(), note["code"].clone()))
    });
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    notes.map(|(topic, code)| (text(topic), text(code))).collect()
}

#[test]
fn topics_are_made_as_designed_and_compared() {
    let servers = Servers::shared().unwrap();
    let brokers = &servers.brokers;
    let (setup, names) = setup(brokers);
    let (code, answer) = told(&setup, &["topics", "check"]);
    assert_eq!((code, codes(&answer).len()), (2, 6), "{answer}");
    assert!(codes(&answer).iter().all(|(_, code)| code == "TOPIC_MISSING"), "{answer}");

    // One is there already, and too small.
    create_topic(brokers, &names[1], 2, 1).unwrap();
    let (code, answer) = told(&setup, &["topics", "create"]);
    let clicks = |code: &str| (names[1].clone(), code.to_owned());
    assert_eq!(code, 2, "{answer}");
    assert_eq!(codes(&answer), [clicks("PARTITIONS_FEWER"), clicks("RETENTION_SHORTER")]);
    assert_eq!(describe(brokers, &names[1]).unwrap(), (2, "86400000".to_owned()));
    let shapes: Vec<_> = [0, 2, 3, 4, 5].map(|at| describe(brokers, &names[at]).unwrap()).into();
    let expected = [(4, WEEK_MS), (4, DAYS3_MS), (4, DAYS3_MS), (1, WEEK_MS), (1, WEEK_MS)];
    assert_eq!(shapes, expected.map(|(partitions, kept)| (partitions, kept.to_owned())));

    // A larger one is fine, and said.
    delete_topic(brokers, &names[1]).unwrap();
    create_topic(brokers, &names[1], 12, 30).unwrap();
    let (code, answer) = told(&setup, &["topics", "create"]);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(codes(&answer), [clicks("PARTITIONS_MORE"), clicks("RETENTION_LONGER")]);
    let (code, again) = told(&setup, &["topics", "create"]);
    assert_eq!((code, codes(&again)), (0, codes(&answer)));

    let (code, answer) = told(&setup, &["topics", "check", "--replication", "3"]);
    assert_eq!(code, 2, "{answer}");
    assert_eq!(codes(&answer).iter().filter(|(_, code)| code == "REPLICAS_FEWER").count(), 6);
    for name in &names {
        delete_topic(brokers, name).unwrap();
    }
    let (code, answer) = told(&setup, &["topics", "create", "--replication", "3"]);
    assert_eq!(code, 2, "{answer}");
    assert!(codes(&answer).iter().all(|(_, code)| code == "TOPIC_REFUSED"), "{answer}");
}

#[test]
fn brokers_that_are_away_have_an_exit_code_of_their_own() {
    let (setup, _) = setup("127.0.0.1:1");
    let (code, answer) = told(&setup, &["topics", "check"]);
    assert_eq!(code, 69, "{answer}");
    assert!(answer.to_string().contains("KAFKA_UNAVAILABLE"), "{answer}");
}
