//! Settling a compensation: from what the ledger knows to everything that one transaction writes.
//!
//! Whatever is decided here, a refund is at most what the campaign's day has charged and not given back, and a charge
//! that was given back is never marked a second time. Everything else is the rule's to judge.

mod columns;
mod duplicates;
mod matching;

use std::sync::Arc;

use crate::book::{BUDGET_EXHAUSTED, Campaign, DayKey, DayState, Status};
use crate::compensation::{CompensationEvent, CompensationRow};
use crate::day::Day;
use crate::dead::{Code, DeadLetter, Rejection, Stage};
use crate::facts::{Decisions, RefundColumns};
use crate::fence::{self, refund_action};
use crate::money::Micros;
use crate::notice::{HappeningFacts, HappeningKind};
use crate::plan::{BalanceMove, Crossing, DayMove, OutboxMessage, Plan, StatusChange};
use crate::rule::{Description, Fault, RuleError};
use crate::transcript::{Outcome, RefundTranscript};

use duplicates::{given_back, is_cut};
use matching::Matched;

pub use duplicates::refund_day;

/// States that a settlement gives to a compensation, as the ledger writes them.
pub mod state {
    pub const WAITING: &str = "WAITING";
    pub const REFUNDED: &str = "REFUNDED";
    pub const REJECTED: &str = "REJECTED";
    pub const EXPIRED: &str = "EXPIRED";
}

/// What the ledger knows when a compensation is settled, read under locks.
#[derive(Clone, Debug)]
pub struct RefundFacts {
    pub campaign: Campaign,
    /// Of the campaign's advertiser.
    pub balance: Micros,
    /// The day whose spend the refund restores; see [`refund_day`].
    pub day: DayKey,
    pub state: DayState,
    /// All that stand at the compensation's instants, by time, then by place in the log. It may mean some of them only.
    pub charges: Vec<MatchedCharge>,
    /// Another advertiser that clicks at its instants were charged to; they are not among `charges`.
    pub charged_to: Option<String>,
    /// Clicks that it means are missing, and days that they can be of were retired, with what was known of their refunds.
    pub retired: bool,
    /// Rule generation in force.
    pub generation: u64,
    pub now_us: i64,
    /// Time since the intake.
    pub waited_us: i64,
}

/// A charge that the compensation may refer to: same campaign, device and ad, at one of its instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedCharge {
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub offset: i64,
    pub occurred_at_us: i64,
    pub day: Day,
    /// Not negative.
    pub charged: Micros,
    /// Rule generation that priced it.
    pub generation: u64,
    /// Another compensation has given it back.
    pub refunded: bool,
}

/// How long compensations wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundLimits {
    /// After this time the ledger is taken to have all clicks that a compensation can mean.
    pub settle_us: i64,
    /// After this time a compensation that still waits becomes a dead letter.
    pub expire_us: i64,
}

/// Everything one settlement writes; empty parts are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundPlan {
    /// Id of the compensation.
    pub compensation: i64,
    pub generation: u64,
    /// One of [`state`].
    pub state: &'static str,
    /// Name of the rule's reason, or the host's code.
    pub reason: String,
    /// A sentence for people; empty when the reason says it all.
    pub detail: String,
    /// 0 unless it is refunded.
    pub refund: Micros,
    pub advertiser: Arc<str>,
    pub balance: Option<BalanceMove>,
    pub day: Option<DayMove>,
    /// Charges that are given back by this refund, and by no other from now on.
    pub charges: Vec<MatchedCharge>,
    /// How amount, count, instants and charges contradict each other.
    pub mismatch: Option<String>,
    pub outbox: Vec<OutboxMessage>,
    pub dead: Option<DeadLetter>,
    pub statuses: Vec<StatusChange>,
    pub crossings: Vec<Crossing>,
    /// What the rule was given and answered, encoded; kept when the compensation is settled, not while it waits.
    pub record: Option<Vec<u8>>,
}

