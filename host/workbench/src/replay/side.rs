//! One side of a replay: a ledger in memory, and rules that decide on it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use tollgate_domain::batch::{Batch, Missing, Resolved};
use tollgate_domain::book::{BUDGET_EXHAUSTED, Book, DayKey, Status};
use tollgate_domain::decide::{Context, Decision, Hint, decide, look};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;
use tollgate_domain::rule::{RuleError, Rules};

use super::beginning::Known;
use super::clock::QUARTER_US;
use super::feed::Work;
use super::source::{Answered, CampaignFacts, Facts, Hints, Standing};
use super::tally::{Mark, Tally};
use super::{Decider, ReplayError, Settings};

/// Attempts for a call that the host could not make.
const ATTEMPTS_MAX: u32 = 5;

/// A click that was not charged.
pub(super) const NOT_CHARGED: i64 = -1;

/// What a side made of a batch: for each click its charge in micros, or `NOT_CHARGED`.
pub(super) struct Outcome {
    pub(super) charges: Vec<i64>,
}

pub(super) enum Side {
    Deciding(Box<Deciding>),
    Answered(Box<Tally>),
}

pub(super) struct Deciding {
    rules: Box<dyn Decider>,
    fence: FenceLimits,
    rule_rows_max: usize,
    book: Book,
    hints: Hints,
    /// Campaigns that their budget has paused, with the midnight at which they are looked at.
    paused: BTreeMap<Arc<str>, i64>,
    tally: Tally,
}

impl Side {
    pub(super) fn deciding(rules: Box<dyn Decider>, settings: &Settings) -> Self {
        Self::Deciding(Box::new(Deciding {
            rules,
            fence: settings.fence.clone(),
            rule_rows_max: settings.rule_rows_max,
            book: Book::default(),
            hints: HashMap::new(),
            paused: BTreeMap::new(),
            tally: Tally::default(),
        }))
    }

    pub(super) fn answered() -> Self {
        Self::Answered(Box::default())
    }

    pub(super) fn take(&mut self, work: &Work, known: Vec<Known>) -> Result<Outcome, ReplayError> {
        match self {
            Self::Deciding(side) => side.take(work, known),
            Self::Answered(tally) => {
                let answered = work.facts.as_ref().map(|facts| &facts.answered);
                Ok(answered.map_or_else(nothing, |answered| take_answers(tally, answered)))
            }
        }
    }

    pub(super) fn into_tally(self) -> Tally {
        match self {
            Self::Deciding(side) => Tally { cost: side.rules.cost(), ..side.tally },
            Self::Answered(tally) => *tally,
        }
    }
}

fn nothing() -> Outcome {
    Outcome { charges: Vec::new() }
}

fn take_answers(tally: &mut Tally, answered: &Answered) -> Outcome {
    for answer in &answered.clicks {
        tally.charged += 1;
        tally.charged_micros += i128::from(answer.charge.0);
        if let Some(reason) = answered.reasons.get(usize::from(answer.reason)) {
            let sum = tally.reasons.entry(reason.clone()).or_default();
            sum.0 += 1;
            sum.1 += i128::from(answer.charge.0);
        }
    }
    tally.marks.extend(answered.crossings.iter().map(|crossing| Mark {
        key: crossing.key.clone(),
        advertiser: Arc::clone(&crossing.advertiser),
        kind: crossing.kind,
        level_ppm: crossing.level_ppm,
        at_us: crossing.at_us,
        spent: crossing.spent,
        budget: crossing.budget,
    }));
    Outcome { charges: answered.clicks.iter().map(|answer| answer.charge.0).collect() }
}

impl Deciding {
    fn take(&mut self, work: &Work, known: Vec<Known>) -> Result<Outcome, ReplayError> {
        self.look_at_midnights(work.begun.clone())?;
        let mut due: Vec<_> = known.into_iter().filter_map(|known| self.meet(known)).collect();
        if let Some(facts) = &work.facts {
            due.extend(self.correct(facts));
        }
        if !due.is_empty() {
            due.sort_unstable();
            self.look_at(&due, work.now_us)?;
        }
        self.decide(work)
    }

