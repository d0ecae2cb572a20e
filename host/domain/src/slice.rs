//! A slice: consecutive records of one partition, decoded, on their way from a lane to the writer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::compensation::{self, CompensationEvent, CompensationRow};
use crate::dead::{Code, DeadLetter, Header, Rejection, Stage};
use crate::event::{self, ClickEvent, DecodeLimits};
use crate::money::Micros;

/// What the records of a topic are read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    #[default]
    Clicks,
    Compensations,
}

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

/// Consecutive records of one partition. Every offset in `first_offset..next_offset` is an item (a click or a
/// compensation), a dead letter, skipped or absent. The items of a slice are all clicks or all compensations.
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
    pub compensations: Vec<CompensationRow>,
    pub parties: Vec<Party>,
    pub dead: Vec<DeadLetter>,
    /// Where the absent offsets are.
    gaps: Vec<Range<i64>>,
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
        let campaign = self.text(self.parties[click.party as usize].campaign);
        DeadLetter {
            topic: Arc::clone(&self.source.topic),
            partition: self.source.partition,
            offset: click.offset,
            record_at_ms: click.record_at_ms,
            campaign: Some(campaign.to_owned()),
            key,
            payload: Some(self.text(click.payload).as_bytes().to_vec()),
            headers: click.headers.to_vec(),
            rejection,
            generation,
        }
    }

    /// Number of clicks and compensations.
    #[must_use]
    pub fn items(&self) -> usize {
        self.clicks.len() + self.compensations.len()
    }

    /// Cuts the slice in front of the item with this index; both parts together have the same fates. Needs at least
    /// two items and an index between them.
    #[must_use]
    pub fn split_at_item(self, index: usize) -> (Self, Self) {
        let cut = match self.compensations.get(index) {
            Some(compensation) => compensation.offset,
            None => self.clicks[index].offset,
        };
        self.split_at_offset(cut)
    }

    /// Cuts the slice in front of an offset between its ends; both parts together have the same fates.
    #[must_use]
    pub fn split_at_offset(mut self, cut: i64) -> (Self, Self) {
        let mut right = self.clone();
        right.first_offset = cut;
        right.clicks.retain(|click| click.offset >= cut);
        right.compensations.retain(|compensation| compensation.offset >= cut);
        right.dead.retain(|dead| dead.offset >= cut);
        self.next_offset = cut;
        self.clicks.retain(|click| click.offset < cut);
        self.compensations.retain(|compensation| compensation.offset < cut);
        self.dead.retain(|dead| dead.offset < cut);
        let known = (self.items() + self.dead.len()) as i64;
        self.absent = self.gaps.iter().map(|gap| (gap.end.min(cut) - gap.start).max(0)).sum();
        self.skipped = self.len() - known - self.absent;
        right.absent -= self.absent;
        right.skipped -= self.skipped;
        self.gaps.retain_mut(|gap| {
            gap.end = gap.end.min(cut);
            gap.start < gap.end
        });
        right.gaps.retain_mut(|gap| {
            gap.start = gap.start.max(cut);
            gap.start < gap.end
        });
        (self, right)
    }

    /// Turns an item into a dead letter.
    pub fn reject_item(&mut self, index: usize, rejection: Rejection, generation: u64) {
        let letter = if index < self.compensations.len() {
            let compensation = self.compensations.remove(index);
            compensation.dead_letter(rejection, generation)
        } else {
            let click = self.clicks.remove(index);
            self.dead_letter(&click, rejection, generation)
        };
        self.dead.push(letter);
        self.dead.sort_by_key(|dead| dead.offset);
    }

    /// Bytes held, for the bound on memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let dead = self.dead.iter().map(|d| d.payload.as_ref().map_or(0, Vec::len));
        let kept = self.compensations.iter().map(|compensation| compensation.payload.len());
        self.texts.len() + self.keys.len() + dead.sum::<usize>() + kept.sum::<usize>()
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
    reading: Reading,
    known: HashMap<String, u32>,
    scratch: String,
}

