//! What four statements and a host have to make of a log, computed from the log: slow, obvious, and without a line of
//! theirs.

mod attribution;
mod duplicates;
mod performance;
mod ranking;

use jiff::Timestamp;

pub use attribution::{Attributed, attributions};
pub use duplicates::{Duplicate, duplicates};
pub use performance::{Metrics, metrics};
pub use ranking::{Ranking, ranking};

use crate::model::json::{self, Json};
use crate::model::{DEPTH_MAX, Record};

/// How much older than its record an event may be, and how far ahead.
const AGE_US_MAX: i64 = 192 * 3_600 * 1_000_000;
const AHEAD_US_MAX: i64 = 600 * 1_000_000;

/// An event whose time can be used.
#[derive(Clone, Debug)]
pub struct Event {
    pub at_us: i64,
    /// Of two events at the same time the one with the greater place is the later one.
    pub place: (i32, i64),
    /// When its record was written.
    pub record_at_us: i64,
    members: Vec<(String, Json)>,
}

/// The events of a topic; what cannot be read or has no time is passed over.
#[must_use]
pub fn events(records: &[Record]) -> Vec<Event> {
    records.iter().filter_map(event).collect()
}

fn event(record: &Record) -> Option<Event> {
    let text = std::str::from_utf8(record.payload.as_deref()?).ok()?;
    if json::depth(text) > DEPTH_MAX {
        return None;
    }
    let Json::Object(members) = json::parse(text)? else { return None };
    let record_at_us = record.at_ms * 1_000;
    let mut event =
        Event { at_us: 0, place: (record.partition, record.offset), record_at_us, members };
    event.at_us = instant(event.text("timestamp")?)?;
    let allowed = record_at_us - AGE_US_MAX..=record_at_us + AHEAD_US_MAX;
    allowed.contains(&event.at_us).then_some(event)
}

impl Event {
    /// A text that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Json::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A number in millionths.
    fn micros(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Json::Number(number) => micros(number),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Json> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn instant(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// A plain decimal in millionths; further decimals have to be zeros.
#[must_use]
pub fn micros(decimal: &str) -> Option<i64> {
    let (whole, decimals) = decimal.split_once('.').unwrap_or((decimal, ""));
    let kept = decimals.get(..decimals.len().min(6))?;
    if decimals[kept.len()..].bytes().any(|digit| digit != b'0') {
        return None;
    }
    let micros: i64 = format!("{kept:0<6}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests;
