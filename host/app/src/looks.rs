//! Looks at campaigns that no click may come for: those the budget has paused, whose next day or new budget resumes
//! them, and those that somebody has changed.
//!
//! What is due is a state and no appointment: any host finds it at any time, also after days of rest, and the ledger's
//! compare and set lets one of them carry it out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics::counter;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tollgate_domain::batch::Resolved;
use tollgate_domain::book::{Book, Campaign};
use tollgate_domain::day::Day;
use tollgate_domain::decide::{Context, look};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::{Fault, World};
use tollgate_ledger::{Keys, Ledger, LedgerConfig, LedgerError};

use crate::metrics::Metric;
use crate::pipeline::hints::{Hints, Wanted};
use crate::pipeline::stats::Stats;
use crate::pipeline::writer::{note_crossings, remember};
use crate::reach;
use crate::rules::faults::{self, Leave};
use crate::rules::{ActiveRules, RuleLoader};
use crate::trials::Trials;

/// A change may be committed later than it is dated: mostly not much, and never more than a statement may take. So every
/// look goes back a little, and now and then one goes back far.
const OVERLAP_US: i64 = 2_000_000;
const OVERLAP_US_MAX: i64 = 120_000_000;
const THOROUGH_EVERY: Duration = Duration::from_secs(30);

/// Campaigns of one plan at most, so that its transaction stays short.
const CAMPAIGNS_MAX: usize = 500;

/// Campaigns remembered at most; beyond that all are looked at anew.
const SEEN_MAX: usize = 1_000_000;

/// Everything that looking needs.
pub struct LookParts {
    pub ledger: LedgerConfig,
    /// Name of this host, for those who look at the ledger.
    pub owner: String,
    pub loader: Arc<RuleLoader>,
    pub rules: ActiveRules,
    pub hints: Hints,
    pub fence: FenceLimits,
    pub rule_rows_max: usize,
    pub stats: Arc<Stats>,
    /// Wakes whoever sends messages.
    pub wake: Arc<Notify>,
    pub period: Duration,
    pub trials: Arc<Trials>,
}

/// What a look's outcome depends on, besides the spend: while it stays the same there is nothing new to see.
type Seen = (i64, Day, u64);

struct Looker {
    parts: LookParts,
    ledger: Ledger,
    /// The generation in force, as soon as this host has loaded it.
    loaded: watch::Receiver<u64>,
    seen: HashMap<Arc<str>, Seen>,
    /// The database's present at the last look, and when the last one was that went back far.
    looked_us: Option<i64>,
    thorough: Instant,
}

