//! Clicks and conversions per impression in windows of five minutes.

use jiff::Timestamp;
use tollgate_tests::harness::now_us;

use crate::world::{BASE_MS, MINUTE_MS, World, ad};

/// Impressions, clicks and conversions, each with minutes after the base; and the hash after it.
struct Case {
    campaign: &'static str,
    events: &'static [(&'static str, i64, usize)],
    expected: &'static str,
}

/// A hash that stands for a later window, as after a job went back to an old checkpoint.
const OVERTAKEN: &str = "metrics:metrics_overtaken";
const LATER: &str = "2024-01-15T12:00:00.000Z";

/// Figures of a window whose time is over when they are written, as when a statement starts afresh.
const OVER: &str = "metrics:metrics_over";

const CASES: [Case; 5] = [
    Case {
        campaign: "metrics_all",
        events: &[("IMPRESSION", 0, 8), ("CLICK", 1, 3), ("CONVERSION", 4, 1)],
        expected: "window_start 2024-01-15T10:30:00.000Z window_end 2024-01-15T10:35:00.000Z impressions 8 clicks 3 \
                   conversions 1 ctr 0.375000 cvr 0.333333",
    },
    Case {
        campaign: "metrics_none",
        events: &[("IMPRESSION", 0, 2)],
        expected: "window_start 2024-01-15T10:30:00.000Z window_end 2024-01-15T10:35:00.000Z impressions 2 clicks 0 \
                   conversions 0 ctr 0.000000 cvr 0.000000",
    },
    Case {
        campaign: "metrics_unseen",
        events: &[("CLICK", 0, 2), ("CONVERSION", 1, 4), ("SCROLL", 1, 9)],
        expected: "window_start 2024-01-15T10:30:00.000Z window_end 2024-01-15T10:35:00.000Z impressions 0 clicks 2 \
                   conversions 4 ctr 0.000000 cvr 2.000000",
    },
    Case {
        campaign: "metrics_newer",
        events: &[("IMPRESSION", 0, 9), ("IMPRESSION", 5, 4), ("CLICK", 9, 1)],
        expected: "window_start 2024-01-15T10:35:00.000Z window_end 2024-01-15T10:40:00.000Z impressions 4 clicks 1 \
                   conversions 0 ctr 0.250000 cvr 0.000000",
    },
    Case {
        campaign: "metrics_gap",
        events: &[("IMPRESSION", 2, 1), ("IMPRESSION", 25, 5)],
        expected: "window_start 2024-01-15T10:55:00.000Z window_end 2024-01-15T11:00:00.000Z impressions 5 clicks 0 \
                   conversions 0 ctr 0.000000 cvr 0.000000",
    },
];

pub(crate) fn feed(world: &mut World) {
    world.set_hash(OVERTAKEN, "window_end", LATER);
    for device in ["overtaken_1", "overtaken_2"] {
        world.ad_event(ad("IMPRESSION", "metrics_overtaken", device, BASE_MS));
    }
    world.ad_event(ad("IMPRESSION", "metrics_over", "over", BASE_MS - 120 * MINUTE_MS));
    for case in CASES {
        for (kind, minute, count) in case.events {
            for one in 0..*count {
                let device = format!("{}_{kind}_{one}", case.campaign);
                world.ad_event(ad(kind, case.campaign, &device, BASE_MS + minute * MINUTE_MS));
            }
        }
    }
}

pub(crate) fn check(world: &World) {
    for case in CASES {
        let key = format!("metrics:{}", case.campaign);
        world.wait_for(&key, case.expected.to_owned(), |world| world.hash(&key));
        let (ttl_ms, now_ms) = (world.ttl_ms(&key), now_us() / 1_000);
        let expected_ms = window_end_ms(case.expected) + world.metrics_ttl_ms - now_ms;
        assert!(
            (ttl_ms - expected_ms).abs() < 10_000,
            "{key} lives {ttl_ms} ms, not {expected_ms}"
        );
    }
    assert_eq!(world.hash(OVER), "");
    world.wait_for(OVERTAKEN, format!("window_end {LATER}"), |world| world.hash(OVERTAKEN));
}

fn window_end_ms(hash: &str) -> i64 {
    let (_, behind) = hash.split_once("window_end ").unwrap();
    let end = behind.split(' ').next().unwrap().parse::<Timestamp>();
    end.unwrap().as_millisecond()
}
