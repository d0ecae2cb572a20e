//! Campaigns: created, approved, bid for, moved, paused, resumed, refused, deleted; now, later, and told too late.

use rand::Rng;

use super::{Market, Sent, Stream, generated};
use crate::generator::{CATEGORIES, Fields, Kind, PLACEMENTS, decimal, text};

/// What the shop's servers know of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub placement: &'static str,
    pub category: &'static str,
    pub bid_micros: i64,
    pub status: &'static str,
    pub approval: &'static str,
}

/// What is done to a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Bid,
    Move,
    Pause,
    Resume,
    Refuse,
    Approve,
    Delete,
}

/// Campaigns beyond this rank may be deleted, so that those that are clicked stay.
const KEPT: usize = 20;
/// How much older than the present a change may be that is told too late.
const OLD_US_MAX: i64 = 60_000_000;
/// An instant that does not come while anybody looks.
const NEVER_US: i64 = 36 * 3_600 * 1_000_000;

impl Market {
    /// Creates and approves all campaigns.
    pub(super) fn open(&mut self, begin_us: i64) {
        for at in 0..self.campaigns.len() {
            let bid_micros = self.draw_bid(at);
            let placement = PLACEMENTS[self.rng.random_range(0..PLACEMENTS.len())];
            let category = CATEGORIES[at % CATEGORIES.len()];
            let (status, approval) = ("PENDING", "PENDING");
            self.advertised.push(Advertised { placement, category, bid_micros, status, approval });
            let created_us = begin_us - self.rng.random_range(1_000_000..600_000_000);
            self.tell_change(at, "CAMPAIGN_CREATED", created_us, begin_us);
            // Some are created and wait for their approval, or for somebody to start them.
            let draw = self.rng.random_range(0..20);
            let advertised = &mut self.advertised[at];
            advertised.approval = if draw == 0 { "PENDING" } else { "APPROVED" };
            advertised.status = if draw == 1 { "PENDING" } else { "ACTIVE" };
            if self.plan.left_alone.contains(&at) {
                (self.advertised[at].status, self.advertised[at].approval) = ("ACTIVE", "APPROVED");
            }
            let approved_us = created_us + self.rng.random_range(1..900_000);
            self.tell_change(at, "CAMPAIGN_APPROVED", approved_us, begin_us);
        }
    }

    /// One change of some campaign.
    pub(super) fn change(&mut self, at_us: i64) {
        let mut at = self.draw_campaign();
        // A deleted campaign stays deleted; the first ones never are.
        while self.advertised[at].status == "DELETED" {
            at = self.draw_campaign();
        }
        if self.plan.left_alone.contains(&at) {
            return;
        }
        let change = self.draw_change(at);
        if self.is(30_000) {
            // What was true before is told only now; nobody may take it for the present.
            let old_us = at_us - self.rng.random_range(1_000_000..OLD_US_MAX);
            let present = self.advertised[at].clone();
            self.make(at, change);
            let event_type = event_type(change);
            self.tell_change(at, event_type, old_us, at_us);
            self.advertised[at] = present;
            return;
        }
        self.make(at, change);
        self.tell_change(at, event_type(change), at_us, at_us);
    }

    /// Fields of an event that says everything.
    pub(super) fn whole(&mut self, at: usize, event_type: &str, at_us: i64) -> (String, Fields) {
        let campaign = self.campaigns[at].clone();
        let advertised = self.advertised[at].clone();
        let Advertised { placement, category, bid_micros, status, approval } = advertised;
        let stamp = self.stamp(at_us);
        let mut fields = vec![
            ("event_type", text(event_type)),
            ("timestamp", text(&stamp)),
            ("campaign_id", text(&campaign.id)),
            ("advertiser_id", text(&campaign.advertiser)),
            ("product_id", text(&format!("product_{at}_0"))),
            ("placement", text(placement)),
            ("category", text(category)),
            ("bid_price", decimal(bid_micros)),
        ];
        fields.extend(campaign.daily_budget_micros.map(|budget| ("daily_budget", decimal(budget))));
        fields.push(("status", text(status)));
        fields.push(("approval_status", text(approval)));
        let targeting = r#"{"device_types":["MOBILE","DESKTOP"],"age_groups":["20-29","30-39"]}"#;
        fields.push(("targeting", targeting.to_owned()));
        fields.push(("rtb_impact", text(["HIGH", "MEDIUM", "LOW"][self.rng.random_range(0..3)])));
        (format!("{placement}:{category}"), fields)
    }

