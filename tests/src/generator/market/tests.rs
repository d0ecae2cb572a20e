use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::generator::campaigns::campaigns;

const BEGIN_US: i64 = 1_768_473_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn plan() -> Plan {
    Plan { duplicate_window_us: 20 * SECOND_US, left_alone: vec![3], ..Plan::default() }
}

/// Fetches `seconds` of events in portions of `step_us`, and ends.
fn story(plan: Plan, seconds: i64, step_us: i64) -> (Market, Vec<Sent>) {
    let mut market = Market::new(plan, &campaigns(7, 100, 20), BEGIN_US);
    let (mut sent, end_us) = (Vec::new(), BEGIN_US + seconds * SECOND_US);
    let mut until_us = BEGIN_US;
    while until_us < end_us {
        until_us = (until_us + step_us).min(end_us);
        sent.extend(market.take_until(until_us));
    }
    sent.extend(market.finish(end_us));
    (market, sent)
}

fn json(sent: &Sent) -> Option<Value> {
    serde_json::from_slice(sent.event.payload.as_deref()?).ok()
}

fn is_bad(sent: &Sent) -> bool {
    matches!(sent.event.kind, Kind::Poison(_))
}

#[test]
fn the_same_plan_tells_the_same_story() {
    let lines = |step_us| -> Vec<_> {
        let (_, sent) = story(plan(), 20, step_us);
        let line = |sent: Sent| (sent.stream, sent.send_at_us, sent.event.key, sent.event.payload);
        sent.into_iter().map(line).collect()
    };
    let (coarse, fine) = (lines(5 * SECOND_US), lines(1_700));
    assert!(coarse.len() > 15_000, "{}", coarse.len());
    let differs = coarse.iter().zip(&fine).position(|(coarse, fine)| coarse != fine);
    assert_eq!((coarse.len(), differs), (fine.len(), None));
    let other = story(Plan { seed: 2, ..plan() }, 1, SECOND_US).1;
    assert_ne!(other[300].event.payload, coarse[300].3);
}

#[test]
fn rates_are_kept_whatever_happens() {
    for ads in [100, 1_000, 10_000] {
        let rates = Rates::of_ads(ads);
        let (_, sent) = story(Plan { rates, ..plan() }, 120, SECOND_US);
        for (stream, rate) in [
            (Stream::Ads, rates.ads),
            (Stream::Conversions, rates.conversions),
            (Stream::Campaigns, rates.campaigns),
        ] {
            // Visits take a while, so the first minute has fewer events.
            let second_minute = |sent: &&Sent| sent.send_at_us >= BEGIN_US + 60 * SECOND_US;
            let found =
                sent.iter().filter(|sent| sent.stream == stream).filter(second_minute).count();
            let expected = rate as usize * 60;
            assert!(found.abs_diff(expected) < expected / 5 + 10, "{stream:?} {found} {expected}");
        }
    }
}

#[test]
fn events_are_late_within_the_bound_and_some_are() {
    let (_, sent) = story(plan(), 30, SECOND_US);
    let bound_us = plan().late_us_max;
    let told_now = |sent: &&Sent| sent.stream != Stream::Campaigns;
    let delays: Vec<_> = sent.iter().filter(told_now).map(|s| s.send_at_us - s.at_us).collect();
    assert!(delays.iter().all(|delay| (0..=bound_us).contains(delay)));
    assert!(delays.iter().filter(|delay| **delay > bound_us / 2).count() > 100);
    let newest = sent.iter().filter(told_now).scan(0, |newest, sent| {
        let is_behind = sent.at_us < *newest;
        *newest = sent.at_us.max(*newest);
        Some(is_behind)
    });
    assert!(newest.filter(|is_behind| *is_behind).count() > 1_000);
    // A change of a campaign may be told much later than it was made.
    let old = |sent: &&Sent| sent.send_at_us - sent.at_us > 10 * bound_us;
    assert!(sent.iter().filter(|sent| sent.send_at_us > BEGIN_US).filter(old).count() > 3);
}

