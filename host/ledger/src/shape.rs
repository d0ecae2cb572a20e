//! Lists of rows as lists of columns, which is how both databases take them.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_domain::book::{DayKey, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::dead::{DeadLetter, Header};
use tollgate_domain::money::Micros;
use tollgate_domain::plan::{Advance, HistoryRow, Plan, ReasonName};
use tollgate_domain::slice::Source;

use crate::dialect::Cells;
use crate::error::{LedgerError, Result};
use crate::rows::{Keys, Rows};

/// Columns of the partitions that a batch moves.
pub(crate) struct AdvanceColumns<'a> {
    pub(crate) topics: Vec<&'a str>,
    pub(crate) partitions: Vec<i32>,
    pub(crate) epochs: Vec<i64>,
    pub(crate) incarnations: Vec<i32>,
    pub(crate) expected: Vec<i64>,
}

impl<'a> AdvanceColumns<'a> {
    pub(crate) fn new(advances: &'a [Advance]) -> Self {
        Self {
            topics: advances.iter().map(|a| &*a.source.topic).collect(),
            partitions: advances.iter().map(|a| a.source.partition).collect(),
            epochs: advances.iter().map(|a| a.source.epoch).collect(),
            incarnations: advances.iter().map(|a| a.source.incarnation).collect(),
            expected: advances.iter().map(|a| a.expected_offset).collect(),
        }
    }
}

/// Columns of campaign-days.
pub(crate) struct DayKeyColumns<'a> {
    pub(crate) campaigns: Vec<&'a str>,
    pub(crate) days: Vec<i32>,
}

impl<'a> DayKeyColumns<'a> {
    pub(crate) fn new(keys: &'a [DayKey]) -> Self {
        Self {
            campaigns: keys.iter().map(|key| &*key.campaign).collect(),
            days: keys.iter().map(|key| key.day.0).collect(),
        }
    }
}

/// Puts rows that were found back into the order of the keys, with zeros for those that were not.
pub(crate) struct Found {
    balances: HashMap<String, Micros>,
    days: HashMap<DayKey, DayState>,
}

impl Found {
    /// Rows of advertiser and balance, or else of campaign, day and state.
    pub(crate) fn of(keys: Keys<'_>, rows: &[impl Cells]) -> Result<Rows> {
        let mut found = Self { balances: HashMap::new(), days: HashMap::new() };
        for row in rows {
            if let Some(advertiser) = row.cell(0) {
                found.balances.insert(advertiser, Micros(row.cell(1)));
                continue;
            }
            let key = DayKey { campaign: row.cell::<String>(2).into(), day: Day(row.cell(3)) };
            found.days.insert(key, day_state(row)?);
        }
        Ok(found.in_order(keys))
    }

    fn in_order(&self, keys: Keys<'_>) -> Rows {
        let balance =
            |id: &Arc<str>| (Arc::clone(id), self.balances.get(&**id).copied().unwrap_or_default());
        let day = |key: &DayKey| (key.clone(), self.days.get(key).copied().unwrap_or_default());
        Rows {
            balances: keys.advertisers.iter().map(balance).collect(),
            days: keys.days.iter().map(day).collect(),
        }
    }
}

/// The state in the columns from the fifth on.
pub(crate) fn day_state(row: &impl Cells) -> Result<DayState> {
    let ppm = |value: i64| {
        u32::try_from(value)
            .map_err(|_| LedgerError::Unexpected(format!("{value} is not a ratio in ppm")))
    };
    Ok(DayState {
        spent: Micros(row.cell(4)),
        warned_ppm: ppm(row.cell(5))?,
        paused_ppm: ppm(row.cell(6))?,
        crossing_budget: row.cell::<Option<i64>>(7).map(Micros),
        overspent: Micros(row.cell(8)),
        version: row.cell(9),
    })
}

pub(crate) fn texts(ids: &[Arc<str>]) -> Vec<&str> {
    ids.iter().map(|id| &**id).collect()
}

