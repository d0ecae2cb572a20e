//! Compares what was charged with what the other side would have charged, by the record of the decision.

use std::ops::Range;

use super::part::{clicks_of, movements_on};
use super::scope::Scope;
use super::tally::{Sums, Tally};
use crate::facts::{CampaignDayColumns, PricingFacts, Verdicts, campaign_id};
use crate::fence::{self, FenceLimits, Nought, action};
use crate::rule::{Fault, RuleError, Rules, World};
use crate::transcript::{ClickTranscript, Outcome};

/// Who is asked afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A candidate in a shadow; the rules in force have charged.
    Candidate,
    /// The rules in force; the candidate of a canary has charged.
    Active,
}

/// What is compared, and how.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'c> {
    pub role: Role,
    pub scope: &'c Scope,
    /// Worlds that the candidate has a rule of.
    pub worlds: &'c [World],
    pub fence: &'c FenceLimits,
    /// Most rows of one call.
    pub rows_max: usize,
}

/// Adds what `other` would have charged for the clicks of a committed decision. It is asked with the recorded facts, so
/// under the budgets and spends that the charges have led to.
///
/// # Errors
/// The host could not run a rule; nothing was added then.
pub fn compare(
    transcript: &ClickTranscript,
    how: &Comparison<'_>,
    other: &mut dyn Rules,
    tally: &mut Tally,
) -> Result<(), RuleError> {
    let names = names(transcript);
    let mut work = Work { transcript, how, other, sums: vec![Sums::default(); names.len()] };
    let charged = work.charged(&names);
    let quotes = work.quotes(&charged)?;
    let verdicts = work.verdicts(&charged)?;
    for ((charged, quote), verdict) in charged.iter().zip(quotes).zip(verdicts) {
        if let (Some(quote), Some(verdict)) = (quote, verdict) {
            work.add(charged, quote, verdict);
        }
    }
    let sums = names.into_iter().zip(work.sums).filter(|(_, sums)| *sums != Sums::default());
    sums.for_each(|(campaign, sums)| tally.of(campaign).add(&sums));
    Ok(())
}

/// A click of the trial that was charged.
#[derive(Clone, Copy)]
struct Charged {
    /// Its row in the table of campaigns.
    campaign: usize,
    /// Its row in the table of clicks, and in that of movements.
    click: u32,
    movement: u32,
    /// Index of the call that judged it.
    call: usize,
    quote: i64,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Verdict {
    action: u8,
    level_ppm: u32,
    /// What may be charged, when that is less than was quoted.
    allowed: Option<i64>,
}

struct Work<'w> {
    transcript: &'w ClickTranscript,
    how: &'w Comparison<'w>,
    other: &'w mut dyn Rules,
    /// By the row of the campaign.
    sums: Vec<Sums>,
}

