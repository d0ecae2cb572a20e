use super::*;

const AT_MS: i64 = 1_768_473_300_000; // 2026-01-15T10:35:00Z

fn event_with(changes: &[(&str, Option<&str>)]) -> String {
    let mut fields = vec![
        ("timestamp", r#""2026-01-15T10:35:00Z""#),
        ("advertiser_id", r#""advertiser_50""#),
        ("campaign_id", r#""campaign_100""#),
        ("ad_id", r#""ad_001""#),
        ("device_id", r#""device_12345""#),
        ("duplicate_click_count", "3"),
        ("refund_amount", "2400"),
        (
            "original_click_timestamps",
            r#"["2026-01-15T10:30:15Z","2026-01-15T10:30:22Z","2026-01-15T10:30:18Z"]"#,
        ),
        ("detection_window", r#""5_MINUTES""#),
        ("reason", r#""DUPLICATE_CLICK_DETECTED""#),
        ("compensation_type", r#""BALANCE_REFUND""#),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn event(changes: &[(&str, Option<&str>)]) -> CompensationEvent {
    decode(&event_with(changes), AT_MS, &DecodeLimits::default()).expect("it can be read")
}

fn code(payload: &str) -> &'static str {
    match decode(payload, AT_MS, &DecodeLimits::default()) {
        Ok(_) => "COMPENSATION",
        Err(rejection) => rejection.code.as_str(),
    }
}

fn check(name: &str, value: Option<&str>, expected: &str) {
    let payload = event_with(&[(name, value)]);
    assert_eq!(code(&payload), expected, "{payload}");
}

#[test]
fn reads_every_field_of_a_compensation() {
    let found = event(&[("ad_id", Some(r#""ad\u005f001""#))]);
    let at = |second: i64| (AT_MS - 300_000 + second * 1_000) * 1_000;
    let expected = CompensationEvent {
        advertiser: "advertiser_50".into(),
        campaign: "campaign_100".into(),
        ad: "ad_001".into(),
        device: "device_12345".into(),
        duplicate_count: 3,
        claimed: Micros(2_400_000_000),
        timestamps_us: vec![at(15), at(18), at(22)],
        window: "5_MINUTES".into(),
        reason: "DUPLICATE_CLICK_DETECTED".into(),
        kind: "BALANCE_REFUND".into(),
        occurred_at_us: AT_MS * 1_000,
    };
    assert_eq!(found, expected);
    assert_eq!((found.charged_at_us(), found.is_matchable()), (at(22), true));
}

#[test]
fn what_is_needed_is_who_when_and_how_much() {
    let needed =
        ["timestamp", "advertiser_id", "campaign_id", "duplicate_click_count", "refund_amount"];
    for name in needed {
        check(name, None, "MISSING_FIELD");
        check(name, Some("null"), "MISSING_FIELD");
    }
    for name in ["ad_id", "device_id", "original_click_timestamps", "detection_window", "reason"] {
        check(name, None, "COMPENSATION");
        check(name, Some("null"), "COMPENSATION");
    }
    check("compensation_type", None, "COMPENSATION");
    check("original_click_timestamps", Some("[]"), "COMPENSATION");
    check("extra", Some(r#"{"a":[1,2]}"#), "COMPENSATION");
    check("refund_amount", Some("0"), "COMPENSATION");
    check("duplicate_click_count", Some("0"), "COMPENSATION");
}

#[test]
fn bad_texts_have_stable_codes() {
    let long = format!("{:?}", "x".repeat(1_025));
    let needed = ["timestamp", "advertiser_id", "campaign_id"];
    for name in ["ad_id", "device_id", "detection_window", "reason", "compensation_type"]
        .into_iter()
        .chain(needed)
    {
        check(name, Some("7"), "WRONG_TYPE");
        check(name, Some("{}"), "WRONG_TYPE");
        check(name, Some("[1]"), "WRONG_TYPE");
        check(name, Some(r#""a\u0000b""#), "NUL_IN_TEXT");
        check(name, Some(&long), "TEXT_TOO_LONG");
        check(name, Some(r#""\ud800""#), "NOT_JSON");
    }
    for name in needed {
        check(name, Some(r#""""#), "MISSING_FIELD");
    }
}

#[test]
fn bad_numbers_have_stable_codes() {
    for name in ["refund_amount", "duplicate_click_count"] {
        check(name, Some(r#""3""#), "NUMBER_AS_TEXT");
        check(name, Some("3e0"), "NUMBER_EXPONENT");
        check(name, Some("0.1234567"), "NUMBER_TOO_PRECISE");
        check(name, Some("-1"), "NUMBER_NEGATIVE");
        check(name, Some("99999999999999999999"), "NUMBER_OVERFLOW");
        check(name, Some("true"), "WRONG_TYPE");
        check(name, Some("{}"), "WRONG_TYPE");
        check(name, Some("[3]"), "WRONG_TYPE");
    }
    check("refund_amount", Some("0.5"), "COMPENSATION");
    check("duplicate_click_count", Some("0.5"), "NUMBER_TOO_PRECISE");
    check("duplicate_click_count", Some("3.0"), "COMPENSATION");
    check("duplicate_click_count", Some("4294967295"), "COMPENSATION");
    check("duplicate_click_count", Some("4294967296"), "NUMBER_OVERFLOW");
}

#[test]
fn bad_instants_have_stable_codes() {
    check("original_click_timestamps", Some(r#""2026-01-15T10:30:15Z""#), "WRONG_TYPE");
    check("original_click_timestamps", Some("{}"), "WRONG_TYPE");
    check("original_click_timestamps", Some("[7]"), "WRONG_TYPE");
    check("original_click_timestamps", Some("[null]"), "WRONG_TYPE");
    for (instant, expected) in [
        ("yesterday", "TIMESTAMP_UNPARSABLE"),
        ("2026-01-15T10:30:00", "TIMESTAMP_UNPARSABLE"),
        ("2026-01-06T10:30:00Z", "TIMESTAMP_TOO_OLD"),
        ("1970-01-01T00:00:00Z", "TIMESTAMP_TOO_OLD"),
        ("2026-01-15T10:50:00Z", "TIMESTAMP_IN_FUTURE"),
        ("2026-01-15T19:30:00.5+09:00", "COMPENSATION"),
    ] {
        check("timestamp", Some(&format!("{instant:?}")), expected);
        let all = format!(r#"["2026-01-15T10:30:15Z",{instant:?}]"#);
        check("original_click_timestamps", Some(&all), expected);
    }
    for (number, expected) in
        [(TIMESTAMPS_MAX, "COMPENSATION"), (TIMESTAMPS_MAX + 1, "TEXT_TOO_LONG")]
    {
        let all = format!("[{}]", vec![r#""2026-01-15T10:30:15Z""#; number].join(","));
        check("original_click_timestamps", Some(&all), expected);
    }
}

#[test]
fn bad_payloads_have_stable_codes() {
    for payload in ["{", "nonsense", "{} x", "{\"a\":1,}", "{'a':1}"] {
        assert_eq!(code(payload), "NOT_JSON", "{payload}");
    }
    for payload in ["[]", "1", "\"CLICK\"", "null", "true"] {
        assert_eq!(code(payload), "NOT_AN_OBJECT", "{payload}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(code(&deep), "TOO_DEEP");
    check("original_click_timestamps", Some(&deep), "TOO_DEEP");
    let twice = |field: &str| event_with(&[]).replacen('{', &format!("{{{field},"), 1);
    assert_eq!(code(&twice(r#""refund_amount":1"#)), "DUPLICATE_KEY");
    assert_eq!(code(&twice(r#""refund\u005famount":1"#)), "DUPLICATE_KEY");
    assert_eq!(code(&twice(r#""unknown":1,"unknown":2"#)), "COMPENSATION");
}

/// Whether an event with changes is the same compensation.
fn check_identity(name: &str, value: Option<&str>, is_same: bool) {
    let changed = event(&[(name, value)]);
    assert_eq!(changed.identity() == event(&[]).identity(), is_same, "{name} {value:?}");
}

#[test]
fn the_same_compensation_is_known_again() {
    let at = |second: i64| (AT_MS - 300_000 + second * 1_000) * 1_000;
    let expected = format!(
        "advertiser_50|campaign_100|ad_001|device_12345|5_MINUTES|BALANCE_REFUND|{},{},{}",
        at(15),
        at(18),
        at(22)
    );
    assert_eq!(event(&[]).identity(), expected);
    check_identity("refund_amount", Some("1"), true);
    check_identity("duplicate_click_count", Some("7"), true);
    check_identity("timestamp", Some(r#""2026-01-15T10:36:00Z""#), true);
    check_identity("reason", Some(r#""OTHER""#), true);
    let order =
        r#"["2026-01-15T10:30:22Z","2026-01-15T19:30:15+09:00","2026-01-15T10:30:18.000Z"]"#;
    check_identity("original_click_timestamps", Some(order), true);
    check_identity("original_click_timestamps", None, false);
    for name in [
        "advertiser_id",
        "campaign_id",
        "ad_id",
        "device_id",
        "detection_window",
        "compensation_type",
    ] {
        check_identity(name, Some(r#""x""#), false);
    }
}

#[test]
fn without_instants_the_event_s_own_stands_in() {
    let untimed = |at: &str| {
        let at = format!("{at:?}");
        event(&[("original_click_timestamps", None), ("timestamp", Some(&at))])
    };
    let one = untimed("2026-01-15T10:35:00Z");
    assert_eq!((one.charged_at_us(), one.is_matchable()), (one.occurred_at_us, false));
    assert_ne!(one.identity(), untimed("2026-01-15T10:35:01Z").identity());
}

#[test]
fn ids_do_not_run_into_each_other() {
    let of = |ad: &str, device: &str| {
        let (ad, device) = (format!("{ad:?}"), format!("{device:?}"));
        event(&[("ad_id", Some(&ad)), ("device_id", Some(&device))]).identity()
    };
    assert_ne!(of("a|b", "c"), of("a", "b|c"));
    assert_ne!(of("a\\", "|b"), of("a\\|", "b"));
}

proptest::proptest! {
    #[test]
    fn no_input_panics(payload in ".{0,200}", at_ms in proptest::prelude::any::<i64>()) {
        drop(decode(&payload, at_ms, &DecodeLimits::default()));
    }
}
