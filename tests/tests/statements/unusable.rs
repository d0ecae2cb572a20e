//! Events that nobody can use: they stop no statement, and stand in the side topics.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollgate_tests::harness::topic::read_keyed;

use crate::duplicates::{compensation, of_device};
use crate::world::{BASE_MS, MINUTE_MS, UNUSABLE, World, ad, conversion, instant, with};

/// So much of a payload is told.
const PAYLOAD_CHARS_MAX: usize = 100_000;

/// Topic, value, and the reason; none when a statement can use it.
const CASES: [(&str, &str, Option<&str>); 26] = [
    ("ad-events", "{", Some("NOT_JSON")),
    ("ad-events", "\u{0}\u{1}", Some("NOT_JSON")),
    ("ad-events", "[1]", Some("NOT_AN_OBJECT")),
    ("ad-events", "null", Some("NOT_AN_OBJECT")),
    ("ad-events", "{}", Some("TIMESTAMP_MISSING")),
    ("ad-events", r#"{"event_type":"CLICK","timestamp":null}"#, Some("TIMESTAMP_MISSING")),
    ("ad-events", r#"{"event_type":"CLICK","timestamp":1705314600}"#, Some("WRONG_TYPE")),
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
    ("ad-events", r#"{"event_type":"CLICK","timestamp":{"at":"now"}}"#, Some("WRONG_TYPE")),
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
    (
        "ad-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","campaign_id":"c"}"#,
        Some("EVENT_TYPE_MISSING"),
    ),
    // Not in a column of its own, a key may come twice, and a text may be what it wants.
    (
        "ad-events",
        r#"{"event_type":"SCROLL","timestamp":"2024-01-15T10:30:00Z","campaign_id":"c","x":"\ud800","x":1}"#,
        None,
    ),
    ("conversion-events", "purchase", Some("NOT_JSON")),
    (
        "conversion-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","device_id":"d"}"#,
        Some("CONVERSION_TYPE_MISSING"),
    ),
    (
        "conversion-events",
        r#"{"timestamp":1705314600,"device_id":"d","conversion_type":"PURCHASE"}"#,
        Some("TIMESTAMP_UNPARSABLE"),
    ),
    (
        "conversion-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","device_id":{},"conversion_type":"PURCHASE"}"#,
        Some("DEVICE_ID_MISSING"),
    ),
    // Postgres has no such text, and would stop the job.
    (
        "conversion-events",
        r#"{"timestamp":"2024-01-15T10:30:00Z","device_id":"d\u0000","conversion_type":"PURCHASE"}"#,
        Some("NUL_IN_TEXT"),
    ),
    ("campaign-events", "\"{}\"", Some("NOT_AN_OBJECT")),
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

/// Device and campaign of the honest events that bad ones stand beside.
const BESIDE: &str = "refused";

/// A record that cannot be read: topic, value, and the reason.
type Unreadable = (&'static str, Option<Vec<u8>>, &'static str);

pub(crate) fn feed(world: &mut World) {
    for (topic, payload, _) in CASES {
        world.raw(topic, Some(payload.as_bytes()), BASE_MS);
    }
    for (topic, payload, _) in unreadable() {
        world.raw(topic, payload.as_deref(), BASE_MS);
    }
    world.campaign_event(&campaign(10));
    for at_ms in [BASE_MS, BASE_MS + MINUTE_MS] {
        world.ad_event(click(at_ms));
    }
    world.conversion_event(order("readable"));
}

pub(crate) fn check(world: &World) {
    let listed =
        CASES.map(|(topic, payload, reason)| told(topic, Some(payload.as_bytes()), reason));
    let unreadable = unreadable();
    let unreadable = unreadable
        .iter()
        .map(|(topic, payload, reason)| told(topic, payload.as_deref(), Some(reason)));
    let fed: Vec<_> = listed.into_iter().chain(unreadable).collect();
    // Others feed events that nobody can use, too.
    let ours: BTreeSet<_> = fed.iter().map(|told| (told.0.clone(), told.1.clone())).collect();
    let mut expected: Vec<Told> = fed.into_iter().filter(|told| told.2.is_some()).collect();
    expected.sort();
    world.wait_for("unusable events", expected, |world| {
        let mut all: Vec<_> = UNUSABLE.iter().flat_map(|topic| told_of(world, topic)).collect();
        all.retain(|told| ours.contains(&(told.0.clone(), told.1.clone())));
        all.sort();
        all
    });
    check_that_nobody_counts_them(world);
}

/// Everything that the bad records contain would change one of these.
fn check_that_nobody_counts_them(world: &World) {
    let instants = ["2024-01-15T10:30:00Z", "2024-01-15T10:31:00Z"];
    let mut repeat = compensation(BESIDE, &instants, 1200, "2024-01-15T10:35:00Z");
    repeat["campaign_id"] = json!(BESIDE);
    world.wait_for("duplicates", vec![repeat], |world| of_device(world, BESIDE));
    let metrics = "window_start 2024-01-15T10:30:00.000Z window_end 2024-01-15T10:35:00.000Z impressions 0 clicks 2 \
                   conversions 0 ctr 0.000000 cvr 0.000000";
    world.wait_for("metrics", metrics.to_owned(), |world| world.hash(&format!("metrics:{BESIDE}")));
    world.wait_for("ranks", format!("{BESIDE} 10"), |world| world.ranks("rtb:HOME:refused"));
    world.wait_for("orders", (true, false), |world| {
        let is_there = |order: &str| world.attribution(&format!("{order}|PURCHASE")).is_some();
        (is_there("readable"), is_there("unreadable"))
    });
}

/// What would count if it were read leniently: a click, an order and a bid.
fn unreadable() -> Vec<Unreadable> {
    let honest = [
        ("ad-events", click(BASE_MS + 1_000)),
        ("conversion-events", order("unreadable")),
        ("campaign-events", campaign(99)),
    ];
    let of_all = honest.into_iter().flat_map(|(topic, event)| {
        values(&event.to_string()).into_iter().map(move |(value, reason)| (topic, value, reason))
    });
    of_all.chain(of_columns()).collect()
}

/// The ways in which a record is no event, whatever its topic.
fn values(honest: &str) -> Vec<(Option<Vec<u8>>, &'static str)> {
    let text = |text: String| Some(text.into_bytes());
    let first = honest.replacen('{', "{\"timestamp\":null,", 1);
    let nested = honest.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(64), "]".repeat(64)), 1);
    let long = honest.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(900_000)), 1);
    let utf16 = honest.encode_utf16().flat_map(u16::to_be_bytes).collect();
    vec![
        (None, "EMPTY_VALUE"),
        (text(String::new()), "EMPTY_VALUE"),
        (text(format!("[{honest}]")), "NOT_AN_OBJECT"),
        (text(format!("[{honest},{honest}]")), "NOT_AN_OBJECT"),
        (text(format!("{honest} junk")), "NOT_JSON"),
        (text(format!("{honest},")), "NOT_JSON"),
        (text(format!("{honest}{honest}")), "NOT_JSON"),
        (text(format!("{honest}\n{honest}")), "NOT_JSON"),
        (text(format!("{honest}\0")), "NOT_JSON"),
        (text(format!("junk {honest}")), "NOT_JSON"),
        (text(format!("\u{feff}{honest}")), "NOT_JSON"),
        (text(honest.replacen("refused", "\trefused", 1)), "NOT_JSON"),
        (Some(utf16), "NOT_JSON"),
        (Some([honest.as_bytes(), b"\xff\xfe"].concat()), "NOT_UTF8"),
        (Some([b"{\"x\":\"\xff\",", &honest.as_bytes()[1..]].concat()), "NOT_UTF8"),
        (text(nested), "TOO_DEEP"),
        (text(first), "DUPLICATE_KEY"),
        (text(format!("{long},")), "NOT_JSON"),
    ]
}