/// The slow and obvious way: every click against the one before it.
#[test]
fn the_diary_knows_every_duplicate_and_no_other() {
    let (mut market, sent) = story(plan(), 120, SECOND_US);
    let window_us = plan().duplicate_window_us;
    let mut clicks: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    for sent in sent.iter().filter(|sent| sent.stream == Stream::Ads && !is_bad(sent)) {
        let event = json(sent).expect("it can be read");
        if event["event_type"] == "CLICK" {
            let stamp: Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
            let key =
                [&event["device_id"], &event["ad_id"]].map(|id| id.as_str().unwrap().to_owned());
            clicks.entry(key.into()).or_default().push(stamp.as_microsecond());
        }
    }
    let (mut found, mut edges, mut spans) = (Vec::new(), 0, 0);
    for ((device, ad), at_us) in &mut clicks {
        at_us.sort_unstable();
        for pair in at_us.windows(2) {
            if pair[1] - pair[0] < window_us {
                found.push((device.clone(), ad.clone(), pair[1]));
                let crosses = pair[0] / window_us != pair[1] / window_us;
                spans += usize::from(crosses);
            } else if pair[1] - pair[0] < window_us + 10_000 {
                edges += 1;
            }
        }
    }
    let mut known: Vec<_> =
        market.diary().duplicates().map(|c| (c.device.clone(), c.ad.clone(), c.at_us)).collect();
    found.sort();
    known.sort();
    assert_eq!(known, found);
    assert!(known.len() > 1_000, "{}", known.len());
    assert!(spans > 50, "{spans} duplicates across an edge");
    assert!(edges > 20, "{edges} clicks that are just no duplicates");
    let repeats = market.diary_mut().take_repeats(i64::MAX);
    assert_eq!(repeats.iter().map(|chain| chain.at_us.len() - 1).sum::<usize>(), known.len());
    assert!(repeats.iter().all(|chain| chain.at_us.is_sorted()));
    assert!(market.diary_mut().take_repeats(i64::MAX).is_empty());
}

#[test]
fn all_sorts_of_events_come() {
    let (market, sent) = story(plan(), 60, SECOND_US);
    let mut seen = BTreeSet::new();
    for sent in sent.iter().filter(|sent| !is_bad(sent)) {
        let event = json(sent).expect("it can be read");
        for name in ["event_type", "conversion_type", "status", "approval_status", "placement"] {
            seen.extend(event[name].as_str().map(|value| format!("{name} {value}")));
        }
        let stamp = event["timestamp"].as_str().unwrap_or_default();
        seen.insert(format!(
            "offset {}",
            if stamp.ends_with('Z') { "Z" } else { &stamp[stamp.len() - 6..] }
        ));
        let parsed: Timestamp = stamp.parse().unwrap();
        assert_eq!(parsed.as_microsecond(), sent.at_us);
        if event.get("effective_from").is_some() {
            let from: Timestamp = event["effective_from"].as_str().unwrap().parse().unwrap();
            seen.insert(format!("ahead {}", from > parsed));
        }
        if sent.stream == Stream::Campaigns && event.get("bid_price").is_none() {
            seen.insert("partial".to_owned());
        }
    }
    for (name, values) in [
        ("event_type", "IMPRESSION CLICK CONVERSION CAMPAIGN_CREATED CAMPAIGN_UPDATED"),
        ("event_type", "CAMPAIGN_APPROVED CAMPAIGN_STATUS_CHANGED"),
        ("conversion_type", "PURCHASE ADD_TO_CART SIGNUP"),
        ("status", "PENDING ACTIVE PAUSED DELETED"),
        ("approval_status", "PENDING APPROVED REJECTED"),
        ("placement", "HOME CATEGORY PRODUCT_DETAIL SEARCH"),
        ("offset", "Z +09:00 -05:00"),
        ("ahead", "true false"),
    ] {
        for value in values.split(' ') {
            assert!(seen.contains(&format!("{name} {value}")), "{name} {value} never comes");
        }
    }
    assert!(seen.contains("partial"));
    let of_class = |class| sent.iter().any(|sent| sent.event.kind == Kind::Poison(class));
    assert!(UNREADABLE.into_iter().all(of_class));
    for stream in Stream::ALL {
        assert!(market.diary().count(stream, "bad") > 0, "{stream:?}");
        assert_eq!(
            market.diary().total(stream),
            sent.iter().filter(|s| s.stream == stream).count() as u64
        );
    }
}

#[test]
fn campaigns_that_are_left_alone_are_only_created() {
    let (market, sent) = story(plan(), 60, SECOND_US);
    let id = market.campaigns()[3].id.clone();
    let about = sent.iter().filter(|sent| sent.stream == Stream::Campaigns && !is_bad(sent));
    let types: Vec<_> = about
        .filter_map(json)
        .filter(|event| event["campaign_id"] == id.as_str())
        .map(|event| event["event_type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(types, ["CAMPAIGN_CREATED", "CAMPAIGN_APPROVED"]);
    assert_eq!(
        (market.advertised(3).status, market.advertised(3).approval),
        ("ACTIVE", "APPROVED")
    );
}
