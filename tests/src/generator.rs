//! Realistic traffic in the customer's schema. The same seed gives the same events.

pub mod campaigns;
pub mod poison;

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
    Poison(Poison),
}

/// An event, ready to be produced.
#[derive(Clone, Debug)]
pub struct Generated {
    pub kind: Kind,
    /// The device, as the specification partitions `ad-events`.
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
}

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
        let (_, key, fields) = self.fields("CLICK", at_us);
        Generated { kind: Kind::Poison(class), key, payload: class.payload(fields, at_us) }
    }

    fn event(&mut self, event_type: &str, at_us: i64) -> Generated {
        let (campaign, key, fields) = self.fields(event_type, at_us);
        let kind = match event_type {
            "CLICK" => Kind::Click(campaign),
            "CONVERSION" => Kind::Conversion,
            _ => Kind::Impression,
        };
        Generated { kind, key, payload: Some(write(&fields).into_bytes()) }
    }

    fn fields(&mut self, event_type: &str, at_us: i64) -> (usize, String, Fields) {
        let draw = self.rng.random_range(0..*self.weights.last().unwrap_or(&1));
        let at = self.weights.partition_point(|weight| *weight <= draw);
        let device = format!("device_{}", self.rng.random_range(0..self.mix.devices));
        let extras = (self.rng.random_range(0..20), self.rng.random_range(0..1_000_u32));
        let placement = PLACEMENTS[self.rng.random_range(0..PLACEMENTS.len())];
        let campaign = &self.campaigns[at];
        let mut fields = vec![
            ("event_type", text(event_type)),
            ("timestamp", text(&instant(at_us))),
            ("device_id", text(&device)),
            ("session_id", text(&format!("session_{}", extras.1))),
            ("ad_id", text(&format!("ad_{}_{}", at, extras.1 % 5))),
            ("campaign_id", text(&campaign.id)),
            ("advertiser_id", text(&campaign.advertiser)),
            ("product_id", text(&format!("product_{}", extras.1 % 200))),
            ("placement", text(placement)),
            ("bid_price", (campaign.cpc_micros / 1_000_000 + 300).to_string()),
            ("actual_price", decimal(campaign.cpc_micros)),
        ];
        if placement == "SEARCH" {
            fields
                .push(("search_term", text(SEARCH_TERMS[extras.1 as usize % SEARCH_TERMS.len()])));
        }
        fields.push(("category", text(CATEGORIES[at % CATEGORIES.len()])));
        if event_type == "CONVERSION" {
            fields.push(("revenue_amount", "50000".to_owned()));
            fields.push(("order_id", text(&format!("order_{}", extras.1))));
        }
        vary(&mut fields, extras.0);
        (at, device, fields)
    }
}

/// Names and JSON values of an event, in order.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// Some events leave optional fields out, and some carry fields nobody has heard of.
fn vary(fields: &mut Fields, draw: u32) {
    match draw {
        0 => fields.push(("experiment", r#"{"name":"b","arms":[1,2.5e-3,null]}"#.to_owned())),
        1 => fields.retain(|(name, _)| *name != "ad_id"),
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

fn decimal(micros: i64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
