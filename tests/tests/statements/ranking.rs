//! `campaign-events` to the sorted sets of placements and categories.

use serde_json::{Value, json};
use tollgate_tests::harness::now_us;

use crate::world::{BASE_MS, World, instant, with};

/// What happens, and the sorted sets after it: key without prefix, members and scores.
struct Case {
    events: Vec<Value>,
    expected: Vec<(&'static str, &'static str)>,
}

/// What an earlier job has told of campaigns whose beginnings are no longer in the topic: where they are, and up to when it
/// knew them, in seconds after the base.
const KNOWN: [(&str, i64); 6] = [
    ("known_resumed", 3),
    ("known_moving", 0),
    ("known_paused", 0),
    ("known_rejected", 0),
    ("known_whole", 0),
    ("known_quiet", 9),
];

fn feed_known(world: &World) {
    for (id, at_s) in KNOWN {
        let at = instant(BASE_MS + at_s * 1_000).replace('T', " ");
        let place = format!("{}.000000\nrtb:HOME:known", at.trim_end_matches('Z'));
        world.redis.command(&["ZADD", "rtb:HOME:known", "15", id]).unwrap();
        world.redis.command(&["HSET", "rtb-places", id, &place]).unwrap();
    }
}

pub(crate) fn feed(world: &mut World) {
    feed_known(world);
    for case in cases() {
        case.events.iter().for_each(|event| world.campaign_event(event));
    }
}

pub(crate) fn check(world: &World) {
    for case in cases() {
        for (key, expected) in case.expected {
            world.wait_for(key, expected.to_owned(), |world| world.ranks(&format!("rtb:{key}")));
        }
    }
}

/// The watermark has long passed, and it does not matter.
pub(crate) fn late_events_win_only_when_they_are_newer(world: &mut World) {
    world.campaign_event(&campaign("late_clock", "late", 10, 7_200));
    world.wait_for("the clock", "late_clock 10".to_owned(), |world| world.ranks("rtb:HOME:late"));
    world.campaign_event(&campaign("late_new", "late", 20, 30));
    world.campaign_event(&with(campaign("late_new", "late", 30, 20), json!({"status": "PAUSED"})));
    world.campaign_event(&campaign("late_newer", "late", 40, 20));
    world.campaign_event(&campaign("late_newer", "late", 50, 30));
    let expected = "late_newer 50 late_new 20 late_clock 10";
    world.wait_for("late events", expected.to_owned(), |world| world.ranks("rtb:HOME:late"));
}

/// Nobody has to start a statement again when Redis was away.
pub(crate) fn changes_wait_while_redis_is_away(world: &mut World) {
    world.campaign_event(&campaign("away_before", "away", 10, 0));
    let seen = |world: &World| world.ranks("rtb:HOME:away");
    world.wait_for("a rank", "away_before 10".to_owned(), seen);
    world.redis.kill();
    world.campaign_event(&campaign("away_meanwhile", "away", 20, 0));
    world.campaign_event(&status("away_before", "PAUSED", 1));
    world.wait_for("an attempt", true, |world| world.log().contains("does not take"));
    world.redis.restart().unwrap();
    world.wait_for("what came meanwhile", "away_meanwhile 20".to_owned(), seen);
}

/// Campaigns of which a cluster tells more than its last checkpoint knows.
pub(crate) fn feed_ahead(world: &World) {
    world.campaign_event(&campaign("ahead_moved", "ahead", 10, 0));
    world.campaign_event(&with(
        campaign("ahead_paused", "ahead", 20, 0),
        json!({"status": "PAUSED"}),
    ));
    let seen = |world: &World| world.ranks("rtb:HOME:ahead");
    world.wait_for("a rank", "ahead_moved 10".to_owned(), seen);
}

/// What the killed cluster has told behind its checkpoint, and then the end of the story. Who reads the partitions in another
/// order hears the end first, and the rest says nothing new to him.
pub(crate) fn feed_behind(world: &World) {
    let places = [("ahead_moved", "rtb:HOME:ahead_between"), ("ahead_paused", "rtb:HOME:ahead")];
    world.redis.command(&["ZREM", "rtb:HOME:ahead", "ahead_moved"]).unwrap();
    for (id, key) in places {
        world.redis.command(&["ZADD", key, "15", id]).unwrap();
        world.redis.command(&["HSET", "rtb-places", id, key]).unwrap();
    }
    world.campaign_event(&campaign("ahead_moved", "ahead_end", 30, 20));
    world.campaign_event(&campaign("ahead_moved", "ahead_between", 15, 10));
    let paused = json!({"status": "PAUSED"});
    world.campaign_event(&with(campaign("ahead_paused", "ahead", 20, 20), paused));
    world.campaign_event(&campaign("ahead_paused", "ahead", 15, 10));
}

