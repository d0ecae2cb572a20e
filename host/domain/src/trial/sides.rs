//! The rules in force with a candidate at their side, as one set of rules.

use std::collections::HashMap;

use super::part::{
    clicks_of, merged_quotes, merged_verdicts, movements_of, narrowed, narrowed_days,
};
use super::scope::Scope;
use super::tally::Tally;
use crate::facts::{CampaignColumns, PricingFacts, Quotes, ThresholdFacts, Verdicts, campaign_id};
use crate::fence::{self, FenceLimits, Nought};
use crate::money::Micros;
use crate::rule::{Description, Needs, Reason, RuleError, Rules, World};

/// Campaigns of which it is remembered whether they are the candidate's.
const REMEMBERED_MAX: usize = 100_000;

/// Limits for rules whose answers the fence checks elsewhere.
const NO_LIMITS: FenceLimits = FenceLimits { charge_max: Micros(i64::MAX), pause_floor_ppm: 0 };

/// The rules in force; for the campaigns of a canary, its candidate. What the candidate fails at, or the fence refuses
/// of it, the rules in force are asked about. Each rule is given what it asked for and nothing else.
///
/// It is a function of its facts, as each rule is: a call in which the candidate fails about several rows fails, so that
/// whoever asks looks for the row by halves, and the one row is answered by the rules in force.
#[derive(Debug)]
pub struct Sides<R> {
    active: R,
    candidate: Option<Asked<R>>,
    pricing: Description,
    threshold: Description,
    /// Whether somebody else wants the facts, too.
    is_watched: bool,
    candidate_failed: bool,
    tally: Tally,
}

/// The candidate of a canary.
#[derive(Debug)]
pub struct Candidate<R> {
    /// For a world that it has no rule of, that of the rules in force.
    pub rules: R,
    /// Worlds that it has a rule of.
    pub worlds: Vec<World>,
    pub scope: Scope,
    /// The most that it may charge for a click.
    pub charge_max: Micros,
}

#[derive(Debug)]
struct Asked<R> {
    candidate: Candidate<R>,
    fence: FenceLimits,
    known: HashMap<String, bool>,
    /// The codes under which the candidate's reasons are told, when they are not its own.
    pricing_codes: Codes,
    threshold_codes: Codes,
}

type Codes = HashMap<u16, u16>;

/// The rows of a call that are the candidate's, and the others.
struct Rows {
    candidates: Vec<u32>,
    others: Vec<u32>,
}

impl<R: Rules> Sides<R> {
    /// The rules in force alone.
    #[must_use]
    pub fn alone(active: R) -> Self {
        let (pricing, threshold) = (active.pricing().clone(), active.threshold().clone());
        Self {
            active,
            candidate: None,
            pricing,
            threshold,
            is_watched: false,
            candidate_failed: false,
            tally: Tally::default(),
        }
    }

    /// With the candidate of a canary.
    #[must_use]
    pub fn with_candidate(active: R, candidate: Candidate<R>) -> Self {
        let mut sides = Self::alone(active);
        let rules = &candidate.rules;
        let pricing_codes = widen(&mut sides.pricing, rules.pricing());
        let threshold_codes = widen(&mut sides.threshold, rules.threshold());
        let fence = FenceLimits { charge_max: candidate.charge_max, ..NO_LIMITS };
        let known = HashMap::new();
        sides.candidate = Some(Asked { candidate, fence, known, pricing_codes, threshold_codes });
        sides
    }

    /// Takes in facts of the pricing and of the threshold rule that somebody wants who only watches; `None`: nobody
    /// watches any more.
    pub fn set_watched(&mut self, needs: Option<[Needs; 2]>) {
        let [pricing, threshold] = needs.unwrap_or_default();
        let candidate = self.candidate.as_ref().map_or(&self.active, |one| &one.candidate.rules);
        let union = |of: fn(&R) -> &Description, more: Needs| {
            either(either(of(&self.active).needs, of(candidate).needs), more)
        };
        let (pricing, threshold) = (union(R::pricing, pricing), union(R::threshold, threshold));
        (self.pricing.needs, self.threshold.needs) = (pricing, threshold);
        self.is_watched = needs.is_some();
    }

    #[must_use]
    pub fn active(&self) -> &R {
        &self.active
    }

    pub fn active_mut(&mut self) -> &mut R {
        &mut self.active
    }

    #[must_use]
    pub fn candidate(&self) -> Option<&Candidate<R>> {
        self.candidate.as_ref().map(|asked| &asked.candidate)
    }

