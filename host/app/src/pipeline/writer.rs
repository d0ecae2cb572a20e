//! The writer: one thread that charges batch after batch.
//!
//! A batch is decided on what the book remembers, and the ledger verifies all of it in the statement that writes.
//! When something had changed, the rows are locked, read and the batch is decided again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tollgate_domain::batch::{Batch, Fates, Missing};
use tollgate_domain::book::Book;
use tollgate_domain::dead::Stage;
use tollgate_domain::decide::{Context, Decision, decide};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::plan::{Advance, Crossing, Plan};
use tollgate_domain::rule::{RuleError, World};
use tollgate_domain::slice::Slice;
use tollgate_domain::transcript::Transcript;
use tollgate_engine::Engine;
use tollgate_ledger::{Keys, Ledger, LedgerConfig, LedgerError, LockKeys, Rows};
use tollgate_stream::Lanes;

use super::clock::Clock;
use super::gather::{Gather, Gathered, Taken};
use super::hints::{Hints, Wanted};
use super::spend::SpendPublisher;
use super::stats::{Stats, WritePath};
use super::trial::TrialFeed;
use super::valve::{Flood, Valve, ValveLimits};
use crate::records::{self, RecordEncoder};
use crate::rules::{ActiveRules, RuleLoader};

/// How long to wait for slices before looking whether the host stops.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often the clocks are compared.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Everything the writer is made of.
pub struct WriterParts {
    pub ledger: LedgerConfig,
    pub gather: Gather,
    pub lanes: Arc<Lanes>,
    pub hints: Hints,
    /// Name of this host, for those who look at the ledger.
    pub owner: String,
    pub loader: Arc<RuleLoader>,
    pub rules: ActiveRules,
    pub fence: FenceLimits,
    pub valve: ValveLimits,
    /// Rows of one call of a rule at most.
    pub rule_rows_max: usize,
    /// Encodes what rules were given and answered; `None` when it is not kept.
    pub recorder: Option<RecordEncoder>,
    pub trials: TrialFeed,
    pub clock: Clock,
    pub stats: Arc<Stats>,
    /// Ring when something was written for others: to the outbox, a compensation, a dead letter.
    pub outbox: Arc<Notify>,
    pub compensations: Arc<Notify>,
    pub dead_letters: Arc<Notify>,
    /// Writes spends to Redis when that is wanted.
    pub spend: Option<SpendPublisher>,
    /// Set when the host gives up waiting for a drain.
    pub abandon: Arc<AtomicBool>,
}

/// Charges batch after batch on one thread and one connection.
pub struct Writer {
    pub(super) parts: WriterParts,
    /// Only this thread drives it, so that an answer of the database wakes nobody else.
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) ledger: Ledger,
    pub(super) state: State,
    pub(super) valve: Valve,
    /// Partitions that are to be halted when what lies before the flood is written.
    pub(super) floods: Vec<Flood>,
    clock_checked: Instant,
}

/// What the writer remembers between batches.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) book: Book,
    /// Batches still to be locked first.
    pub(super) locked_batches: u32,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("too many records become dead letters")]
    Flood(Vec<Flood>),
    #[error("the rules fail too often")]
    Failing { faults: u64, fault: String },
}

/// The host stops without having written the batch. Nothing is lost: the ledger knows where to go on.
#[derive(Debug)]
pub(super) struct Abandoned;

