//! Realistic traffic in the customer's schema. The same seed gives the same events.

pub mod campaigns;
pub mod compensations;
pub mod market;
pub mod poison;

use std::collections::VecDeque;
use std::mem;

use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use campaigns::Campaign;
use poison::Poison;

/// How the traffic is mixed.
#[derive(Clone, Debug)]
pub struct Mix {
    pub seed: u64,
    /// Shares of a million events; what is left over are conversions.
    pub impressions_ppm: u32,
    pub clicks_ppm: u32,
    pub poison_ppm: u32,
    /// Share of a million clicks that repeat a recent one: the same device on the same ad.
    pub repeats_ppm: u32,
    pub devices: u32,
    /// Whether campaigns are drawn by Zipf's law, as in life, or evenly.
    pub zipf: bool,
    /// Classes that poison is drawn from, one after the other.
    pub poison: Vec<Poison>,
}

impl Default for Mix {
    /// 70 % impressions, 29.9 % clicks, 0.1 % poison.
    fn default() -> Self {
        Self {
            seed: 1,
            impressions_ppm: 700_000,
            clicks_ppm: 299_000,
            poison_ppm: 1_000,
            repeats_ppm: 0,
            devices: 20_000,
            zipf: true,
            poison: Poison::SMALL.to_vec(),
        }
    }
}

/// What an event is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Impression,
    /// A click that can be charged, with the index of its campaign.
    Click(usize),
    Conversion,
    /// An event of `compensation-events`.
    Compensation,
    /// An event of `campaign-events`.
    Campaign,
    Poison(Poison),
}

/// Clicks of one device on one ad, by time; more than one, so that all but the first are duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Index of the campaign.
    pub campaign: usize,
    pub device: String,
    pub ad: String,
    pub at_us: Vec<i64>,
}

/// An event, ready to be produced.
#[derive(Clone, Debug)]
pub struct Generated {
    pub kind: Kind,
    /// What the specification partitions the topic by: the device, and the advertiser of a compensation.
    pub key: String,
    pub payload: Option<Vec<u8>>,
}

/// An endless source of events about a table of campaigns.
pub struct Generator {
    mix: Mix,
    rng: SmallRng,
    campaigns: Vec<Campaign>,
    /// Cumulated weights of the campaigns.
    weights: Vec<u64>,
    poisoned: usize,
    /// Clicks that may be repeated, by the time of the first one.
    recent: VecDeque<Repeat>,
    /// Clicks that were repeated and will not be again.
    repeated: Vec<Repeat>,
}

/// What chance decides about an event.
struct Drawn {
    campaign: usize,
    device: String,
    ad: String,
    session: u32,
    placement: &'static str,
    /// Which optional fields it leaves out or adds.
    variation: u32,
}

/// Clicks that wait to be repeated.
const RECENT_MAX: usize = 500;
/// A variation that changes nothing, and the one that leaves the ad out.
const PLAIN: u32 = 19;
const WITHOUT_AD: u32 = 1;

const PLACEMENTS: [&str; 4] = ["HOME", "CATEGORY", "PRODUCT_DETAIL", "SEARCH"];
const CATEGORIES: [&str; 8] = [
    "전자제품/컴퓨터",
    "전자제품/휴대폰",
    "패션/여성의류",
    "패션/신발",
    "식품/신선식품",
    "뷰티/스킨케어",
    "가구/침실",
    "스포츠/캠핑",
];
const SEARCH_TERMS: [&str; 8] = [
    "노트북",
    "무선 이어폰",
    "원피스",
    "운동화",
    "제주 감귤",
    "수분크림",
    "\\\"킹\\\" 매트리스",
    "텐트",
];

impl Generator {
    #[must_use]
    pub fn new(mix: Mix, campaigns: &[Campaign]) -> Self {
        let mut total = 0;
        let weights = (1..=campaigns.len() as u64).map(|rank| {
            total += if mix.zipf { 1_000_000_000 / rank } else { 1 };
            total
        });
        Self {
            rng: SmallRng::seed_from_u64(mix.seed),
            campaigns: campaigns.to_vec(),
            weights: weights.collect(),
            poisoned: 0,
            recent: VecDeque::new(),
            repeated: Vec::new(),
            mix,
        }
    }

    #[must_use]
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// The next event, happening at `at_us` microseconds.
    pub fn next(&mut self, at_us: i64) -> Generated {
        let draw = self.rng.random_range(0..1_000_000);
        let clicks = self.mix.impressions_ppm + self.mix.clicks_ppm;
        if draw < self.mix.impressions_ppm {
            self.event("IMPRESSION", at_us)
        } else if draw < clicks || self.mix.poison.is_empty() {
            self.event("CLICK", at_us)
        } else if draw < clicks + self.mix.poison_ppm {
            let class = self.mix.poison[self.poisoned % self.mix.poison.len()];
            self.poisoned += 1;
            self.poison(class, at_us)
        } else {
            self.event("CONVERSION", at_us)
        }
    }

    /// An event of one class of bad input.
    pub fn poison(&mut self, class: Poison, at_us: i64) -> Generated {
        let drawn = self.draw();
        let fields = self.fields(&drawn, "CLICK", at_us);
        let payload = class.payload(fields, at_us, ["bid_price", "actual_price"]);
        Generated { kind: Kind::Poison(class), key: drawn.device, payload }
    }

