//! The schemas of `config/events` say what the customer wrote, what the generator makes, what the host writes, and what
//! its decoders take; the AsyncAPI document says what topics are made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jsonschema::Validator;
use serde_json::{Value, json};
use tollgate::channels::campaign_events::status_changed;
use tollgate::config::Config;
use tollgate_domain::book::Status;
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::{compensation, event};
use tollgate_ledger::CampaignCard;
use tollgate_tests::generator::campaigns::campaigns;
use tollgate_tests::generator::compensations::Compensation;
use tollgate_tests::generator::market::{Market, Plan, Stream};
use tollgate_tests::generator::poison::Poison;
use tollgate_tests::generator::{Generator, Kind, Mix};
use tollgate_tests::servers::flink::statements::Parameters;

const BEGIN_US: i64 = 1_705_314_600_000_000; // 2024-01-15T10:30:00Z

const CUSTOMERS: [(&str, &str); 4] = [
    (
        "campaign-event",
        r#"{"event_type": "CAMPAIGN_CREATED|CAMPAIGN_UPDATED|CAMPAIGN_APPROVED|CAMPAIGN_STATUS_CHANGED",
            "timestamp": "2024-01-15T10:30:00Z", "campaign_id": "campaign_100", "advertiser_id": "advertiser_50",
            "product_id": "product_200", "placement": "HOME|CATEGORY|PRODUCT_DETAIL|SEARCH",
            "category": "전자제품/컴퓨터", "bid_price": 1500, "daily_budget": 100000,
            "status": "PENDING|ACTIVE|PAUSED|DELETED", "approval_status": "PENDING|APPROVED|REJECTED",
            "targeting": {"device_types": ["MOBILE", "DESKTOP"], "age_groups": ["20-29", "30-39"]},
            "effective_from": "2024-01-15T11:00:00Z", "rtb_impact": "HIGH|MEDIUM|LOW"}"#,
    ),
    (
        "ad-event",
        r#"{"event_type": "IMPRESSION|CLICK|CONVERSION", "timestamp": "2024-01-15T10:30:00Z",
            "device_id": "device_12345", "session_id": "session_67890", "ad_id": "ad_001",
            "campaign_id": "campaign_100", "advertiser_id": "advertiser_50", "product_id": "product_200",
            "placement": "HOME|CATEGORY|PRODUCT_DETAIL|SEARCH", "bid_price": 1500, "actual_price": 1200,
            "search_term": "노트북", "category": "전자제품/컴퓨터", "revenue_amount": 50000,
            "order_id": "order_789"}"#,
    ),
    (
        "conversion-event",
        r#"{"timestamp": "2024-01-15T14:30:00Z", "device_id": "device_12345", "session_id": "session_67890",
            "order_id": "order_789", "product_id": "product_200", "revenue_amount": 50000,
            "conversion_type": "PURCHASE|ADD_TO_CART|SIGNUP", "attribution_window": 24,
            "referrer_url": "https://example.com/product/200"}"#,
    ),
    (
        "compensation-event",
        r#"{"timestamp": "2024-01-15T10:35:00Z", "advertiser_id": "advertiser_50", "campaign_id": "campaign_100",
            "ad_id": "ad_001", "device_id": "device_12345", "duplicate_click_count": 3, "refund_amount": 2400,
            "original_click_timestamps": ["2024-01-15T10:30:15Z", "2024-01-15T10:30:18Z", "2024-01-15T10:30:22Z"],
            "detection_window": "5_MINUTES", "reason": "DUPLICATE_CLICK_DETECTED",
            "compensation_type": "BALANCE_REFUND"}"#,
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/events")
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

fn schema(name: &str) -> Validator {
    let schema = read(&format!("{name}.schema.json"));
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&schema).expect(name)
}

fn complaints(schema: &Validator, event: &Value) -> Vec<String> {
    schema.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn of_stream(stream: Stream) -> &'static str {
    match stream {
        Stream::Campaigns => "campaign-event",
        Stream::Ads => "ad-event",
        Stream::Conversions => "conversion-event",
    }
}

/// Every choice that an `A|B|C` of the example leaves, one at a time.
fn choices(example: &str) -> Vec<Value> {
    let example: Value = serde_json::from_str(example).expect("an example");
    let members = example.as_object().expect("an object").clone();
    let first = |value: &Value| match value.as_str() {
        Some(text) => json!(text.split('|').next()),
        None => value.clone(),
    };
    let plain: Value = members.iter().map(|(name, value)| (name.clone(), first(value))).collect();
    let mut all = vec![plain.clone()];
    for (name, value) in &members {
        for choice in value.as_str().unwrap_or_default().split('|').skip(1) {
            let mut event = plain.clone();
            event[name] = json!(choice);
            all.push(event);
        }
    }
    all
}