    pub fn candidate_mut(&mut self) -> Option<&mut R> {
        self.candidate.as_mut().map(|asked| &mut asked.candidate.rules)
    }

    /// Whether the candidate is asked about this campaign by its rule of that world.
    #[must_use]
    pub fn is_candidates(&self, world: World, campaign: &str) -> bool {
        let candidate = self.candidate.as_ref().map(|asked| &asked.candidate);
        candidate.is_some_and(|one| one.worlds.contains(&world) && one.scope.contains(campaign))
    }

    /// What the candidate has failed at since the last time.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Forgets clicks that the candidate has failed at, because nothing of their batch was written.
    pub fn forget_failures(&mut self) {
        self.tally.campaigns.clear();
    }
}

impl<R: Rules> Rules for Sides<R> {
    fn pricing(&self) -> &Description {
        &self.pricing
    }

    fn threshold(&self) -> &Description {
        &self.threshold
    }

    fn wants_ids(&self) -> bool {
        self.is_watched || self.candidate.is_some()
    }

    fn candidate_failed(&self) -> bool {
        self.candidate_failed
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        self.candidate_failed = false;
        let needs = self.active.pricing().needs;
        let Some(asked) = &mut self.candidate else {
            return self.active.price(&narrowed(facts, needs));
        };
        let rows = asked.quoted(facts);
        let mut quotes = Quotes::default();
        if !rows.candidates.is_empty() {
            match asked.price(facts, &rows.candidates) {
                Ok(answer) => quotes = answer,
                Err(RuleError::Fault(fault)) if facts.clicks.len() == 1 => {
                    let campaign =
                        campaign_id(&facts.campaigns, &facts.texts, facts.clicks.campaign[0]);
                    self.tally.of(campaign).fail(&fault);
                    return self.active_price(facts, &[0]);
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        if rows.others.is_empty() {
            return Ok(quotes);
        }
        let others = self.active_price(facts, &rows.others)?;
        Ok(merged_quotes(&rows.candidates, &quotes, &others))
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.judge_movements(facts, Nought::Click)
    }

    fn look(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.judge_movements(facts, Nought::Look)
    }
}

impl<R: Rules> Sides<R> {
    fn judge_movements(
        &mut self,
        facts: &ThresholdFacts,
        nought: Nought,
    ) -> Result<Verdicts, RuleError> {
        self.candidate_failed = false;
        let needs = self.active.threshold().needs;
        let Some(asked) = &mut self.candidate else {
            return self.active.judge(&narrowed_days(facts, needs));
        };
        let rows = asked.judged(facts);
        let mut verdicts = Verdicts::default();
        if !rows.candidates.is_empty() {
            match asked.judge(facts, &rows.candidates, nought) {
                Ok(answer) => verdicts = answer,
                Err(RuleError::Fault(fault)) if facts.movements.campaign_day.len() == 1 => {
                    let day = facts.movements.campaign_day[0] as usize;
                    let campaign = facts.days.campaign.get(day).copied().unwrap_or(u32::MAX);
                    let campaign = campaign_id(&facts.campaigns, &facts.texts, campaign);
                    self.tally.of(campaign).fail(&fault);
                    return self.active_judge(facts, &[0], nought);
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        if rows.others.is_empty() {
            return Ok(verdicts);
        }
        let others = self.active_judge(facts, &rows.others, nought)?;
        Ok(merged_verdicts(&rows.candidates, &verdicts, &others))
    }

    /// The candidate's reasons are declared here as well, so the answers of the rules in force are held against their own.
    fn active_price(&mut self, facts: &PricingFacts, rows: &[u32]) -> Result<Quotes, RuleError> {
        let facts = clicks_of(facts, rows, self.active.pricing().needs);
        let quotes = self.active.price(&facts)?;
        fence::check_quotes(&facts, &quotes, self.active.pricing(), &NO_LIMITS)?;
        Ok(quotes)
    }

    fn active_judge(
        &mut self,
        facts: &ThresholdFacts,
        rows: &[u32],
        nought: Nought,
    ) -> Result<Verdicts, RuleError> {
        let facts = movements_of(facts, rows, self.active.threshold().needs);
        let verdicts = self.active.judge(&facts)?;
        fence::check_verdicts(&facts, &verdicts, self.active.threshold(), nought)?;
        Ok(verdicts)
    }

    fn failed(&mut self, error: RuleError) -> RuleError {
        match &error {
            RuleError::Fault(_) => self.candidate_failed = true,
            RuleError::Host(_) => self.tally.cost.host_failures += 1,
        }
        error
    }
}

impl<R: Rules> Asked<R> {
    fn quoted(&mut self, facts: &PricingFacts) -> Rows {
        if !self.candidate.worlds.contains(&World::Pricing) {
            return Rows::of(facts.clicks.len(), |_| false);
        }
        let is_mine = self.campaigns(&facts.campaigns, &facts.texts);
        let mine = |row: usize| is_mine.get(facts.clicks.campaign[row] as usize) == Some(&true);
        Rows::of(facts.clicks.len(), mine)
    }

    fn judged(&mut self, facts: &ThresholdFacts) -> Rows {
        let days = &facts.movements.campaign_day;
        if !self.candidate.worlds.contains(&World::Threshold) {
            return Rows::of(days.len(), |_| false);
        }
        let is_mine = self.campaigns(&facts.campaigns, &facts.texts);
        let campaign = |row: usize| facts.days.campaign.get(days[row] as usize);
        let mine = |campaign: &u32| is_mine.get(*campaign as usize) == Some(&true);
        Rows::of(days.len(), |row| campaign(row).is_some_and(mine))
    }

    fn price(&mut self, facts: &PricingFacts, rows: &[u32]) -> Result<Quotes, RuleError> {
        let rules = &mut self.candidate.rules;
        let facts = clicks_of(facts, rows, rules.pricing().needs);
        let mut quotes = rules.price(&facts)?;
        fence::check_quotes(&facts, &quotes, rules.pricing(), &self.fence)?;
        tell(&mut quotes.reason, &self.pricing_codes);
        Ok(quotes)
    }

    fn judge(
        &mut self,
        facts: &ThresholdFacts,
        rows: &[u32],
        nought: Nought,
    ) -> Result<Verdicts, RuleError> {
        let rules = &mut self.candidate.rules;
        let facts = movements_of(facts, rows, rules.threshold().needs);
        let mut verdicts = rules.judge(&facts)?;
        fence::check_verdicts(&facts, &verdicts, rules.threshold(), nought)?;
        tell(&mut verdicts.reason, &self.threshold_codes);
        Ok(verdicts)
    }

    /// For each campaign of the table, whether it is the candidate's.
    fn campaigns(&mut self, columns: &CampaignColumns, texts: &[String]) -> Vec<bool> {
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        let ids = columns.id.iter().map(|id| texts.get(*id as usize).map_or("", String::as_str));
        ids.map(|id| match self.known.get(id) {
            Some(known) => *known,
            None => {
                let is_mine = self.candidate.scope.contains(id);
                self.known.insert(id.to_owned(), is_mine);
                is_mine
            }
        })
        .collect()
    }
}

impl Rows {
    fn of(rows: usize, mut is_candidates: impl FnMut(usize) -> bool) -> Self {
        let (candidates, others) = (0..rows as u32).partition(|row| is_candidates(*row as usize));
        Self { candidates, others }
    }
}

fn either(one: Needs, other: Needs) -> Needs {
    Needs {
        cached_price: one.cached_price || other.cached_price,
        counter: one.counter || other.counter,
        balance: one.balance || other.balance,
        local_time: one.local_time || other.local_time,
        texts: one.texts || other.texts,
        matched_charges: one.matched_charges || other.matched_charges,
    }
}

/// Lets `rule` stand for the candidate's rule as well, and gives the codes under which the candidate's reasons are told.
/// A reason that both have keeps its code, and so does one whose code is free.
fn widen(rule: &mut Description, candidate: &Description) -> Codes {
    rule.needs = either(rule.needs, candidate.needs);
    let mut codes = Codes::new();
    let mut free = 0..=u16::MAX;
    for reason in &candidate.reasons {
        let is_same = |known: &Reason| known.name == reason.name && known.source == reason.source;
        let code = match rule.reason(reason.code) {
            Some(known) if is_same(known) => continue,
            Some(_) => {
                free.find(|code| rule.reason(*code).is_none() && candidate.reason(*code).is_none())
            }
            None => Some(reason.code),
        };
        // Admission allows far fewer reasons than there are codes.
        let code = code.unwrap_or(reason.code);
        codes.insert(reason.code, code);
        rule.reasons.push(Reason { code, ..reason.clone() });
    }
    codes
}

fn tell(reasons: &mut [u16], codes: &Codes) {
    for reason in reasons {
        *reason = codes.get(reason).copied().unwrap_or(*reason);
    }
}
