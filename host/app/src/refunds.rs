//! Refunds: compensations that have come in are settled, as soon as the ledger has the clicks they mean.
//!
//! A compensation waits in the ledger, so it does not matter whether it came before its clicks. Any host settles it:
//! it locks the balance and the day, asks the refund rule, and writes everything that follows in that transaction.

pub mod finding;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tollgate_domain::dead::Rejection;
use tollgate_domain::decide::resume_after_refund;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::refund::{self, RefundFacts, RefundLimits, RefundPlan};
use tollgate_domain::rule::RuleError;
use tollgate_domain::transcript::{Failure, Transcript};
use tollgate_ledger::{Ledger, LedgerConfig, LedgerError, WaitingCompensation};

use crate::pipeline::clock::host_us;
use crate::pipeline::stats::Stats;
use crate::pipeline::writer::note_crossings;
use crate::reach;
use crate::records::{self, RecordEncoder};
use crate::rules::faults::{self, Leave};
use crate::rules::{ActiveRefunder, RuleLoader};
use crate::trials::Trials;

/// Compensations of one turn at most.
const TURN_MAX: usize = 100;

/// Looks after which the time to the next one doubles, and how often it does.
const LOOKS_A_DOUBLING: i64 = 8;
const DOUBLINGS_MAX: u32 = 4;

/// Everything that settling needs.
pub struct RefundParts {
    pub ledger: LedgerConfig,
    /// Name of this host, for those who look at the ledger.
    pub owner: String,
    pub loader: Arc<RuleLoader>,
    pub rule: ActiveRefunder,
    pub limits: RefundLimits,
    pub fence: FenceLimits,
    pub stats: Arc<Stats>,
    /// Rings when this host has taken a compensation in.
    pub arrived: Arc<Notify>,
    /// To be rung when something was written for others.
    pub outbox: Arc<Notify>,
    pub dead_letters: Arc<Notify>,
    pub period: Duration,
    /// Encodes what the rule was given and answered; `None` when it is not kept.
    pub recorder: Option<RecordEncoder>,
    pub trials: Arc<Trials>,
}

/// Settles one compensation after the other, over one connection.
pub struct Settler {
    parts: RefundParts,
    ledger: Ledger,
}

