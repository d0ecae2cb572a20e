//! The reference model: slow, obvious, and written without the host's code.
//!
//! It reads the log record by record and says for every offset what must have become of it. It knows no batches,
//! no rules and no database.

pub mod json;
pub mod refunds;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::generator::campaigns::Campaign;
use json::Json;

/// A record of the log.
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Timestamp of the record in milliseconds.
    pub at_ms: i64,
    pub payload: Option<Vec<u8>>,
}

/// What must have become of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Charged(Charge),
    Skipped,
    /// A dead letter with this code.
    Dead(&'static str),
}

/// The row of `ad_balance_histories` that a click must have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub advertiser: String,
    pub campaign: String,
    pub ad: String,
    pub device: String,
    /// Positive.
    pub amount_micros: i64,
    pub occurred_at_us: i64,
    /// Budget day as `YYYY-MM-DD`.
    pub day: String,
    /// `DATABASE`, `REDIS` or `RULE`.
    pub price_source: &'static str,
}

/// What the model judges by.
pub struct Model {
    campaigns: HashMap<String, (Campaign, TimeZone)>,
    /// Prices that Redis has, as it has them.
    cached: HashMap<String, String>,
    /// Prices above it do not count when they come from Redis.
    charge_max_micros: i64,
    warn_ppm: i64,
    hostile: Option<Hostile>,
}

/// A pricing module that charges every click the same and fails on some campaigns.
#[derive(Clone, Debug)]
struct Hostile {
    charge_micros: i64,
    /// Codes of the dead letters, by campaign.
    codes: HashMap<String, &'static str>,
}

/// Everything that the log must have led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By partition and offset; an offset without a record is not here.
    pub fates: BTreeMap<(i32, i64), Fate>,
    /// Spend by campaign and day.
    pub spent: BTreeMap<(String, String), i64>,
    /// Spend by advertiser.
    pub charged: BTreeMap<String, i64>,
    /// Campaign-days that passed the warning level without jumping over it.
    pub warned: BTreeSet<(String, String)>,
    /// Campaign-days that reached the whole budget.
    pub exhausted: BTreeSet<(String, String)>,
}

const PAYLOAD_BYTES_MAX: usize = 1 << 20;
const TEXT_BYTES_MAX: usize = 1_024;
pub(crate) const DEPTH_MAX: usize = 64;
const AGE_MAX_HOURS: i64 = 8 * 24;
const AHEAD_MAX_MINUTES: i64 = 10;

/// Fields that mean something for a click.
const TEXTS: [&str; 10] = [
    "event_type",
    "campaign_id",
    "advertiser_id",
    "timestamp",
    "device_id",
    "ad_id",
    "product_id",
    "placement",
    "category",
    "search_term",
];
const REQUIRED: [&str; 4] = ["event_type", "campaign_id", "advertiser_id", "timestamp"];
const AMOUNTS: [&str; 2] = ["bid_price", "actual_price"];

impl Model {
    /// # Panics
    /// A campaign has a time zone that does not exist.
    #[must_use]
    pub fn new(campaigns: &[Campaign]) -> Self {
        let known = campaigns.iter().map(|campaign| {
            let zone = TimeZone::get(&campaign.time_zone).expect("an IANA time zone");
            (campaign.id.clone(), (campaign.clone(), zone))
        });
        Self {
            campaigns: known.collect(),
            cached: HashMap::new(),
            charge_max_micros: i64::MAX,
            warn_ppm: 900_000,
            hostile: None,
        }
    }