    fn decide(&mut self, work: &Work) -> Result<Outcome, ReplayError> {
        let batch = &work.batch;
        while let Err(missing) = batch.resolve(&self.book) {
            self.begin(missing);
        }
        let decision = {
            let resolved = batch.resolve(&self.book).map_err(incomplete)?;
            let hints = self.hints_of(&resolved);
            let context = Context {
                generation: 1,
                now_us: work.now_us,
                hints: &hints,
                fence: &self.fence,
                rule_rows_max: self.rule_rows_max,
                record: false,
            };
            attempt(&mut *self.rules, |rules| decide(batch, &resolved, &context, rules))?
        };
        let (charges, sums) = charges(batch, &decision.plan);
        self.tally.add(&decision, &sums);
        self.absorb(&decision.plan, work.now_us);
        Ok(Outcome { charges })
    }

    /// Takes a campaign in; gives it back when it is to be looked at.
    fn meet(&mut self, known: Known) -> Option<Arc<str>> {
        let Known { campaign, balance, days, hint } = known;
        let id = Arc::clone(&campaign.id);
        self.book.balances.entry(Arc::clone(&campaign.advertiser)).or_insert(balance);
        let keyed = |(day, state)| (DayKey { campaign: Arc::clone(&id), day }, state);
        self.book.days.extend(days.into_iter().map(keyed));
        if hint != Hint::default() {
            self.hints.insert(Arc::clone(&id), hint);
        }
        let is_paused = campaign.status == Status::Paused
            && campaign.paused_reason.as_deref() == Some(BUDGET_EXHAUSTED);
        self.book.campaigns.insert(Arc::clone(&id), campaign);
        is_paused.then(|| {
            self.paused.insert(Arc::clone(&id), i64::MIN);
            id
        })
    }

