//! Conversions to the last click that they are owed to.

use serde_json::{Value, json};

use crate::world::{BASE_MS, MINUTE_MS, World, ad, conversion, instant, with};

const SECOND_MS: i64 = 1_000;

/// Clicks and conversions of one device, by milliseconds after the base; and key, ad and instant of the rows after them.
struct Case {
    device: &'static str,
    clicks: Vec<(i64, Value)>,
    conversions: Vec<(i64, Value)>,
    expected: Vec<(&'static str, Option<(&'static str, i64)>)>,
}

/// An order that the statement has forgotten: it was attributed before, and comes again.
const FORGOTTEN: &str = "forgotten|PURCHASE";

pub(crate) fn feed(world: &mut World) {
    world.sql(
        "INSERT INTO conversion_attribution (conversion_key, conversion_type, device_id, converted_at, clicked_at, ad_id, campaign_id) \
         VALUES ('forgotten|PURCHASE', 'PURCHASE', 'd', '2024-01-13T10:30:01', '2024-01-13T10:30:00', 'then', 'campaign_100'), \
         ('earlier|PURCHASE', 'PURCHASE', 'd', '2024-01-17T10:30:01', '2024-01-17T10:30:00', 'then', 'campaign_100')",
    );
    cases().into_iter().for_each(|case| feed_case(world, case));
    // Both come out of order, within what the watermark waits for.
    let at_ms = BASE_MS + MINUTE_MS;
    world.conversion_event(with(
        conversion("PURCHASE", "touch_early", at_ms),
        json!({"order_id": "early"}),
    ));
    let click = ad("CLICK", "campaign_100", "touch_early", at_ms - 5 * SECOND_MS);
    world.ad_event_at(at_ms + 4 * SECOND_MS, click);
    // The same order comes again, and after another click.
    for repeat_ms in [0, MINUTE_MS] {
        let order =
            with(conversion("PURCHASE", "touch_twice", at_ms), json!({"order_id": "twice"}));
        world.conversion_event_at(
            at_ms + repeat_ms,
            with(order, json!({"timestamp": instant(at_ms + repeat_ms)})),
        );
    }
    for (ad_id, at_ms) in [("first", at_ms - 1), ("between", at_ms + 1)] {
        world.ad_event(with(
            ad("CLICK", "campaign_100", "touch_twice", at_ms),
            json!({"ad_id": ad_id}),
        ));
    }
}

fn feed_case(world: &mut World, case: Case) {
    for (after_ms, changes) in case.clicks {
        let click = ad("CLICK", "campaign_100", case.device, BASE_MS + after_ms);
        world.ad_event(with(click, changes));
    }
    for (after_ms, changes) in case.conversions {
        let event = conversion("PURCHASE", case.device, BASE_MS + after_ms);
        world.conversion_event(with(event, changes));
    }
}

pub(crate) fn check(world: &World) {
    for case in cases() {
        for (key, expected) in case.expected {
            check_row(world, key, expected);
        }
    }
    check_row(world, FORGOTTEN, Some(("then", -2 * 24 * 60 * MINUTE_MS)));
    check_row(world, "early|PURCHASE", Some(("ad_001", MINUTE_MS - 5 * SECOND_MS)));
    check_row(world, "twice|PURCHASE", Some(("first", MINUTE_MS - 1)));
    let whole = json!({
        "conversion_key": "order_789|PURCHASE", "conversion_type": "PURCHASE", "order_id": "order_789",
        "device_id": "device_12345", "product_id": "product_200", "revenue_amount": 50000.125,
        "converted_at": "2024-01-15T10:35:00.25", "clicked_at": "2024-01-15T10:30:15", "ad_id": "ad_001",
        "campaign_id": "campaign_100", "advertiser_id": "advertiser_50"
    });
    let seen = |world: &World| {
        world.attribution("order_789|PURCHASE").map(|mut row| {
            // Postgres shows the zeros of the scale.
            row["revenue_amount"] = json!(row["revenue_amount"].as_f64());
            row
        })
    };
    world.wait_for("a whole row", Some(whole), seen);
}

fn check_row(world: &World, key: &str, expected: Option<(&str, i64)>) {
    let expected = expected.map(|(ad, after_ms)| {
        (ad.to_owned(), instant(BASE_MS + after_ms).trim_end_matches('Z').to_owned())
    });
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seen = |world: &World| {
        world.attribution(key).map(|row| (shown(&row["ad_id"]), shown(&row["clicked_at"])))
    };
    world.wait_for(key, expected, seen);
}

/// A click that a cluster reads which is then killed.
pub(crate) fn feed_half(world: &mut World) {
    let at_ms = BASE_MS + 45 * MINUTE_MS;
    world.ad_event(with(ad("CLICK", "campaign_100", "half_1", at_ms), json!({"ad_id": "before"})));
    let order = with(conversion("PURCHASE", "half_2", at_ms), json!({"order_id": "half_2"}));
    world.conversion_event(order);
    world.flush();
}

