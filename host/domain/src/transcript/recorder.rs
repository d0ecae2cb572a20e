//! Collects a transcript while a batch is decided. Tables are moved here once nobody needs them any more.

use std::ops::Range;

use super::{Call, ClickTranscript, JudgeCall, MovedDays, Outcome, Span};
use crate::batch::{Batch, Resolved};
use crate::facts::{CampaignDayColumns, PricingFacts, Quotes, ThresholdFacts, Verdicts};
use crate::rule::{Fault, RuleError};

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    transcript: ClickTranscript,
    /// Days at the last call of the threshold rule; `None` while they are still those of the table.
    days: Option<CampaignDayColumns>,
}

impl Recorder {
    pub(crate) fn new(batch: &Batch, resolved: &Resolved<'_>) -> Self {
        let mut transcript = ClickTranscript::default();
        transcript.offsets.reserve(resolved.clicks.len());
        for resolved in &resolved.clicks {
            let (slice, click) = batch.click(resolved.at);
            let spans = &mut transcript.spans;
            if !spans.last().is_some_and(|span| span.is_of(&slice.source)) {
                spans.push(Span::of(&slice.source));
            }
            if let Some(span) = spans.last_mut() {
                span.clicks += 1;
            }
            transcript.offsets.push(click.offset);
        }
        Self { transcript, days: None }
    }

    pub(crate) fn price(
        &mut self,
        range: &Range<usize>,
        answer: &Result<Quotes, RuleError>,
        breach: Option<&Fault>,
    ) {
        self.transcript.price_calls.extend(call(range, answer, breach));
    }

    /// All clicks have their prices; what the pricing rule was given is not needed any more.
    pub(crate) fn priced(&mut self, facts: PricingFacts, clicks: &[u32]) {
        self.transcript.pricing = facts;
        self.transcript.priced = clicks.to_vec();
    }

    /// Ranges of first calls follow each other; those of halves lie within what was asked before.
    pub(crate) fn judge(
        &mut self,
        range: &Range<usize>,
        facts: ThresholdFacts,
        answer: &Result<Verdicts, RuleError>,
        breach: Option<&Fault>,
    ) {
        let Some(call) = call(range, answer, breach) else { return };
        let moved = if self.transcript.judge_calls.is_empty() {
            self.transcript.threshold = facts;
            MovedDays::default()
        } else {
            self.later(range, facts)
        };
        self.transcript.judge_calls.push(JudgeCall { moved, call });
    }

    fn later(&mut self, range: &Range<usize>, facts: ThresholdFacts) -> MovedDays {
        let kept = &mut self.transcript.threshold;
        let moved = MovedDays::between(self.days.as_ref().unwrap_or(&kept.days), &facts.days);
        if range.start == kept.movements.campaign_day.len() {
            kept.movements.campaign_day.extend(facts.movements.campaign_day);
            kept.movements.amount_micros.extend(facts.movements.amount_micros);
        }
        self.days = Some(facts.days);
        moved
    }

    /// The transcript; `None` when no rule was asked about any click.
    pub(crate) fn finish(self) -> Option<ClickTranscript> {
        (!self.transcript.price_calls.is_empty()).then_some(self.transcript)
    }
}

/// `None` when the host could not run the rule, which ends the decision and is decided again.
fn call<A: Clone>(
    range: &Range<usize>,
    answer: &Result<A, RuleError>,
    breach: Option<&Fault>,
) -> Option<Call<A>> {
    let outcome = Outcome::of(answer, breach)?;
    Some(Call { first: range.start as u32, rows: range.len() as u32, outcome })
}
