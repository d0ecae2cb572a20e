//! What rules were given and what they answered, kept so that any amount can be explained and decided again.
//!
//! A batch has one table of clicks, one of campaigns and one of campaign-days, and every call was about some of their
//! rows. So the tables are kept once; a call names its rows and, since campaign-days move from call to call, which of
//! them had moved. Everything here can be read from bytes that were damaged, so nothing relies on an index.

mod recorder;
mod steps;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::facts::{
    CampaignDayColumns, Decisions, PricingFacts, Quotes, RefundColumns, ThresholdFacts, Verdicts,
};
use crate::rule::{Fault, RuleError};
use crate::slice::Source;

pub(crate) use recorder::Recorder;
pub(crate) use steps::unsigned;
use steps::{signed, unsigned_short};

/// The record of one decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transcript {
    Clicks(Box<ClickTranscript>),
    Refund(Box<RefundTranscript>),
}

/// All calls about the clicks of one batch. Clicks that no rule was asked about, because their campaign is unknown, are
/// not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickTranscript {
    /// Where the clicks come from, in the order of the rows.
    pub spans: Vec<Span>,
    /// Offset of each click; the rows are those of `pricing.clicks`.
    #[serde(with = "signed")]
    pub offsets: Vec<i64>,
    /// What the pricing rule was given about all clicks.
    pub pricing: PricingFacts,
    pub price_calls: Vec<Call<Quotes>>,
    /// Rows of the clicks that have a price; each is a row of `threshold.movements`.
    #[serde(with = "unsigned_short")]
    pub priced: Vec<u32>,
    /// What the threshold rule was given about all clicks with a price; days as they were before the first call.
    pub threshold: ThresholdFacts,
    pub judge_calls: Vec<JudgeCall>,
}

/// Clicks of one partition that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub clicks: u32,
}

/// One call of a rule about the rows `first..first + rows` of its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call<A> {
    pub first: u32,
    pub rows: u32,
    pub outcome: Outcome<A>,
}

/// A call of the threshold rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeCall {
    /// Days that have moved since the call before.
    pub moved: MovedDays,
    pub call: Call<Verdicts>,
}

/// Rows of the table of campaign-days with the columns that can move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedDays {
    pub row: Vec<u32>,
    pub spent_micros: Vec<i64>,
    pub warned_ppm: Vec<u32>,
    pub pause_from_micros: Vec<i64>,
    pub state: Vec<u8>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome<A> {
    Answered(A),
    /// The money fence did not let the answer pass.
    Refused(A, Failure),
    /// There was no answer.
    Failed(Failure),
}

/// A fault by the stable name of its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub sentence: String,
}

/// The calls about a compensation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundTranscript {
    pub facts: RefundColumns,
    pub outcome: Outcome<Decisions>,
    /// Whether the refund lets a paused campaign run again; `None` when that was no question.
    pub resume: Option<ResumeTranscript>,
}

/// The call of the threshold rule about a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeTranscript {
    pub facts: ThresholdFacts,
    pub outcome: Outcome<Verdicts>,
}

impl From<ClickTranscript> for Transcript {
    fn from(transcript: ClickTranscript) -> Self {
        Self::Clicks(Box::new(transcript))
    }
}

impl From<RefundTranscript> for Transcript {
    fn from(transcript: RefundTranscript) -> Self {
        Self::Refund(Box::new(transcript))
    }
}

impl ClickTranscript {
    /// Number of clicks that the pricing rule was asked about.
    #[must_use]
    pub fn clicks(&self) -> usize {
        self.offsets.len()
    }

    /// The row of a click.
    #[must_use]
    pub fn row_of(&self, place: (&str, i32, i32), offset: i64) -> Option<usize> {
        let mut first = 0;
        for span in &self.spans {
            let rows = first..first + span.clicks as usize;
            first = rows.end;
            if (span.topic.as_str(), span.incarnation, span.partition) != place {
                continue;
            }
            if let Ok(at) = self.offsets.get(rows.clone())?.binary_search(&offset) {
                return Some(rows.start + at);
            }
        }
        None
    }

