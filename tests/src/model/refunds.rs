//! What compensations must have led to: each one is settled by itself, in the order in which they were made, with
//! every click known.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::json::Json;
use super::{Charge, Fate, Members, Model, Outcome, Record, instant, read_text};

/// Partition and offset of a record.
pub type Place = (i32, i64);

/// Everything that compensations must have led to.
#[derive(Debug, Default)]
pub struct Refunds {
    /// Compensations that could be read.
    pub settled: BTreeMap<Place, Settled>,
    /// Codes of those that could not.
    pub malformed: BTreeMap<Place, &'static str>,
    /// Charges that were given back, and the compensation of each.
    pub given_back: BTreeMap<Place, Place>,
    /// Refunds by campaign and day.
    pub by_day: BTreeMap<(String, String), i64>,
    /// Refunds by advertiser.
    pub by_advertiser: BTreeMap<String, i64>,
    paid: BTreeSet<Identity>,
}

/// A compensation and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub claim: Claim,
    pub state: State,
    /// 0 unless it was refunded.
    pub refund_micros: i64,
    /// Budget day that the refund belongs to, as `YYYY-MM-DD`; empty unless it was refunded.
    pub day: String,
    /// Whether amount, count, instants and charges contradict each other; false unless it was refunded.
    pub is_contradictory: bool,
}

