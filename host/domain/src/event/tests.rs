use super::*;
use crate::dead::Code;

const AT_MS: i64 = 1_768_473_000_000; // 2026-01-15T10:30:00Z

fn click_with(changes: &[(&str, Option<&str>)]) -> String {
    let mut fields = vec![
        ("event_type", r#""CLICK""#),
        ("timestamp", r#""2026-01-15T10:30:00Z""#),
        ("device_id", r#""device_12345""#),
        ("session_id", r#""session_67890""#),
        ("ad_id", r#""ad_001""#),
        ("campaign_id", r#""campaign_100""#),
        ("advertiser_id", r#""advertiser_50""#),
        ("product_id", r#""product_200""#),
        ("placement", r#""SEARCH""#),
        ("bid_price", "1500"),
        ("actual_price", "1200.5"),
        ("search_term", r#""노트북""#),
        ("category", r#""전자제품/컴퓨터""#),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn code(payload: &str) -> &'static str {
    match decode(payload, AT_MS, &DecodeLimits::default()) {
        Ok(Some(_)) => "CLICK",
        Ok(None) => "OTHER",
        Err(rejection) => rejection.code.as_str(),
    }
}

fn check(changes: &[(&str, Option<&str>)], expected: &str) {
    let payload = click_with(changes);
    assert_eq!(code(&payload), expected, "{payload}");
}

#[test]
fn reads_every_field_of_a_click() {
    let payload = click_with(&[("ad_id", Some(r#""ad\u005f001""#))]);
    let Ok(Some(click)) = decode(&payload, AT_MS, &DecodeLimits::default()) else {
        panic!("{payload}");
    };
    assert_eq!(click.campaign, "campaign_100");
    assert_eq!(click.advertiser, "advertiser_50");
    assert_eq!(click.occurred_at_us, AT_MS * 1_000);
    assert_eq!(click.bid, Some(Micros(1_500_000_000)));
    assert_eq!(click.actual, Some(Micros(1_200_500_000)));
    assert_eq!(click.placement, 4);
    assert_eq!((click.device.as_ref(), click.ad.as_ref()), ("device_12345", "ad_001"));
    assert_eq!((click.product.as_ref(), click.search_term.as_ref()), ("product_200", "노트북"));
    assert_eq!(click.category, "전자제품/컴퓨터");
}

#[test]
fn everything_but_a_click_is_skipped() {
    check(&[("event_type", Some(r#""IMPRESSION""#))], "OTHER");
    check(&[("event_type", Some(r#""CONVERSION""#)), ("campaign_id", None)], "OTHER");
    check(&[("event_type", Some(r#""IMPRESSION""#)), ("bid_price", Some(r#""x""#))], "OTHER");
    check(&[("event_type", Some(r#""VIEW""#))], "OTHER");
}

#[test]
fn optional_and_extra_fields_are_free() {
    for name in ["device_id", "session_id", "ad_id", "product_id", "placement", "bid_price"] {
        check(&[(name, None)], "CLICK");
        check(&[(name, Some("null"))], "CLICK");
    }
    check(&[("extra", Some(r#"{"a":[1,2,{"b":null}]}"#))], "CLICK");
    check(&[("revenue_amount", Some(r#""text""#))], "CLICK");
    check(&[("placement", Some(r#""BANNER""#))], "CLICK");
}

#[test]
fn bad_fields_have_stable_codes() {
    for name in ["event_type", "timestamp", "campaign_id", "advertiser_id"] {
        check(&[(name, None)], "MISSING_FIELD");
        check(&[(name, Some("null"))], "MISSING_FIELD");
        check(&[(name, Some(r#""""#))], "MISSING_FIELD");
        check(&[(name, Some("7"))], "WRONG_TYPE");
        check(&[(name, Some("{}"))], "WRONG_TYPE");
    }
    check(&[("device_id", Some("[1]"))], "WRONG_TYPE");
    check(&[("bid_price", Some(r#""1500""#))], "NUMBER_AS_TEXT");
    check(&[("bid_price", Some("1.5e3"))], "NUMBER_EXPONENT");
    check(&[("bid_price", Some("0.1234567"))], "NUMBER_TOO_PRECISE");
    check(&[("actual_price", Some("-1"))], "NUMBER_NEGATIVE");
    check(&[("actual_price", Some("99999999999999999999"))], "NUMBER_OVERFLOW");
    check(&[("actual_price", Some("true"))], "WRONG_TYPE");
    check(&[("actual_price", Some("{}"))], "WRONG_TYPE");
    check(&[("timestamp", Some(r#""yesterday""#))], "TIMESTAMP_UNPARSABLE");
    check(&[("timestamp", Some(r#""2026-01-15T10:30:00""#))], "TIMESTAMP_UNPARSABLE");
    check(&[("timestamp", Some(r#""2026-01-06T10:30:00Z""#))], "TIMESTAMP_TOO_OLD");
    check(&[("timestamp", Some(r#""1970-01-01T00:00:00Z""#))], "TIMESTAMP_TOO_OLD");
    check(&[("timestamp", Some(r#""2026-01-15T10:50:00Z""#))], "TIMESTAMP_IN_FUTURE");
    check(&[("timestamp", Some(r#""2099-01-15T10:50:00Z""#))], "TIMESTAMP_IN_FUTURE");
    check(&[("timestamp", Some(r#""2026-01-15T19:30:00.5+09:00""#))], "CLICK");
    check(&[("ad_id", Some(r#""a\u0000b""#))], "NUL_IN_TEXT");
    let long = format!("{:?}", "x".repeat(1025));
    check(&[("campaign_id", Some(&long))], "TEXT_TOO_LONG");
    check(&[("campaign_id", Some(r#""\ud800""#))], "NOT_JSON");
}

#[test]
fn bad_payloads_have_stable_codes() {
    for payload in ["{", "nonsense", "{\"event_type\":\"CLICK\"} x", "{\"a\":1,}", "{'a':1}"] {
        assert_eq!(code(payload), "NOT_JSON", "{payload}");
    }
    for payload in ["[]", "1", "\"CLICK\"", "null", "true"] {
        assert_eq!(code(payload), "NOT_AN_OBJECT", "{payload}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(code(&deep), "TOO_DEEP");
    assert_eq!(code(&"{\"a\":".repeat(10_000)), "TOO_DEEP");
    assert_eq!(code(&click_with(&[("extra", Some(&deep))])), "TOO_DEEP");
    let wide = format!("[{}]", vec!["[]"; 500].join(","));
    assert_eq!(code(&click_with(&[("extra", Some(&wide))])), "CLICK");
    let brackets_in_text = format!("{:?}", "[{\"".repeat(100));
    assert_eq!(code(&click_with(&[("extra", Some(&brackets_in_text))])), "CLICK");
}

#[test]
fn a_repeated_key_is_never_guessed_about() {
    let twice = |field: &str| click_with(&[]).replacen('{', &format!("{{{field},"), 1);
    assert_eq!(code(&twice(r#""campaign_id":"campaign_7""#)), "DUPLICATE_KEY");
    assert_eq!(code(&twice(r#""campaign\u005fid":"campaign_100""#)), "DUPLICATE_KEY");
    assert_eq!(code(&twice(r#""event_type":"IMPRESSION""#)), "DUPLICATE_KEY");
    assert_eq!(code(&twice(r#""unknown":1,"unknown":2"#)), "CLICK");
}

#[test]
fn without_a_record_time_the_calendar_decides() {
    let at = |text: &str| {
        let payload = click_with(&[("timestamp", Some(text))]);
        decode(&payload, -1, &DecodeLimits::default()).map(drop).map_err(|r| r.code)
    };
    assert!(at(r#""2020-01-01T00:00:00Z""#).is_ok());
    assert_eq!(at(r#""1999-12-31T23:59:59Z""#), Err(Code::TimestampTooOld));
    assert_eq!(at(r#""2100-01-02T00:00:00Z""#), Err(Code::TimestampInFuture));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(payload in ".{0,200}", at_ms in proptest::prelude::any::<i64>()) {
        drop(decode(&payload, at_ms, &DecodeLimits::default()));
    }
}