impl RefundPlan {
    /// Whether the refund may let the campaign run again: it is of the campaign's today, and the budget has paused it.
    #[must_use]
    pub fn may_resume(&self, facts: &RefundFacts) -> bool {
        let campaign = &facts.campaign;
        self.day.as_ref().is_some_and(|day| day.key.day == campaign.zone.day(facts.now_us))
            && campaign.status == Status::Paused
            && campaign.paused_reason.as_deref() == Some(BUDGET_EXHAUSTED)
    }

    /// Takes over that the campaign runs again; `plan` is about the same day, with the refund.
    pub(crate) fn resume(&mut self, mut plan: Plan<'_>) {
        if let Some(day) = plan.days.pop() {
            self.day = Some(day);
            self.statuses = plan.statuses;
            self.crossings = plan.crossings;
            self.outbox.append(&mut plan.outbox);
        }
    }
}

/// The active refund rule.
pub trait RefundRule {
    fn description(&self) -> &Description;

    /// # Errors
    /// The rule trapped, ran out of fuel or memory, or the host could not run it.
    fn decide(&mut self, facts: &RefundColumns) -> Result<Decisions, RuleError>;
}

/// The campaign-day whose spend a refund restores when no duplicate is in the ledger: that of the last original click.
#[must_use]
pub fn day_key(event: &CompensationEvent, campaign: &Campaign) -> DayKey {
    let day = campaign.zone.day(event.charged_at_us());
    DayKey { campaign: Arc::clone(&campaign.id), day }
}

/// Settles a compensation whose campaign is known, or says that it goes on waiting. `id` is the ledger's.
///
/// # Errors
/// The host could not run the rule. Nothing is held against the rule or the compensation; it has to be tried again.
pub fn decide(
    id: i64,
    row: &CompensationRow,
    facts: &RefundFacts,
    limits: &RefundLimits,
    rule: &mut dyn RefundRule,
) -> Result<RefundPlan, RuleError> {
    decide_recorded(id, row, facts, limits, rule).map(|(plan, _)| plan)
}

/// As `decide`, and gives what the rule was given and answered as well; nothing when it was not asked.
///
/// # Errors
/// As `decide`.
pub fn decide_recorded(
    id: i64,
    row: &CompensationRow,
    facts: &RefundFacts,
    limits: &RefundLimits,
    rule: &mut dyn RefundRule,
) -> Result<(RefundPlan, Option<RefundTranscript>), RuleError> {
    let case = Case { id, row, generation: facts.generation, now_us: facts.now_us };
    if let Some(plan) = case.refused(facts, limits) {
        return Ok((plan, None));
    }
    let matched = matching::matched(&row.event, &facts.charges);
    let columns = columns::of(&row.event, facts, &matched, limits, rule.description().needs);
    let answer = rule.decide(&columns);
    let checked = |decisions| fence::check_decisions(&columns, decisions, rule.description());
    let breach = answer.as_ref().ok().and_then(|decisions| checked(decisions).err());
    let outcome = Outcome::of(&answer, breach.as_ref());
    let plan = match breach.map_or(answer, |fault| Err(fault.into())) {
        Ok(decisions) => case.carry_out(&decisions, facts, &matched, limits, rule.description()),
        Err(RuleError::Fault(fault)) => case.faulted(&fault, rule.description()),
        Err(host) => return Err(host),
    };
    let transcript =
        outcome.map(|outcome| RefundTranscript { facts: columns, outcome, resume: None });
    Ok((plan, transcript))
}

/// A compensation whose campaign is unknown or unusable: it waits, because the campaign may be loaded, and expires.
#[must_use]
pub fn decide_unknown(
    id: i64,
    row: &CompensationRow,
    generation: u64,
    now_us: i64,
    waited_us: i64,
    limits: &RefundLimits,
) -> RefundPlan {
    let case = Case { id, row, generation, now_us };
    let campaign = &row.event.campaign;
    let sentence = format!("campaign {campaign:?} is not in `campaigns` or unusable there");
    let code = Code::UnknownCampaign;
    if waited_us < limits.expire_us {
        return RefundPlan { detail: sentence, ..case.plan(state::WAITING, code.as_str()) };
    }
    let rejection = Rejection::new(code, Stage::Resolve, sentence);
    case.failed(state::EXPIRED, code.as_str(), rejection)
}