    fn draw_change(&mut self, at: usize) -> Change {
        let advertised = &self.advertised[at];
        match (self.rng.random_range(0..100), advertised.status, advertised.approval) {
            (0..15, "ACTIVE", _) => Change::Pause,
            (0..50, "PAUSED" | "PENDING", _) => Change::Resume,
            (15..18, _, "APPROVED") => Change::Refuse,
            (50..95, _, "REJECTED" | "PENDING") => Change::Approve,
            (18, ..) if at >= KEPT => Change::Delete,
            (19..35, ..) => Change::Move,
            _ => Change::Bid,
        }
    }

    fn make(&mut self, at: usize, change: Change) {
        let bid_micros = self.draw_bid(at);
        let placement = PLACEMENTS[self.rng.random_range(0..PLACEMENTS.len())];
        let category = CATEGORIES[self.rng.random_range(0..CATEGORIES.len())];
        let advertised = &mut self.advertised[at];
        match change {
            Change::Bid => advertised.bid_micros = bid_micros,
            Change::Move => (advertised.placement, advertised.category) = (placement, category),
            Change::Pause => advertised.status = "PAUSED",
            Change::Resume => advertised.status = "ACTIVE",
            Change::Refuse => advertised.approval = "REJECTED",
            Change::Approve => advertised.approval = "APPROVED",
            Change::Delete => advertised.status = "DELETED",
        }
    }

    /// Bids are whole, or have as many decimals as money may have.
    fn draw_bid(&mut self, at: usize) -> i64 {
        let whole = self.rng.random_range(100..3_000) * 1_000_000;
        let own = i64::try_from(at).unwrap_or(0) * 10;
        if self.is(300_000) { whole + own + 1 } else { whole }
    }

    fn tell_change(&mut self, at: usize, event_type: &str, at_us: i64, now_us: i64) {
        let (key, mut fields) = self.whole(at, event_type, at_us);
        // A change of status may say no more than that.
        if event_type == "CAMPAIGN_STATUS_CHANGED" && self.is(400_000) {
            let profile = ["placement", "category", "bid_price", "targeting", "approval_status"];
            fields.retain(|(name, _)| !profile.contains(name));
        }
        if at_us == now_us {
            self.postpone(&mut fields, at_us);
        }
        let event = generated(Kind::Campaign, &key, &fields);
        if at_us == now_us {
            self.tell(Stream::Campaigns, at_us, event, None);
        } else {
            let stream = Stream::Campaigns;
            self.put(Sent { stream, at_us, send_at_us: now_us, event, note: None });
        }
    }

    /// Some changes are in force from an instant on: one that has been, one that comes soon, or one that does not come.
    fn postpone(&mut self, fields: &mut Fields, at_us: i64) {
        let from_us = match self.rng.random_range(0..100) {
            0..10 => at_us - 3_600_000_000,
            10..18 => at_us + self.rng.random_range(0..=self.plan.effective_us_max),
            18..20 => at_us + NEVER_US,
            _ => return,
        };
        let stamp = self.stamp(from_us);
        fields.push(("effective_from", text(&stamp)));
    }
}

fn event_type(change: Change) -> &'static str {
    match change {
        Change::Bid | Change::Move | Change::Refuse => "CAMPAIGN_UPDATED",
        Change::Approve => "CAMPAIGN_APPROVED",
        Change::Pause | Change::Resume | Change::Delete => "CAMPAIGN_STATUS_CHANGED",
    }
}
