//! A slice: consecutive records of one partition, decoded, on their way from a lane to the writer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dead::{Code, DeadLetter, Header, Rejection, Stage};
use crate::event::{self, ClickEvent, DecodeLimits};
use crate::money::Micros;

/// A record as the broker delivered it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Timestamp of the record in milliseconds; -1 when it has none.
    pub at_ms: i64,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [Header],
}

/// A partition in the hands of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub topic: Arc<str>,
    pub partition: i32,
    /// How often the topic was accepted as re-created; with topic, partition and offset it identifies a record.
    pub incarnation: i32,
    /// Number of the acquisition. Whoever acquired later wins; an older epoch writes nothing.
    pub epoch: i64,
}

/// A piece of a slice's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    start: u32,
    len: u32,
}

impl Text {
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A click that can be understood; whether it can be charged is for the batch to find out.
#[derive(Clone, Debug)]
pub struct Click {
    pub offset: i64,
    /// Index into the slice's parties.
    pub party: u32,
    pub occurred_at_us: i64,
    pub record_at_ms: i64,
    pub bid: Option<Micros>,
    pub actual: Option<Micros>,
    /// 0 other, 1 HOME, 2 CATEGORY, 3 PRODUCT_DETAIL, 4 SEARCH.
    pub placement: u8,
    pub device: Text,
    pub ad: Text,
    pub product: Text,
    pub category: Text,
    pub search_term: Text,
    payload: Text,
    key: Option<Text>,
    headers: Box<[Header]>,
}

/// Who a click concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub campaign: Text,
    pub advertiser: Text,
}

/// Consecutive records of one partition. Every offset in `first_offset..next_offset` is a click, a dead letter,
/// skipped or absent.
#[derive(Clone, Debug)]
pub struct Slice {
    pub source: Arc<Source>,
    pub first_offset: i64,
    /// One past the last record.
    pub next_offset: i64,
    /// Records that are well understood and not clicks.
    pub skipped: i64,
    /// Offsets without a record: transaction markers, aborted records, compaction.
    pub absent: i64,
    pub clicks: Vec<Click>,
    pub parties: Vec<Party>,
    pub dead: Vec<DeadLetter>,
    texts: String,
    keys: Vec<u8>,
}

impl Slice {
    #[must_use]
    pub fn text(&self, text: Text) -> &str {
        let start = text.start as usize;
        &self.texts[start..start + text.len as usize]
    }

    /// The dead letter that a click becomes when it cannot be charged.
    #[must_use]
    pub fn dead_letter(&self, click: &Click, rejection: Rejection, generation: u64) -> DeadLetter {
        let key = click.key.map(|key| {
            let start = key.start as usize;
            self.keys[start..start + key.len as usize].to_vec()
        });
        DeadLetter {
            topic: Arc::clone(&self.source.topic),
            partition: self.source.partition,
            offset: click.offset,
            record_at_ms: click.record_at_ms,
            key,
            payload: Some(self.text(click.payload).as_bytes().to_vec()),
            headers: click.headers.to_vec(),
            rejection,
            generation,
        }
    }

    /// Cuts the slice in front of the click with this index; both parts together have the same fates. Needs at least
    /// two clicks and an index between them.
    #[must_use]
    pub fn split_at_click(mut self, index: usize) -> (Self, Self) {
        let cut = self.clicks[index].offset;
        let mut right = self.clone();
        right.first_offset = cut;
        right.clicks.drain(..index);
        right.dead.retain(|dead| dead.offset >= cut);
        self.next_offset = cut;
        self.clicks.truncate(index);
        self.dead.retain(|dead| dead.offset < cut);
        // Which of the remaining offsets were skipped and which absent is not remembered; the sums stay right.
        let known = self.clicks.len() as i64 + self.dead.len() as i64;
        self.absent = self.absent.min(self.len() - known);
        self.skipped = self.len() - known - self.absent;
        right.absent -= self.absent;
        right.skipped -= self.skipped;
        (self, right)
    }

    /// Turns a click into a dead letter.
    pub fn reject_click(&mut self, index: usize, rejection: Rejection, generation: u64) {
        let letter = self.dead_letter(&self.clicks[index], rejection, generation);
        self.clicks.remove(index);
        self.dead.push(letter);
        self.dead.sort_by_key(|dead| dead.offset);
    }

