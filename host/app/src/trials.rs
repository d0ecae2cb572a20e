//! Trials: candidates beside the rules in force, and what they would have cost.
//!
//! What is charged is decided by the writer, with the candidate of a canary among its rules. Whoever was not asked there
//! is asked here, about the records of committed decisions, on a thread of its own: comparing delays no charge, and when it
//! cannot keep up, batches are left out and counted. Each host adds its sums to the ledger once a second, and any host ends
//! a canary whose sums pass a limit.

mod comparer;
mod shown;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::Needs;
use tollgate_domain::transcript::ClickTranscript;
use tollgate_domain::trial::{Breach, Cost, Tally};
use tollgate_ledger::{Abort, Ledger, LedgerConfig, LedgerError, Trial, TrialKind};

use crate::metrics::Metric;
use crate::reach;
use crate::rules::{Acting, LoadError, RuleLoader};

use comparer::Comparer;
use shown::Shown;

/// How often the ledger is asked whether a trial runs, and is told what was seen.
const PERIOD: Duration = Duration::from_secs(1);

/// How long comparing may take to end.
const END_WAIT: Duration = Duration::from_secs(5);

/// What the parts of the host know of the trial that runs. Safe to share.
#[derive(Default)]
pub struct Trials {
    running: ArcSwapOption<Running>,
    /// Changes whenever `running` does.
    turn: AtomicU64,
    /// Rings when the generation has changed.
    changed: Notify,
    /// What the candidate of a generation has failed at before its trial was noticed here.
    early: Mutex<(u64, Tally)>,
    shown: Shown,
}

/// A trial that runs.
pub struct Running {
    seen: Arc<Seen>,
    queue: crossbeam_channel::Sender<Box<ClickTranscript>>,
    needs: [Needs; 2],
}

/// What this host has seen of a trial and not yet told the ledger.
struct Seen {
    trial: Trial,
    tally: Mutex<Tally>,
    /// Nothing more is compared.
    is_over: AtomicBool,
}

/// Everything that trials need.
pub struct TrialParts {
    pub ledger: LedgerConfig,
    pub loader: Arc<RuleLoader>,
    pub fence: FenceLimits,
    pub rule_rows_max: usize,
    /// Name of this host in the ledger.
    pub owner: String,
    pub trials: Arc<Trials>,
    /// To be rung when a happening was written.
    pub outbox: Arc<Notify>,
}

impl Trials {
    /// Changes whenever another trial runs, or none any more.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// The trial that runs.
    #[must_use]
    pub fn running(&self) -> Option<Arc<Running>> {
        self.running.load_full()
    }

    /// Lets the ledger be asked at once whether another trial runs.
    pub fn look(&self) {
        self.changed.notify_one();
    }

    /// Takes in what the candidate of this generation has failed at and has cost.
    pub fn note(&self, generation: u64, rules: &mut Acting) {
        let Some(candidate) = rules.candidate_mut() else { return };
        let mut tally = Tally { cost: comparer::cost(&candidate.take_stats()), ..Tally::default() };
        tally.add(rules.take_tally());
        match self.running().filter(|running| running.seen.trial.generation == Some(generation)) {
            Some(running) => running.seen.add(tally),
            None => {
                let mut early = lock(&self.early);
                if early.0 != generation {
                    *early = (generation, Tally::default());
                }
                early.1.add(tally);
            }
        }
    }

    /// Drops what the candidate has failed at while a batch was decided that was not written. What the host could not run
    /// counts all the same, so that a candidate that is never done cannot hold the line up for ever.
    pub fn note_dropped(&self, generation: u64, rules: &mut Acting) {
        rules.forget_failures();
        self.note(generation, rules);
    }

    /// The gauges of the trial that runs.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.shown.metrics()
    }

    fn set(&self, running: Option<Running>) {
        if let Some(Running { seen, .. }) = &running {
            let mut early = lock(&self.early);
            if seen.trial.generation == Some(early.0) {
                seen.add(std::mem::take(&mut early.1));
            }
        }
        self.running.store(running.map(Arc::new));
        self.turn.fetch_add(1, Ordering::AcqRel);
    }
}

impl Running {
    /// What somebody who only watches wants to be among the facts; nothing in a canary, whose facts are asked for by its
    /// rules.
    #[must_use]
    pub fn watched(&self) -> Option<[Needs; 2]> {
        (self.seen.trial.kind == TrialKind::Shadow).then_some(self.needs)
    }

    /// Compares a committed decision, when it is of this trial; never waits.
    pub fn compare(&self, generation: u64, transcript: Box<ClickTranscript>) {
        let trial = &self.seen.trial;
        let is_other = trial.generation.is_some_and(|own| own != generation);
        if is_other || self.seen.is_over.load(Ordering::Acquire) {
            return;
        }
        if let Err(refused) = self.queue.try_send(transcript) {
            self.seen.skip(refused.into_inner().clicks());
        }
    }
}

impl Seen {
    fn add(&self, tally: Tally) {
        lock(&self.tally).add(tally);
    }

    fn skip(&self, clicks: usize) {
        let mut tally = lock(&self.tally);
        tally.cost.skipped = tally.cost.skipped.saturating_add(clicks as i64);
    }

    fn take(&self) -> Tally {
        std::mem::take(&mut lock(&self.tally))
    }
}