pub(crate) fn check_ahead(world: &World) {
    let keys = ["rtb:HOME:ahead", "rtb:HOME:ahead_between", "rtb:HOME:ahead_end"];
    let expected = ["", "", "ahead_moved 30"].map(str::to_owned);
    world.wait_for("ranks after a kill", expected, |world| keys.map(|key| world.ranks(key)));
}

/// What is said of the future waits for it, with nobody else talking; a newer word overrules it.
pub(crate) fn events_of_tomorrow_wait(world: &World) {
    // A busy machine may take its time to see what is in force before the rest is.
    let seen = [8, 30, 120].into_iter().any(|soon_s| events_of_soon_wait(world, soon_s * 1_000));
    assert!(seen, "the machine is too slow to see the time before");
}

/// False: what was announced was there before anybody had seen the time before.
fn events_of_soon_wait(world: &World, soon_ms: i64) -> bool {
    let name = |id: &str| format!("{id}_{soon_ms}");
    let (category, now_ms) = (name("future"), now_us() / 1_000);
    let now = |id: &str, bid, from_ms: i64| {
        let event = campaign(&name(id), &category, bid, (now_ms - BASE_MS) / 1_000);
        with(event, json!({"effective_from": instant(now_ms + from_ms)}))
    };
    world.campaign_event(&now("soon", 10, soon_ms));
    world.campaign_event(&now("past", 20, -soon_ms));
    world.campaign_event(&now("far", 30, 86_400_000));
    // Higher from soon on, and until then as it was.
    let newer = json!({"timestamp": instant(now_ms + 1)});
    world.campaign_event(&with(now("past", 99, soon_ms), newer));
    // Announced for soon, and withdrawn.
    world.campaign_event(&now("never", 40, soon_ms));
    let withdrawn = json!({"status": "DELETED", "timestamp": instant(now_ms + 1)});
    world.campaign_event(&with(now("never", 40, -soon_ms), withdrawn));
    let seen = |world: &World| world.ranks(&format!("rtb:HOME:{category}"));
    let (in_force, announced) =
        (format!("{} 20", name("past")), format!("{} 99 {} 10", name("past"), name("soon")));
    let mut is_in_time = false;
    world.wait_for("what is in force", true, |world| {
        let ranks = seen(world);
        is_in_time = ranks == in_force;
        is_in_time || ranks == announced
    });
    world.wait_for("what was announced", announced, seen);
    assert!(now_us() / 1_000 >= now_ms + soon_ms);
    is_in_time
}

/// A whole event, `at_s` seconds after the base.
fn campaign(id: &str, category: &str, bid: i64, at_s: i64) -> Value {
    json!({
        "event_type": "CAMPAIGN_UPDATED", "timestamp": instant(BASE_MS + at_s * 1_000), "campaign_id": id,
        "advertiser_id": "advertiser_50", "product_id": "product_200", "placement": "HOME", "category": category,
        "bid_price": bid, "daily_budget": 100_000, "status": "ACTIVE", "approval_status": "APPROVED",
        "targeting": {"device_types": ["MOBILE", "DESKTOP"], "age_groups": ["20-29"]},
        "effective_from": "2024-01-15T10:00:00Z", "rtb_impact": "HIGH"
    })
}

/// As the host says that its budget has paused a campaign, of which it knows little, or lets it run again.
fn status(id: &str, status: &str, at_s: i64) -> Value {
    json!({
        "event_type": "CAMPAIGN_STATUS_CHANGED", "timestamp": instant(BASE_MS + at_s * 1_000), "campaign_id": id,
        "advertiser_id": "advertiser_50", "status": status, "rtb_impact": "HIGH"
    })
}

