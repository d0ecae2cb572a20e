//! People: they look at ads, click some, some of them twice, and buy something now and then.

use std::collections::HashMap;

use rand::Rng;

use super::diary::Note;
use super::{Market, Stream, generated};
use crate::generator::{Fields, Kind, SEARCH_TERMS, decimal, text};

/// Who visits the shop.
pub(super) struct Visitors {
    /// Cumulated weights of the devices.
    weights: Vec<u64>,
    sessions: u64,
    orders: u64,
    /// Instants at which a device clicks an ad, so that nothing is a duplicate by chance.
    clicked: HashMap<(u32, String), Vec<i64>>,
    /// Conversions that are owed to the rate.
    owed_ppm: u64,
    /// Clicks of devices, the last ones, that something may still be bought for.
    hot: Vec<Hot>,
}

/// A click that may lead to something.
#[derive(Clone)]
struct Hot {
    device: u32,
    session: u64,
    campaign: usize,
    ad: usize,
    at_us: i64,
}

/// An ad as somebody sees it.
struct Seen {
    device: u32,
    session: u64,
    campaign: usize,
    /// Number of the ad among those of its campaign.
    ad: usize,
}

const ADS_OF_A_CAMPAIGN: usize = 5;
const PRODUCTS_OF_A_CAMPAIGN: usize = 3;
const IMPRESSIONS_MAX: usize = 8;
/// Shares of a million impressions.
const CLICKED_PPM: u32 = 250_000;
/// Clicks that are remembered until something is bought, at most.
const HOT_MAX: usize = 200;
/// Duplicates and later clicks keep so far from the end of the window, because clocks and engines round.
const EDGE_US: i64 = 2_000;

impl Visitors {
    pub(super) fn new(devices: u32) -> Self {
        let mut total = 0;
        // A few devices come often, and none so often that it could not be a person.
        let weights = (1..=u64::from(devices.max(1))).map(|rank| {
            total += 1_000_000_000 / rank.isqrt();
            total
        });
        Self {
            weights: weights.collect(),
            sessions: 0,
            orders: 0,
            clicked: HashMap::new(),
            owed_ppm: 0,
            hot: Vec::new(),
        }
    }
}

impl Market {
    /// A visit that begins at an instant; gives the number of ad events it brings.
    pub(super) fn visit(&mut self, begin_us: i64) -> usize {
        let device = self.draw_device();
        self.visitors.sessions += 1;
        let session = self.visitors.sessions;
        self.forget(begin_us);
        let (mut at_us, mut events) = (begin_us, 0);
        for _ in 0..self.rng.random_range(1..=IMPRESSIONS_MAX) {
            let campaign = self.draw_campaign();
            let ad = self.rng.random_range(0..ADS_OF_A_CAMPAIGN);
            let seen = Seen { device, session, campaign, ad };
            self.tell_ad(&seen, "IMPRESSION", at_us, false);
            events += 1;
            if self.is(CLICKED_PPM) {
                let clicked_us = at_us + self.rng.random_range(100_000..2_000_000);
                events += self.click(&seen, clicked_us);
            }
            at_us += self.rng.random_range(200_000..3_000_000);
        }
        events + self.convert(events, at_us)
    }

    /// An ad event of nobody in particular.
    pub(super) fn stray(&mut self, campaign: usize, at_us: i64) -> (String, Fields) {
        let seen = Seen { device: self.draw_device(), session: 0, campaign, ad: 0 };
        let fields = self.ad_fields(&seen, "CLICK", at_us);
        (device_name(seen.device), fields)
    }

    /// A conversion that no click has led to.
    pub(super) fn organic(&mut self, campaign: usize, at_us: i64) -> (String, Fields) {
        let device = self.draw_device();
        let hot = Hot { device, session: 0, campaign, ad: 0, at_us };
        let order = self.order();
        (device_name(device), self.conversion_fields(&hot, "PURCHASE", &order, at_us))
    }