#[test]
fn the_customers_examples_fit() {
    for (name, example) in CUSTOMERS {
        let (schema, events) = (schema(name), choices(example));
        for event in &events {
            assert_eq!(complaints(&schema, event), [""; 0], "{name} {event}");
        }
        // Nothing of them is left unsaid.
        let described = read(&format!("{name}.schema.json"));
        for member in events[0].as_object().expect("an object").keys() {
            assert!(
                described["properties"].get(member).is_some(),
                "{name} says nothing of {member}"
            );
        }
        for required in described["required"].as_array().expect("a list") {
            let mut event = events[0].clone();
            event.as_object_mut().expect("an object").remove(required.as_str().expect("a name"));
            assert!(!schema.is_valid(&event), "{name} without {required}");
        }
    }
}

#[test]
fn the_markets_events_fit_and_its_bad_ones_do_not() {
    let schemas = Stream::ALL.map(|stream| (stream, schema(of_stream(stream))));
    let plan = Plan { bad_ppm: 20_000, ..Plan::default() };
    let mut market = Market::new(plan, &campaigns(7, 200, 20), BEGIN_US);
    let mut bad = 0;
    for sent in market.finish(BEGIN_US + 30_000_000) {
        let (_, schema) =
            schemas.iter().find(|(stream, _)| *stream == sent.stream).expect("a schema");
        let payload = sent.event.payload.unwrap_or_default();
        let event = serde_json::from_slice::<Value>(&payload);
        if let Kind::Poison(class) = sent.event.kind {
            bad += 1;
            let fits = event.as_ref().is_ok_and(|event| schema.is_valid(event));
            assert!(!fits, "{class:?} {}", String::from_utf8_lossy(&payload));
        } else {
            let event = event.expect("it can be read");
            assert_eq!(complaints(schema, &event), [""; 0], "{event}");
        }
    }
    assert!(bad > 100, "{bad}");
}

#[test]
fn the_load_generators_events_fit() {
    let schema = schema("ad-event");
    let mix =
        Mix { impressions_ppm: 400_000, clicks_ppm: 400_000, poison_ppm: 0, ..Mix::default() };
    let mut generator = Generator::new(Mix { repeats_ppm: 100_000, ..mix }, &campaigns(7, 50, 5));
    for at in 0..5_000 {
        let payload = generator.next(BEGIN_US + at * 1_000_000).payload.expect("a value");
        let event = serde_json::from_slice(&payload).expect("it can be read");
        assert_eq!(complaints(&schema, &event), [""; 0], "{event}");
    }
    let schema = self::schema("compensation-event");
    let repeats = generator.take_repeats(i64::MAX);
    assert!(repeats.len() > 100);
    for repeat in &repeats {
        let event = Compensation::new(repeat, generator.campaigns(), BEGIN_US).event();
        let event =
            serde_json::from_slice(&event.payload.expect("a value")).expect("it can be read");
        assert_eq!(complaints(&schema, &event), [""; 0], "{event}");
    }
}

