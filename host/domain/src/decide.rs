//! From a resolved batch to its plan: price, judge, check, write down.
//!
//! A rule that fails is asked again about halves of its rows until the one row is found that makes it fail. Only
//! that click becomes a dead letter. Halves are judged in order with the running spend carried along, so the result
//! is the one that single clicks would have had.

mod running;
pub(crate) mod tables;

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, ClickRef, Resolved};
use crate::book::Book;
use crate::dead::{Rejection, Stage};
use crate::facts::{PricingFacts, Quotes, ThresholdFacts, Verdicts};
use crate::fence::{self, FenceLimits, Nought};
use crate::money::Micros;
use crate::plan::{Plan, ReasonName};
use crate::refund::{RefundFacts, RefundPlan};
use crate::rule::{Description, Fault, RuleError, Rules};
use crate::transcript::{ClickTranscript, Outcome, Recorder, ResumeTranscript};

use running::Running;
use tables::Tables;

/// Hints from Redis about one campaign; both may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Price of a click; positive.
    pub cached_price: Option<Micros>,
    /// Spend of the day.
    pub counter: Option<Micros>,
}

/// What a batch is decided with, besides its clicks and the book.
#[derive(Clone, Debug)]
pub struct Context<'c> {
    /// Rule generation that decides.
    pub generation: u64,
    /// The present, which says which day is a campaign's today.
    pub now_us: i64,
    /// One hint per resolved campaign, or none at all.
    pub hints: &'c [Hint],
    pub fence: &'c FenceLimits,
    /// Most rows of one call.
    pub rule_rows_max: usize,
    /// Whether to collect what rules are given and what they answer. A look collects nothing.
    pub record: bool,
}

/// A decided batch: its plan, and the faults that rules showed on the way.
#[derive(Debug)]
pub struct Decision<'a> {
    pub plan: Plan<'a>,
    /// Calls that failed, with the reason of the first.
    pub faults: u64,
    pub first_fault: Option<Fault>,
    /// What rules were given and answered, when it was asked for and any rule was asked about a click.
    pub transcript: Option<ClickTranscript>,
}

/// Decides a batch.
///
/// # Errors
/// The host could not run a rule. Nothing is held against the rule or its clicks; the batch has to be tried again.
pub fn decide<'a>(
    batch: &'a Batch,
    resolved: &Resolved<'_>,
    context: &Context<'_>,
    rules: &mut dyn Rules,
) -> Result<Decision<'a>, RuleError> {
    let tables = Tables::new(batch, resolved, context.hints, rules);
    let recorder = context.record.then(|| Recorder::new(batch, resolved));
    let mut work = Work { resolved, context, tables: &tables, log: FaultLog::default(), recorder };
    let mut priced = Priced::default();
    let pricing = tables.pricing(rules.pricing().needs);
    work.price(&pricing, rules, &mut priced)?;
    if let Some(recorder) = &mut work.recorder {
        recorder.priced(pricing, &priced.click);
    }
    let mut running = Running::new(batch, resolved, context, reasons(rules));
    work.judge(&priced, rules, &mut running)?;
    let (log, recorder) = (work.log, work.recorder);
    let rejected = resolved.rejected.iter().cloned().chain(priced.rejected).chain(log.rejected);
    let plan = running.into_plan(rejected.collect());
    let transcript = recorder.and_then(Recorder::finish);
    Ok(Decision { plan, faults: log.faults, first_fault: log.first, transcript })
}