/// Looks until it is stopped. Whatever fails is tried again at the next look.
pub async fn run(parts: LookParts, stop: CancellationToken) {
    let mut tick = tokio::time::interval(parts.period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let opened = reach::ledger(&parts.ledger, parts.period, "looks");
    let Some(ledger) = stop.run_until_cancelled(opened).await else { return };
    let (seen, thorough) = (HashMap::new(), Instant::now());
    let loaded = parts.loader.board.loaded();
    let mut looker = Looker { parts, ledger, loaded, seen, looked_us: None, thorough };
    // A turn is never cut short, because an operation that is dropped halfway costs the connection.
    while !stop.is_cancelled() {
        if let Err(error) = looker.turn().await {
            tracing::warn!(error = format!("{error:#}"), "a look at budgets failed; trying again");
            if let Err(error) = looker.ledger.reopen().await {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
        }
        stop.run_until_cancelled(tick.tick()).await;
    }
}

impl Looker {
    async fn turn(&mut self) -> anyhow::Result<()> {
        // Other rules may see a campaign otherwise, also when nothing else has changed.
        if *self.loaded.borrow() > self.parts.rules.generation {
            self.reload().await?;
        }
        let is_thorough = self.thorough.elapsed() >= THOROUGH_EVERY;
        let overlap_us = if is_thorough { OVERLAP_US_MAX } else { OVERLAP_US };
        let since_us = self.looked_us.map_or(0, |looked_us| looked_us - overlap_us);
        let looks = self.ledger.looks(since_us).await?;
        if self.seen.len() > SEEN_MAX {
            self.seen.clear();
        }
        let generation = self.parts.rules.generation;
        let mut due: Vec<(Campaign, Seen)> = Vec::new();
        for sentence in looks.unusable {
            tracing::error!(sentence, "a campaign cannot be looked at");
        }
        for campaign in looks.campaigns {
            let state = (campaign.version, campaign.zone.day(looks.now_us), generation);
            if self.seen.get(&campaign.id) != Some(&state) {
                due.push((campaign, state));
            }
        }
        let mut is_complete = true;
        while !due.is_empty() {
            let rest = due.split_off(due.len().min(CAMPAIGNS_MAX));
            is_complete &= self.look_at(due, looks.now_us).await?;
            due = rest;
        }
        // What was not written has to be found again, so the next look goes back as far as this one.
        if !is_complete {
            return Ok(());
        }
        self.looked_us = Some(looks.now_us);
        if is_thorough {
            self.thorough = Instant::now();
        }
        Ok(())
    }

    /// False: something had changed meanwhile, and the same campaigns have to be looked at again.
    async fn look_at(&mut self, due: Vec<(Campaign, Seen)>, now_us: i64) -> anyhow::Result<bool> {
        let ids: Vec<_> = due.iter().map(|(campaign, _)| Arc::clone(&campaign.id)).collect();
        let mut book = Book::default();
        let mut states = Vec::with_capacity(due.len());
        for (campaign, state) in due {
            states.push(state);
            book.campaigns.insert(Arc::clone(&campaign.id), campaign);
        }
        match self.write(&mut book, &ids, now_us).await {
            Ok(()) => {
                counter!(Metric::Looks.name()).increment(ids.len() as u64);
                self.seen.extend(ids.into_iter().zip(states));
                Ok(true)
            }
            // Somebody else was faster; the next look sees what they have done.
            Err(LedgerError::Stale(_)) => Ok(false),
            Err(LedgerError::GenerationChanged { .. }) => {
                self.reload().await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn reload(&mut self) -> anyhow::Result<()> {
        let rules = self.parts.loader.load_active(&mut self.ledger).await;
        self.parts.rules = rules.context("the active rules cannot be loaded")?;
        Ok(())
    }

    /// Counts what the look has cost, and leaves rules that fail too often.
    async fn judge_rules(&mut self, first_fault: Option<&Fault>) -> Result<(), LedgerError> {
        let LookParts { loader, rules, stats, owner, wake, .. } = &mut self.parts;
        let generation = rules.generation;
        for rule in rules.set.active_mut().rules_mut() {
            let (world, calls) = loader.costs.called(generation, rule);
            stats.called(world, &calls);
            if let (World::Threshold, Some(fault)) = (world, first_fault) {
                loader.costs.failed(generation, rule, fault.code, 1);
            }
        }
        let Some(fault) = first_fault else { return Ok(()) };
        if let Some(faults) = loader.faults.note(generation, 1) {
            let fault = fault.to_string();
            let wish = Leave { generation, faults, fault: &fault, actor: owner };
            faults::leave(&loader.faults, &mut self.ledger, &wish).await?;
            wake.notify_one();
        }
        Ok(())
    }

    /// Decides and writes; nothing is written when nothing is due.
    async fn write(
        &mut self,
        book: &mut Book,
        ids: &[Arc<str>],
        now_us: i64,
    ) -> Result<(), LedgerError> {
        if let Err(missing) = Resolved::look(book, ids, now_us) {
            let keys = Keys { advertisers: &missing.advertisers, days: &missing.days };
            remember(book, self.ledger.load(keys).await?);
        }
        let Ok(resolved) = Resolved::look(book, ids, now_us) else {
            return Err(LedgerError::Unexpected("rows were read and are still missing".into()));
        };
        let parts = &mut self.parts;
        let wanted = Wanted::by(&parts.rules.set);
        let hints = parts.hints.look_up(&resolved, wanted, now_us).await;
        let context = Context {
            generation: parts.rules.generation,
            now_us,
            hints: &hints,
            fence: &parts.fence,
            rule_rows_max: parts.rule_rows_max,
            record: false,
        };
        let decision = look(&resolved, &context, &mut parts.rules.set)
            .map_err(|error| LedgerError::Unexpected(error.to_string()))?;
        parts.trials.note(parts.rules.generation, &mut parts.rules.set);
        let plan = decision.plan;
        parts.stats.faulted(decision.faults);
        if let Some(fault) = &decision.first_fault {
            tracing::warn!(code = fault.code.as_str(), %fault, "a rule failed at a look");
        }
        self.judge_rules(decision.first_fault.as_ref()).await?;
        let parts = &self.parts;
        if plan.outbox.is_empty() && plan.days.is_empty() && plan.statuses.is_empty() {
            return Ok(());
        }
        self.ledger.apply(&plan).await?;
        parts.stats.looked(&plan);
        note_crossings(&plan.crossings);
        parts.wake.notify_one();
        Ok(())
    }
}