impl Work<'_> {
    /// Charged clicks of the trial, in their order.
    fn charged(&self, names: &[&str]) -> Vec<Charged> {
        let transcript = self.transcript;
        let clicks = &transcript.pricing.clicks;
        let mine: Vec<bool> = names.iter().map(|name| self.how.scope.contains(name)).collect();
        let quotes = quotes(transcript);
        let mut charged = Vec::new();
        for (call, judged) in transcript.judge_calls.iter().enumerate() {
            let Outcome::Answered(verdicts) = &judged.call.outcome else { continue };
            for (at, movement) in judged.call.range().enumerate() {
                let Some(&click) = transcript.priced.get(movement) else { continue };
                let campaign =
                    clicks.campaign.get(click as usize).map(|campaign| *campaign as usize);
                let campaign = campaign.filter(|campaign| mine.get(*campaign) == Some(&true));
                let quote = quotes.get(click as usize).copied().flatten();
                let (Some(campaign), Some(quote)) = (campaign, quote) else { continue };
                let Some(verdict) = Verdict::at(verdicts, at, quote) else { continue };
                let movement = movement as u32;
                charged.push(Charged { campaign, click, movement, call, quote, verdict });
            }
        }
        charged
    }

    /// What the other side quotes for each of these clicks.
    fn quotes(&mut self, charged: &[Charged]) -> Result<Vec<Option<i64>>, RuleError> {
        if !self.how.worlds.contains(&World::Pricing) {
            return Ok(charged.iter().map(|charged| Some(charged.quote)).collect());
        }
        let mut quotes = vec![None; charged.len()];
        let mut waiting = chunks(charged.len(), self.how.rows_max);
        while let Some(range) = waiting.pop() {
            let rows: Vec<_> = charged[range.clone()].iter().map(|charged| charged.click).collect();
            match self.price(&rows) {
                Ok(charges) => {
                    quotes[range].iter_mut().zip(charges).for_each(|(quote, c)| *quote = Some(c));
                }
                Err(RuleError::Fault(fault)) if range.len() == 1 => {
                    self.fail(charged[range.start].campaign, &fault);
                }
                Err(RuleError::Fault(_)) => waiting.extend(halves(range)),
                Err(host) => return Err(host),
            }
        }
        Ok(quotes)
    }

    fn price(&mut self, rows: &[u32]) -> Result<Vec<i64>, RuleError> {
        let facts = clicks_of(&self.transcript.pricing, rows, self.other.pricing().needs);
        let quotes = self.other.price(&facts)?;
        fence::check_quotes(&facts, &quotes, self.other.pricing(), self.how.fence)?;
        Ok(quotes.charge_micros)
    }

    /// The other side's verdict about each of these clicks.
    fn verdicts(&mut self, charged: &[Charged]) -> Result<Vec<Option<Verdict>>, RuleError> {
        if !self.how.worlds.contains(&World::Threshold) {
            return Ok(charged.iter().map(|charged| Some(charged.verdict)).collect());
        }
        let mut verdicts = vec![None; charged.len()];
        let mut first = 0;
        for clicks in charged.chunk_by(|one, next| one.call == next.call) {
            let range = first..first + clicks.len();
            first = range.end;
            let Some(days) = self.transcript.days_at(clicks[0].call) else { continue };
            self.judge_call(&days, clicks, &mut verdicts[range])?;
        }
        Ok(verdicts)
    }

    /// A rule that fails is asked again about halves of the campaigns, because what it says about a click depends on the
    /// clicks of that campaign before.
    fn judge_call(
        &mut self,
        then: &CampaignDayColumns,
        clicks: &[Charged],
        verdicts: &mut [Option<Verdict>],
    ) -> Result<(), RuleError> {
        let movements = &self.transcript.threshold.movements;
        let day =
            |charged: &Charged| movements.campaign_day.get(charged.movement as usize).copied();
        let mut days: Vec<_> = clicks.iter().map(day).collect();
        days.sort_unstable();
        days.dedup();
        let mut waiting = chunks(days.len(), days.len());
        while let Some(range) = waiting.pop() {
            let some = &days[range.clone()];
            let is_asked = |at: &usize| some.binary_search(&day(&clicks[*at])).is_ok();
            let asked: Vec<usize> = (0..clicks.len()).filter(is_asked).collect();
            let rows: Vec<_> = asked.iter().map(|at| clicks[*at].movement).collect();
            match self.judge(then, &rows) {
                Ok(given) => {
                    for (row, at) in asked.into_iter().enumerate() {
                        verdicts[at] = Verdict::at(&given, row, clicks[at].quote);
                    }
                }
                Err(RuleError::Fault(fault)) if range.len() == 1 => {
                    asked.into_iter().for_each(|at| self.fail(clicks[at].campaign, &fault));
                }
                Err(RuleError::Fault(_)) => waiting.extend(halves(range)),
                Err(host) => return Err(host),
            }
        }
        Ok(())
    }

    fn judge(&mut self, then: &CampaignDayColumns, rows: &[u32]) -> Result<Verdicts, RuleError> {
        let needs = self.other.threshold().needs;
        let facts = movements_on(then, &self.transcript.threshold, rows, needs);
        let verdicts = self.other.judge(&facts)?;
        fence::check_verdicts(&facts, &verdicts, self.other.threshold(), Nought::Click)?;
        Ok(verdicts)
    }

    /// Only a candidate's failures count.
    fn fail(&mut self, campaign: usize, fault: &Fault) {
        if self.how.role == Role::Candidate {
            self.sums[campaign].fail(fault);
        }
    }

    fn add(&mut self, charged: &Charged, quote: i64, verdict: Verdict) {
        let recorded = charged.verdict.charge(charged.quote);
        let given = verdict.charge(quote);
        let is_candidate = self.how.role == Role::Candidate;
        let sums = &mut self.sums[charged.campaign];
        let (active, candidate) = if is_candidate { (recorded, given) } else { (given, recorded) };
        sums.charge(active, candidate);
        if !self.how.worlds.contains(&World::Threshold) {
            return;
        }
        let (active, candidate) =
            if is_candidate { (charged.verdict, verdict) } else { (verdict, charged.verdict) };
        let only = |kind: u8| i64::from(candidate.action == kind && active.action != kind);
        sums.verdict(active != candidate, only(action::WARN), only(action::PAUSE));
    }
}

impl Verdict {
    fn at(verdicts: &Verdicts, row: usize, quote: i64) -> Option<Self> {
        let allowed = *verdicts.allowed_micros.get(row)?;
        Some(Self {
            action: *verdicts.action.get(row)?,
            level_ppm: *verdicts.level_ppm.get(row)?,
            allowed: Some(allowed).filter(|allowed| *allowed < quote),
        })
    }

    /// What it leaves of a quote.
    fn charge(self, quote: i64) -> i64 {
        self.allowed.map_or(quote, |allowed| quote.min(allowed))
    }
}

/// The id of each campaign of the table.
fn names(transcript: &ClickTranscript) -> Vec<&str> {
    let PricingFacts { texts, campaigns, .. } = &transcript.pricing;
    let rows = 0..campaigns.id.len() as u32;
    rows.map(|campaign| campaign_id(campaigns, texts, campaign)).collect()
}

/// What was quoted for each click; `None` for a click that got no price.
fn quotes(transcript: &ClickTranscript) -> Vec<Option<i64>> {
    let mut quotes = vec![None; transcript.clicks()];
    for call in &transcript.price_calls {
        let Outcome::Answered(answer) = &call.outcome else { continue };
        for (row, charge) in call.range().zip(&answer.charge_micros) {
            if let Some(quote) = quotes.get_mut(row) {
                *quote = Some(*charge);
            }
        }
    }
    quotes
}

fn chunks(rows: usize, rows_max: usize) -> Vec<Range<usize>> {
    let step = rows_max.max(1);
    (0..rows).step_by(step).map(|start| start..rows.min(start + step)).collect()
}

fn halves(range: Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [range.start..middle, middle..range.end]
}