/// Asks the threshold rule about a refund of today's spend, when the budget has paused the campaign. When the rule says
/// that the campaign is to run again, `plan` takes that over. Gives what the rule was given and answered; nothing when
/// there was nothing to ask. A fault of the rule leaves the campaign paused.
///
/// # Errors
/// As `decide`.
pub fn resume_after_refund(
    plan: &mut RefundPlan,
    facts: &RefundFacts,
    fence: &FenceLimits,
    rules: &mut dyn Rules,
) -> Result<Option<ResumeTranscript>, RuleError> {
    static NO_CLICKS: Batch = Batch::empty();
    if !plan.may_resume(facts) {
        return Ok(None);
    }
    let campaign = &facts.campaign;
    let mut book = Book::default();
    book.campaigns.insert(Arc::clone(&campaign.id), campaign.clone());
    book.balances.insert(Arc::clone(&campaign.advertiser), facts.balance);
    book.days.insert(facts.day.clone(), facts.state);
    let Ok(resolved) = Resolved::look(&book, &[Arc::clone(&campaign.id)], facts.now_us) else {
        return Err(RuleError::Host("the facts of a refund do not fit together".to_owned()));
    };
    let context = Context {
        generation: facts.generation,
        now_us: facts.now_us,
        hints: &[],
        fence,
        rule_rows_max: 1,
        record: false,
    };
    let tables = Tables::new(&NO_CLICKS, &resolved, context.hints, rules);
    let mut running = Running::new(&NO_CLICKS, &resolved, &context, reasons(rules));
    let movement = (0, Micros(plan.refund.0.saturating_neg()));
    let needs = rules.threshold().needs;
    let asked = tables.threshold(needs, running.day_columns(needs), std::iter::once(movement));
    let (answer, breach) = judged(&asked, Nought::Look, rules);
    let outcome = Outcome::of(&answer, breach.as_ref());
    match breach.map_or(answer, |fault| Err(fault.into())) {
        Ok(verdicts) if verdicts.action[0] == fence::action::RESUME => {
            let base = rules.pricing().reasons.len() as u16;
            let reason = base + reason_at(rules.threshold(), verdicts.reason[0]);
            running.give_back(0, plan.refund, &running::Verdict::at(&verdicts, 0, reason));
            plan.resume(running.into_plan(Vec::new()));
        }
        Ok(_) | Err(RuleError::Fault(_)) => {}
        Err(host) => return Err(host),
    }
    Ok(outcome.map(|outcome| ResumeTranscript { facts: asked, outcome }))
}

/// Looks afresh at campaigns without any click: who is due to be warned about, paused or resumed, because a day has
/// begun or a budget has changed.
///
/// # Errors
/// As `decide`.
pub fn look(
    resolved: &Resolved<'_>,
    context: &Context<'_>,
    rules: &mut dyn Rules,
) -> Result<Decision<'static>, RuleError> {
    static NO_CLICKS: Batch = Batch::empty();
    let tables = Tables::new(&NO_CLICKS, resolved, context.hints, rules);
    let log = FaultLog::default();
    let mut work = Work { resolved, context, tables: &tables, log, recorder: None };
    let mut running = Running::new(&NO_CLICKS, resolved, context, reasons(rules));
    for range in chunks(resolved.days.len(), context.rule_rows_max) {
        work.look_range(range, rules, &mut running)?;
    }
    let (log, plan) = (work.log, running.into_plan(Vec::new()));
    Ok(Decision { plan, faults: log.faults, first_fault: log.first, transcript: None })
}

/// Reasons of the pricing rule, then those of the threshold rule.
fn reasons(rules: &dyn Rules) -> Vec<ReasonName> {
    let both = rules.pricing().reasons.iter().chain(&rules.threshold().reasons);
    both.map(|reason| ReasonName { source: reason.source, name: reason.name.clone() }).collect()
}

/// Clicks with a price, in order, as columns.
#[derive(Default)]
struct Priced {
    /// Index into `Resolved::clicks`.
    click: Vec<u32>,
    charge: Vec<Micros>,
    /// Index into the pricing rule's reasons.
    reason: Vec<u16>,
    rejected: Vec<(ClickRef, Rejection)>,
}

/// What failed while rules were asked.
#[derive(Default)]
struct FaultLog {
    faults: u64,
    first: Option<Fault>,
    rejected: Vec<(ClickRef, Rejection)>,
}

impl FaultLog {
    /// What a candidate has failed at counts with its trial, and not here.
    fn note(&mut self, fault: &Fault, rules: &dyn Rules) {
        if rules.candidate_failed() {
            return;
        }
        self.faults += 1;
        self.first.get_or_insert_with(|| fault.clone());
    }
}

struct Work<'w, 'r> {
    resolved: &'w Resolved<'r>,
    context: &'w Context<'w>,
    tables: &'w Tables<'w>,
    log: FaultLog,
    recorder: Option<Recorder>,
}