/// Its conversion; and for a conversion that was read before, its click.
pub(crate) fn feed_other_half(world: &mut World) {
    let at_ms = BASE_MS + 45 * MINUTE_MS;
    let order =
        with(conversion("PURCHASE", "half_1", at_ms + SECOND_MS), json!({"order_id": "half"}));
    world.conversion_event(order);
    world.ad_event(ad("CLICK", "campaign_100", "half_2", at_ms - SECOND_MS));
}

pub(crate) fn check_halves(world: &World) {
    check_row(world, "half|PURCHASE", Some(("before", 45 * MINUTE_MS)));
    check_row(world, "half_2|PURCHASE", Some(("ad_001", 45 * MINUTE_MS - SECOND_MS)));
}

fn cases() -> Vec<Case> {
    let order = |id: &str| json!({"order_id": id});
    let click = |ad: &str| json!({"ad_id": ad});
    vec![
        Case {
            device: "device_12345",
            clicks: vec![(15 * SECOND_MS, json!({}))],
            conversions: vec![(
                5 * MINUTE_MS,
                json!({"order_id": "order_789", "revenue_amount": 50000.125, "timestamp": "2024-01-15T19:35:00.250+09:00"}),
            )],
            expected: vec![("order_789|PURCHASE", Some(("ad_001", 15 * SECOND_MS)))],
        },
        Case {
            device: "touch_last",
            clicks: vec![
                (0, click("a")),
                (1_000, click("b")),
                (2_000, click("c")),
                (9_000, click("d")),
            ],
            conversions: vec![(5_000, order("last"))],
            expected: vec![("last|PURCHASE", Some(("c", 2_000)))],
        },
        // What stands in the table about a later conversion gives way to the first one.
        Case {
            device: "touch_again",
            clicks: vec![(0, click("now"))],
            conversions: vec![(1_000, order("forgotten")), (1_000, order("earlier"))],
            expected: vec![("earlier|PURCHASE", Some(("now", 0)))],
        },
        Case {
            device: "touch_tie",
            clicks: vec![(0, click("a")), (0, click("b"))],
            conversions: vec![(0, order("tie"))],
            expected: vec![("tie|PURCHASE", Some(("b", 0)))],
        },
        Case {
            device: "touch_product",
            clicks: vec![
                (0, json!({"ad_id": "same"})),
                (1_000, json!({"product_id": "product_201"})),
            ],
            conversions: vec![
                (2_000, order("product")),
                (2_000, json!({"order_id": "any_product", "product_id": null})),
                (2_000, json!({"order_id": "other_product", "product_id": "product_202"})),
            ],
            expected: vec![
                ("product|PURCHASE", Some(("same", 0))),
                ("any_product|PURCHASE", Some(("ad_001", 1_000))),
                ("other_product|PURCHASE", None),
            ],
        },
        Case {
            device: "touch_types",
            clicks: vec![(0, click("a")), (60_000, click("b"))],
            conversions: vec![
                (30_000, json!({"order_id": "types", "conversion_type": "ADD_TO_CART"})),
                (90_000, order("types")),
                (90_000, json!({"conversion_type": "SIGNUP"})),
                (90_000, json!({"conversion_type": "SIGNUP", "product_id": null})),
            ],
            expected: vec![
                ("types|ADD_TO_CART", Some(("a", 0))),
                ("types|PURCHASE", Some(("b", 60_000))),
                ("touch_types|product_200|2024-01-15 10:31:30.000000|SIGNUP", Some(("b", 60_000))),
                ("touch_types||2024-01-15 10:31:30.000000|SIGNUP", Some(("b", 60_000))),
            ],
        },
        Case {
            device: "touch_hours",
            clicks: vec![
                (-25 * 60 * MINUTE_MS, click("day")),
                (-2 * 60 * MINUTE_MS, click("hours")),
            ],
            conversions: vec![
                (0, json!({"order_id": "hour", "attribution_window": 1})),
                (0, json!({"order_id": "two_hours", "attribution_window": 2})),
                (
                    0,
                    json!({"order_id": "two_days", "attribution_window": 48, "product_id": "product_day"}),
                ),
                (0, json!({"order_id": "no_window", "attribution_window": null})),
            ],
            expected: vec![
                ("hour|PURCHASE", None),
                ("two_hours|PURCHASE", Some(("hours", -2 * 60 * MINUTE_MS))),
                ("two_days|PURCHASE", None),
                ("no_window|PURCHASE", Some(("hours", -2 * 60 * MINUTE_MS))),
            ],
        },
        Case {
            device: "touch_day",
            clicks: vec![
                (-24 * 60 * MINUTE_MS, click("exactly")),
                (-24 * 60 * MINUTE_MS - 1, click("more")),
            ],
            conversions: vec![(0, json!({"order_id": "day", "attribution_window": 48}))],
            expected: vec![("day|PURCHASE", Some(("exactly", -24 * 60 * MINUTE_MS)))],
        },
        Case {
            device: "touch_later",
            clicks: vec![(1_001, json!({"timestamp": "2024-01-15T10:30:01.000001Z"}))],
            conversions: vec![(1_000, order("later"))],
            expected: vec![("later|PURCHASE", None)],
        },
    ]
}