/// What the event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub advertiser: String,
    pub campaign: String,
    pub ad: String,
    pub device: String,
    pub count: i64,
    pub claimed_micros: i64,
    /// By time.
    pub at_us: Vec<i64>,
    pub window: String,
    pub kind: String,
    /// The event's own instant.
    pub found_at_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Refunded,
    /// The same as another one that was refunded.
    Repeated,
    /// A dead letter with this code.
    Rejected(&'static str),
    /// As `Rejected`, after it had waited for as long as it may.
    Expired(&'static str),
}

/// Charges of each device.
type ByDevice<'a> = HashMap<&'a str, Vec<(Place, &'a Charge)>>;

/// What makes two events the same compensation: all but the amount, the count, and the words for it.
type Identity = (String, String, String, String, String, String, Vec<i64>);

const TEXTS: [&str; 8] = [
    "timestamp",
    "advertiser_id",
    "campaign_id",
    "ad_id",
    "device_id",
    "detection_window",
    "reason",
    "compensation_type",
];
const TIMES: &str = "original_click_timestamps";
const COUNT: &str = "duplicate_click_count";
const AMOUNT: &str = "refund_amount";
const TIMES_MAX: usize = 100;

impl Refunds {
    /// Settles a whole topic of compensations for clicks that were judged before.
    #[must_use]
    pub fn judge(model: &Model, clicks: &Outcome, records: &[Record]) -> Self {
        let mut refunds = Self::default();
        let charges = by_device(clicks);
        let mut by_time: Vec<&Record> = records.iter().collect();
        by_time.sort_by_key(|record| (record.at_ms, record.partition, record.offset));
        for record in by_time {
            let place = (record.partition, record.offset);
            match Claim::read(record) {
                Ok(claim) => refunds.settle(model, clicks, &charges, place, claim),
                Err(code) => drop(refunds.malformed.insert(place, code)),
            }
        }
        refunds
    }

    /// Codes of all dead letters: of what could not be read, and of what was not paid.
    #[must_use]
    pub fn dead(&self) -> BTreeMap<Place, String> {
        let malformed = self.malformed.iter().map(|(place, code)| (*place, (*code).to_owned()));
        let unpaid = self.settled.iter().filter_map(|(place, settled)| match settled.state {
            State::Rejected(code) | State::Expired(code) => Some((*place, code.to_owned())),
            State::Refunded | State::Repeated => None,
        });
        malformed.chain(unpaid).collect()
    }

    /// Takes the refunds from what clicks have charged.
    pub fn subtract_from(&self, clicks: &mut Outcome) {
        for (key, refund) in &self.by_day {
            *clicks.spent.entry(key.clone()).or_default() -= refund;
        }
        for (advertiser, refund) in &self.by_advertiser {
            *clicks.charged.entry(advertiser.clone()).or_default() -= refund;
        }
        clicks.spent.retain(|_, spent| *spent != 0);
        clicks.charged.retain(|_, charged| *charged != 0);
    }

    fn settle(
        &mut self,
        model: &Model,
        clicks: &Outcome,
        charges: &ByDevice<'_>,
        place: Place,
        claim: Claim,
    ) {
        let mut settled = Settled {
            claim,
            state: State::Repeated,
            refund_micros: 0,
            day: String::new(),
            is_contradictory: false,
        };
        if !self.paid.contains(&settled.claim.identity()) {
            settled.state = match self.refund(model, clicks, charges, place, &settled.claim) {
                Err(state) => state,
                Ok((refund_micros, day, is_contradictory)) => {
                    self.paid.insert(settled.claim.identity());
                    settled = Settled { refund_micros, day, is_contradictory, ..settled };
                    State::Refunded
                }
            };
        }
        self.settled.insert(place, settled);
    }

    /// Amount, day, and whether the event contradicts itself.
    fn refund(
        &mut self,
        model: &Model,
        clicks: &Outcome,
        charges: &ByDevice<'_>,
        place: Place,
        claim: &Claim,
    ) -> Result<(i64, String, bool), State> {
        let Some((campaign, zone)) = model.campaigns.get(&claim.campaign) else {
            return Err(State::Expired("UNKNOWN_CAMPAIGN"));
        };
        if campaign.advertiser != claim.advertiser {
            return Err(State::Rejected("ADVERTISER_MISMATCH"));
        }
        let there = claim.charges(charges);
        let matched = self.meant(claim, &there);
        let sum = |charges: &[(Place, &Charge)]| -> i64 {
            charges.iter().map(|(_, charge)| charge.amount_micros).sum()
        };
        // All but the first click were not wanted.
        let is_left = |charge: &(Place, &Charge)| !self.given_back.contains_key(&charge.0);
        let unwanted: Vec<_> = matched.iter().skip(1).copied().filter(is_left).collect();
        let cost = sum(&unwanted);
        let day = dearest_day(&unwanted).unwrap_or_else(|| {
            let at_us = claim.at_us.last().copied().unwrap_or(claim.found_at_us);
            let instant = Timestamp::from_microsecond(at_us).expect("it was read as an instant");
            zone.to_datetime(instant).date().to_string()
        });
        let key = (claim.campaign.clone(), day.clone());
        let charged = clicks.spent.get(&key).copied().unwrap_or_default();
        let refundable = charged - self.by_day.get(&key).copied().unwrap_or_default();
        // Once some of what is there was given back, the first click is held to be wanted.
        let rest = match (matched.is_empty(), there.iter().all(is_left)) {
            (true, _) => i64::MAX,
            (false, true) => sum(&matched),
            (false, false) => cost,
        };
        if !matched.is_empty() && unwanted.is_empty() {
            return Err(State::Rejected("COMPENSATION_REJECTED"));
        }
        let refund = claim.claimed_micros.min(refundable).min(rest);
        if refund <= 0 {
            return Err(State::Rejected("COMPENSATION_REJECTED"));
        }
        // Neither what was claimed nor what the clicks have cost.
        let is_cut = refund < claim.claimed_micros && refund < cost;
        let (mut marked, mut paid_for): (Vec<Place>, i64) = (Vec::new(), 0);
        for (charge, what) in &unwanted {
            // Neither more than it counts, nor less than was paid; of a cut one what was paid alone.
            if !is_cut && number(marked.len()) < claim.count - 1 || paid_for < refund {
                marked.push(*charge);
                paid_for += what.amount_micros;
            }
        }
        // More than they have cost can only be the price of the first click.
        if refund > cost {
            marked.extend(matched.first().filter(|first| is_left(first)).map(|(first, _)| *first));
        }
        self.given_back.extend(marked.into_iter().map(|charge| (charge, place)));
        *self.by_day.entry(key).or_default() += refund;
        *self.by_advertiser.entry(claim.advertiser.clone()).or_default() += refund;
        Ok((refund, day, is_cut || claim.contradicts(&matched, refund)))
    }

    /// What an event means of the charges that are there at its instants, which are in order: for each time that it
    /// names one of that time, then for each click that it counts beyond those one of its latest time.
    fn meant<'a>(&self, claim: &Claim, there: &[(Place, &'a Charge)]) -> Vec<(Place, &'a Charge)> {
        let is_given_back = |charge: &(Place, &Charge)| self.given_back.contains_key(&charge.0);
        let mut open = there.to_vec();
        let mut meant: Vec<(Place, &Charge)> = Vec::new();
        for at_us in &claim.at_us {
            let of_time = |charge: &&(Place, &Charge)| charge.1.occurred_at_us == *at_us;
            let mut candidates = open.iter().filter(of_time).copied().collect::<Vec<_>>();
            // The first click of all is the one that was wanted. Of others those that were given back come last.
            if !meant.is_empty() {
                candidates.sort_by_key(|charge| (is_given_back(charge), charge.0));
            }
            if let Some(charge) = candidates.first() {
                open.retain(|other| other.0 != charge.0);
                meant.push(*charge);
            }
        }
        for _ in number(claim.at_us.len())..claim.count {
            let rank = |charge: &&(Place, &Charge)| {
                (is_given_back(charge), Reverse(charge.1.occurred_at_us), charge.0)
            };
            let Some(charge) = open.iter().min_by_key(rank).copied() else { break };
            open.retain(|other| other.0 != charge.0);
            meant.push(charge);
        }
        meant.sort_by_key(|(place, charge)| (charge.occurred_at_us, *place));
        meant
    }
}

