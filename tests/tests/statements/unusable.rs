//! Events that nobody can use: they stop no statement, and stand in the side topics.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_tests::harness::topic::read_keyed;

use crate::world::{BASE_MS, UNUSABLE, World};

/// Topic, value, and the reason; none when a statement can use it.
const CASES: [(&str, &str, Option<&str>); 21] = [
    ("ad-events", "{", Some("NOT_A_JSON_OBJECT")),
    ("ad-events", "\u{0}\u{1}", Some("NOT_A_JSON_OBJECT")),
    ("ad-events", "[1]", Some("NOT_A_JSON_OBJECT")),
    ("ad-events", "null", Some("NOT_A_JSON_OBJECT")),
    ("ad-events", "{}", Some("TIMESTAMP_MISSING")),
    ("ad-events", r#"{"event_type":"CLICK","timestamp":null}"#, Some("TIMESTAMP_MISSING")),
    ("ad-events", r#"{"event_type":"CLICK","timestamp":1705314600}"#, Some("TIMESTAMP_UNPARSABLE")),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-01-15T10:30:00"}"#,
        Some("TIMESTAMP_UNPARSABLE"),
    ),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-02-30T10:30:00Z"}"#,
        Some("TIMESTAMP_UNPARSABLE"),
    ),
    ("ad-events", r#"{"event_type":"CLICK","timestamp":{"at":"now"}}"#, Some("TIMESTAMP_MISSING")),
    // An event of the next year would make all others late.
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2025-01-15T10:30:00Z"}"#,
        Some("TIMESTAMP_OUT_OF_RANGE"),
    ),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-01-15T10:40:01Z"}"#,
        Some("TIMESTAMP_OUT_OF_RANGE"),
    ),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-01-07T10:29:59Z"}"#,
        Some("TIMESTAMP_OUT_OF_RANGE"),
    ),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-01-15T10:30:00Z"}"#,
        Some("CAMPAIGN_ID_MISSING"),
    ),
    (
        "ad-events",
        r#"{"event_type":"CLICK","timestamp":"2024-01-15T10:30:00Z","campaign_id":"c","advertiser_id":"a","ad_id":"1"}"#,
        Some("DEVICE_ID_MISSING"),
    ),
    (
        "ad-events",
        r#"{"event_type":"SCROLL","timestamp":"2024-01-15T10:30:00Z","campaign_id":"c"}"#,
        None,
    ),
    ("conversion-events", "purchase", Some("NOT_A_JSON_OBJECT")),
    (
        "conversion-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","device_id":"d"}"#,
        Some("CONVERSION_TYPE_MISSING"),
    ),
    ("campaign-events", "\"{}\"", Some("NOT_A_JSON_OBJECT")),
    (
        "campaign-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","campaign_id":"c","effective_from":"tomorrow"}"#,
        Some("EFFECTIVE_FROM_UNPARSABLE"),
    ),
    (
        "campaign-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","campaign_id":"c","bid_price":"much"}"#,
        Some("BID_PRICE_IS_NO_NUMBER"),
    ),
];

pub(crate) fn feed(world: &mut World) {
    for (topic, payload, _) in CASES {
        world.raw(topic, payload, BASE_MS);
    }
}

pub(crate) fn check(world: &World) {
    let expected: BTreeMap<String, Option<String>> = CASES
        .iter()
        .map(|(_, payload, reason)| ((*payload).to_owned(), reason.map(str::to_owned)))
        .collect();
    let seen = |world: &World| -> BTreeMap<String, Option<String>> {
        let found: BTreeMap<_, _> =
            UNUSABLE.iter().flat_map(|topic| reasons(world, topic)).collect();
        CASES
            .iter()
            .map(|(_, payload, _)| ((*payload).to_owned(), found.get(*payload).cloned()))
            .collect()
    };
    world.wait_for("unusable events", expected, seen);
}

fn reasons(world: &World, topic: &str) -> Vec<(String, String)> {
    let records = read_keyed(&world.brokers, topic).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events =
        records.iter().map(|record| serde_json::from_str::<Value>(&record.payload).unwrap());
    let of_topic = events.inspect(|event| {
        assert_eq!(format!("{}.unusable", text(&event["topic"])), topic);
    });
    of_topic.map(|event| (text(&event["payload"]), text(&event["reason"]))).collect()
}