    /// Bytes held, for the bound on memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let dead = self.dead.iter().map(|d| d.payload.as_ref().map_or(0, Vec::len));
        self.texts.len() + self.keys.len() + dead.sum::<usize>()
    }

    /// Number of offsets covered.
    #[must_use]
    pub fn len(&self) -> i64 {
        self.next_offset - self.first_offset
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_offset == self.first_offset
    }
}

/// Decodes records into a slice.
#[derive(Debug)]
pub struct SliceBuilder {
    slice: Slice,
    known: HashMap<String, u32>,
    scratch: String,
}

impl SliceBuilder {
    /// `first_offset` is the next offset that the ledger expects.
    #[must_use]
    pub fn new(source: Arc<Source>, first_offset: i64) -> Self {
        let slice = Slice {
            source,
            first_offset,
            next_offset: first_offset,
            skipped: 0,
            absent: 0,
            clicks: Vec::new(),
            parties: Vec::new(),
            dead: Vec::new(),
            texts: String::new(),
            keys: Vec::new(),
        };
        Self { slice, known: HashMap::new(), scratch: String::new() }
    }

    /// Takes the next record. Offsets between the last record and this one hold no record; a record below the
    /// next offset was taken before and is ignored.
    pub fn push(&mut self, record: &Record<'_>, limits: &DecodeLimits) {
        if record.offset < self.slice.next_offset {
            return;
        }
        self.slice.absent += record.offset - self.slice.next_offset;
        self.slice.next_offset = record.offset + 1;
        match decode(record, limits) {
            Ok((_, None)) => self.slice.skipped += 1,
            Ok((payload, Some(click))) => self.push_click(record, payload, &click),
            Err(rejection) => self.push_dead(record, rejection),
        }
    }

    #[must_use]
    pub fn slice(&self) -> &Slice {
        &self.slice
    }

    #[must_use]
    pub fn finish(self) -> Slice {
        self.slice
    }

    fn push_click(&mut self, record: &Record<'_>, payload: &str, event: &ClickEvent<'_>) {
        let party = self.party(&event.campaign, &event.advertiser);
        let whole = self.keep(payload);
        let mut text = |value: &str| {
            // A text without escapes already stands in the payload that was just kept.
            let inside = (value.as_ptr() as usize).checked_sub(payload.as_ptr() as usize);
            match inside {
                Some(at) if at + value.len() <= payload.len() => {
                    Text { start: whole.start + at as u32, len: value.len() as u32 }
                }
                _ => self.keep(value),
            }
        };
        let (device, ad, product) = (text(&event.device), text(&event.ad), text(&event.product));
        let (category, search_term) = (text(&event.category), text(&event.search_term));
        let key = record.key.map(|key| {
            let start = self.slice.keys.len() as u32;
            self.slice.keys.extend_from_slice(key);
            Text { start, len: key.len() as u32 }
        });
        self.slice.clicks.push(Click {
            offset: record.offset,
            party,
            occurred_at_us: event.occurred_at_us,
            record_at_ms: record.at_ms,
            bid: event.bid,
            actual: event.actual,
            placement: event.placement,
            device,
            ad,
            product,
            category,
            search_term,
            payload: whole,
            key,
            headers: record.headers.into(),
        });
    }

    fn push_dead(&mut self, record: &Record<'_>, rejection: Rejection) {
        self.slice.dead.push(DeadLetter {
            topic: Arc::clone(&self.slice.source.topic),
            partition: self.slice.source.partition,
            offset: record.offset,
            record_at_ms: record.at_ms,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
            rejection,
            generation: 0,
        });
    }

    fn party(&mut self, campaign: &str, advertiser: &str) -> u32 {
        self.scratch.clear();
        self.scratch.push_str(campaign);
        self.scratch.push('\0');
        self.scratch.push_str(advertiser);
        if let Some(&party) = self.known.get(self.scratch.as_str()) {
            return party;
        }
        let party = self.slice.parties.len() as u32;
        let entry = Party { campaign: self.keep(campaign), advertiser: self.keep(advertiser) };
        self.slice.parties.push(entry);
        self.known.insert(self.scratch.clone(), party);
        party
    }

    fn keep(&mut self, text: &str) -> Text {
        let start = self.slice.texts.len() as u32;
        self.slice.texts.push_str(text);
        Text { start, len: text.len() as u32 }
    }
}