/// Follows trials until it is stopped, and then tells the ledger what is left. Whatever fails is tried again.
pub async fn run(parts: TrialParts, stop: CancellationToken) {
    let opened = reach::ledger(&parts.ledger, PERIOD, "trials");
    let Some(ledger) = stop.run_until_cancelled(opened).await else { return };
    let mut follower = Follower { parts, ledger, current: None };
    // A turn is never cut short, because an operation that is dropped halfway costs the connection.
    while !stop.is_cancelled() {
        if let Err(error) = follower.turn().await {
            tracing::warn!(error = format!("{error:#}"), "trials cannot be followed; trying again");
            if let Err(error) = follower.ledger.reopen().await {
                tracing::warn!(%error, "the ledger cannot be opened");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = follower.parts.trials.changed.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
    if let Err(error) = follower.end().await {
        tracing::warn!(%error, "what was last seen of a trial is lost");
    }
}

struct Follower {
    parts: TrialParts,
    ledger: Ledger,
    current: Option<(Arc<Seen>, Comparer)>,
}

impl Follower {
    async fn turn(&mut self) -> anyhow::Result<()> {
        if let Some((seen, _)) = &self.current {
            tell(&mut self.ledger, seen).await?;
        }
        let found = self.ledger.running_trial().await?;
        let known = self.current.as_ref().map(|(seen, _)| seen.trial.id);
        if known.is_some() && known != found.as_ref().map(|trial| trial.id) {
            self.end().await?;
        }
        let Some(trial) = found else {
            self.parts.trials.shown.clear();
            return Ok(());
        };
        let limits = trial.limits.as_ref();
        if let Some(breach) = limits.and_then(|limits| limits.passed(&trial.sums, &trial.cost)) {
            return self.abort(&trial, &breach).await;
        }
        let campaigns = self.ledger.trial_campaigns(trial.id, shown::CAMPAIGNS_MAX).await?;
        if self.current.is_none() {
            self.begin(trial.clone()).await?;
        }
        self.parts.trials.shown.set(&trial, campaigns);
        Ok(())
    }

    async fn begin(&mut self, trial: Trial) -> anyhow::Result<()> {
        let (id, kind) = (trial.id, trial.kind.as_str());
        let rules = match self.parts.loader.load_compared(&mut self.ledger, &trial).await {
            Ok(rules) => rules,
            Err(error) => return self.unusable(&trial, error).await,
        };
        let seen =
            Arc::new(Seen { trial, tally: Mutex::default(), is_over: AtomicBool::new(false) });
        let (comparer, running) =
            Comparer::start(&seen, rules, self.parts.fence.clone(), self.parts.rule_rows_max)?;
        self.parts.trials.set(Some(running));
        self.current = Some((seen, comparer));
        tracing::info!(id, kind, "a trial runs");
        Ok(())
    }

    /// A shadow that cannot be loaded here is seen by the calls that could not be run; a canary then has no rules to be put
    /// beside, which stops this host from charging anyway.
    async fn unusable(&mut self, trial: &Trial, error: LoadError) -> anyhow::Result<()> {
        if trial.kind == TrialKind::Shadow && error.is_about_rules() {
            let cost = Cost { host_failures: 1, ..Cost::default() };
            let tally = Tally { cost, ..Tally::default() };
            self.ledger.add_trial_sums(trial.id, &tally).await?;
        }
        let what = format!("the rules of trial {} cannot be loaded", trial.id);
        Err(anyhow::Error::from(error).context(what))
    }

    /// Compares what is left, and tells the ledger.
    async fn end(&mut self) -> Result<(), LedgerError> {
        self.parts.trials.set(None);
        let Some((seen, comparer)) = self.current.take() else { return Ok(()) };
        seen.is_over.store(true, Ordering::Release);
        if !comparer.ended_within(END_WAIT).await {
            tracing::warn!(id = seen.trial.id, "a trial's last batches were not compared in time");
        }
        tell(&mut self.ledger, &seen).await
    }

    async fn abort(&mut self, trial: &Trial, breach: &Breach) -> anyhow::Result<()> {
        let faults = trial.sums.failed.saturating_add(trial.sums.refused);
        let abort = Abort {
            actor: &self.parts.owner,
            code: breach.code,
            sentence: &breach.sentence,
            faults: u64::try_from(faults.saturating_add(trial.cost.host_failures)).unwrap_or(0),
        };
        if let Some(generation) = self.ledger.abort_by_limit(trial.id, &abort).await? {
            let (id, code) = (trial.id, breach.code);
            tracing::error!(
                id,
                code,
                generation,
                sentence = breach.sentence,
                "a canary is aborted"
            );
            counter!(Metric::CanariesAborted.name(), "code" => breach.code).increment(1);
            self.parts.outbox.notify_one();
        }
        Ok(())
    }
}

/// Tells the ledger what was seen, once or not at all.
async fn tell(ledger: &mut Ledger, seen: &Seen) -> Result<(), LedgerError> {
    let tally = seen.take();
    if tally.is_empty() {
        return Ok(());
    }
    match ledger.add_trial_sums(seen.trial.id, &tally).await {
        Ok(()) => {
            count(seen.trial.kind, &tally);
            Ok(())
        }
        Err(error) => {
            // With an unknown outcome it may be there already.
            if !matches!(error, LedgerError::Outage { outcome_unknown: true, .. }) {
                seen.add(tally);
            }
            Err(error)
        }
    }
}

fn count(kind: TrialKind, tally: &Tally) {
    let (total, kind) = (tally.total(), kind.as_str().to_lowercase());
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    for (result, clicks) in [
        ("same", total.clicks - total.clicks_differing),
        ("different", total.clicks_differing),
        ("failed", total.failed),
        ("refused", total.refused),
        ("skipped", tally.cost.skipped),
    ] {
        counter!(Metric::TrialClicks.name(), "kind" => kind.clone(), "result" => result)
            .increment(number(clicks));
    }
    counter!(Metric::TrialFuel.name(), "kind" => kind.clone()).increment(number(tally.cost.fuel));
    counter!(Metric::TrialNanoseconds.name(), "kind" => kind).increment(number(tally.cost.ns));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
