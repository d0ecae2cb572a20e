use super::*;

const AT_MS: i64 = 1_705_314_600_000; // 2024-01-15T10:30:00Z

/// Events of a topic, one JSON a line, in the order of their offsets.
fn log(lines: &[String]) -> Vec<Event> {
    let record = |(offset, line): (usize, &String)| Record {
        partition: 0,
        offset: offset as i64,
        at_ms: AT_MS,
        payload: Some(line.clone().into_bytes()),
    };
    events(&lines.iter().enumerate().map(record).collect::<Vec<_>>())
}

/// An instant so many seconds after the record.
fn at(seconds: i64) -> String {
    Timestamp::from_millisecond(AT_MS + seconds * 1_000).unwrap().to_string()
}

fn us(seconds: i64) -> i64 {
    (AT_MS + seconds * 1_000) * 1_000
}

fn change(seconds: i64, rest: &str) -> String {
    format!(r#"{{"timestamp":"{}","campaign_id":"c"{rest}}}"#, at(seconds))
}

const WHOLE: &str = r#","event_type":"CAMPAIGN_CREATED","placement":"HOME","category":"a/b","bid_price":1500.5,"status":"ACTIVE","approval_status":"APPROVED""#;

fn check_ranking(lines: &[String], expected: Option<(&str, i64)>) {
    let found = ranking(&log(lines), us(100));
    let bids: Vec<_> = found
        .iter()
        .flat_map(|((placement, category), bids)| {
            bids.values().map(move |bid| (format!("{placement}:{category}"), *bid))
        })
        .collect();
    let expected = expected.map(|(key, bid)| (key.to_owned(), bid));
    assert_eq!(bids, Vec::from_iter(expected), "{lines:?}");
}

#[test]
fn the_newest_word_about_a_campaign_counts() {
    let home = Some(("HOME:a/b", 1_500_500_000));
    check_ranking(&[change(0, WHOLE)], home);
    let paused = r#","status":"PAUSED""#;
    check_ranking(&[change(0, WHOLE), change(1, paused)], None);
    check_ranking(&[change(1, paused), change(0, WHOLE)], None);
    check_ranking(&[change(1, WHOLE), change(0, paused)], home);
    check_ranking(&[change(0, WHOLE), change(0, paused)], None);
    check_ranking(&[change(0, WHOLE), change(1, r#","approval_status":"REJECTED""#)], None);
    check_ranking(&[change(0, WHOLE), change(1, r#","status":null,"placement":"""#)], home);
    let moved = r#","placement":"SEARCH","bid_price":7"#;
    check_ranking(&[change(0, WHOLE), change(1, moved)], Some(("SEARCH:a/b", 7_000_000)));
    let approved = r#","event_type":"CAMPAIGN_APPROVED""#;
    let refused = WHOLE.replace("\"APPROVED", "\"PENDING");
    check_ranking(&[change(0, &refused)], None);
    check_ranking(&[change(0, &refused), change(1, approved)], home);
    check_ranking(&[change(0, &WHOLE.replace("1500.5", "null"))], None);
    check_ranking(&["{\"timestamp\":".to_owned(), change(0, WHOLE)], home);
}

#[test]
fn a_change_is_in_force_from_its_instant_on() {
    let from = |seconds| format!(r#","status":"PAUSED","effective_from":"{}""#, at(seconds));
    let home = Some(("HOME:a/b", 1_500_500_000));
    check_ranking(&[change(0, WHOLE), change(1, &from(100))], None);
    check_ranking(&[change(0, WHOLE), change(1, &from(101))], home);
    check_ranking(&[change(0, WHOLE), change(1, &from(-5))], None);
    // What was said later counts, whenever it came into force.
    check_ranking(&[change(0, WHOLE), change(1, &from(90)), change(2, WHOLE)], home);
    check_ranking(
        &[change(0, WHOLE), change(1, r#","status":"PAUSED","effective_from":"x""#)],
        home,
    );
}

fn ad(seconds: i64, kind: &str, device: &str) -> String {
    format!(
        r#"{{"timestamp":"{}","event_type":"{kind}","campaign_id":"c","device_id":"{device}","ad_id":"a","product_id":"p"}}"#,
        at(seconds)
    )
}

#[test]
fn metrics_are_those_of_the_last_whole_window() {
    let lines = [
        ad(-30, "CLICK", "d"),
        ad(0, "IMPRESSION", "d"),
        ad(5, "IMPRESSION", "d"),
        ad(59, "IMPRESSION", "d"),
        ad(59, "CLICK", "d"),
        ad(59, "CLICK", "d"),
        ad(59, "CONVERSION", "d"),
        ad(60, "IMPRESSION", "d"),
        ad(10, "VIEW", "d"),
    ];
    let found = metrics(&log(&lines), 60_000_000, us(119));
    let expected = Metrics {
        window_end_us: us(60),
        impressions: 3,
        clicks: 2,
        conversions: 1,
        ctr_ppm: 666_667,
        cvr_ppm: 500_000,
    };
    assert_eq!(found["c"], expected);
    let later = metrics(&log(&lines), 60_000_000, us(120))["c"];
    assert_eq!((later.window_end_us, later.ctr_ppm, later.cvr_ppm), (us(120), 0, 0));
    assert!(metrics(&log(&lines), 60_000_000, us(-1)).is_empty());
}

fn conversion(seconds: i64, rest: &str) -> String {
    format!(
        r#"{{"timestamp":"{}","device_id":"d","conversion_type":"PURCHASE"{rest}}}"#,
        at(seconds)
    )
}

/// Orders, or devices where there is none, with the seconds of conversion and click.
fn check_attribution(conversions: &[String], clicks: &[i64], expected: &[(&str, i64, i64)]) {
    let clicks: Vec<_> = clicks.iter().map(|seconds| ad(*seconds, "CLICK", "d")).collect();
    let found = attributions(&log(conversions), &log(&clicks));
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.order.as_str(), one.converted_at_us, one.clicked_at_us))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(order, converted, clicked)| (*order, us(*converted), us(*clicked)))
        .collect();
    assert_eq!(found, expected, "{conversions:?}");
}

#[test]
fn the_last_click_before_an_order_has_led_to_it() {
    let order = r#","order_id":"o""#;
    check_attribution(&[conversion(50, order)], &[10, 30, 50, 51], &[("o", 50, 50)]);
    check_attribution(&[conversion(50, order)], &[51], &[]);
    check_attribution(&[conversion(50, order), conversion(60, order)], &[10, 55], &[("o", 50, 10)]);
    check_attribution(&[conversion(5, order), conversion(60, order)], &[10, 55], &[("o", 60, 55)]);
    check_attribution(
        &[conversion(50, ""), conversion(60, "")],
        &[10],
        &[("", 50, 10), ("", 60, 10)],
    );
    check_attribution(&[conversion(50, ""), conversion(50, "")], &[10], &[("", 50, 10)]);
    check_attribution(&[conversion(50, r#","product_id":"p""#)], &[10], &[("", 50, 10)]);
    check_attribution(&[conversion(50, r#","product_id":"q""#)], &[10], &[]);
    let hour = r#","attribution_window":1"#;
    check_attribution(&[conversion(100, hour)], &[-3_500], &[("", 100, -3_500)]);
    check_attribution(&[conversion(100, hour)], &[-3_501], &[]);
    let week = r#","attribution_window":168"#;
    check_attribution(&[conversion(0, week)], &[-86_400], &[("", 0, -86_400)]);
    check_attribution(&[conversion(0, week)], &[-86_401], &[]);
}

#[test]
fn a_click_soon_after_another_is_a_duplicate() {
    let check = |clicks: &[i64], expected: &[i64]| {
        let lines: Vec<_> = clicks.iter().map(|seconds| ad(*seconds, "CLICK", "d")).collect();
        let found: Vec<_> =
            duplicates(&log(&lines), 300_000_000).iter().map(|one| one.at_us).collect();
        assert_eq!(found, expected.iter().map(|seconds| us(*seconds)).collect::<Vec<_>>());
    };
    check(&[0], &[]);
    check(&[0, 299], &[299]);
    check(&[0, 300], &[]);
    check(&[0, 200, 400], &[200, 400]);
    check(&[400, 0, 200], &[200, 400]);
    check(&[7, 7], &[7]);
    let others = [ad(0, "CLICK", "d"), ad(1, "CLICK", "e"), ad(2, "IMPRESSION", "d")];
    assert!(duplicates(&log(&others), 300_000_000).is_empty());
}

#[test]
fn decimals_are_read_exactly() {
    for (text, expected) in [
        ("1500", Some(1_500_000_000)),
        ("0.25", Some(250_000)),
        ("0.2500000000", Some(250_000)),
        ("0.0000001", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(micros(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_no_event() {
    let good = ad(0, "CLICK", "d");
    let nested = |depth: usize| {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        good.replacen('{', &format!(r#"{{"extra":{deep},"#), 1)
    };
    let check = |line: &str, expected: usize| {
        assert_eq!(log(&[line.to_owned()]).len(), expected, "{line}");
    };
    check(&good, 1);
    check(&nested(DEPTH_MAX - 1), 1);
    check(&nested(DEPTH_MAX), 0);
    check(&format!("[{good}]"), 0);
    check(&format!("{good}x"), 0);
    check("{}", 0);
}