    /// Takes over what was so at the time; gives campaigns that are to be looked at because of it.
    fn correct(&mut self, facts: &Facts) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        for now in &facts.campaigns {
            let Some(campaign) = self.book.campaigns.get_mut(&now.campaign) else { continue };
            let standing = stand(campaign.status, campaign.paused_reason.as_deref());
            if campaign.daily_budget != now.daily_budget || standing != now.standing {
                due.push(Arc::clone(&now.campaign));
            }
            campaign.cpc = now.cpc;
            campaign.daily_budget = now.daily_budget;
            if now.standing == Standing::PausedByBudget {
                campaign.status = Status::Paused;
                campaign.paused_reason = Some(BUDGET_EXHAUSTED.to_owned());
                self.paused.insert(Arc::clone(&now.campaign), i64::MIN);
            } else if standing != now.standing {
                (campaign.status, campaign.paused_reason) = match now.standing {
                    Standing::PausedByPerson => (Status::Paused, Some("PERSON".to_owned())),
                    Standing::Closed => (Status::Deleted, None),
                    Standing::Open | Standing::PausedByBudget => (Status::Active, None),
                };
                campaign.version += 1;
                self.paused.remove(&now.campaign);
            }
            let CampaignFacts { cached_price, counter, .. } = *now;
            self.hints.insert(Arc::clone(&now.campaign), Hint { cached_price, counter });
        }
        self.book.balances.extend(facts.balances.iter().cloned());
        for day in &facts.days {
            if let Some(begins) = day.begins {
                self.book.days.insert(day.key.clone(), begins);
            }
            let state = self.book.days.entry(day.key.clone()).or_default();
            state.spent = Micros(state.spent.0.saturating_add(day.moved.0));
            state.version += 1;
        }
        due
    }

    /// Campaigns that nobody knows, and everything that begins at nothing.
    fn begin(&mut self, missing: Missing) {
        self.book.unknown.extend(missing.campaigns);
        for id in missing.advertisers {
            self.book.balances.entry(id).or_default();
        }
        for key in missing.days {
            self.book.days.entry(key).or_default();
        }
    }

    fn hints_of(&self, resolved: &Resolved<'_>) -> Vec<Hint> {
        if self.hints.is_empty() {
            return Vec::new();
        }
        let hint = |id| self.hints.get(id).copied().unwrap_or_default();
        resolved.campaigns.iter().map(|resolved| hint(&resolved.campaign.id)).collect()
    }

    /// Looks at paused campaigns whose day has ended in one of these quarters.
    fn look_at_midnights(&mut self, begun: Range<i64>) -> Result<(), ReplayError> {
        for quarter in begun {
            if self.paused.is_empty() {
                return Ok(());
            }
            let now_us = quarter.saturating_mul(QUARTER_US);
            let is_due =
                |(id, due_us): (&Arc<str>, &i64)| (*due_us <= now_us).then(|| Arc::clone(id));
            let due: Vec<_> = self.paused.iter().filter_map(is_due).collect();
            if !due.is_empty() {
                self.look_at(&due, now_us)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, ids: &[Arc<str>], now_us: i64) -> Result<(), ReplayError> {
        while let Err(missing) = Resolved::look(&self.book, ids, now_us) {
            self.begin(missing);
        }
        let decision = {
            let resolved = Resolved::look(&self.book, ids, now_us).map_err(incomplete)?;
            let hints = self.hints_of(&resolved);
            let context = Context {
                generation: 1,
                now_us,
                hints: &hints,
                fence: &self.fence,
                rule_rows_max: self.rule_rows_max,
                record: false,
            };
            attempt(&mut *self.rules, |rules| look(&resolved, &context, rules))?
        };
        self.tally.add(&decision, &[]);
        self.absorb(&decision.plan, now_us);
        for id in ids {
            let midnight = self
                .book
                .campaigns
                .get(id)
                .and_then(|campaign| campaign.zone.end_us(campaign.zone.day(now_us)));
            if let Some(due_us) = self.paused.get_mut(id) {
                *due_us = midnight.unwrap_or(i64::MAX);
            }
        }
        Ok(())
    }

    /// Takes over what a plan has written.
    fn absorb(&mut self, plan: &Plan<'_>, now_us: i64) {
        self.book.absorb(plan);
        for change in &plan.statuses {
            let Some(campaign) = self.book.campaigns.get(&change.campaign) else { continue };
            if change.status == Status::Paused {
                let midnight = campaign.zone.end_us(campaign.zone.day(now_us));
                self.paused.insert(Arc::clone(&change.campaign), midnight.unwrap_or(i64::MAX));
            } else {
                self.paused.remove(&change.campaign);
            }
        }
    }
}

fn stand(status: Status, paused_reason: Option<&str>) -> Standing {
    match status {
        Status::Active => Standing::Open,
        Status::Paused if paused_reason == Some(BUDGET_EXHAUSTED) => Standing::Open,
        Status::Paused => Standing::PausedByPerson,
        Status::Pending | Status::Deleted => Standing::Closed,
    }
}

/// The charge of each click, and clicks and micros by index of the plan's reasons.
fn charges(batch: &Batch, plan: &Plan<'_>) -> (Vec<i64>, Vec<(u64, i128)>) {
    let mut charges = vec![NOT_CHARGED; batch.clicks()];
    let mut sums = vec![(0, 0); plan.reasons.len()];
    let mut rows = plan.history.iter().peekable();
    let clicks = batch.slices().iter().flat_map(|slice| &slice.clicks);
    for (click, charge) in clicks.zip(&mut charges) {
        if let Some(row) = rows.next_if(|row| row.offset == click.offset) {
            let micros = row.amount.0.saturating_neg();
            *charge = micros;
            if let Some(sum) = sums.get_mut(usize::from(row.reason)) {
                sum.0 += 1;
                sum.1 += i128::from(micros);
            }
        }
    }
    (charges, sums)
}

/// Asks again when the host could not run a rule, which is nobody's answer.
fn attempt<'a>(
    rules: &mut dyn Decider,
    mut ask: impl FnMut(&mut dyn Rules) -> Result<Decision<'a>, RuleError>,
) -> Result<Decision<'a>, ReplayError> {
    let mut attempts = 1;
    loop {
        match ask(&mut *rules) {
            Ok(decision) => return Ok(decision),
            Err(RuleError::Host(_)) if attempts < ATTEMPTS_MAX => attempts += 1,
            Err(error) => return Err(ReplayError::Host(error.to_string())),
        }
    }
}

fn incomplete(_: Missing) -> ReplayError {
    ReplayError::Host("facts were put into memory and are still missing".to_owned())
}
