//! A shop as its servers tell of it, on all topics: campaigns that change, and people who look, click, click again and
//! buy. Seeded: the same plan gives the same events, however often they are fetched. What it knows about them stands
//! in its [`Diary`], for checks that do not ask the system.

mod changes;
pub mod diary;
mod visits;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::Offset;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::campaigns::Campaign;
use super::poison::Poison;
use super::{Fields, Generated, Kind, write};
use changes::Advertised;
use diary::{Diary, Note};
use visits::Visitors;

/// What happens, how often.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub rates: Rates,
    pub devices: u32,
    /// Clicks of one device on one ad that are closer than this are duplicates.
    pub duplicate_window_us: i64,
    /// Share of a million clicks that are followed by duplicates, and by clicks that are just not.
    pub duplicated_ppm: u32,
    pub repeated_later_ppm: u32,
    /// Share of a million events that are sent late, and how late at most.
    pub late_ppm: u32,
    pub late_us_max: i64,
    /// Share of a million events that cannot be read, for each topic, and their classes, one after the other.
    pub bad_ppm: u32,
    pub bad: Vec<Poison>,
    /// How far ahead `effective_from` lies when it does.
    pub effective_us_max: i64,
    /// Campaigns, by index, that nobody but tollgate changes after they were created.
    pub left_alone: Vec<usize>,
}

/// Events a second of each topic, on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub campaigns: u32,
    pub ads: u32,
    pub conversions: u32,
}

impl Rates {
    /// What the topics are designed for. Duplicates then come to about 20 compensations a second.
    pub const DESIGN: Self = Self { campaigns: 50, ads: 1_000, conversions: 100 };

    /// The same proportions at another rate of ad events.
    #[must_use]
    pub fn of_ads(ads: u32) -> Self {
        Self { campaigns: ads / 20, ads, conversions: ads / 10 }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            rates: Rates::DESIGN,
            devices: 20_000,
            duplicate_window_us: 300_000_000,
            duplicated_ppm: 90_000,
            repeated_later_ppm: 10_000,
            late_ppm: 20_000,
            late_us_max: 3_000_000,
            bad_ppm: 1_000,
            bad: UNREADABLE.to_vec(),
            effective_us_max: 20_000_000,
            left_alone: Vec::new(),
        }
    }
}

/// Classes of bad input that the host and Flink refuse on every topic. Others depend on which fields a topic has, or on what
/// the database knows of a campaign.
pub const UNREADABLE: [Poison; 8] = [
    Poison::NotJson,
    Poison::NotUtf8,
    Poison::NoValue,
    Poison::EmptyValue,
    Poison::NotAnObject,
    Poison::Deep,
    Poison::NoTimestamp,
    Poison::UnparsableTimestamp,
];

/// A topic that the shop writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    Campaigns,
    Ads,
    Conversions,
}

impl Stream {
    pub const ALL: [Self; 3] = [Self::Campaigns, Self::Ads, Self::Conversions];

    /// Name of the topic as designed.
    #[must_use]
    pub fn topic(self) -> &'static str {
        match self {
            Self::Campaigns => "campaign-events",
            Self::Ads => "ad-events",
            Self::Conversions => "conversion-events",
        }
    }
}

/// An event on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    pub stream: Stream,
    /// Its timestamp.
    pub at_us: i64,
    /// When it is to be sent; not before its timestamp.
    pub send_at_us: i64,
    pub event: Generated,
    /// What the diary keeps of it.
    note: Option<Note>,
}

/// An endless source of events on all topics.
pub struct Market {
    plan: Plan,
    rng: SmallRng,
    campaigns: Vec<Campaign>,
    /// Cumulated weights of the campaigns.
    weights: Vec<u64>,
    advertised: Vec<Advertised>,
    visitors: Visitors,
    /// What will be sent, by its time and by the order in which it was thought of.
    waiting: BTreeMap<(i64, u64), Sent>,
    thought_of: u64,
    next_visit_us: i64,
    next_change_us: i64,
    spoiled: usize,
    diary: Diary,
}

