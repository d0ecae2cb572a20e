//! Impressions, clicks and conversions of each campaign in the last whole window that it had any in.

use std::collections::BTreeMap;

use super::Event;

/// Figures of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    pub window_end_us: i64,
    pub impressions: i64,
    pub clicks: i64,
    pub conversions: i64,
    /// Clicks per impression and conversions per click in millionths; 0 when there is nothing to divide by.
    pub ctr_ppm: i64,
    pub cvr_ppm: i64,
}

/// The newest figures of each campaign, from windows that had ended by `reached_us`.
#[must_use]
pub fn metrics(events: &[Event], window_us: i64, reached_us: i64) -> BTreeMap<String, Metrics> {
    let mut windows: BTreeMap<(String, i64), Metrics> = BTreeMap::new();
    for event in events {
        let (Some(campaign), Some(kind)) = (event.text("campaign_id"), event.text("event_type"))
        else {
            continue;
        };
        let window_end_us = (event.at_us.div_euclid(window_us) + 1) * window_us;
        let window = windows.entry((campaign.to_owned(), window_end_us)).or_default();
        window.window_end_us = window_end_us;
        match kind {
            "IMPRESSION" => window.impressions += 1,
            "CLICK" => window.clicks += 1,
            "CONVERSION" => window.conversions += 1,
            _ => {}
        }
    }
    let mut newest = BTreeMap::new();
    // The last one of each campaign stays, because they come in the order of time.
    for ((campaign, window_end_us), mut window) in windows {
        if window_end_us <= reached_us {
            window.ctr_ppm = rate_ppm(window.clicks, window.impressions);
            window.cvr_ppm = rate_ppm(window.conversions, window.clicks);
            newest.insert(campaign, window);
        }
    }
    newest
}

/// Rounded to the nearest millionth.
fn rate_ppm(part: i64, whole: i64) -> i64 {
    if whole == 0 { 0 } else { (2_000_000 * part + whole) / (2 * whole) }
}
