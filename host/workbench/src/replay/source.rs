//! Where clicks come from, in portions.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_domain::book::{DayKey, DayState};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::CrossingKind;
use tollgate_domain::slice::{self, Reading, Slice, SliceBuilder, Source};

use super::ReplayError;
use super::report::LeftOut;

/// How far a replay is, in whatever its source counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// 0 when nobody knows.
    pub total: u64,
}

/// Clicks in the order in which they are to be decided.
pub trait Portions: Send {
    /// The next portion; `None` at the end.
    ///
    /// # Errors
    /// The clicks cannot be read.
    fn next(&mut self) -> Result<Option<Portion>, ReplayError>;

    fn progress(&self) -> Progress;

    /// Clicks that could not be replayed, by reason. Asked at the end.
    fn left_out(&self) -> Vec<LeftOut> {
        Vec::new()
    }
}

/// Clicks that follow each other, and what is known about them besides.
#[derive(Debug)]
pub struct Portion {
    pub slice: Slice,
    /// What is known of the past; `None` when the clicks are all there is.
    pub facts: Option<Facts>,
}

/// What was so when the clicks of a portion were decided.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The present at that time, in microseconds.
    pub now_us: i64,
    pub campaigns: Vec<CampaignFacts>,
    pub days: Vec<DayFacts>,
    /// Balances of advertisers that come for the first time.
    pub balances: Vec<(Arc<str>, Micros)>,
    pub answered: Answered,
}

/// A campaign at that time.
#[derive(Clone, Debug)]
pub struct CampaignFacts {
    pub campaign: Arc<str>,
    pub cpc: Micros,
    pub daily_budget: Option<Micros>,
    pub standing: Standing,
    pub cached_price: Option<Micros>,
    pub counter: Option<Micros>,
}

/// What people have done with a campaign; what its budget does to it is each ledger's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// Where the replay begins, its budget has paused it; said once.
    PausedByBudget,
    PausedByPerson,
    /// Deleted or pending: charged, and never paused.
    Closed,
}

/// A day of a campaign, when it comes for the first time, or when it was moved by anything but the clicks of portions:
/// refunds, clicks that were left out.
#[derive(Clone, Debug)]
pub struct DayFacts {
    pub key: DayKey,
    /// What it was like when it came for the first time.
    pub begins: Option<DayState>,
    /// Added to the spend in both ledgers.
    pub moved: Micros,
}

/// What was really answered.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// One for each click of the slice.
    pub clicks: Vec<Answer>,
    /// Names that answers refer to: rule or source of the price, and the reason.
    pub reasons: Arc<Vec<(String, String)>>,
    pub crossings: Vec<AnsweredCrossing>,
}

/// What was charged for a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub charge: Micros,
    /// Index into `Answered::reasons`.
    pub reason: u16,
}

/// A level that was really crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredCrossing {
    pub key: DayKey,
    pub advertiser: Arc<str>,
    pub kind: CrossingKind,
    pub level_ppm: u32,
    pub at_us: i64,
    pub spent: Micros,
    pub budget: Option<Micros>,
}

/// Records as a topic or a file has them, in the order in which they are to be decided.
pub trait Records: Send {
    /// Hands out about `count` records; false at the end.
    ///
    /// # Errors
    /// The records cannot be read.
    fn read(&mut self, count: usize, take: &mut dyn FnMut(Record<'_>))
    -> Result<bool, ReplayError>;

    fn progress(&self) -> Progress;
}

/// A record, of which only its bytes and its time count.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Timestamp in milliseconds; -1 when it has none.
    pub at_ms: i64,
    pub payload: Option<&'a [u8]>,
}

/// Decodes records into portions. Their order is the order of one partition, whatever they come from.
pub struct RecordPortions<R> {
    records: R,
    source: Arc<Source>,
    next_offset: i64,
    count: usize,
    limits: DecodeLimits,
    at_end: bool,
}

impl<R: Records> RecordPortions<R> {
    /// `count` records make a portion.
    #[must_use]
    pub fn new(records: R, count: usize, limits: DecodeLimits) -> Self {
        let source = replayed();
        Self { records, source, next_offset: 0, count: count.max(1), limits, at_end: false }
    }
}

impl<R: Records> Portions for RecordPortions<R> {
    fn next(&mut self) -> Result<Option<Portion>, ReplayError> {
        if self.at_end {
            return Ok(None);
        }
        let mut builder =
            SliceBuilder::new(Arc::clone(&self.source), self.next_offset, Reading::Clicks);
        let (limits, offset) = (&self.limits, &mut self.next_offset);
        let goes_on = self.records.read(self.count, &mut |record| {
            let record = slice::Record {
                offset: *offset,
                at_ms: record.at_ms,
                key: None,
                payload: record.payload,
                headers: &[],
            };
            builder.push(&record, limits);
            *offset += 1;
        })?;
        self.at_end = !goes_on;
        Ok(Some(Portion { slice: builder.finish(), facts: None }))
    }

    fn progress(&self) -> Progress {
        self.records.progress()
    }
}

/// The partition that replayed clicks are of.
pub(super) fn replayed() -> Arc<Source> {
    Arc::new(Source { topic: "replay".into(), partition: 0, incarnation: 0, epoch: 0 })
}

/// Campaigns by id, as a side needs them.
pub(super) type Hints = HashMap<Arc<str>, tollgate_domain::decide::Hint>;