impl Market {
    /// Begins at `begin_us` with all campaigns created and approved.
    #[must_use]
    pub fn new(plan: Plan, campaigns: &[Campaign], begin_us: i64) -> Self {
        let mut total = 0;
        let weights = (1..=campaigns.len() as u64).map(|rank| {
            total += 1_000_000_000 / rank;
            total
        });
        let mut market = Self {
            rng: SmallRng::seed_from_u64(plan.seed),
            campaigns: campaigns.to_vec(),
            weights: weights.collect(),
            advertised: Vec::new(),
            visitors: Visitors::new(plan.devices),
            waiting: BTreeMap::new(),
            thought_of: 0,
            next_visit_us: begin_us,
            next_change_us: begin_us,
            spoiled: 0,
            diary: Diary::default(),
            plan,
        };
        market.open(begin_us);
        market
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    #[must_use]
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// Placement, category and bid that a campaign was last given; what its row in `campaigns` would say.
    #[must_use]
    pub fn advertised(&self, campaign: usize) -> &Advertised {
        &self.advertised[campaign]
    }

    #[must_use]
    pub fn diary(&self) -> &Diary {
        &self.diary
    }

    pub fn diary_mut(&mut self) -> &mut Diary {
        &mut self.diary
    }

    /// What is to be sent until an instant, in order. Whoever takes it sends it.
    pub fn take_until(&mut self, until_us: i64) -> Vec<Sent> {
        while self.next_visit_us <= until_us || self.next_change_us <= until_us {
            if self.next_visit_us <= self.next_change_us {
                let at_us = self.next_visit_us;
                let ads = self.visit(at_us);
                self.next_visit_us += self.pause(self.plan.rates.ads, ads);
            } else {
                let at_us = self.next_change_us;
                self.change(at_us);
                self.next_change_us += self.pause(self.plan.rates.campaigns, 1);
            }
        }
        let later = self.waiting.split_off(&(until_us + 1, 0));
        let due = std::mem::replace(&mut self.waiting, later);
        self.note(due)
    }

    /// Ends the story: the rest of what has happened until `end_us`, which may be sent a little later than that.
    /// Whatever would happen afterwards never happens.
    pub fn finish(&mut self, end_us: i64) -> Vec<Sent> {
        let mut last = self.take_until(end_us);
        let mut rest = std::mem::take(&mut self.waiting);
        rest.retain(|_, sent| sent.at_us <= end_us);
        last.extend(self.note(rest));
        last
    }

    fn note(&mut self, due: BTreeMap<(i64, u64), Sent>) -> Vec<Sent> {
        let mut sent: Vec<Sent> = due.into_values().collect();
        for sent in &mut sent {
            self.diary.write(sent.stream, sent.event.kind, sent.send_at_us, sent.note.take());
        }
        sent
    }

    /// Time until the next thing happens, when this one was `events` events.
    fn pause(&mut self, rate: u32, events: usize) -> i64 {
        if rate == 0 {
            return i64::MAX / 4;
        }
        let mean = 1_000_000 * i64::try_from(events.max(1)).unwrap_or(1) / i64::from(rate);
        self.rng.random_range(0..=2 * mean.max(1))
    }

    fn is(&mut self, share_ppm: u32) -> bool {
        self.rng.random_range(0..1_000_000) < share_ppm
    }

    /// A campaign, by Zipf's law.
    fn draw_campaign(&mut self) -> usize {
        let draw = self.rng.random_range(0..*self.weights.last().unwrap_or(&1));
        self.weights.partition_point(|weight| *weight <= draw)
    }

    /// Puts an event on its way, some of them late.
    fn tell(&mut self, stream: Stream, at_us: i64, event: Generated, note: Option<Note>) {
        let late = self.is(self.plan.late_ppm);
        let delay_us_max =
            if late { self.plan.late_us_max } else { self.plan.late_us_max.min(30_000) };
        let send_at_us = at_us + self.rng.random_range(0..=delay_us_max);
        self.put(Sent { stream, at_us, send_at_us, event, note });
        if self.is(self.plan.bad_ppm) {
            self.tell_bad(stream, at_us);
        }
    }

    fn put(&mut self, sent: Sent) {
        self.thought_of += 1;
        self.waiting.insert((sent.send_at_us, self.thought_of), sent);
    }

    /// An event that cannot be read, made from an honest one.
    fn tell_bad(&mut self, stream: Stream, at_us: i64) {
        if self.plan.bad.is_empty() {
            return;
        }
        let class = self.plan.bad[self.spoiled % self.plan.bad.len()];
        self.spoiled += 1;
        let campaign = self.draw_campaign();
        let (key, fields, amounts) = match stream {
            Stream::Campaigns => {
                let (key, fields) = self.whole(campaign, "CAMPAIGN_UPDATED", at_us);
                (key, fields, ["bid_price", "daily_budget"])
            }
            Stream::Ads => {
                let (device, fields) = self.stray(campaign, at_us);
                (device, fields, ["bid_price", "actual_price"])
            }
            Stream::Conversions => {
                let (device, fields) = self.organic(campaign, at_us);
                (device, fields, ["revenue_amount", "revenue_amount"])
            }
        };
        let payload = class.payload(fields, at_us, amounts);
        let event = Generated { kind: Kind::Poison(class), key, payload };
        self.put(Sent { stream, at_us, send_at_us: at_us, event, note: None });
    }

    /// An instant in one of the ways in which RFC 3339 can write it.
    fn stamp(&mut self, at_us: i64) -> String {
        let instant = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = |hours: i8| instant.display_with_offset(Offset::constant(hours)).to_string();
        match self.rng.random_range(0..100) {
            0..20 => local(9),
            20..22 => local(-5),
            22..24 => format!("{instant:.9}"),
            24..50 => format!("{instant:.6}"),
            _ => instant.to_string(),
        }
    }

    /// Some instants are whole milliseconds, as clocks are that show no more.
    fn rounded(&mut self, at_us: i64) -> i64 {
        let unit_us = if self.is(400_000) { 1_000 } else { 1 };
        at_us + (-at_us).rem_euclid(unit_us)
    }
}

/// An event with its key, ready to be sent.
fn generated(kind: Kind, key: &str, fields: &Fields) -> Generated {
    Generated { kind, key: key.to_owned(), payload: Some(write(fields).into_bytes()) }
}

#[cfg(test)]
mod tests;