fn decode<'a>(
    record: &Record<'a>,
    limits: &DecodeLimits,
) -> Result<(&'a str, Option<ClickEvent<'a>>), Rejection> {
    let reject = |code, sentence: String| Rejection::new(code, Stage::Decode, sentence);
    let bytes = match record.payload {
        None => return Err(reject(Code::EmptyValue, "the record has no value".into())),
        Some([]) => return Err(reject(Code::EmptyValue, "the record's value is empty".into())),
        Some(bytes) => bytes,
    };
    if bytes.len() > limits.payload_bytes_max {
        let sentence = format!(
            "the value has {} bytes, the limit is {}",
            bytes.len(),
            limits.payload_bytes_max
        );
        return Err(reject(Code::PayloadTooLarge, sentence));
    }
    let payload = std::str::from_utf8(bytes).map_err(|error| {
        reject(Code::NotUtf8, format!("the value is not UTF-8 from byte {}", error.valid_up_to()))
    })?;
    let event = event::decode(payload, record.at_ms, limits)?;
    Ok((payload, event))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice(kinds: &[u8]) -> Slice {
        let source = Source { topic: "t".into(), partition: 0, incarnation: 0, epoch: 1 };
        let mut builder = SliceBuilder::new(Arc::new(source), 100);
        let click = r#"{"event_type":"CLICK","timestamp":"2026-01-15T10:30:00Z","campaign_id":"c","advertiser_id":"a","ad_id":"x"}"#;
        let mut offset = 100;
        for kind in kinds {
            let payload = match kind {
                0 => click,
                1 => r#"{"event_type":"IMPRESSION"}"#,
                2 => "nonsense",
                _ => {
                    offset += 2;
                    click
                }
            };
            let record = Record {
                offset,
                at_ms: -1,
                key: None,
                payload: Some(payload.as_bytes()),
                headers: &[],
            };
            builder.push(&record, &DecodeLimits::default());
            offset += 1;
        }
        builder.finish()
    }

    fn fates(slice: &Slice) -> (usize, usize, i64, i64) {
        (slice.clicks.len(), slice.dead.len(), slice.skipped, slice.absent)
    }

    fn is_whole(slice: &Slice) -> bool {
        let (clicks, dead, skipped, absent) = fates(slice);
        skipped >= 0 && absent >= 0 && clicks as i64 + dead as i64 + skipped + absent == slice.len()
    }

    #[test]
    fn records_below_the_next_offset_are_taken_once() {
        let mut builder = SliceBuilder::new(Arc::clone(&slice(&[]).source), 5);
        for offset in [4, 5, 5, 8] {
            let record = Record { offset, at_ms: -1, key: None, payload: None, headers: &[] };
            builder.push(&record, &DecodeLimits::default());
        }
        let slice = builder.finish();
        assert_eq!((fates(&slice), slice.next_offset), ((0, 2, 0, 2), 9));
    }

    #[test]
    fn a_dead_letter_has_the_bytes_of_its_record() {
        let mut slice = slice(&[0, 0]);
        let rejection = Rejection::new(Code::RuleTrap, Stage::Price, "trap");
        slice.reject_click(1, rejection, 3);
        assert_eq!((slice.dead[0].offset, slice.dead[0].generation), (101, 3));
        assert!(slice.dead[0].payload.as_ref().is_some_and(|payload| payload.starts_with(b"{")));
        assert!(is_whole(&slice));
    }

    proptest! {
        #[test]
        fn a_cut_loses_nothing(kinds in prop::collection::vec(0..4_u8, 2..30), at in 1..30_usize) {
            let whole = slice(&kinds);
            prop_assume!(whole.clicks.len() >= 2);
            let at = at % (whole.clicks.len() - 1) + 1;
            let (left, right) = whole.clone().split_at_click(at);
            prop_assert!(is_whole(&left) && is_whole(&right));
            prop_assert_eq!((left.first_offset, left.next_offset), (whole.first_offset, right.first_offset));
            prop_assert_eq!(right.next_offset, whole.next_offset);
            prop_assert_eq!(left.clicks.len() + right.clicks.len(), whole.clicks.len());
            prop_assert_eq!(left.dead.len() + right.dead.len(), whole.dead.len());
            prop_assert_eq!(right.text(right.clicks[0].ad), "x");
        }
    }
}
