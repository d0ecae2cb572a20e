//! Clicks to compensations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate_tests::harness::topic::read_keyed;

use crate::world::{BASE_MS, COMPENSATIONS, MINUTE_MS, World, ad, with};

/// Clicks of one device, each with its place in time and what is special about it; and the events after them: the
/// timestamps they name, what they refund, the end of their window.
struct Case {
    device: &'static str,
    clicks: Vec<(i64, Value)>,
    expected: Vec<(Vec<&'static str>, i64, &'static str)>,
}

/// Clicks of a device in one window, more than fit into an event.
const MANY: i64 = 250;

/// Device and campaign of honest clicks beside events that are ahead of the time.
const BESIDE: &str = "beside";

/// Devices that click several times at an instant, more than fit into an event: clicks at each of the instants, which
/// are 100 ms apart; and of each event the count, how many timestamps it names, and the last of them.
type Crowd = (&'static str, fn() -> Vec<i64>, &'static [(i64, usize, &'static str)]);

const CROWDS: [Crowd; 3] = [
    // Two events of the same timestamps would be, for the host, one that came twice.
    ("crowd_at_once", || vec![201], &[(201, 100, "2024-01-15T10:30:00Z")]),
    // Of three clicks at 10:30:03.4 the first one is the 99th duplicate.
    (
        "crowd_at_the_cut",
        || [vec![1, 2], vec![3; 40]].concat(),
        &[(102, 100, "2024-01-15T10:30:03.4Z"), (22, 22, "2024-01-15T10:30:04.1Z")],
    ),
    // The second event begins behind the crowd that has filled the first one.
    (
        "crowd_in_between",
        || vec![1, 97, 30, 2],
        &[(128, 100, "2024-01-15T10:30:00.2Z"), (3, 3, "2024-01-15T10:30:00.3Z")],
    ),
];

pub(crate) fn feed(world: &mut World) {
    for case in cases() {
        for (after_ms, changes) in case.clicks {
            let click = ad("CLICK", "campaign_100", case.device, BASE_MS + after_ms);
            world.ad_event_at(BASE_MS + after_ms, with(click, changes));
        }
    }
    for one in 0..MANY {
        world.ad_event(ad("CLICK", "campaign_100", "many", BASE_MS + one * 100));
    }
    for (device, clicks, _) in CROWDS {
        for (at, many) in clicks().into_iter().enumerate() {
            for _ in 0..many {
                let at_ms = BASE_MS + at as i64 * 100;
                world.ad_event(ad("CLICK", "campaign_100", device, at_ms));
            }
        }
    }
}

pub(crate) fn check(world: &World) {
    for case in cases() {
        let expected: Vec<Value> = case
            .expected
            .iter()
            .map(|(instants, refund, timestamp)| {
                compensation(case.device, instants, *refund, timestamp)
            })
            .collect();
        world.wait_for(case.device, expected, |world| of_device(world, case.device));
    }
    check_many(world);
    check_crowds(world);
    let keys =
        |world: &World| -> BTreeSet<_> { emitted(world).into_iter().map(|(key, _)| key).collect() };
    world.wait_for("keys", ["advertiser_50".to_owned()].into(), keys);
}

/// The limit of the host is 100 timestamps; every duplicate is in one event.
fn check_many(world: &World) {
    let events = of_device(world, "many");
    let counts: Vec<_> =
        events.iter().map(|event| event["duplicate_click_count"].as_i64().unwrap()).collect();
    let refunds: i64 = events.iter().map(|event| event["refund_amount"].as_i64().unwrap()).sum();
    let repeated = |event: &Value| {
        let instants = event["original_click_timestamps"].as_array().unwrap().clone();
        instants.into_iter().skip(1).map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all: BTreeSet<_> = events.iter().flat_map(repeated).collect();
    assert_eq!((counts, refunds), (vec![100, 100, 52], (MANY - 1) * 1200));
    assert_eq!(all.len() as i64, MANY - 1);
}

/// An instant is in one event, which counts and refunds all of its duplicates, named or not.
fn check_crowds(world: &World) {
    for (device, clicks, expected) in CROWDS {
        let expected: Vec<_> = expected
            .iter()
            .map(|(count, named, last)| (*count, (count - 1) * 1200, *named, (*last).to_owned()))
            .collect();
        let counted: i64 = expected.iter().map(|(count, ..)| count - 1).sum();
        assert_eq!(counted, clicks().iter().sum::<i64>() - 1, "{device}");
        world.wait_for(device, expected, |world| {
            let events = of_device(world, device).into_iter().map(|event| {
                let number = |name: &str| event[name].as_i64().unwrap();
                let instants = event["original_click_timestamps"].as_array().unwrap();
                let last = instants.last().unwrap().as_str().unwrap().to_owned();
                (number("duplicate_click_count"), number("refund_amount"), instants.len(), last)
            });
            events.collect()
        });
    }
}

/// Honest clicks, after events of all partitions that are ten minutes ahead of their records.
pub(crate) fn feed_beside_events_ahead(world: &mut World) {
    world.run_ahead(41);
    for after_ms in [0, 1_000] {
        world.ad_event(ad("CLICK", BESIDE, BESIDE, BASE_MS + 42 * MINUTE_MS + after_ms));
    }
    world.flush();
}

/// They are refunded and counted.
pub(crate) fn check_beside_events_ahead(world: &World) {
    let instants = ["2024-01-15T11:12:00Z", "2024-01-15T11:12:01Z"];
    let mut repeat = compensation(BESIDE, &instants, 1200, "2024-01-15T11:15:00Z");
    repeat["campaign_id"] = json!(BESIDE);
    world.wait_for("clicks beside events ahead", vec![repeat], |world| of_device(world, BESIDE));
    let metrics = "window_start 2024-01-15T11:10:00.000Z window_end 2024-01-15T11:15:00.000Z impressions 0 clicks 2 \
                   conversions 0 ctr 0.000000 cvr 0.000000";
    world.wait_for("metrics", metrics.to_owned(), |world| world.hash(&format!("metrics:{BESIDE}")));
}

/// Clicks that a cluster reads which is then killed; the windows are open.
pub(crate) fn feed_half(world: &mut World) {
    for after_ms in [0, 1_000] {
        world.ad_event(ad("CLICK", "campaign_100", "half", BASE_MS + 45 * MINUTE_MS + after_ms));
    }
    world.flush();
}

/// A click while no cluster is there.
pub(crate) fn feed_other_half(world: &mut World) {
    world.ad_event(ad("CLICK", "campaign_100", "half", BASE_MS + 45 * MINUTE_MS + 2_000));
    world.flush();
}

pub(crate) fn check_halves(world: &World) {
    let instants = ["2024-01-15T11:15:00Z", "2024-01-15T11:15:01Z", "2024-01-15T11:15:02Z"];
    let expected = vec![compensation("half", &instants, 2400, "2024-01-15T11:20:00Z")];
    world.wait_for("clicks around a kill", expected, |world| of_device(world, "half"));
    check_many(world);
}

/// What is emitted again has the identity that the host knows it by, and names the same refund.
pub(crate) fn check_identities(world: &World) {
    let mut refunds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, event) in emitted(world) {
        let parts = [
            "advertiser_id",
            "campaign_id",
            "ad_id",
            "device_id",
            "detection_window",
            "compensation_type",
        ];
        let identity = parts.map(|part| event[part].to_string()).join("|");
        let identity = format!("{identity}|{}", event["original_click_timestamps"]);
        refunds.entry(identity).or_default().insert(event["refund_amount"].to_string());
    }
    assert_eq!(refunds.len() * 2, emitted(world).len(), "every compensation came twice");
    assert!(refunds.values().all(|amounts| amounts.len() == 1));
}

/// Keys and values of the topic, as far as they are committed.
pub(crate) fn emitted(world: &World) -> Vec<(String, Value)> {
    let records = read_keyed(&world.brokers, COMPENSATIONS).unwrap();
    let read = |payload: &str| serde_json::from_str(payload).unwrap();
    records.into_iter().map(|record| (record.key, whole(read(&record.payload)))).collect()
}

/// Flink writes the zeros of a decimal's scale: 2400.000000.
fn whole(mut event: Value) -> Value {
    let refund = event["refund_amount"].as_f64().unwrap();
    assert!(refund.fract() == 0.0, "{event}");
    event["refund_amount"] = json!(refund as i64);
    event
}

pub(crate) fn of_device(world: &World, device: &str) -> Vec<Value> {
    let events = emitted(world).into_iter().map(|(_, event)| event);
    let mut events: Vec<Value> = events.filter(|event| event["device_id"] == device).collect();
    events.sort_by_key(|event| event["original_click_timestamps"].to_string());
    events
}

/// In the customer's schema.
pub(crate) fn compensation(device: &str, instants: &[&str], refund: i64, timestamp: &str) -> Value {
    json!({
        "timestamp": timestamp, "advertiser_id": "advertiser_50", "campaign_id": "campaign_100", "ad_id": "ad_001",
        "device_id": device, "duplicate_click_count": instants.len(), "refund_amount": refund,
        "original_click_timestamps": instants, "detection_window": "5_MINUTES",
        "reason": "DUPLICATE_CLICK_DETECTED", "compensation_type": "BALANCE_REFUND"
    })
}

/// A click that names no price at all.
fn unpriced() -> Value {
    json!({"actual_price": null, "bid_price": null})
}

fn cases() -> Vec<Case> {
    let plain = |times: &[i64]| times.iter().map(|after_ms| (*after_ms, json!({}))).collect();
    let of = |device, clicks, expected| Case { device, clicks, expected };
    vec![
        // The example of the customer's design, to the letter.
        of(
            "device_54321",
            plain(&[15_000, 18_000, 22_000]),
            vec![(
                vec!["2024-01-15T10:30:15Z", "2024-01-15T10:30:18Z", "2024-01-15T10:30:22Z"],
                2400,
                "2024-01-15T10:35:00Z",
            )],
        ),
        of("single", plain(&[15_000]), vec![]),
        of(
            "across_the_edge",
            plain(&[4 * MINUTE_MS + 58_000, 5 * MINUTE_MS + 1_000]),
            vec![(
                vec!["2024-01-15T10:34:58Z", "2024-01-15T10:35:01Z"],
                1200,
                "2024-01-15T10:40:00Z",
            )],
        ),
        of(
            "on_the_edge",
            plain(&[5 * MINUTE_MS - 1, 5 * MINUTE_MS]),
            vec![(
                vec!["2024-01-15T10:34:59.999Z", "2024-01-15T10:35:00Z"],
                1200,
                "2024-01-15T10:40:00Z",
            )],
        ),
        // The last duplicate of one window is repeated in the next.
        of(
            "chain",
            plain(&[3 * MINUTE_MS, 4 * MINUTE_MS, 5 * MINUTE_MS, 8 * MINUTE_MS + 30_000]),
            vec![
                (
                    vec!["2024-01-15T10:33:00Z", "2024-01-15T10:34:00Z"],
                    1200,
                    "2024-01-15T10:35:00Z",
                ),
                (
                    vec!["2024-01-15T10:33:00Z", "2024-01-15T10:35:00Z", "2024-01-15T10:38:30Z"],
                    2400,
                    "2024-01-15T10:40:00Z",
                ),
            ],
        ),
        of("five_minutes", plain(&[0, 5 * MINUTE_MS]), vec![]),
        of(
            "almost_five_minutes",
            plain(&[0, 5 * MINUTE_MS - 1]),
            vec![(
                vec!["2024-01-15T10:30:00Z", "2024-01-15T10:34:59.999Z"],
                1200,
                "2024-01-15T10:35:00Z",
            )],
        ),
        of(
            "same_millisecond",
            plain(&[7_000, 7_000, 7_000]),
            vec![(
                vec!["2024-01-15T10:30:07Z", "2024-01-15T10:30:07Z", "2024-01-15T10:30:07Z"],
                2400,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // Within a millisecond the one that comes first in the log is the later one, and costs more.
        of(
            "microseconds",
            vec![
                (7_000, json!({"timestamp": "2024-01-15T10:30:07.000900Z", "actual_price": 900})),
                (7_000, json!({"timestamp": "2024-01-15T10:30:07.000100Z", "actual_price": 100})),
            ],
            vec![(
                vec!["2024-01-15T10:30:07.000100Z", "2024-01-15T10:30:07.000900Z"],
                900,
                "2024-01-15T10:35:00Z",
            )],
        ),
        of(
            "other_ad",
            vec![
                (0, json!({})),
                (1_000, json!({"ad_id": "ad_002"})),
                (2_000, json!({"ad_id": ""})),
            ],
            vec![],
        ),
        of(
            "no_click",
            vec![
                (0, json!({})),
                (1_000, json!({"event_type": "IMPRESSION"})),
                (2_000, json!({"campaign_id": null})),
            ],
            vec![],
        ),
        // The host finds a charge by its timestamp as it was written.
        of(
            "offsets",
            vec![
                (0, json!({"timestamp": "2024-01-15T19:30:00.000123+09:00"})),
                (1_000, json!({"timestamp": "2024-01-15T05:00:01-0530"})),
            ],
            vec![(
                vec!["2024-01-15T19:30:00.000123+09:00", "2024-01-15T05:00:01-0530"],
                1200,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // What comes later has happened before; the earlier one is wanted.
        of(
            "out_of_order",
            vec![
                (20_000, json!({"timestamp": "2024-01-15T10:30:20Z", "actual_price": 20})),
                (25_000, json!({"timestamp": "2024-01-15T10:30:18Z", "actual_price": 18})),
            ],
            vec![(
                vec!["2024-01-15T10:30:18Z", "2024-01-15T10:30:20Z"],
                20,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // The host refuses a price that is a text, and with it the click.
        of(
            "prices",
            vec![
                (0, json!({"actual_price": 1})),
                (1_000, json!({"actual_price": 2})),
                (2_000, json!({"actual_price": null, "bid_price": 30})),
                (3_000, json!({"actual_price": "400"})),
            ],
            vec![(
                vec!["2024-01-15T10:30:00Z", "2024-01-15T10:30:01Z", "2024-01-15T10:30:02Z"],
                32,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // A click without a price is worth the greatest known one before it,
        of(
            "unpriced",
            vec![
                (0, json!({"actual_price": 700})),
                (1_000, unpriced()),
                (2_000, json!({"actual_price": 300})),
                (3_000, unpriced()),
            ],
            vec![(
                vec![
                    "2024-01-15T10:30:00Z",
                    "2024-01-15T10:30:01Z",
                    "2024-01-15T10:30:02Z",
                    "2024-01-15T10:30:03Z",
                ],
                1_700,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // or of its window.
        of(
            "unpriced_at_first",
            vec![
                (0, unpriced()),
                (1_000, unpriced()),
                (2_000, json!({"bid_price": 500, "actual_price": null})),
            ],
            vec![(
                vec!["2024-01-15T10:30:00Z", "2024-01-15T10:30:01Z", "2024-01-15T10:30:02Z"],
                1_000,
                "2024-01-15T10:35:00Z",
            )],
        ),
        // Nobody knows a price, and the event says so.
        of(
            "unpriced_all",
            vec![(0, unpriced()), (1_000, unpriced())],
            vec![(vec!["2024-01-15T10:30:00Z", "2024-01-15T10:30:01Z"], 0, "2024-01-15T10:35:00Z")],
        ),
        // Texts that tollgate reads, although RFC 3339 does not have them.
        of(
            "nearly_rfc_3339",
            vec![
                (0, json!({"timestamp": "2024-01-15T10:30Z"})),
                (1_000, json!({"timestamp": "20240115T193001,5+0900"})),
                (60_000, json!({"timestamp": "2024-01-15T10:30:60Z"})),
            ],
            vec![(
                vec!["2024-01-15T10:30Z", "20240115T193001,5+0900", "2024-01-15T10:30:60Z"],
                2400,
                "2024-01-15T10:35:00Z",
            )],
        ),
    ]
}