    /// A click and what follows it; gives the number of clicks. None when it would be a duplicate by chance.
    fn click(&mut self, seen: &Seen, at_us: i64) -> usize {
        let window_us = self.plan.duplicate_window_us;
        // And some clocks show seconds.
        let first_us = if self.is(50_000) { at_us + (-at_us).rem_euclid(1_000_000) } else { at_us };
        let first_us = self.rounded(first_us);
        let ad = (seen.device, ad_name(seen));
        // Whatever follows a click comes within three windows.
        let is_free =
            self.visitors.clicked.get(&ad).is_none_or(|known| {
                known.iter().all(|other| (first_us - other).abs() > 4 * window_us)
            });
        if !is_free {
            return 0;
        }
        let mut chain = vec![first_us];
        if self.is(self.plan.duplicated_ppm) {
            for _ in 0..self.rng.random_range(1..=3) {
                let gap_us = self.gap();
                let next_us = self.rounded(chain[chain.len() - 1] + gap_us);
                chain.push(next_us.max(chain[chain.len() - 1]));
            }
        } else if self.is(self.plan.repeated_later_ppm) {
            chain.push(first_us + window_us + self.rng.random_range(0..4) * EDGE_US);
        }
        for (at, at_us) in chain.iter().enumerate() {
            let is_duplicate = at > 0 && at_us - chain[at - 1] < window_us;
            self.tell_ad(seen, "CLICK", *at_us, is_duplicate);
        }
        let Seen { device, session, campaign, ad: number } = *seen;
        self.visitors.hot.push(Hot { device, session, campaign, ad: number, at_us: first_us });
        if self.visitors.hot.len() > HOT_MAX {
            self.visitors.hot.remove(0);
        }
        let clicks = chain.len();
        self.visitors.clicked.entry(ad).or_default().extend(chain);
        clicks
    }

    /// Time to the next duplicate: most are double clicks, some come much later, a few at the very same instant.
    fn gap(&mut self) -> i64 {
        let window_us = self.plan.duplicate_window_us - EDGE_US;
        match self.rng.random_range(0..100) {
            0..2 => 0,
            2..65 => self.rng.random_range(40_000..3_000_000).min(window_us),
            65..70 => window_us,
            _ => self.rng.random_range(0..window_us),
        }
    }

    /// Conversions in proportion to ad events; gives the number of ad events that come with them.
    fn convert(&mut self, ad_events: usize, now_us: i64) -> usize {
        let rates = self.plan.rates;
        let share_ppm = u64::from(rates.conversions) * 1_000_000 / u64::from(rates.ads.max(1));
        self.visitors.owed_ppm += ad_events as u64 * share_ppm;
        let mut purchases = 0;
        while self.visitors.owed_ppm >= 1_000_000 {
            self.visitors.owed_ppm -= 1_000_000;
            purchases += usize::from(self.tell_conversion(now_us));
        }
        purchases
    }

    /// Whether it was a purchase, which the shop tells as an ad event, too.
    fn tell_conversion(&mut self, now_us: i64) -> bool {
        let kind = ["PURCHASE", "PURCHASE", "ADD_TO_CART", "SIGNUP"][self.rng.random_range(0..4)];
        let (hots, order) = (self.visitors.hot.len(), self.order());
        let hot = if hots == 0 || self.is(150_000) {
            None
        } else {
            Some(self.visitors.hot[self.rng.random_range(0..hots)].clone())
        };
        let earliest_us = hot.as_ref().map_or(now_us, |hot| now_us.max(hot.at_us + 1));
        let at_us = earliest_us + self.rng.random_range(0..5_000_000);
        let (key, fields) = match &hot {
            Some(hot) => {
                (device_name(hot.device), self.conversion_fields(hot, kind, &order, at_us))
            }
            None => {
                let campaign = self.draw_campaign();
                self.organic(campaign, at_us)
            }
        };
        let event = generated(Kind::Conversion, &key, &fields);
        // Whoever tells of an order may do so twice.
        if self.is(10_000) {
            self.tell(Stream::Conversions, at_us, event.clone(), None);
        }
        self.tell(Stream::Conversions, at_us, event, None);
        let Some(hot) = hot.filter(|_| kind == "PURCHASE") else { return false };
        let Hot { device, session, campaign, ad, .. } = hot;
        let seen = Seen { device, session, campaign, ad };
        let mut fields = self.ad_fields(&seen, "CONVERSION", at_us);
        fields.push(("revenue_amount", "50000".to_owned()));
        fields.push(("order_id", text(&order)));
        let event = generated(Kind::Conversion, &device_name(device), &fields);
        self.tell(Stream::Ads, at_us, event, None);
        true
    }

