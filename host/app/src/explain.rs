//! From an amount back to everything it came from: the event, the facts, the rules and their answers, what the host made
//! of them, and what followed. The recorded calls are made again, so that an answer is not only shown but proven.

mod again;
mod cache;
mod calls;
pub mod explanation;
mod rows;
mod shown;
mod text;

use tollgate_domain::refund::RefundRule as _;
use tollgate_domain::transcript::{ClickTranscript, RefundTranscript, Transcript};
use tollgate_ledger::{DecisionRecord, Ledger, LedgerError, Place, Reached, Traces};

pub use explanation::{Again, Explanation, Fate};
pub use text::text;

use crate::rules::RuleLoader;
use again::Generations;
use cache::{Cache, Kept};
use explanation::{CallShown, DecisionShown};

/// Explains records over one connection; rules are compiled once a generation.
pub struct Explainer {
    ledger: Ledger,
    generations: Generations,
    cache: Cache,
}

/// Clicks of the batch that rules were asked about, and the calls about one of them.
type Calls = (usize, Vec<CallShown>);

impl Explainer {
    #[must_use]
    pub fn new(ledger: Ledger, loader: RuleLoader) -> Self {
        Self { ledger, generations: Generations::new(loader), cache: Cache::default() }
    }

    /// Explains the record of a topic. Without an incarnation the newest one counts that has been read so far.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn explain(
        &mut self,
        topic: &str,
        incarnation: Option<i32>,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<Explanation> {
        let reached = self.ledger.reached(topic, partition).await?;
        let covering = reached.iter().find(|one| one.covers(offset)).or_else(|| reached.first());
        let newest = covering.map_or(0, |one| one.incarnation);
        let incarnation = incarnation.unwrap_or(newest);
        let place = Place { topic: topic.to_owned(), incarnation, partition, offset };
        let traces = self.ledger.traces(&place).await?;
        self.explain_traces(&place, traces, &reached).await
    }

    /// Explains every charge of a device in the second that begins at `at_us`.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub async fn explain_device(
        &mut self,
        device: &str,
        campaign: Option<&str>,
        at_us: i64,
    ) -> anyhow::Result<Vec<Explanation>> {
        let span = (at_us, at_us.saturating_add(999_999));
        let mut explanations = Vec::new();
        for charge in self.ledger.charges_of_device(device, campaign, span).await? {
            let Place { topic, incarnation, partition, offset } = charge.place;
            explanations.push(self.explain(&topic, Some(incarnation), partition, offset).await?);
        }
        Ok(explanations)
    }

    async fn explain_traces(
        &mut self,
        place: &Place,
        traces: Traces,
        reached: &[Reached],
    ) -> anyhow::Result<Explanation> {
        let (fate, sentence) = shown::fate(place, &traces, reached);
        let (decision, again) = self.decision(place, &traces, fate).await?;
        let (mut crossings, mut messages) = (Vec::new(), Vec::new());
        if let Some(charge) = &traces.history {
            crossings = self.ledger.crossings(&charge.campaign, charge.day).await?;
            messages = self.ledger.messages(&charge.campaign, charge.day).await?;
        }
        let refund = match traces.refunded_by {
            Some(id) => self.ledger.compensation(id).await?,
            None => None,
        };
        Ok(Explanation {
            place: place.clone(),
            fate,
            sentence,
            charge: traces.history.as_ref().map(shown::history),
            dead_letter: traces.letter.as_ref().map(shown::letter),
            compensation: traces.compensation.as_ref().map(shown::compensation),
            decision,
            again,
            crossings: crossings.iter().map(shown::crossing).collect(),
            messages: messages.iter().map(shown::message).collect(),
            refund: refund.as_ref().map(shown::compensation),
        })
    }

    /// What was decided on, and whether deciding again gives the same.
    async fn decision(
        &mut self,
        place: &Place,
        traces: &Traces,
        fate: Fate,
    ) -> anyhow::Result<(Option<DecisionShown>, Again)> {
        let was_decided = matches!(fate, Fate::Charged | Fate::DeadLetter | Fate::Compensation);
        let Some(record) = traces.record.as_ref().filter(|_| was_decided) else {
            return Ok((None, shown::without_record(traces, fate)));
        };
        let kept = match self.cache.decoded(record) {
            Ok(kept) => kept,
            Err(error) => return Ok((None, Again::Damaged { sentence: error.to_string() })),
        };
        let decided = match &kept.transcript {
            Transcript::Clicks(transcript) => self.clicks(place, record, transcript, &kept).await,
            Transcript::Refund(transcript) => self.refund(record, transcript).await.map(Some),
        };
        match decided {
            Ok(Some((clicks, calls))) => {
                let again = again::worst(calls.iter().map(|call| call.again.clone()));
                Ok((Some(shown::decision(record, clicks, calls)), again))
            }
            Ok(None) => Ok((None, shown::without_call(traces, fate))),
            Err(error) if is_outage(&error) => Err(error),
            Err(error) => Ok((None, Again::NotPossible { sentence: format!("{error:#}") })),
        }
    }

    /// `None` when no rule was asked about the click.
    async fn clicks(
        &mut self,
        place: &Place,
        record: &DecisionRecord,
        transcript: &ClickTranscript,
        kept: &Kept,
    ) -> anyhow::Result<Option<Calls>> {
        let whose = (place.topic.as_str(), place.incarnation, place.partition);
        let Some(row) = transcript.row_of(whose, place.offset) else { return Ok(None) };
        let rules = self.generations.rules(&mut self.ledger, record.generation).await?;
        let mut calls = calls::price(transcript, row, rules, kept);
        calls.extend(calls::judge(transcript, row, rules, kept));
        self.generations.name_modules(record.generation, &mut calls);
        Ok(Some((transcript.clicks(), calls)))
    }

    async fn refund(
        &mut self,
        record: &DecisionRecord,
        transcript: &RefundTranscript,
    ) -> anyhow::Result<Calls> {
        let rule = self.generations.refunder(&mut self.ledger, record.generation).await?;
        let again = again::refund(transcript, rule);
        let mut calls = vec![calls::refund(transcript, rule.description(), again)];
        if let Some(resume) = &transcript.resume {
            let rules = self.generations.rules(&mut self.ledger, record.generation).await?;
            calls.push(calls::resume(resume, rules));
        }
        self.generations.name_modules(record.generation, &mut calls);
        Ok((0, calls))
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LedgerError>().is_some_and(LedgerError::is_outage)
}

#[cfg(test)]
mod tests;