#[test]
fn the_hosts_own_events_fit() {
    let schema = schema("campaign-event");
    let bare = CampaignCard {
        id: "campaign_100".into(),
        advertiser: "advertiser_50".into(),
        time_zone: "Asia/Seoul".into(),
        daily_budget: None,
        cpc: Micros(300_000_000),
        bid: None,
        product_id: None,
        placement: None,
        category: None,
        approval_status: None,
        rtb_impact: None,
        targeting: None,
        effective_from_us: None,
    };
    let full = CampaignCard {
        daily_budget: Some(Micros(100_000_000_001)),
        bid: Some(Micros(1_500_250_000)),
        product_id: Some("product_200".into()),
        placement: Some("CATEGORY".into()),
        category: Some("전자제품/컴퓨터".into()),
        approval_status: Some("APPROVED".into()),
        rtb_impact: Some("MEDIUM".into()),
        targeting: Some(r#"{"device_types": ["MOBILE"], "share": 0.5}"#.into()),
        effective_from_us: Some(BEGIN_US + 1),
        ..bare.clone()
    };
    for card in [bare, full] {
        for status in [Status::Paused, Status::Active] {
            let event = status_changed(&card, status, BEGIN_US);
            let event = serde_json::from_str(&event.payload).expect("it can be read");
            assert_eq!(complaints(&schema, &event), [""; 0], "{event}");
        }
    }
}

/// Who takes an event: `Both`, `Neither`, only the schema because it cannot say it, or only the decoder, and why that is
/// kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Both,
    Neither,
    BySchema(&'static str),
    ByDecoder(&'static str),
}
use Taken::{Both, ByDecoder, BySchema, Neither};

fn decodes(name: &str, payload: &str) -> bool {
    let (at_ms, limits) = (BEGIN_US / 1_000, DecodeLimits::default());
    match name {
        "ad-event" => event::decode(payload, at_ms, &limits).is_ok(),
        _ => compensation::decode(payload, at_ms, &limits).is_ok(),
    }
}

fn check_payload(name: &str, payload: &str, expected: Taken) {
    let parsed = serde_json::from_str::<Value>(payload);
    let fits = parsed.as_ref().is_ok_and(|event| schema(name).is_valid(event));
    let found = (fits, decodes(name, payload));
    let wanted = match expected {
        Both => (true, true),
        Neither => (false, false),
        BySchema(_) => (true, false),
        ByDecoder(_) => (false, true),
    };
    assert_eq!(found, wanted, "{name} {expected:?} {payload}");
}

/// The customer's example with one member replaced or left out; the value is JSON.
fn check(name: &str, member: &str, value: Option<&str>, expected: Taken) {
    let example = CUSTOMERS.iter().find(|(known, _)| *known == name).expect("an example").1;
    let mut event = choices(example).remove(0);
    if name == "ad-event" {
        event["event_type"] = json!("CLICK");
    }
    let event = event.as_object_mut().expect("an object");
    event.remove(member);
    let others = serde_json::to_string(&event).expect("JSON");
    let payload = match value {
        None => others,
        // As it is written, since a parser would tidy it.
        Some(value) => format!("{{{member:?}:{value},{}", &others[1..]),
    };
    check_payload(name, &payload, expected);
}

const TYPE_AHEAD: &str = "a new type of event must not flood the dead letters; it is not charged";
const NOT_NEEDED: &str = "the charge does not depend on it";
const NOT_PAID_BY: &str = "the refund rule decides what little it says is worth";
const SAME_NUMBER: &str = "JSON Schema sees the number, not how it is written";
const RECORD: &str = "only the record's time tells";
const TIDY: &str = "jiff reads what RFC 3339 nearly is";

#[test]
fn clicks_are_taken_by_schema_and_decoder_alike() {
    let check = |member: &str, value: Option<&str>, expected: Taken| {
        check("ad-event", member, value, expected);
    };
    for member in ["timestamp", "campaign_id", "advertiser_id", "event_type"] {
        for value in [None, Some("null"), Some("\"\""), Some("7"), Some("{}")] {
            check(member, value, Neither);
        }
    }
    for member in ["session_id", "ad_id", "product_id", "search_term", "category", "placement"] {
        check(member, None, Both);
        check(member, Some("null"), Both);
    }
    for member in ["ad_id", "product_id", "search_term", "category"] {
        check(member, Some("\"\""), Both);
        check(member, Some("7"), Neither);
        check(member, Some("[\"a\"]"), Neither);
        check(member, Some(r#""a\u0000b""#), Neither);
        check(member, Some(&format!("{:?}", "x".repeat(1_024))), Both);
        check(member, Some(&format!("{:?}", "x".repeat(1_025))), Neither);
        check(
            member,
            Some(&format!("{:?}", "한".repeat(1_024))),
            BySchema("it counts letters, not bytes"),
        );
    }
    for member in ["bid_price", "actual_price"] {
        for value in [None, Some("null"), Some("0"), Some("1200.5"), Some("0.000001")] {
            check(member, value, Both);
        }
        for value in ["-1", "\"1200\"", "true", "{}", "0.1234567", "99999999999999999999"] {
            check(member, Some(value), Neither);
        }
        check(member, Some("1.2e3"), BySchema(SAME_NUMBER));
        check(member, Some("0.0000010"), Both);
    }
    for value in
        ["2024-01-15T19:30:00+09:00", "2024-01-15T10:30:00.123456789Z", "2024-01-15T05:00:00-05:30"]
    {
        check("timestamp", Some(&format!("{value:?}")), Both);
    }
    for value in
        ["2024-01-15T10:30:00", "2024-13-15T10:30:00Z", "yesterday", "2024-01-15", "1705314600"]
    {
        check("timestamp", Some(&format!("{value:?}")), Neither);
    }
    for value in ["2024-01-15 10:30:00Z", "2024-01-15T10:30Z", "2024-01-15T10:30:00z"] {
        check("timestamp", Some(&format!("{value:?}")), ByDecoder(TIDY));
    }
    check("timestamp", Some("\"2023-12-01T10:30:00Z\""), BySchema(RECORD));
    check("timestamp", Some("\"2024-01-16T10:30:00Z\""), BySchema(RECORD));
    check("event_type", Some("\"VIEW\""), ByDecoder(TYPE_AHEAD));
    check("event_type", Some("\"IMPRESSION\""), Both);
    check("device_id", None, ByDecoder(NOT_NEEDED));
    check("device_id", Some("\"\""), ByDecoder(NOT_NEEDED));
    check("placement", Some("\"BANNER\""), ByDecoder(NOT_NEEDED));
    check("revenue_amount", Some("\"much\""), ByDecoder(NOT_NEEDED));
    check("session_id", Some("7"), ByDecoder(NOT_NEEDED));
    check("extra", Some(r#"{"a":[1,2.5e-3,null]}"#), Both);
}

/// The table that Flink's `EVENT_TIME` is held to as well.
#[test]
fn times_are_read_as_flink_reads_them() {
    let path = "../config/flink/extension/src/test/resources/instants.csv";
    let table = fs::read_to_string(path).expect(path);
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for (text, expected) in lines.filter_map(|line| line.split_once('|')) {
        let payload = json!({
            "event_type": "CLICK", "timestamp": text, "device_id": "d", "campaign_id": "c", "advertiser_id": "a"
        });
        let (at_ms, limits) = (BEGIN_US / 1_000, DecodeLimits::default());
        let payload = payload.to_string();
        let found = event::decode(&payload, at_ms, &limits).ok().flatten();
        let found = found.map(|click| click.occurred_at_us);
        let utc =
            |text: &str| format!("{text}Z").parse::<Timestamp>().expect(text).as_microsecond();
        assert_eq!(found, (!expected.is_empty()).then(|| utc(expected)), "{text}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn compensations_are_taken_by_schema_and_decoder_alike() {
    let check = |member: &str, value: Option<&str>, expected: Taken| {
        check("compensation-event", member, value, expected);
    };
    for member in
        ["timestamp", "advertiser_id", "campaign_id", "duplicate_click_count", "refund_amount"]
    {
        for value in [None, Some("null"), Some("{}"), Some("[1]")] {
            check(member, value, Neither);
        }
    }
    for member in ["ad_id", "device_id", "detection_window", "reason", "compensation_type"] {
        check(member, None, ByDecoder(NOT_PAID_BY));
        check(member, Some("null"), ByDecoder(NOT_PAID_BY));
        check(member, Some("7"), Neither);
    }
    let times = "original_click_timestamps";
    check(times, None, ByDecoder(NOT_PAID_BY));
    check(times, Some("[]"), ByDecoder(NOT_PAID_BY));
    check(times, Some(r#"["2024-01-15T10:30:00Z"]"#), ByDecoder(NOT_PAID_BY));
    check(times, Some(r#"["2024-01-15T10:30:00Z","2024-01-15T19:30:00.5+09:00"]"#), Both);
    check(times, Some(r#"["2024-01-15T10:30:00Z","10:31"]"#), Neither);
    check(times, Some(r#"[1705314600,1705314601]"#), Neither);
    check(times, Some("\"2024-01-15T10:30:00Z\""), Neither);
    let named = |count| format!("[{}]", vec!["\"2024-01-15T10:30:00Z\""; count].join(","));
    check(times, Some(&named(100)), Both);
    check(times, Some(&named(101)), Neither);
    let count = "duplicate_click_count";
    check(count, Some("2"), Both);
    check(count, Some("3.0"), Both);
    check(count, Some("1"), ByDecoder(NOT_PAID_BY));
    check(count, Some("101"), Both);
    for value in ["2.5", "-3", "\"3\""] {
        check(count, Some(value), Neither);
    }
    check("refund_amount", Some("0.5"), Both);
    check("refund_amount", Some("2.4e3"), BySchema(SAME_NUMBER));
    for value in ["-1", "\"2400\"", "0.1234567", "99999999999999999999"] {
        check("refund_amount", Some(value), Neither);
    }
    check("detection_window", Some("\"30_SECONDS\""), Both);
    check("detection_window", Some("\"soon\""), ByDecoder(NOT_PAID_BY));
    check("reason", Some("\"OTHER\""), ByDecoder(NOT_PAID_BY));
    check("compensation_type", Some("\"VOUCHER\""), ByDecoder(NOT_PAID_BY));
}

#[test]
fn bad_input_is_refused_by_both_as_far_as_a_schema_can_see() {
    let mut generator = Generator::new(Mix::default(), &campaigns(7, 50, 5));
    for class in Poison::SMALL {
        let expected = match class {
            Poison::UnknownCampaign | Poison::ForeignAdvertiser => continue, // The ledger refuses them.
            Poison::Exponent => BySchema(SAME_NUMBER),
            Poison::FarPast | Poison::FarFuture => BySchema(RECORD),
            Poison::DuplicateKey => BySchema("parsers take the last of two values"),
            _ => Neither,
        };
        let payload = generator.poison(class, BEGIN_US).payload.unwrap_or_default();
        match String::from_utf8(payload) {
            Ok(text) => check_payload("ad-event", &text, expected),
            Err(_) => assert_eq!(class, Poison::NotUtf8),
        }
    }
}

#[test]
fn the_asyncapi_document_is_about_these_schemas_and_topics() {
    let document = read("asyncapi.json");
    assert_eq!(document["asyncapi"], "3.0.0");
    let channels = document["channels"].as_object().expect("channels");
    let described: BTreeSet<_> = channels
        .values()
        .map(|channel| {
            let kafka = &channel["bindings"]["kafka"];
            let retention = kafka["topicConfiguration"]["retention.ms"].as_i64();
            (channel["address"].to_string(), kafka["partitions"].as_i64(), retention)
        })
        .collect();
    let designed: BTreeSet<_> = Config::load(None)
        .expect("the defaults")
        .topic_specs()
        .into_iter()
        .map(|spec| (json!(spec.name).to_string(), Some(spec.partitions.into()), spec.retention_ms))
        .collect();
    assert_eq!(described, designed);
    for message in document["components"]["messages"].as_object().expect("messages").values() {
        let Some(file) = message["payload"]["schema"]["$ref"].as_str() else { continue };
        let name = file.strip_prefix("./").and_then(|file| file.strip_suffix(".schema.json"));
        let name = name.expect("a schema of this folder");
        let schema = schema(name);
        for example in message["examples"].as_array().expect("examples") {
            assert_eq!(complaints(&schema, &example["payload"]), [""; 0], "{name}");
        }
        // The first one is the customer's own.
        let customers = CUSTOMERS.iter().find(|(known, _)| *known == name).expect("a customer's").1;
        let first = message["examples"][0]["payload"].as_object().expect("an object");
        let plain = choices(customers);
        let fits = |member: &str| plain.iter().any(|event| event[member] == first[member]);
        assert!(first.keys().all(|member| fits(member)), "{name}");
        assert_eq!(first.len(), plain[0].as_object().expect("an object").len(), "{name}");
    }
}

#[test]
fn references_of_the_asyncapi_document_lead_somewhere() {
    let document = read("asyncapi.json");
    let mut open = vec![&document];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                open.extend(members.values());
                let Some(reference) = members.get("$ref").and_then(Value::as_str) else { continue };
                seen += 1;
                let found = match reference.strip_prefix('#') {
                    Some(pointer) => document.pointer(pointer).is_some(),
                    None => folder().join(reference).is_file(),
                };
                assert!(found, "{reference}");
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn the_groups_are_those_of_the_configuration() {
    let document = read("asyncapi.json");
    let group = |operation: &str| {
        let kafka = &document["operations"][operation]["bindings"]["kafka"];
        kafka["groupId"]["enum"][0].as_str().unwrap_or_default().to_owned()
    };
    let config = Config::load(None).expect("the defaults");
    assert_eq!(group("chargeClicks"), config.kafka.group);
    assert_eq!(group("refundDuplicates"), config.compensation.group);
    let parameters = Parameters::defaults().expect("the defaults");
    for (parameter, operations) in [
        ("RANKING_GROUP", &["rankCampaigns"][..]),
        ("PERFORMANCE_GROUP", &["measurePerformance"]),
        ("ATTRIBUTION_GROUP", &["attributeClicks", "attributeConversions"]),
        ("DUPLICATES_GROUP", &["detectDuplicates"]),
        (
            "UNUSABLE_GROUP",
            &["inspectCampaignEvents", "inspectAdEvents", "inspectConversionEvents"],
        ),
    ] {
        for operation in operations {
            assert_eq!(
                group(operation),
                parameters.get(parameter).expect(parameter),
                "{operation}"
            );
        }
    }
}
