//! Campaigns that may be shown, by placement, category and bid.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, instant};

/// Bids in millionths by placement and category, and by campaign.
pub type Ranking = BTreeMap<(String, String), BTreeMap<String, i64>>;

/// The ranking at an instant: of each campaign what the newest event says that is in force by then.
#[must_use]
pub fn ranking(events: &[Event], now_us: i64) -> Ranking {
    let in_force: Vec<_> = events.iter().filter(|event| is_in_force(event, now_us)).collect();
    let campaigns: BTreeSet<_> =
        in_force.iter().filter_map(|event| event.text("campaign_id")).collect();
    let mut ranking = Ranking::new();
    for campaign in campaigns {
        let mut own: Vec<_> =
            in_force.iter().filter(|event| event.text("campaign_id") == Some(campaign)).collect();
        own.sort_by_key(|event| (event.at_us, event.place));
        let newest = |name: &str| own.iter().rev().find_map(|event| event.text(name));
        let bid = own.iter().rev().find_map(|event| event.micros("bid_price"));
        let approval = own.iter().rev().find_map(|event| approval(event));
        if newest("status") != Some("ACTIVE") || approval != Some("APPROVED") {
            continue;
        }
        if let (Some(placement), Some(category), Some(bid)) =
            (newest("placement"), newest("category"), bid)
        {
            let key = (placement.to_owned(), category.to_owned());
            ranking.entry(key).or_default().insert(campaign.to_owned(), bid);
        }
    }
    ranking
}

fn is_in_force(event: &Event, now_us: i64) -> bool {
    event.text("effective_from").is_none_or(|from| instant(from).is_some_and(|from| from <= now_us))
}

/// An approval says that it is one, even if it says no more.
fn approval(event: &Event) -> Option<&str> {
    let implied = (event.text("event_type") == Some("CAMPAIGN_APPROVED")).then_some("APPROVED");
    event.text("approval_status").or(implied)
}