impl Writer {
    /// Charges until all lanes have ended and everything they sent is written.
    pub fn run(parts: WriterParts) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the writer cannot start");
                return;
            }
        };
        Engine::prepare_thread();
        let Some(ledger) = connect(&runtime, &parts) else { return };
        let valve = Valve::new(parts.valve);
        let (state, floods, clock_checked) = (State::default(), Vec::new(), Instant::now());
        let mut writer = Self { parts, runtime, ledger, state, valve, floods, clock_checked };
        writer.check_clock();
        writer.charge_all();
    }

    fn charge_all(&mut self) {
        while !self.parts.abandon.load(Ordering::Acquire) {
            match self.parts.gather.take(PATIENCE) {
                Taken::End => return,
                Taken::Nothing => {}
                Taken::Batch(Gathered { slices, tickets, broken }) => {
                    for source in &broken {
                        self.parts.lanes.fenced(source);
                    }
                    if self.charge(slices).is_err() {
                        return;
                    }
                    drop(tickets);
                }
            }
            self.state.book.trim();
            if self.clock_checked.elapsed() > CLOCK_CHECK {
                self.check_clock();
            }
        }
    }

    /// A failure is left to the next batch, which meets it too.
    fn check_clock(&mut self) {
        self.clock_checked = Instant::now();
        if let Ok(database_us) = self.runtime.block_on(self.ledger.clock_us()) {
            self.parts.clock.correct(database_us);
        }
    }

    /// Charges slices, whatever it takes. What floods the dead letters is halted where the flood begins.
    pub(super) fn charge(&mut self, slices: Vec<Slice>) -> Result<(), Abandoned> {
        self.charge_slices(slices)?;
        self.halt_floods()
    }

    fn charge_slices(&mut self, mut slices: Vec<Slice>) -> Result<(), Abandoned> {
        let mut attempt = 0;
        let mut path = self.first_path();
        self.state.book.unknown.clear();
        while !slices.is_empty() {
            let batch = Batch::new(slices, &self.state.book);
            match self.try_charge(&batch, path) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.forget(&batch);
                    slices = self.recover(error, batch, &mut attempt)?;
                    path = WritePath::Locked;
                }
            }
        }
        Ok(())
    }

    fn first_path(&mut self) -> WritePath {
        if self.state.locked_batches == 0 {
            return WritePath::Remembered;
        }
        self.state.locked_batches -= 1;
        WritePath::Locked
    }

    /// One attempt. When it fails no transaction is left open.
    fn try_charge(&mut self, batch: &Batch, path: WritePath) -> Result<(), BatchError> {
        let started = Instant::now();
        self.read_facts(batch, path)?;
        let outcome = self.decide_and_apply(batch);
        let mut decision = match outcome {
            Ok(decision) => decision,
            Err(error) => {
                self.parts.trials.dropped(&mut self.parts.rules);
                let is_decided_badly = matches!(
                    error,
                    BatchError::Rule(_) | BatchError::Flood(_) | BatchError::Failing { .. }
                );
                if is_decided_badly {
                    self.runtime.block_on(self.ledger.rollback())?;
                }
                return Err(error);
            }
        };
        self.state.book.absorb(&decision.plan);
        self.valve.committed(&decision.plan);
        self.after_commit(&decision, started.elapsed(), path);
        self.parts.trials.committed(&mut self.parts.rules, decision.transcript.take());
        Ok(())
    }

    /// Brings the book up to what the batch needs. With `Locked` the rows are locked and a transaction is left open.
    fn read_facts(&mut self, batch: &Batch, path: WritePath) -> Result<(), LedgerError> {
        let book = &mut self.state.book;
        if let Err(missing) = batch.resolve(book) {
            self.runtime.block_on(read_campaigns(&mut self.ledger, book, &missing))?;
        }
        if let Err(missing) = batch.resolve(book) {
            let keys = Keys { advertisers: &missing.advertisers, days: &missing.days };
            let rows = self.runtime.block_on(self.ledger.load(keys))?;
            remember(book, rows);
        }
        if path == WritePath::Remembered {
            return Ok(());
        }
        let Ok(resolved) = batch.resolve(book) else {
            return Err(LedgerError::Unexpected("rows were read and are still missing".into()));
        };
        let keys = resolved.keys();
        let advances = expected_advances(batch);
        let lock = LockKeys {
            generation: self.parts.rules.generation,
            advances: &advances,
            advertisers: &keys.advertisers,
            days: &keys.days,
        };
        let rows = self.runtime.block_on(self.ledger.lock(lock))?;
        remember(book, rows);
        Ok(())
    }

    fn decide_and_apply<'b>(&mut self, batch: &'b Batch) -> Result<Decision<'b>, BatchError> {
        let Ok(resolved) = batch.resolve(&self.state.book) else {
            return Err(
                LedgerError::Unexpected("rows were locked and are still missing".into()).into()
            );
        };
        let now_us = self.parts.clock.now_us();
        let is_compared = self.parts.trials.begin(&mut self.parts.rules);
        let wanted = Wanted::by(&self.parts.rules.set);
        let hints = self.runtime.block_on(self.parts.hints.look_up(&resolved, wanted, now_us));
        let context = Context {
            generation: self.parts.rules.generation,
            now_us,
            hints: &hints,
            fence: &self.parts.fence,
            rule_rows_max: self.parts.rule_rows_max,
            record: self.parts.recorder.is_some() || is_compared,
        };
        let mut decision = decide(batch, &resolved, &context, &mut self.parts.rules.set)?;
        drop(resolved);
        let (failed, faults) = (failed_clicks(&decision.plan), &self.parts.loader.faults);
        // What the rules fail on is not written off before it is clear that they are to be kept.
        if let Some(faults) = faults.would_pass(decision.plan.generation, failed) {
            let fault = decision.first_fault.as_ref().map(ToString::to_string);
            return Err(BatchError::Failing { faults, fault: fault.unwrap_or_default() });
        }
        let floods = self.valve.floods(&decision.plan);
        if !floods.is_empty() {
            return Err(BatchError::Flood(floods));
        }
        let transcript = decision.transcript.take().map(Transcript::from);
        decision.plan.record = records::encoded(self.parts.recorder.as_mut(), transcript.as_ref());
        if let Some(Transcript::Clicks(transcript)) = transcript.filter(|_| is_compared) {
            decision.transcript = Some(*transcript);
        }
        self.runtime.block_on(self.ledger.apply(&decision.plan))?;
        Ok(decision)
    }

    fn after_commit(&mut self, decision: &Decision<'_>, took: Duration, path: WritePath) {
        let plan = &decision.plan;
        for advance in &plan.advances {
            self.parts.lanes.committed(&advance.source, advance.next_offset);
        }
        let now_us = self.parts.clock.now_us();
        self.parts.stats.committed(plan, &self.state.book, now_us, took, path);
        for (is_none, bell) in [
            (plan.outbox.is_empty(), &self.parts.outbox),
            (plan.compensations.is_empty(), &self.parts.compensations),
            (plan.dead.is_empty(), &self.parts.dead_letters),
        ] {
            if !is_none {
                bell.notify_one();
            }
        }
        if let Some(spend) = &self.parts.spend {
            spend.publish(plan, &self.state.book, now_us);
        }
        self.parts.stats.faulted(decision.faults);
        if let Some(fault) = &decision.first_fault {
            let (code, faults) = (fault.code.as_str(), decision.faults);
            tracing::warn!(code, faults, %fault, generation = plan.generation, "a rule failed");
        }
        note_crossings(&plan.crossings);
        let WriterParts { loader, rules, stats, .. } = &mut self.parts;
        loader.faults.note(plan.generation, failed_clicks(plan));
        for rule in rules.set.active_mut().rules_mut() {
            let (world, calls) = loader.costs.called(rules.generation, rule);
            stats.called(world, &calls);
            let stage = if world == World::Pricing { Stage::Price } else { Stage::Judge };
            for dead in plan.dead.iter().filter(|dead| dead.rejection.stage == stage) {
                if dead.rejection.code.is_rules() {
                    loader.costs.failed(rules.generation, rule, dead.rejection.code, 1);
                }
            }
        }
    }

    /// Forgets what the book has about a batch, because it may be wrong.
    fn forget(&mut self, batch: &Batch) {
        let book = &mut self.state.book;
        for slice in batch.slices() {
            for party in &slice.parties {
                let campaign = slice.text(party.campaign);
                book.campaigns.remove(campaign);
                book.balances.remove(slice.text(party.advertiser));
            }
        }
        let known = &book.campaigns;
        book.days.retain(|key, _| known.contains_key(&key.campaign));
    }
}