/// One compensation in the hands of one host.
struct Case<'c> {
    id: i64,
    row: &'c CompensationRow,
    generation: u64,
    now_us: i64,
}

impl Case<'_> {
    /// What no rule is asked about: nobody can tell whose money it is, or whether it was given back before.
    fn refused(&self, facts: &RefundFacts, limits: &RefundLimits) -> Option<RefundPlan> {
        let rejection = self.rejection(facts)?;
        let (code, sentence) = (rejection.code, &rejection.sentence);
        // A late click may still come for a day that was retired.
        if code == Code::DayRetired && facts.waited_us < limits.settle_us {
            let detail = sentence.clone();
            return Some(RefundPlan { detail, ..self.plan(state::WAITING, code.as_str()) });
        }
        Some(self.failed(state::REJECTED, code.as_str(), rejection))
    }

    fn rejection(&self, facts: &RefundFacts) -> Option<Rejection> {
        let (campaign, owner) = (&*facts.campaign.id, &*facts.campaign.advertiser);
        let CompensationEvent { advertiser, duplicate_count, .. } = &self.row.event;
        if owner != advertiser {
            let sentence = format!(
                "campaign {campaign:?} belongs to {owner:?}, the event names {advertiser:?}"
            );
            return Some(Rejection::new(Code::AdvertiserMismatch, Stage::Resolve, sentence));
        }
        if let Some(other) = &facts.charged_to {
            let sentence = format!(
                "clicks at its instants were charged to {other:?}, campaign {campaign:?} now belongs to {owner:?}"
            );
            return Some(Rejection::new(Code::AdvertiserMismatch, Stage::Resolve, sentence));
        }
        if !facts.retired {
            return None;
        }
        let found = facts.charges.len();
        let sentence = format!(
            "it counts {duplicate_count} clicks, the ledger has {found} charges at its instants, and days that the \
             others can be of were retired, so nobody can tell whether they were given back"
        );
        Some(Rejection::new(Code::DayRetired, Stage::Refund, sentence))
    }

    fn carry_out(
        &self,
        decisions: &Decisions,
        facts: &RefundFacts,
        matched: &Matched<'_>,
        limits: &RefundLimits,
        rule: &Description,
    ) -> RefundPlan {
        let (name, help) = rule
            .reason(decisions.reason[0])
            .map_or(("", ""), |reason| (reason.name.as_str(), reason.help.as_str()));
        let found = found(&self.row.event, facts, matched);
        match decisions.action[0] {
            refund_action::APPROVE => {
                self.refund(Micros(decisions.refund_micros[0]), name, facts, matched)
            }
            refund_action::PARK if facts.waited_us < limits.expire_us => {
                RefundPlan { detail: found, ..self.plan(state::WAITING, name) }
            }
            refund_action::PARK => {
                let sentence = format!("it still waits for {name}: {help} {found}");
                let rejection = Rejection::new(Code::CompensationExpired, Stage::Refund, sentence);
                self.failed(state::EXPIRED, name, rejection)
            }
            _ => {
                let sentence = format!("the rule refused it, {name}: {help} {found}");
                let rejection = Rejection::new(Code::CompensationRejected, Stage::Refund, sentence);
                self.failed(state::REJECTED, name, rejection)
            }
        }
    }

    fn refund(
        &self,
        refund: Micros,
        reason: &str,
        facts: &RefundFacts,
        matched: &Matched<'_>,
    ) -> RefundPlan {
        let (Some(balance), Some(spent)) =
            (facts.balance.checked_add(refund), facts.state.spent.checked_sub(refund))
        else {
            let sentence = format!("a refund of {refund} does not fit the balance or the spend");
            let rejection = Rejection::new(Code::AmountOverflow, Stage::Refund, sentence);
            return self.failed(state::REJECTED, rejection.code.as_str(), rejection);
        };
        let version = facts.state.version;
        let charges = given_back(&self.row.event, matched, refund);
        RefundPlan {
            refund,
            balance: Some(BalanceMove {
                advertiser: Arc::clone(&facts.campaign.advertiser),
                expected: facts.balance,
                new: balance,
            }),
            day: Some(DayMove {
                key: facts.day.clone(),
                campaign_version: facts.campaign.version,
                expected_version: version,
                new: DayState { spent, version: version + 1, ..facts.state },
            }),
            mismatch: mismatch(&self.row.event, matched, refund, charges.len()),
            charges,
            ..self.plan(state::REFUNDED, reason)
        }
    }

    fn faulted(&self, fault: &Fault, rule: &Description) -> RefundPlan {
        let (name, version, generation) = (&rule.name, &rule.version, self.generation);
        let sentence = format!("rule {name} {version} (generation {generation}): {fault}");
        let rejection = Rejection::new(fault.code, Stage::Refund, sentence);
        self.failed(state::REJECTED, fault.code.as_str(), rejection)
    }

    /// Not paid: a dead letter, and a happening for people.
    fn failed(&self, state: &'static str, reason: &str, rejection: Rejection) -> RefundPlan {
        let event = &self.row.event;
        let source = &self.row.source;
        let detail = rejection.sentence.clone();
        let facts = HappeningFacts {
            campaign_id: event.campaign.clone(),
            advertiser_id: event.advertiser.clone(),
            reason: reason.to_owned(),
            count: 1,
            detail: format!("{detail}. {}", rejection.code.hint()),
            occurred_at_us: self.now_us,
            generation: self.generation,
            ..HappeningFacts::default()
        };
        let (topic, incarnation, partition) = (&source.topic, source.incarnation, source.partition);
        let message = OutboxMessage {
            key: format!("refund-failed:{topic}:{incarnation}:{partition}:{}", self.row.offset),
            kind: HappeningKind::RefundFailed,
            payload: facts.to_json(),
        };
        RefundPlan {
            detail,
            outbox: vec![message],
            dead: Some(self.row.dead_letter(rejection, self.generation)),
            ..self.plan(state, reason)
        }
    }

    /// A plan that moves nothing.
    fn plan(&self, state: &'static str, reason: &str) -> RefundPlan {
        RefundPlan {
            compensation: self.id,
            generation: self.generation,
            state,
            reason: reason.to_owned(),
            detail: String::new(),
            refund: Micros::ZERO,
            advertiser: self.row.event.advertiser.as_str().into(),
            balance: None,
            day: None,
            charges: Vec::new(),
            mismatch: None,
            outbox: Vec::new(),
            dead: None,
            statuses: Vec::new(),
            crossings: Vec::new(),
            record: None,
        }
    }
}