/// Settles until it is stopped. Whatever fails is tried again.
pub async fn run(parts: RefundParts, stop: CancellationToken) {
    let opened = reach::ledger(&parts.ledger, parts.period, "refunds");
    let Some(ledger) = stop.run_until_cancelled(opened).await else { return };
    let mut settler = Settler::new(parts, ledger);
    // A turn is never cut short, because an operation that is dropped halfway costs the connection.
    while !stop.is_cancelled() {
        if let Err(error) = settler.turn(&stop).await {
            let error = format!("{error:#}");
            tracing::warn!(error, "compensations cannot be settled; trying again");
            stop.run_until_cancelled(tokio::time::sleep(settler.parts.period)).await;
            if let Err(error) = settler.ledger.reopen().await {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = settler.parts.arrived.notified() => {}
            () = tokio::time::sleep(settler.parts.period) => {}
        }
    }
}

impl Settler {
    #[must_use]
    pub fn new(parts: RefundParts, ledger: Ledger) -> Self {
        Self { parts, ledger }
    }

    /// Encodes records of decisions; `None` when they are not kept.
    pub(crate) fn recorder(&mut self) -> Option<&mut RecordEncoder> {
        self.parts.recorder.as_mut()
    }

    /// Looks at a compensation once: it is paid, refused, or goes on waiting. When somebody else has just changed what
    /// it is decided on, nothing happens.
    ///
    /// # Errors
    /// The ledger or the rule could not be asked; nothing was written.
    pub async fn settle(&mut self, compensation: &WaitingCompensation) -> anyhow::Result<()> {
        let mut settled = self.try_settle(compensation).await;
        while let Err(SettleError::Ledger(LedgerError::GenerationChanged { .. })) = settled {
            let rule = self.parts.loader.load_refunder(&mut self.ledger).await;
            self.parts.rule = rule.context("the active refund rule cannot be loaded")?;
            settled = self.try_settle(compensation).await;
        }
        match settled {
            // Another host was faster, or somebody has changed what it was decided on; the next turn sees it.
            Ok(()) | Err(SettleError::Ledger(LedgerError::Stale(_))) => Ok(()),
            Err(SettleError::Ledger(error)) => Err(error.into()),
            Err(SettleError::Rule(error)) => {
                self.ledger.rollback().await?;
                Err(error.into())
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        loop {
            let waiting = self.ledger.waiting_compensations(TURN_MAX).await?;
            for compensation in waiting.iter().take_while(|_| !stop.is_cancelled()) {
                self.settle(compensation).await?;
            }
            if waiting.len() < TURN_MAX || stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    async fn try_settle(&mut self, waiting: &WaitingCompensation) -> Result<(), SettleError> {
        let (limits, generation) = (self.parts.limits, self.parts.rule.generation);
        let plan = match &waiting.campaign {
            Some(campaign) => {
                let day = refund::day_key(&waiting.row.event, campaign);
                let Some(facts) = self.ledger.lock_refund(waiting, &day, generation).await? else {
                    return Ok(());
                };
                self.decide(waiting, &facts, &limits)?
            }
            None => {
                let now_us = self.ledger.clock_us().await?;
                let waited_us = now_us - waiting.received_at_us;
                let (id, row) = (waiting.id, &waiting.row);
                refund::decide_unknown(id, row, generation, now_us, waited_us, &limits)
            }
        };
        let next_look = next_look(self.parts.period, waiting.looks);
        self.ledger.apply_refund(&plan, next_look).await?;
        if plan.state != refund::state::WAITING {
            self.after_commit(&plan, waiting);
        }
        self.judge_rule(&plan).await?;
        Ok(())
    }

    /// Leaves rules that fail too often.
    async fn judge_rule(&mut self, plan: &RefundPlan) -> Result<(), LedgerError> {
        let RefundParts { loader, rule, outbox, owner, .. } = &mut self.parts;
        let generation = rule.generation;
        let Some(dead) = plan.dead.as_ref().filter(|dead| dead.rejection.code.is_rules()) else {
            return Ok(());
        };
        let Rejection { code, sentence, .. } = &dead.rejection;
        loader.costs.failed(generation, rule.refunder.rule_mut(), *code, 1);
        if let Some(faults) = loader.faults.note(generation, 1) {
            let wish = Leave { generation, faults, fault: sentence, actor: owner };
            faults::leave(&loader.faults, &mut self.ledger, &wish).await?;
            outbox.notify_one();
        }
        Ok(())
    }

    /// Decides, and encodes the record when the compensation does not go on waiting.
    fn decide(
        &mut self,
        waiting: &WaitingCompensation,
        facts: &RefundFacts,
        limits: &RefundLimits,
    ) -> Result<RefundPlan, RuleError> {
        let ActiveRefunder { refunder, set, .. } = &mut self.parts.rule;
        let (mut plan, mut transcript) =
            refund::decide_recorded(waiting.id, &waiting.row, facts, limits, refunder)?;
        let resume = resume_after_refund(&mut plan, facts, &self.parts.fence, set)?;
        if let Some(failure) = resume.as_ref().and_then(|resume| resume.outcome.failure()) {
            self.parts.stats.faulted(1);
            let Failure { code, sentence } = failure;
            tracing::warn!(code, sentence, "the threshold rule failed at a refund");
        }
        if let Some(transcript) = &mut transcript {
            transcript.resume = resume;
        }
        if plan.state != refund::state::WAITING {
            let transcript = transcript.map(Transcript::from);
            plan.record = records::encoded(self.parts.recorder.as_mut(), transcript.as_ref());
        }
        Ok(plan)
    }

    fn after_commit(&mut self, plan: &RefundPlan, waiting: &WaitingCompensation) {
        let latency_us = host_us() - waiting.row.event.occurred_at_us;
        self.parts.stats.settled(plan, latency_us);
        let RefundParts { loader, rule, stats, .. } = &mut self.parts;
        let ActiveRefunder { refunder, set, generation } = rule;
        for rule in std::iter::once(refunder.rule_mut()).chain(set.active_mut().rules_mut()) {
            let (world, calls) = loader.costs.called(*generation, rule);
            stats.called(world, &calls);
        }
        self.parts.trials.note(self.parts.rule.generation, &mut self.parts.rule.set);
        note_crossings(&plan.crossings);
        if !plan.outbox.is_empty() {
            self.parts.outbox.notify_one();
        }
        if plan.dead.is_some() {
            self.parts.dead_letters.notify_one();
        }
        let (campaign, state) = (&waiting.row.event.campaign, plan.state);
        let (refund, reason, detail) = (plan.refund, &plan.reason, &plan.detail);
        tracing::info!(campaign, state, %refund, reason, detail, "a compensation is settled");
    }
}

/// What has waited for long is looked at less often, so that many that wait are no burden.
fn next_look(period: Duration, looks: i64) -> Duration {
    let doublings = u32::try_from(looks / LOOKS_A_DOUBLING).unwrap_or(u32::MAX);
    period.saturating_mul(1 << doublings.min(DOUBLINGS_MAX))
}

/// Why a compensation was not settled.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Rule(#[from] RuleError),
}