/// Incarnation of the topic that a dead letter comes from.
pub(crate) fn incarnation(dead: &DeadLetter, plan: &Plan<'_>) -> i32 {
    let same = |a: &&Advance| a.source.partition == dead.partition && a.source.topic == dead.topic;
    plan.advances.iter().find(same).map_or(0, |a| a.source.incarnation)
}

/// Looks up the advance to which history rows belong; neighbours mostly share theirs.
pub(crate) struct SourceIndex<'a> {
    advances: &'a [Advance],
    last: usize,
}

impl<'a> SourceIndex<'a> {
    pub(crate) fn new(advances: &'a [Advance]) -> Self {
        Self { advances, last: 0 }
    }

    /// # Errors
    /// `Unexpected` when the plan writes history of a partition that it does not advance.
    pub(crate) fn find(&mut self, source: &Source) -> Result<usize> {
        let same = |advance: &Advance| {
            std::ptr::eq(&*advance.source, source) || *advance.source == *source
        };
        if self.advances.get(self.last).is_some_and(same) {
            return Ok(self.last);
        }
        let found = self.advances.iter().position(same).ok_or_else(|| {
            let sentence = format!(
                "the plan writes history of {} {} without advancing it",
                source.topic, source.partition
            );
            LedgerError::Unexpected(sentence)
        })?;
        self.last = found;
        Ok(found)
    }
}

/// The reason of a history row.
///
/// # Errors
/// `Unexpected` when the plan does not list it.
pub(crate) fn reason<'a>(plan: &'a Plan<'_>, row: &HistoryRow<'_>) -> Result<&'a ReasonName> {
    plan.reasons
        .get(usize::from(row.reason))
        .ok_or_else(|| LedgerError::Unexpected(format!("the plan lists no reason {}", row.reason)))
}

/// Empty texts are stored as NULL.
pub(crate) fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Text for a column that cannot hold NUL. Dead letters describe arbitrary bytes, and a dead letter that cannot be
/// written would stop the line.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Headers as JSON: pairs of name and value, the value in base64 or null.
pub(crate) fn headers_json(headers: &[Header]) -> String {
    let pairs: Vec<_> = headers
        .iter()
        .map(|(name, value)| (without_nul(name), value.as_deref().map(base64)))
        .collect();
    serde_json::to_string(&pairs).unwrap_or_else(|_| "[]".to_owned())
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in chunk {
            bits = bits << 6 | DIGITS.iter().position(|known| known == digit)? as u32;
        }
        bits <<= 6 * (4 - chunk.len());
        let [_, one, two, three] = bits.to_be_bytes();
        bytes.extend_from_slice(&[one, two, three][..(chunk.len() * 3 / 4)]);
    }
    Some(bytes)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Headers from what `headers_json` has made of them; `None` when it is anything else.
pub(crate) fn headers_of(json: &str) -> Option<Vec<Header>> {
    let pairs: Vec<(String, Option<String>)> = serde_json::from_str(json).ok()?;
    let header = |(name, value): (String, Option<String>)| match value {
        None => Some((name, None)),
        Some(text) => Some((name, Some(from_base64(&text)?))),
    };
    pairs.into_iter().map(header).collect()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_base64_or_null() {
        fn check(value: Option<&[u8]>, expected: &str) {
            let headers = [("h\0".to_owned(), value.map(<[u8]>::to_vec))];
            let json = headers_json(&headers);
            assert_eq!(json, format!("[[\"h\u{fffd}\",{expected}]]"));
            let back = vec![("h\u{fffd}".to_owned(), value.map(<[u8]>::to_vec))];
            assert_eq!(headers_of(&json), Some(back));
        }
        check(None, "null");
        check(Some(b""), "\"\"");
        check(Some(b"f"), "\"Zg==\"");
        check(Some(b"fo"), "\"Zm8=\"");
        check(Some(b"foo"), "\"Zm9v\"");
        check(Some(b"foob"), "\"Zm9vYg==\"");
        check(Some(&[0xff, 0xfe, 0x00]), "\"//4A\"");
    }
}