/// `marked` is how many charges the refund gives back.
fn mismatch(
    event: &CompensationEvent,
    matched: &Matched<'_>,
    refund: Micros,
    marked: usize,
) -> Option<String> {
    let mut sentences = Vec::new();
    let (count, charges) = (event.duplicate_count, &matched.charges);
    if let Some(first) = charges.first() {
        let expected = (i128::from(count) - 1) * i128::from(first.charged.0);
        if i128::from(refund.0) != expected {
            let price = first.charged;
            sentences.push(format!("{refund} is given back, not {count} - 1 times {price}"));
        }
    }
    if event.timestamps_us.len() as u64 != u64::from(count) {
        let instants = event.timestamps_us.len();
        sentences.push(format!("it counts {count} clicks and names {instants} instants"));
    }
    if (charges.len() as u64) < u64::from(count) {
        let matched = charges.len();
        sentences.push(format!("it counts {count} clicks and the ledger has {matched}"));
    }
    if is_cut(event, matched, refund) {
        let (claimed, left) = (event.claimed, duplicates::left(matched).count());
        sentences.push(format!(
            "{refund} of {claimed} is given back, less than the duplicates have cost: {marked} of {left} count as given \
             back"
        ));
    }
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn found(event: &CompensationEvent, facts: &RefundFacts, matched: &Matched<'_>) -> String {
    let (claimed, spent) = (event.claimed, facts.state.spent);
    let refunded = matched.charges.iter().filter(|charge| charge.refunded).count();
    let (matched, count) = (matched.charges.len(), event.duplicate_count);
    format!(
        "It claims {claimed}; {matched} of {count} clicks are in the ledger, {refunded} of them refunded; the day's \
         net charges are {spent}"
    )
}

#[cfg(test)]
mod tests;