/// Opens the writer's connection, waiting for a ledger that is away.
fn connect(runtime: &tokio::runtime::Runtime, parts: &WriterParts) -> Option<Ledger> {
    while !parts.abandon.load(Ordering::Acquire) {
        match runtime.block_on(Ledger::open(&parts.ledger)) {
            Ok(ledger) => return Some(ledger),
            Err(error) => {
                tracing::warn!(%error, "the writer cannot reach the ledger; trying again")
            }
        }
        std::thread::sleep(PATIENCE);
    }
    None
}

/// Reads campaigns that the book does not have. What the ledger does not have either is unknown for this batch.
pub(crate) async fn read_campaigns(
    ledger: &mut Ledger,
    book: &mut Book,
    missing: &Missing,
) -> Result<(), LedgerError> {
    if missing.campaigns.is_empty() {
        return Ok(());
    }
    let found = ledger.campaigns(&missing.campaigns).await?;
    book.unknown.extend(missing.campaigns.iter().cloned());
    for campaign in found {
        book.unknown.remove(&campaign.id);
        book.campaigns.insert(Arc::clone(&campaign.id), campaign);
    }
    Ok(())
}

/// Takes rows over into the book.
pub(crate) fn remember(book: &mut Book, rows: Rows) {
    book.balances.extend(rows.balances);
    book.days.extend(rows.days);
}

/// Where each partition is expected to be; the fates are not known yet.
pub(super) fn expected_advances(batch: &Batch) -> Vec<Advance> {
    batch.advances(&vec![Fates::default(); batch.slices().len()])
}

/// Clicks that no call with them has succeeded for.
fn failed_clicks(plan: &Plan<'_>) -> u64 {
    plan.dead.iter().filter(|dead| dead.rejection.code.is_rules()).count() as u64
}

/// Logs what happened to campaigns.
pub(crate) fn note_crossings(crossings: &[Crossing]) {
    for crossing in crossings {
        let (campaign, day) = (&*crossing.key.campaign, crossing.key.day);
        let (kind, usage_ppm) = (crossing.kind.as_str(), crossing.usage_ppm);
        tracing::info!(campaign, %day, kind, usage_ppm, spent = %crossing.spent, "budget crossing");
    }
}