    /// Repeated clicks whose last one came before this instant; each is told of once, and not repeated any more.
    pub fn take_repeats(&mut self, before_us: i64) -> Vec<Repeat> {
        let is_old =
            |repeat: &Repeat| repeat.at_us.len() > 1 && repeat.at_us.last() < Some(&before_us);
        let (old, recent): (Vec<_>, Vec<_>) =
            mem::take(&mut self.recent).into_iter().partition(is_old);
        self.recent = recent.into();
        let (mut taken, left): (Vec<_>, Vec<_>) =
            mem::take(&mut self.repeated).into_iter().partition(is_old);
        self.repeated = left;
        taken.extend(old);
        taken
    }

    fn event(&mut self, event_type: &str, at_us: i64) -> Generated {
        let mut drawn = self.draw();
        let kind = match event_type {
            "CLICK" => {
                if self.mix.repeats_ppm > 0 {
                    self.repeat(&mut drawn, at_us);
                }
                Kind::Click(drawn.campaign)
            }
            "CONVERSION" => Kind::Conversion,
            _ => Kind::Impression,
        };
        let fields = self.fields(&drawn, event_type, at_us);
        Generated { kind, key: drawn.device, payload: Some(write(&fields).into_bytes()) }
    }

    fn draw(&mut self) -> Drawn {
        let draw = self.rng.random_range(0..*self.weights.last().unwrap_or(&1));
        let campaign = self.weights.partition_point(|weight| *weight <= draw);
        let device = format!("device_{}", self.rng.random_range(0..self.mix.devices));
        let variation = self.rng.random_range(0..=PLAIN);
        let session = self.rng.random_range(0..1_000_u32);
        let placement = PLACEMENTS[self.rng.random_range(0..PLACEMENTS.len())];
        let ad = format!("ad_{campaign}_{}", session % 5);
        Drawn { campaign, device, ad, session, placement, variation }
    }

    /// Makes some clicks repeat a recent one, and remembers all others.
    fn repeat(&mut self, drawn: &mut Drawn, at_us: i64) {
        let is_repeat = self.rng.random_range(0..1_000_000) < self.mix.repeats_ppm;
        if is_repeat && !self.recent.is_empty() {
            let at = self.rng.random_range(0..self.recent.len());
            let first = &mut self.recent[at];
            first.at_us.push(at_us);
            drawn.campaign = first.campaign;
            drawn.device.clone_from(&first.device);
            drawn.ad.clone_from(&first.ad);
            drawn.variation = PLAIN;
        } else if drawn.variation != WITHOUT_AD {
            let Drawn { campaign, device, ad, .. } = &*drawn;
            let (campaign, device, ad) = (*campaign, device.clone(), ad.clone());
            self.recent.push_back(Repeat { campaign, device, ad, at_us: vec![at_us] });
        }
        if self.recent.len() > RECENT_MAX {
            let oldest = self.recent.pop_front().filter(|repeat| repeat.at_us.len() > 1);
            self.repeated.extend(oldest);
        }
    }

    fn fields(&self, drawn: &Drawn, event_type: &str, at_us: i64) -> Fields {
        let (at, session) = (drawn.campaign, drawn.session);
        let campaign = &self.campaigns[at];
        let mut fields = vec![
            ("event_type", text(event_type)),
            ("timestamp", text(&instant(at_us))),
            ("device_id", text(&drawn.device)),
            ("session_id", text(&format!("session_{session}"))),
            ("ad_id", text(&drawn.ad)),
            ("campaign_id", text(&campaign.id)),
            ("advertiser_id", text(&campaign.advertiser)),
            ("product_id", text(&format!("product_{}", session % 200))),
            ("placement", text(drawn.placement)),
            ("bid_price", (campaign.cpc_micros / 1_000_000 + 300).to_string()),
            ("actual_price", decimal(campaign.cpc_micros)),
        ];
        if drawn.placement == "SEARCH" {
            let term = SEARCH_TERMS[session as usize % SEARCH_TERMS.len()];
            fields.push(("search_term", text(term)));
        }
        fields.push(("category", text(CATEGORIES[at % CATEGORIES.len()])));
        if event_type == "CONVERSION" {
            fields.push(("revenue_amount", "50000".to_owned()));
            fields.push(("order_id", text(&format!("order_{session}"))));
        }
        vary(&mut fields, drawn.variation);
        fields
    }
}

/// Names and JSON values of an event, in order.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// Some events leave optional fields out, and some carry fields nobody has heard of.
fn vary(fields: &mut Fields, draw: u32) {
    match draw {
        0 => fields.push(("experiment", r#"{"name":"b","arms":[1,2.5e-3,null]}"#.to_owned())),
        WITHOUT_AD => fields.retain(|(name, _)| *name != "ad_id"),
        2 => fields.push(("revenue_amount", "null".to_owned())),
        3 => fields.retain(|(name, _)| !matches!(*name, "bid_price" | "actual_price")),
        _ => {}
    }
}

pub(crate) fn write(fields: &Fields) -> String {
    let mut json = String::with_capacity(512);
    for (name, value) in fields {
        json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
        json.push_str(name);
        json.push_str("\":");
        json.push_str(value);
    }
    json.push('}');
    json
}

/// An instant as the specification writes it, to the microsecond.
pub(crate) fn instant(at_us: i64) -> String {
    let instant = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{instant:.6}")
}

pub(crate) fn text(value: &str) -> String {
    format!("\"{value}\"")
}

pub(crate) fn decimal(micros: i64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