impl Work<'_, '_> {
    fn price(
        &mut self,
        facts: &PricingFacts,
        rules: &mut dyn Rules,
        priced: &mut Priced,
    ) -> Result<(), RuleError> {
        let rows = self.resolved.clicks.len();
        for range in chunks(rows, self.context.rule_rows_max) {
            if range.len() == rows {
                let answer = self.quotes(facts, &range, rules);
                self.take_quotes(facts, range, answer, rules, priced)?;
            } else {
                self.price_range(facts, range, rules, priced)?;
            }
        }
        Ok(())
    }

    fn price_range(
        &mut self,
        facts: &PricingFacts,
        range: Range<usize>,
        rules: &mut dyn Rules,
        priced: &mut Priced,
    ) -> Result<(), RuleError> {
        let part = PricingFacts {
            texts: facts.texts.clone(),
            campaigns: facts.campaigns.clone(),
            clicks: facts.clicks.slice(range.clone()),
        };
        let answer = self.quotes(&part, &range, rules);
        self.take_quotes(facts, range, answer, rules, priced)
    }

    fn quotes(
        &mut self,
        facts: &PricingFacts,
        range: &Range<usize>,
        rules: &mut dyn Rules,
    ) -> Result<Quotes, RuleError> {
        let answer = rules.price(facts);
        let checked =
            |quotes| fence::check_quotes(facts, quotes, rules.pricing(), self.context.fence);
        let breach = answer.as_ref().ok().and_then(|quotes| checked(quotes).err());
        if let Some(recorder) = &mut self.recorder {
            recorder.price(range, &answer, breach.as_ref());
        }
        breach.map_or(answer, |fault| Err(fault.into()))
    }

    /// Takes the answer for `range`, or asks again about its halves.
    fn take_quotes(
        &mut self,
        facts: &PricingFacts,
        range: Range<usize>,
        answer: Result<Quotes, RuleError>,
        rules: &mut dyn Rules,
        priced: &mut Priced,
    ) -> Result<(), RuleError> {
        let fault = match answer {
            Ok(quotes) => {
                let codes = quotes.reason.iter().map(|code| reason_at(rules.pricing(), *code));
                priced.reason.extend(codes);
                priced.charge.extend(quotes.charge_micros.iter().map(|charge| Micros(*charge)));
                priced.click.extend(range.start as u32..range.end as u32);
                return Ok(());
            }
            Err(RuleError::Fault(fault)) => fault,
            Err(host) => return Err(host),
        };
        self.log.note(&fault, rules);
        if range.len() == 1 {
            let at = self.resolved.clicks[range.start].at;
            let sentence = self.sentence(rules.pricing(), &fault);
            priced.rejected.push((at, Rejection::new(fault.code, Stage::Price, sentence)));
            return Ok(());
        }
        for half in halves(range) {
            self.price_range(facts, half, rules, priced)?;
        }
        Ok(())
    }

    fn judge(
        &mut self,
        priced: &Priced,
        rules: &mut dyn Rules,
        running: &mut Running<'_, '_, '_>,
    ) -> Result<(), RuleError> {
        // Sums that come near the end of 64 bits are judged click by click, so that an overflow has one culprit.
        let rows_max = if running.fits(&priced.charge) { self.context.rule_rows_max } else { 1 };
        for range in chunks(priced.click.len(), rows_max) {
            self.judge_range(priced, range, rules, running)?;
        }
        Ok(())
    }