    /// Every click costs `charge_micros`, and clicks of these campaigns are dead letters with the codes beside them.
    #[must_use]
    pub fn with_hostile_pricing<'a>(
        mut self,
        charge_micros: i64,
        codes: impl IntoIterator<Item = (&'a str, &'static str)>,
    ) -> Self {
        let codes = codes.into_iter().map(|(campaign, code)| (campaign.to_owned(), code));
        self.hostile = Some(Hostile { charge_micros, codes: codes.collect() });
        self
    }

    /// Prices of campaigns as texts, and the greatest that may be believed.
    #[must_use]
    pub fn with_redis(mut self, cached: HashMap<String, String>, charge_max_micros: i64) -> Self {
        (self.cached, self.charge_max_micros) = (cached, charge_max_micros);
        self
    }

    /// Share of the budget, in ppm, at which a campaign is warned about.
    #[must_use]
    pub fn with_warning_at(mut self, warn_ppm: i64) -> Self {
        self.warn_ppm = warn_ppm;
        self
    }

    /// Judges a whole log.
    #[must_use]
    pub fn judge(&self, records: &[Record]) -> Outcome {
        let mut outcome = Outcome::default();
        for record in records {
            let fate = self.fate(record);
            if let Fate::Charged(charge) = &fate {
                self.book(charge, &mut outcome);
            }
            outcome.fates.insert((record.partition, record.offset), fate);
        }
        outcome
    }

    /// Judges one record.
    #[must_use]
    pub fn fate(&self, record: &Record) -> Fate {
        match self.charge(record) {
            Ok(Some(charge)) => Fate::Charged(charge),
            Ok(None) => Fate::Skipped,
            Err(code) => Fate::Dead(code),
        }
    }

    fn book(&self, charge: &Charge, outcome: &mut Outcome) {
        let key = (charge.campaign.clone(), charge.day.clone());
        let spent = outcome.spent.entry(key.clone()).or_default();
        *spent += charge.amount_micros;
        *outcome.charged.entry(charge.advertiser.clone()).or_default() += charge.amount_micros;
        let Some(budget) = self.campaigns[&charge.campaign].0.daily_budget_micros else { return };
        let (spent, budget) = (i128::from(*spent), i128::from(budget));
        if spent >= budget {
            outcome.exhausted.insert(key);
        } else if spent * 1_000_000 >= budget * i128::from(self.warn_ppm) {
            outcome.warned.insert(key);
        }
    }

    fn charge(&self, record: &Record) -> Result<Option<Charge>, &'static str> {
        let Some(event) = click(record)? else { return Ok(None) };
        let (id, advertiser) = (event.text("campaign_id")?, event.text("advertiser_id")?);
        let instant = event.instant(record)?;
        let (campaign, zone) = self.campaigns.get(&id).ok_or("UNKNOWN_CAMPAIGN")?;
        if campaign.advertiser != advertiser {
            return Err("ADVERTISER_MISMATCH");
        }
        let (amount_micros, price_source) = self.price(campaign)?;
        let day: Date = zone.to_datetime(instant).date();
        Ok(Some(Charge {
            advertiser,
            campaign: id,
            ad: event.text("ad_id")?,
            device: event.text("device_id")?,
            amount_micros,
            occurred_at_us: instant.as_microsecond(),
            day: day.to_string(),
            price_source,
        }))
    }

    fn price(&self, campaign: &Campaign) -> Result<(i64, &'static str), &'static str> {
        match (&self.hostile, self.cached_price(&campaign.id)) {
            (Some(hostile), _) => match hostile.codes.get(&campaign.id) {
                Some(code) => Err(code),
                None => Ok((hostile.charge_micros, "RULE")),
            },
            (None, Some(price)) => Ok((price, "REDIS")),
            (None, None) => Ok((campaign.cpc_micros, "DATABASE")),
        }
    }

    fn cached_price(&self, campaign: &str) -> Option<i64> {
        let price = micros(self.cached.get(campaign)?).ok()?;
        (1..=self.charge_max_micros).contains(&price).then_some(price)
    }
}

/// Members of an event, with keys that are given twice and numbers as they are written.
struct Members(Vec<(String, Json)>);

