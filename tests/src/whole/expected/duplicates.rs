//! Clicks of one device on one ad that came too soon after another one.

use std::collections::BTreeMap;

use super::Event;

/// A click that has to be refunded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duplicate {
    pub device: String,
    pub ad: String,
    pub campaign: String,
    pub at_us: i64,
}

/// Every click that came less than `window_us` after one of the same device on the same ad, sorted.
#[must_use]
pub fn duplicates(ads: &[Event], window_us: i64) -> Vec<Duplicate> {
    let mut clicks: BTreeMap<(&str, &str, &str), Vec<i64>> = BTreeMap::new();
    for event in ads.iter().filter(|event| event.text("event_type") == Some("CLICK")) {
        let ids = ["device_id", "ad_id", "campaign_id"].map(|name| event.text(name));
        if let [Some(device), Some(ad), Some(campaign)] = ids {
            clicks.entry((device, ad, campaign)).or_default().push(event.at_us);
        }
    }
    let mut found = Vec::new();
    for ((device, ad, campaign), mut at_us) in clicks {
        at_us.sort_unstable();
        for pair in at_us.windows(2).filter(|pair| pair[1] - pair[0] < window_us) {
            let [device, ad, campaign] = [device, ad, campaign].map(str::to_owned);
            found.push(Duplicate { device, ad, campaign, at_us: pair[1] });
        }
    }
    found.sort();
    found
}