/// Clicks with a column that tollgate refuses.
fn of_columns() -> Vec<Unreadable> {
    let honest = click(BASE_MS + 2_000).to_string();
    let spoiled = [
        ("{", "{\"ad_id\":null,", "DUPLICATE_KEY"),
        ("{", "{\"placement\":7,", "DUPLICATE_KEY"),
        ("\"ad_001\"", "7", "WRONG_TYPE"),
        ("\"ad_001\"", "{}", "WRONG_TYPE"),
        ("\"ad_001\"", "\"\\ud800\"", "NOT_JSON"),
        ("1200", "true", "WRONG_TYPE"),
        ("1200", "\"1200\"", "NUMBER_AS_TEXT"),
        ("1200", "1.2e3", "NUMBER_EXPONENT"),
        ("1200", "0.1234567", "NUMBER_TOO_PRECISE"),
        ("1200", "-1200", "NUMBER_NEGATIVE"),
        ("1200", "9223372036854.775808", "NUMBER_OVERFLOW"),
        ("ad_001", "ad\\u0000001", "NUL_IN_TEXT"),
    ];
    let one = |(from, to, reason): (&str, &str, _)| {
        let payload = honest.replacen(from, to, 1);
        assert_ne!(payload, honest, "{from}");
        ("ad-events", Some(payload.into_bytes()), reason)
    };
    let long = honest.replacen("ad_001", &"a".repeat(1_025), 1);
    spoiled
        .into_iter()
        .map(one)
        .chain([("ad-events", Some(long.into_bytes()), "TEXT_TOO_LONG")])
        .collect()
}

fn click(at_ms: i64) -> Value {
    // In ASCII, because other texts are no UTF-8 in UTF-16.
    with(ad("CLICK", BESIDE, BESIDE, at_ms), json!({"search_term": null, "category": null}))
}

fn order(id: &str) -> Value {
    with(conversion("PURCHASE", BESIDE, BASE_MS + 2 * MINUTE_MS), json!({"order_id": id}))
}

fn campaign(bid: i64) -> Value {
    json!({
        "event_type": "CAMPAIGN_CREATED", "timestamp": instant(BASE_MS + bid), "campaign_id": BESIDE,
        "placement": "HOME", "category": "refused", "bid_price": bid, "status": "ACTIVE", "approval_status": "APPROVED"
    })
}

/// Topic, payload as text, and reason.
type Told = (String, Option<String>, Option<String>);

fn told(topic: &str, payload: Option<&[u8]>, reason: Option<&str>) -> Told {
    let text = |payload| String::from_utf8_lossy(payload).chars().take(PAYLOAD_CHARS_MAX).collect();
    (topic.to_owned(), payload.map(text), reason.map(str::to_owned))
}

fn told_of(world: &World, topic: &str) -> Vec<Told> {
    let records = read_keyed(&world.brokers, topic).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let events =
        records.iter().map(|record| serde_json::from_str::<Value>(&record.payload).unwrap());
    let told = |event: Value| {
        let of = text(&event["topic"]).unwrap();
        assert_eq!(format!("{of}.unusable"), topic);
        let of = of.trim_start_matches("statements-").to_owned();
        (of, text(&event["payload"]), text(&event["reason"]))
    };
    events.map(told).collect()
}