    /// What a call of the pricing rule was given; `None` when the record is damaged.
    #[must_use]
    pub fn pricing_facts(&self, call: &Call<Quotes>) -> Option<PricingFacts> {
        let rows = call.range();
        (rows.end <= self.pricing.clicks.len()).then(|| PricingFacts {
            texts: self.pricing.texts.clone(),
            campaigns: self.pricing.campaigns.clone(),
            clicks: self.pricing.clicks.slice(rows),
        })
    }

    /// What the call with this index was given by the threshold rule's table; `None` when the record is damaged.
    #[must_use]
    pub fn threshold_facts(&self, call: usize) -> Option<ThresholdFacts> {
        let days = self.days_at(call)?;
        Some(ThresholdFacts {
            texts: self.threshold.texts.clone(),
            campaigns: self.threshold.campaigns.clone(),
            days,
            movements: self.threshold.movements.slice(self.judge_calls[call].call.range()),
        })
    }

    /// The campaign-days as they stood at the call with this index; `None` when the record is damaged.
    pub(crate) fn days_at(&self, call: usize) -> Option<CampaignDayColumns> {
        let rows = self.judge_calls.get(call)?.call.range();
        if rows.end > self.threshold.movements.campaign_day.len() {
            return None;
        }
        let mut days = self.threshold.days.clone();
        for earlier in &self.judge_calls[..=call] {
            earlier.moved.apply(&mut days)?;
        }
        Some(days)
    }
}

impl Span {
    fn of(source: &Source) -> Self {
        Self {
            topic: (*source.topic).to_owned(),
            incarnation: source.incarnation,
            partition: source.partition,
            clicks: 0,
        }
    }

    fn is_of(&self, source: &Source) -> bool {
        self.partition == source.partition
            && self.incarnation == source.incarnation
            && *self.topic == *source.topic
    }
}

impl<A> Call<A> {
    /// Rows that it was about.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.first as usize..self.first as usize + self.rows as usize
    }
}

impl<A: Clone> Outcome<A> {
    /// Of an answer and what the fence says against it; `None` when the host could not run the rule.
    pub(crate) fn of(answer: &Result<A, RuleError>, breach: Option<&Fault>) -> Option<Self> {
        match (answer, breach) {
            (Ok(answer), None) => Some(Self::Answered(answer.clone())),
            (Ok(answer), Some(fault)) => Some(Self::Refused(answer.clone(), fault.into())),
            (Err(RuleError::Fault(fault)), _) => Some(Self::Failed(fault.into())),
            (Err(RuleError::Host(_)), _) => None,
        }
    }
}

impl<A> Outcome<A> {
    /// What the rule answered, whatever the fence made of it.
    #[must_use]
    pub fn answer(&self) -> Option<&A> {
        match self {
            Self::Answered(answer) | Self::Refused(answer, _) => Some(answer),
            Self::Failed(_) => None,
        }
    }

    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Answered(_) => None,
            Self::Refused(_, failure) | Self::Failed(failure) => Some(failure),
        }
    }
}

impl From<&Fault> for Failure {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code.as_str().to_owned(), sentence: fault.sentence.clone() }
    }
}

impl MovedDays {
    /// The rows in which two tables of the same days differ.
    fn between(before: &CampaignDayColumns, after: &CampaignDayColumns) -> Self {
        let mut moved = Self::default();
        for row in 0..after.spent_micros.len() {
            let differs = before.spent_micros[row] != after.spent_micros[row]
                || before.warned_ppm[row] != after.warned_ppm[row]
                || before.pause_from_micros[row] != after.pause_from_micros[row]
                || before.state[row] != after.state[row];
            if differs {
                moved.row.push(row as u32);
                moved.spent_micros.push(after.spent_micros[row]);
                moved.warned_ppm.push(after.warned_ppm[row]);
                moved.pause_from_micros.push(after.pause_from_micros[row]);
                moved.state.push(after.state[row]);
            }
        }
        moved
    }

    fn apply(&self, days: &mut CampaignDayColumns) -> Option<()> {
        for (at, row) in self.row.iter().enumerate() {
            let row = *row as usize;
            *days.spent_micros.get_mut(row)? = *self.spent_micros.get(at)?;
            *days.warned_ppm.get_mut(row)? = *self.warned_ppm.get(at)?;
            *days.pause_from_micros.get_mut(row)? = *self.pause_from_micros.get(at)?;
            *days.state.get_mut(row)? = *self.state.get(at)?;
        }
        Some(())
    }
}