impl SliceBuilder {
    /// `first_offset` is the next offset that the ledger expects.
    #[must_use]
    pub fn new(source: Arc<Source>, first_offset: i64, reading: Reading) -> Self {
        let slice = Slice {
            source,
            first_offset,
            next_offset: first_offset,
            skipped: 0,
            absent: 0,
            clicks: Vec::new(),
            compensations: Vec::new(),
            parties: Vec::new(),
            dead: Vec::new(),
            gaps: Vec::new(),
            texts: String::new(),
            keys: Vec::new(),
        };
        Self { slice, reading, known: HashMap::new(), scratch: String::new() }
    }

    /// Takes the next record. Offsets between the last record and this one hold no record; a record below the
    /// next offset was taken before and is ignored.
    pub fn push(&mut self, record: &Record<'_>, limits: &DecodeLimits) {
        if !self.step_to(record.offset) {
            return;
        }
        match read(record, self.reading, limits) {
            Ok((payload, Event::Click(click))) => self.push_click(record, payload, &click),
            Ok((payload, Event::Compensation(event))) => {
                self.push_compensation(record, payload, event);
            }
            Ok((_, Event::Other)) => self.slice.skipped += 1,
            Err(rejection) => self.push_dead(record, rejection),
        }
    }

    /// Takes a click that was read before, without the bytes that it came in.
    pub fn push_known(&mut self, offset: i64, record_at_ms: i64, click: &ClickEvent<'_>) {
        if self.step_to(offset) {
            let record =
                Record { offset, at_ms: record_at_ms, key: None, payload: None, headers: &[] };
            self.push_click(&record, "", click);
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

    /// Moves on to an offset; false when it was taken before.
    fn step_to(&mut self, offset: i64) -> bool {
        if offset < self.slice.next_offset {
            return false;
        }
        if offset > self.slice.next_offset {
            self.slice.absent += offset - self.slice.next_offset;
            self.slice.gaps.push(self.slice.next_offset..offset);
        }
        self.slice.next_offset = offset + 1;
        true
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

    fn push_compensation(&mut self, record: &Record<'_>, payload: &str, event: CompensationEvent) {
        self.slice.compensations.push(CompensationRow {
            source: Arc::clone(&self.slice.source),
            offset: record.offset,
            record_at_ms: record.at_ms,
            event,
            payload: payload.to_owned(),
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
        });
    }

    fn push_dead(&mut self, record: &Record<'_>, rejection: Rejection) {
        self.slice.dead.push(DeadLetter {
            topic: Arc::clone(&self.slice.source.topic),
            partition: self.slice.source.partition,
            offset: record.offset,
            record_at_ms: record.at_ms,
            campaign: None,
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

/// A record that could be read.
enum Event<'a> {
    Click(ClickEvent<'a>),
    Compensation(CompensationEvent),
    /// Well understood, and nothing to do.
    Other,
}

fn read<'a>(
    record: &Record<'a>,
    reading: Reading,
    limits: &DecodeLimits,
) -> Result<(&'a str, Event<'a>), Rejection> {
    let payload = payload(record, limits)?;
    let event = match reading {
        Reading::Clicks => {
            event::decode(payload, record.at_ms, limits)?.map_or(Event::Other, Event::Click)
        }
        Reading::Compensations => {
            Event::Compensation(compensation::decode(payload, record.at_ms, limits)?)
        }
    };
    Ok((payload, event))
}

fn payload<'a>(record: &Record<'a>, limits: &DecodeLimits) -> Result<&'a str, Rejection> {
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
    std::str::from_utf8(bytes).map_err(|error| {
        reject(Code::NotUtf8, format!("the value is not UTF-8 from byte {}", error.valid_up_to()))
    })
}

#[cfg(test)]
mod tests;