impl Claim {
    fn read(record: &Record) -> Result<Self, &'static str> {
        let event = Members::read(record)?;
        event.check_once(&TEXTS)?;
        event.check_once(&[TIMES, COUNT, AMOUNT])?;
        let found_at = event.instant(record)?;
        let claim = Self {
            advertiser: event.required("advertiser_id")?,
            campaign: event.required("campaign_id")?,
            ad: event.text("ad_id")?,
            device: event.text("device_id")?,
            count: count(&event)?,
            claimed_micros: event.amount(AMOUNT)?.ok_or("MISSING_FIELD")?,
            at_us: times(&event, record)?,
            window: event.text("detection_window")?,
            kind: event.text("compensation_type")?,
            found_at_us: found_at.as_microsecond(),
        };
        event.text("reason")?;
        Ok(claim)
    }

    fn identity(&self) -> Identity {
        let Self { advertiser, campaign, ad, device, window, kind, .. } = self.clone();
        let times = if self.at_us.is_empty() { vec![self.found_at_us] } else { self.at_us.clone() };
        (advertiser, campaign, ad, device, window, kind, times)
    }

    /// Charges that it may mean, by time: of its device on its ad, at one of its instants.
    fn charges<'a>(&self, charges: &ByDevice<'a>) -> Vec<(Place, &'a Charge)> {
        if self.device.is_empty() || self.ad.is_empty() {
            return Vec::new();
        }
        let of_device = charges.get(self.device.as_str()).into_iter().flatten().copied();
        let is_meant = |charge: &Charge| {
            charge.campaign == self.campaign
                && charge.ad == self.ad
                && self.at_us.contains(&charge.occurred_at_us)
        };
        let mut found: Vec<_> = of_device.filter(|(_, charge)| is_meant(charge)).collect();
        found.sort_by_key(|(place, charge)| (charge.occurred_at_us, *place));
        found
    }

    fn contradicts(&self, matched: &[(Place, &Charge)], refund: i64) -> bool {
        let price = matched.first().map(|(_, charge)| charge.amount_micros);
        price.is_some_and(|price| refund != (self.count - 1) * price)
            || number(self.at_us.len()) != self.count
            || number(matched.len()) < self.count
    }
}

/// The day on which these clicks have cost most; the later one of two.
fn dearest_day(clicks: &[(Place, &Charge)]) -> Option<String> {
    let mut costs: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, charge) in clicks {
        *costs.entry(&charge.day).or_default() += charge.amount_micros;
    }
    let (_, day) = costs.into_iter().map(|(day, cost)| (cost, day)).max()?;
    Some(day.to_owned())
}

fn number(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn by_device(clicks: &Outcome) -> ByDevice<'_> {
    let mut charges = ByDevice::new();
    for (place, fate) in &clicks.fates {
        if let Fate::Charged(charge) = fate {
            charges.entry(charge.device.as_str()).or_default().push((*place, charge));
        }
    }
    charges
}

/// A whole number from 0.
fn count(event: &Members) -> Result<i64, &'static str> {
    let micros = event.amount(COUNT)?.ok_or("MISSING_FIELD")?;
    if micros % 1_000_000 != 0 {
        return Err("NUMBER_TOO_PRECISE");
    }
    Ok(micros / 1_000_000)
}

fn times(event: &Members, record: &Record) -> Result<Vec<i64>, &'static str> {
    let items = match event.all(TIMES).first() {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(items)) => items,
        Some(_) => return Err("WRONG_TYPE"),
    };
    if items.len() > TIMES_MAX {
        return Err("TEXT_TOO_LONG");
    }
    let mut times = Vec::new();
    for item in items {
        let text = read_text(item)?.ok_or("WRONG_TYPE")?;
        times.push(instant(&text, record)?.as_microsecond());
    }
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests;