fn cases() -> Vec<Case> {
    let case = |events, expected| Case { events, expected };
    vec![
        case(
            vec![
                campaign("bid_1", "bids", 1500, 0),
                with(campaign("bid_2", "bids", 0, 1), json!({"bid_price": 2000.5})),
                campaign("bid_3", "bids", 900, 2),
                with(campaign("bid_4", "bids", 0, 3), json!({"bid_price": "700"})),
                with(campaign("bid_5", "bids", 0, 4), json!({"bid_price": "much"})),
            ],
            vec![("HOME:bids", "bid_2 2000.5 bid_1 1500 bid_3 900 bid_4 700")],
        ),
        // Of campaigns that were told before only the last events are left.
        case(
            vec![
                status("known_resumed", "PAUSED", 1),
                status("known_resumed", "ACTIVE", 2),
                // Too little to say where it is now.
                json!({
                    "event_type": "CAMPAIGN_UPDATED", "timestamp": "2024-01-15T10:31:00Z",
                    "campaign_id": "known_moving", "placement": "HOME", "category": "known_elsewhere"
                }),
                status("known_paused", "PAUSED", 1),
                json!({
                    "event_type": "CAMPAIGN_UPDATED", "timestamp": "2024-01-15T10:31:00Z",
                    "campaign_id": "known_rejected", "approval_status": "REJECTED"
                }),
                campaign("known_whole", "known", 99, 1),
                // Older than what was told.
                campaign("known_quiet", "known", 99, 8),
            ],
            vec![
                ("HOME:known", "known_whole 99 known_resumed 15 known_quiet 15 known_moving 15"),
                ("HOME:known_elsewhere", ""),
            ],
        ),
        case(
            vec![with(
                campaign("korean", "전자제품/컴퓨터", 1500, 0),
                json!({"placement": "CATEGORY"}),
            )],
            vec![("CATEGORY:전자제품/컴퓨터", "korean 1500")],
        ),
        case(
            vec![
                with(campaign("wait_1", "waiting", 1, 0), json!({"approval_status": "PENDING"})),
                with(campaign("wait_2", "waiting", 2, 0), json!({"approval_status": "REJECTED"})),
                with(campaign("wait_3", "waiting", 3, 0), json!({"status": "PENDING"})),
                with(campaign("wait_4", "waiting", 4, 0), json!({"status": "PAUSED"})),
                with(campaign("wait_5", "waiting", 5, 0), json!({"status": "DELETED"})),
                with(campaign("wait_6", "waiting", 6, 0), json!({"approval_status": null})),
                with(campaign("wait_7", "waiting", 7, 0), json!({"bid_price": null})),
                campaign("wait_8", "waiting", 8, 0),
            ],
            vec![("HOME:waiting", "wait_8 8")],
        ),
        case(
            vec![
                with(
                    campaign("approved", "approvals", 5, 0),
                    json!({"approval_status": "PENDING"}),
                ),
                json!({
                    "event_type": "CAMPAIGN_APPROVED", "timestamp": "2024-01-15T10:31:00Z",
                    "campaign_id": "approved"
                }),
                campaign("rejected", "approvals", 6, 0),
                json!({
                    "event_type": "CAMPAIGN_UPDATED", "timestamp": "2024-01-15T10:31:00Z",
                    "campaign_id": "rejected", "approval_status": "REJECTED"
                }),
            ],
            vec![("HOME:approvals", "approved 5")],
        ),
        case(
            vec![
                campaign("paused", "pauses", 5, 0),
                status("paused", "PAUSED", 1),
                campaign("resumed", "pauses", 6, 0),
                status("resumed", "PAUSED", 1),
                status("resumed", "ACTIVE", 2),
                // The order of their arrival does not matter.
                status("overtaken", "PAUSED", 2),
                status("overtaken", "ACTIVE", 1),
                campaign("overtaken", "pauses", 7, 0),
                campaign("deleted", "pauses", 8, 0),
                status("deleted", "DELETED", 1),
                // Paused by one event, its bid raised by an older one that comes later.
                with(
                    campaign("merged", "pauses", 9, 1),
                    json!({"status": null, "approval_status": null}),
                ),
                campaign("merged", "pauses", 3, 0),
            ],
            vec![("HOME:pauses", "merged 9 resumed 6")],
        ),
        case(
            vec![
                campaign("moved", "from", 5, 0),
                campaign("stays", "from", 4, 0),
                campaign("moved", "to", 6, 10),
                campaign("moved", "from", 7, 5),
                with(campaign("elsewhere", "to", 8, 0), json!({"placement": "SEARCH"})),
            ],
            vec![("HOME:from", "stays 4"), ("HOME:to", "moved 6"), ("SEARCH:to", "elsewhere 8")],
        ),
        case(
            vec![
                campaign("same_time", "ties", 5, 0),
                campaign("same_time", "ties", 6, 0),
                campaign("micros", "ties", 1, 0),
                with(
                    campaign("micros", "ties", 2, 0),
                    json!({"timestamp": "2024-01-15T10:30:00.000002Z"}),
                ),
                with(
                    campaign("micros", "ties", 3, 0),
                    json!({"timestamp": "2024-01-15T10:30:00.000001Z"}),
                ),
                // Three hours older than it looks.
                campaign("offset", "ties", 8, 0),
                with(
                    campaign("offset", "ties", 9, 0),
                    json!({"timestamp": "2024-01-15T13:00:00.5+03:00"}),
                ),
                with(
                    campaign("offset_2", "ties", 4, 0),
                    json!({"timestamp": "2024-01-15T19:30:01+09:00"}),
                ),
                campaign("offset_2", "ties", 7, 0),
            ],
            vec![("HOME:ties", "offset 8 same_time 6 offset_2 4 micros 2")],
        ),
    ]
}