    fn tell_ad(&mut self, seen: &Seen, event_type: &str, at_us: i64, is_duplicate: bool) {
        let mut fields = self.ad_fields(seen, event_type, at_us);
        let device = device_name(seen.device);
        if event_type != "CLICK" {
            // Not everybody says everything, and some say more.
            match self.rng.random_range(0..50) {
                0 => fields.retain(|(name, _)| *name != "ad_id"),
                1 => fields.retain(|(name, _)| !matches!(*name, "bid_price" | "actual_price")),
                2 => {
                    fields.push(("experiment", r#"{"name":"b","arms":[1,2.5e-3,null]}"#.to_owned()))
                }
                3 => fields.push(("order_id", "null".to_owned())),
                _ => {}
            }
            let event = generated(Kind::Impression, &device, &fields);
            return self.tell(Stream::Ads, at_us, event, None);
        }
        let price_micros = self.campaigns[seen.campaign].cpc_micros;
        let event = generated(Kind::Click(seen.campaign), &device, &fields);
        let (campaign, ad) = (seen.campaign, ad_name(seen));
        // The market notes when it was sent.
        let sent_at_us = at_us;
        let note = Note { campaign, device, ad, at_us, sent_at_us, price_micros, is_duplicate };
        self.tell(Stream::Ads, at_us, event, Some(note));
    }

    fn ad_fields(&mut self, seen: &Seen, event_type: &str, at_us: i64) -> Fields {
        let campaign = &self.campaigns[seen.campaign];
        let advertised = self.advertised[seen.campaign].clone();
        let mut fields = vec![
            ("event_type", text(event_type)),
            ("device_id", text(&device_name(seen.device))),
            ("session_id", text(&format!("session_{}", seen.session))),
            ("ad_id", text(&ad_name(seen))),
            ("campaign_id", text(&campaign.id)),
            ("advertiser_id", text(&campaign.advertiser)),
            ("product_id", text(&product_name(seen.campaign, seen.ad))),
            ("placement", text(advertised.placement)),
            ("bid_price", decimal(advertised.bid_micros)),
            ("actual_price", decimal(campaign.cpc_micros)),
            ("category", text(advertised.category)),
        ];
        if advertised.placement == "SEARCH" {
            let term = SEARCH_TERMS[self.rng.random_range(0..SEARCH_TERMS.len())];
            fields.push(("search_term", text(term)));
        }
        let stamp = self.stamp(at_us);
        fields.insert(1, ("timestamp", text(&stamp)));
        fields
    }

    fn conversion_fields(&mut self, hot: &Hot, kind: &str, order: &str, at_us: i64) -> Fields {
        let stamp = self.stamp(at_us);
        let mut fields = vec![
            ("timestamp", text(&stamp)),
            ("device_id", text(&device_name(hot.device))),
            ("session_id", text(&format!("session_{}", hot.session))),
        ];
        // Only a purchase always has an order.
        if kind == "PURCHASE" || self.is(500_000) {
            fields.push(("order_id", text(order)));
        }
        match self.rng.random_range(0..10) {
            0 => {}
            1 => {
                let other = hot.ad + 1 + self.rng.random_range(0..PRODUCTS_OF_A_CAMPAIGN);
                fields.push(("product_id", text(&product_name(hot.campaign, other))));
            }
            _ => fields.push(("product_id", text(&product_name(hot.campaign, hot.ad)))),
        }
        fields.push(("revenue_amount", (self.rng.random_range(1..200) * 500).to_string()));
        fields.push(("conversion_type", text(kind)));
        let hours = [24, 24, 24, 12, 1][self.rng.random_range(0..5)];
        fields.push(("attribution_window", hours.to_string()));
        let product = product_name(hot.campaign, hot.ad);
        fields.push(("referrer_url", text(&format!("https://example.com/product/{product}"))));
        fields
    }

    fn order(&mut self) -> String {
        self.visitors.orders += 1;
        format!("order_{}_{}", self.plan.seed, self.visitors.orders)
    }

    fn draw_device(&mut self) -> u32 {
        let weights = &self.visitors.weights;
        let draw = self.rng.random_range(0..*weights.last().unwrap_or(&1));
        u32::try_from(weights.partition_point(|weight| *weight <= draw)).unwrap_or(0)
    }

    /// Clicks that are too old to make another one a duplicate.
    fn forget(&mut self, now_us: i64) {
        if self.visitors.sessions.is_multiple_of(10_000) {
            let oldest_us = now_us - 8 * self.plan.duplicate_window_us;
            self.visitors.clicked.retain(|_, known| known.iter().any(|at_us| *at_us > oldest_us));
        }
    }
}

fn device_name(device: u32) -> String {
    format!("device_{device}")
}

fn ad_name(seen: &Seen) -> String {
    format!("ad_{}_{}", seen.campaign, seen.ad)
}

fn product_name(campaign: usize, ad: usize) -> String {
    format!("product_{campaign}_{}", ad % PRODUCTS_OF_A_CAMPAIGN)
}