impl Members {
    fn read(record: &Record) -> Result<Self, &'static str> {
        let bytes = record.payload.as_deref().filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or("EMPTY_VALUE")?;
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err("PAYLOAD_TOO_LARGE");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "NOT_UTF8")?;
        if json::depth(text) > DEPTH_MAX {
            return Err("TOO_DEEP");
        }
        match json::parse(text).ok_or("NOT_JSON")? {
            Json::Object(members) => Ok(Self(members)),
            _ => Err("NOT_AN_OBJECT"),
        }
    }

    fn all(&self, name: &str) -> Vec<&Json> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
    }

    fn check_once(&self, names: &[&str]) -> Result<(), &'static str> {
        if names.iter().any(|name| self.all(name).len() > 1) {
            return Err("DUPLICATE_KEY");
        }
        Ok(())
    }

    /// A text, empty when there is none.
    fn text(&self, name: &str) -> Result<String, &'static str> {
        let value = self.all(name).last().copied();
        Ok(value.map(read_text).transpose()?.flatten().unwrap_or_default())
    }

    fn required(&self, name: &str) -> Result<String, &'static str> {
        Some(self.text(name)?).filter(|text| !text.is_empty()).ok_or("MISSING_FIELD")
    }

    fn amount(&self, name: &str) -> Result<Option<i64>, &'static str> {
        match self.all(name).first() {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Number(number)) => micros(number).map(Some),
            Some(Json::Text(_)) => Err("NUMBER_AS_TEXT"),
            Some(_) => Err("WRONG_TYPE"),
        }
    }

    /// The event's own instant.
    fn instant(&self, record: &Record) -> Result<Timestamp, &'static str> {
        instant(&self.required("timestamp")?, record)
    }
}

/// An instant near its record's.
fn instant(text: &str, record: &Record) -> Result<Timestamp, &'static str> {
    let instant: Timestamp = text.parse().map_err(|_| "TIMESTAMP_UNPARSABLE")?;
    let record_at = Timestamp::from_millisecond(record.at_ms).map_err(|_| "NO_RECORD_TIME")?;
    // Whole milliseconds, as records count.
    let at_ms = instant.as_millisecond();
    if at_ms < (record_at - AGE_MAX_HOURS.hours()).as_millisecond() {
        return Err("TIMESTAMP_TOO_OLD");
    }
    if at_ms > (record_at + AHEAD_MAX_MINUTES.minutes()).as_millisecond() {
        return Err("TIMESTAMP_IN_FUTURE");
    }
    Ok(instant)
}

/// A click that can be read; `None` for an event that is not one.
fn click(record: &Record) -> Result<Option<Members>, &'static str> {
    let event = Members::read(record)?;
    let kind = event.required("event_type")?;
    event.check_once(&["event_type"])?;
    if kind != "CLICK" {
        return Ok(None);
    }
    event.check_once(&TEXTS)?;
    event.check_once(&AMOUNTS)?;
    for name in TEXTS {
        event.text(name)?;
    }
    for name in REQUIRED {
        event.required(name)?;
    }
    for name in AMOUNTS {
        event.amount(name)?;
    }
    Ok(Some(event))
}

fn read_text(value: &Json) -> Result<Option<String>, &'static str> {
    match value {
        Json::Null => Ok(None),
        Json::Text(text) if text.contains('\0') => Err("NUL_IN_TEXT"),
        Json::Text(text) if text.len() > TEXT_BYTES_MAX => Err("TEXT_TOO_LONG"),
        Json::Text(text) => Ok(Some(text.clone())),
        _ => Err("WRONG_TYPE"),
    }
}

/// A plain decimal in micros, by school arithmetic on its digits.
fn micros(number: &str) -> Result<i64, &'static str> {
    if number.contains(['e', 'E']) {
        return Err("NUMBER_EXPONENT");
    }
    let digits = number.strip_prefix('-').unwrap_or(number);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 6 {
        return Err("NUMBER_TOO_PRECISE");
    }
    let all = format!("{whole}{decimals:0<6}");
    if !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("WRONG_TYPE");
    }
    let value = all.trim_start_matches('0');
    if value.is_empty() {
        return Ok(0);
    }
    if number.starts_with('-') {
        return Err("NUMBER_NEGATIVE");
    }
    value.parse().map_err(|_| "NUMBER_OVERFLOW")
}

#[cfg(test)]
mod tests;