    fn judge_range(
        &mut self,
        priced: &Priced,
        range: Range<usize>,
        rules: &mut dyn Rules,
        running: &mut Running<'_, '_, '_>,
    ) -> Result<(), RuleError> {
        let fault = match self.verdicts(priced, range.clone(), rules, running) {
            Ok(verdicts) => {
                let base = rules.pricing().reasons.len() as u16;
                for (row, at) in range.enumerate() {
                    let reason = base + reason_at(rules.threshold(), verdicts.reason[row]);
                    let verdict = running::Verdict::at(&verdicts, row, reason);
                    let click = self.resolved.clicks[priced.click[at] as usize];
                    let quote = (priced.charge[at], priced.reason[at]);
                    if let Err(rejection) = running.charge(click, quote, &verdict) {
                        self.log.rejected.push((click.at, rejection));
                    }
                }
                return Ok(());
            }
            Err(RuleError::Fault(fault)) => fault,
            Err(host) => return Err(host),
        };
        self.log.note(&fault, rules);
        if range.len() == 1 {
            let at = self.resolved.clicks[priced.click[range.start] as usize].at;
            let sentence = self.sentence(rules.threshold(), &fault);
            self.log.rejected.push((at, Rejection::new(fault.code, Stage::Judge, sentence)));
            return Ok(());
        }
        for half in halves(range) {
            self.judge_range(priced, half, rules, running)?;
        }
        Ok(())
    }

    /// A day that makes the rule fail is left as it is.
    fn look_range(
        &mut self,
        range: Range<usize>,
        rules: &mut dyn Rules,
        running: &mut Running<'_, '_, '_>,
    ) -> Result<(), RuleError> {
        let movements = range.clone().map(|day| (day as u32, Micros::ZERO));
        match self.ask(&range, Nought::Look, movements, rules, running) {
            Ok(verdicts) => {
                let base = rules.pricing().reasons.len() as u16;
                for (row, day) in range.enumerate() {
                    let reason = base + reason_at(rules.threshold(), verdicts.reason[row]);
                    running.look(day as u32, &running::Verdict::at(&verdicts, row, reason));
                }
                return Ok(());
            }
            Err(RuleError::Fault(fault)) => self.log.note(&fault, rules),
            Err(host) => return Err(host),
        }
        if range.len() > 1 {
            for half in halves(range) {
                self.look_range(half, rules, running)?;
            }
        }
        Ok(())
    }

    fn verdicts(
        &mut self,
        priced: &Priced,
        range: Range<usize>,
        rules: &mut dyn Rules,
        running: &Running<'_, '_, '_>,
    ) -> Result<Verdicts, RuleError> {
        let clicks = &self.resolved.clicks;
        let movement = |at| (clicks[priced.click[at] as usize].day, priced.charge[at]);
        self.ask(&range, Nought::Click, range.clone().map(movement), rules, running)
    }

    fn ask(
        &mut self,
        range: &Range<usize>,
        nought: Nought,
        movements: impl Iterator<Item = (u32, Micros)>,
        rules: &mut dyn Rules,
        running: &Running<'_, '_, '_>,
    ) -> Result<Verdicts, RuleError> {
        let needs = rules.threshold().needs;
        let facts = self.tables.threshold(needs, running.day_columns(needs), movements);
        let (answer, breach) = judged(&facts, nought, rules);
        if let Some(recorder) = &mut self.recorder {
            recorder.judge(range, facts, &answer, breach.as_ref());
        }
        breach.map_or(answer, |fault| Err(fault.into()))
    }

    fn sentence(&self, rule: &Description, fault: &Fault) -> String {
        let generation = self.context.generation;
        format!("rule {} {} (generation {generation}): {fault}", rule.name, rule.version)
    }
}

/// The threshold rule's answer, and what the fence says against it.
fn judged(
    facts: &ThresholdFacts,
    nought: Nought,
    rules: &mut dyn Rules,
) -> (Result<Verdicts, RuleError>, Option<Fault>) {
    let answer = match nought {
        Nought::Click => rules.judge(facts),
        Nought::Look => rules.look(facts),
    };
    let checked = |verdicts| fence::check_verdicts(facts, verdicts, rules.threshold(), nought);
    let breach = answer.as_ref().ok().and_then(|verdicts| checked(verdicts).err());
    (answer, breach)
}

/// Position of a declared reason; the fence has refused undeclared ones.
fn reason_at(rule: &Description, code: u16) -> u16 {
    rule.reasons.iter().position(|reason| reason.code == code).unwrap_or(0) as u16
}

fn halves(range: Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [range.start..middle, middle..range.end]
}

fn chunks(rows: usize, rows_max: usize) -> impl Iterator<Item = Range<usize>> {
    let step = rows_max.max(1);
    (0..rows).step_by(step).map(move |start| start..rows.min(start + step))
}

#[cfg(test)]
mod tests;
