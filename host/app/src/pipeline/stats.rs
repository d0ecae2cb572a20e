//! What the pipeline has done since the start, for `/status` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use metrics::{counter, gauge, histogram};
use serde::Serialize;
use tollgate_domain::book::Book;
use tollgate_domain::money::ratio_ppm;
use tollgate_domain::plan::{Crossing, CrossingKind, Plan};
use tollgate_domain::refund::RefundPlan;
use tollgate_domain::rule::World;
use tollgate_engine::CallStats;

use crate::metrics::Metric;

/// Usage from which a campaign is listed, and how many are.
const NEAR_PPM: u32 = 800_000;
const NEAR_MAX: usize = 50;

/// Longest latency that is told from longer ones: a day.
const LATENCY_US_MAX: u64 = 86_400_000_000;

/// Figures since the start of this process. Safe to share.
#[derive(Debug)]
pub struct Stats {
    inner: Mutex<Inner>,
    /// Whether the ledger is away.
    outage: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    figures: Figures,
    latency_us: Histogram<u64>,
    refund_latency_us: Histogram<u64>,
    near: BTreeMap<String, NearBudget>,
    rules: BTreeMap<&'static str, CallStats>,
}

/// Counters, as `/status` shows them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub charged: i64,
    pub skipped: i64,
    pub dead_letters: i64,
    pub absent: i64,
    pub charged_micros: i64,
    pub warned: u64,
    pub paused: u64,
    pub resumed: u64,
    pub pauses_refused: u64,
    pub overspent_micros: i64,
    pub batches: u64,
    pub retries: u64,
    pub rule_faults: u64,
    pub generation: u64,
    /// Compensations that this host has paid, what they gave back, and those it has not paid.
    pub refunds: u64,
    pub refunded_micros: i64,
    pub refunds_refused: u64,
    /// Messages that their receivers have accepted from this host, and messages it has given up.
    pub messages_sent: u64,
    pub messages_given_up: u64,
    /// Whether this host is the one that sends messages.
    pub relay: bool,
}

/// Time from an event's timestamp to the commit of what it led to, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub count: u64,
}

/// A campaign near its budget.
#[derive(Clone, Debug, Serialize)]
pub struct NearBudget {
    pub campaign: String,
    pub usage_ppm: u32,
    pub spent_micros: i64,
    pub budget_micros: i64,
    pub status: &'static str,
}

/// What a rule has cost.
#[derive(Clone, Debug, Serialize)]
pub struct RuleCost {
    pub calls: u64,
    pub rows: u64,
    pub fuel: u64,
    /// Instance included.
    pub ns_per_row: f64,
}

/// How a batch was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePath {
    /// Decided on remembered values, which held.
    Remembered,
    /// Decided on rows that were locked first.
    Locked,
}

impl Stats {
    /// # Errors
    /// The histogram's bounds are constants, so this fails only when they are wrong.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        let inner = Inner {
            figures: Figures::default(),
            refund_latency_us: latency_us.clone(),
            latency_us,
            near: BTreeMap::new(),
            rules: BTreeMap::new(),
        };
        Ok(Self { inner: Mutex::new(inner), outage: AtomicBool::new(false) })
    }

    /// Takes in a committed batch. The book must have absorbed the plan.
    pub fn committed(
        &self,
        plan: &Plan<'_>,
        book: &Book,
        now_us: i64,
        took: Duration,
        path: WritePath,
    ) {
        let mut inner = self.lock();
        inner.figures.take(plan);
        inner.note_latency(plan, now_us);
        inner.note_budgets(plan, book);
        drop(inner);
        record_metrics(plan, now_us, took, path);
    }

    /// Takes in what a look without clicks has written.
    pub fn looked(&self, plan: &Plan<'_>) {
        let mut inner = self.lock();
        inner.figures.take_crossings(&plan.crossings);
        inner.figures.pauses_refused += plan.pauses_refused;
        drop(inner);
        count_crossings(&plan.crossings, plan.pauses_refused);
    }

    /// Takes in a settled compensation, `latency_us` after its timestamp.
    pub fn settled(&self, plan: &RefundPlan, latency_us: i64) {
        let refund = plan.refund.0;
        let mut guard = self.lock();
        let Inner { figures, refund_latency_us, .. } = &mut *guard;
        if refund > 0 {
            figures.refunds += 1;
            figures.refunded_micros = figures.refunded_micros.saturating_add(refund);
            note(refund_latency_us, latency_us);
        } else {
            figures.refunds_refused += 1;
        }
        figures.take_crossings(&plan.crossings);
        drop(guard);
        count_crossings(&plan.crossings, 0);
        counter!(Metric::Settlements.name(), "state" => plan.state).increment(1);
        counter!(Metric::RefundedMicros.name()).increment(u64::try_from(refund).unwrap_or(0));
        if refund > 0 {
            histogram!(Metric::RefundLatency.name()).record(latency_us.max(0) as f64 / 1e6);
        }
    }

    /// Says whether this host is the one that sends messages.
    pub fn set_relay(&self, relay: bool) {
        self.lock().figures.relay = relay;
        gauge!(Metric::Relay.name()).set(f64::from(u8::from(relay)));
    }

    /// Messages that were accepted, and messages that were given up.
    pub fn delivered(&self, sent: u64, given_up: u64) {
        let figures = &mut self.lock().figures;
        figures.messages_sent += sent;
        figures.messages_given_up += given_up;
    }

    /// Says that the ledger is away, or back.
    pub fn set_outage(&self, outage: bool) {
        self.outage.store(outage, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed)
    }

    pub fn retried(&self, code: &'static str) {
        self.lock().figures.retries += 1;
        counter!(Metric::Retries.name(), "code" => code).increment(1);
    }

    pub fn faulted(&self, faults: u64) {
        if faults > 0 {
            self.lock().figures.rule_faults += faults;
            counter!(Metric::RuleFaults.name()).increment(faults);
        }
    }

    /// Takes in what calls of a rule have cost.
    pub fn called(&self, world: World, calls: &CallStats) {
        let mut inner = self.lock();
        let sum = inner.rules.entry(world.as_str()).or_default();
        sum.calls += calls.calls;
        sum.rows += calls.rows;
        sum.fuel += calls.fuel;
        sum.ns += calls.ns;
    }

    #[must_use]
    pub fn rule_costs(&self) -> BTreeMap<&'static str, RuleCost> {
        let cost = |sum: &CallStats| RuleCost {
            calls: sum.calls,
            rows: sum.rows,
            fuel: sum.fuel,
            ns_per_row: sum.ns as f64 / sum.rows.max(1) as f64,
        };
        let inner = self.lock();
        inner.rules.iter().map(|(world, sum)| (*world, cost(sum))).collect()
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        self.lock().figures.clone()
    }

    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency::of(&self.lock().latency_us)
    }

    /// Time from a compensation's timestamp to the commit of its refund.
    #[must_use]
    pub fn refund_latency(&self) -> Latency {
        Latency::of(&self.lock().refund_latency_us)
    }

    #[must_use]
    pub fn near_budget(&self) -> Vec<NearBudget> {
        let mut near: Vec<_> = self.lock().near.values().cloned().collect();
        near.sort_by_key(|campaign| std::cmp::Reverse(campaign.usage_ppm));
        near
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Latency {
    fn of(latencies_us: &Histogram<u64>) -> Self {
        let at = |quantile| to_ms(latencies_us.value_at_quantile(quantile));
        match latencies_us.len() {
            0 => Self::default(),
            count => Self { p50: at(0.5), p99: at(0.99), max: to_ms(latencies_us.max()), count },
        }
    }
}

impl Figures {
    fn take(&mut self, plan: &Plan<'_>) {
        for advance in &plan.advances {
            self.charged += advance.charged;
            self.skipped += advance.skipped;
            self.dead_letters += advance.dead;
            self.absent += advance.absent;
        }
        let charged = i64::try_from(plan.charged_micros()).unwrap_or(i64::MAX);
        self.charged_micros = self.charged_micros.saturating_add(charged);
        self.overspent_micros = self.overspent_micros.saturating_add(plan.overspent.0);
        self.batches += 1;
        self.generation = plan.generation;
        self.take_crossings(&plan.crossings);
        self.pauses_refused += plan.pauses_refused;
    }

    fn take_crossings(&mut self, crossings: &[Crossing]) {
        for crossing in crossings {
            match crossing.kind {
                CrossingKind::Warn => self.warned += 1,
                CrossingKind::Pause => self.paused += 1,
                CrossingKind::Resume => self.resumed += 1,
            }
        }
    }
}

impl Inner {
    fn note_latency(&mut self, plan: &Plan<'_>, now_us: i64) {
        for row in &plan.history {
            note(&mut self.latency_us, now_us - row.occurred_at_us);
        }
    }

    fn note_budgets(&mut self, plan: &Plan<'_>, book: &Book) {
        for moved in &plan.days {
            let Some(campaign) = book.campaigns.get(&moved.key.campaign) else { continue };
            let Some(budget) = campaign.daily_budget else { continue };
            let usage_ppm = ratio_ppm(moved.new.spent, budget);
            if usage_ppm < NEAR_PPM {
                self.near.remove(&*campaign.id);
                continue;
            }
            let near = NearBudget {
                campaign: campaign.id.to_string(),
                usage_ppm,
                spent_micros: moved.new.spent.0,
                budget_micros: budget.0,
                status: campaign.status.as_str(),
            };
            self.near.insert(near.campaign.clone(), near);
        }
        while self.near.len() > NEAR_MAX {
            let lowest = self.near.values().min_by_key(|near| near.usage_ppm);
            let Some(lowest) = lowest.map(|near| near.campaign.clone()) else { break };
            self.near.remove(&lowest);
        }
    }
}

/// Clocks may disagree, so a latency can be negative.
fn note(latencies_us: &mut Histogram<u64>, latency_us: i64) {
    latencies_us.saturating_record(u64::try_from(latency_us).unwrap_or(0).max(1));
}

fn to_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn record_metrics(plan: &Plan<'_>, now_us: i64, took: Duration, path: WritePath) {
    let path = match path {
        WritePath::Remembered => "remembered",
        WritePath::Locked => "locked",
    };
    counter!(Metric::Batches.name(), "path" => path).increment(1);
    histogram!(Metric::CommitSeconds.name()).record(took.as_secs_f64());
    histogram!(Metric::BatchClicks.name()).record(plan.history.len() as f64);
    gauge!(Metric::Generation.name()).set(plan.generation as f64);
    // A click's latency costs more to record here than to charge, so a batch is represented by its oldest click.
    if let Some(oldest_us) = plan.history.iter().map(|row| row.occurred_at_us).min() {
        let latency_us = (now_us - oldest_us).max(0);
        histogram!(Metric::ChargeLatency.name()).record(latency_us as f64 / 1e6);
    }
    let charged = u64::try_from(plan.charged_micros()).unwrap_or(u64::MAX);
    counter!(Metric::ChargedMicros.name()).increment(charged);
    let mut fates = [("charged", 0), ("skipped", 0), ("dead", 0), ("absent", 0)];
    for advance in &plan.advances {
        let counts = [advance.charged, advance.skipped, advance.dead, advance.absent];
        fates.iter_mut().zip(counts).for_each(|((_, sum), count)| *sum += count);
    }
    for (fate, sum) in fates {
        counter!(Metric::Offsets.name(), "fate" => fate).increment(u64::try_from(sum).unwrap_or(0));
    }
    for dead in &plan.dead {
        let (code, stage) = (dead.rejection.code.as_str(), dead.rejection.stage.as_str());
        counter!(Metric::DeadLetters.name(), "code" => code, "stage" => stage).increment(1);
    }
    let overspent = u64::try_from(plan.overspent.0).unwrap_or(0);
    counter!(Metric::OverspentMicros.name()).increment(overspent);
    count_crossings(&plan.crossings, plan.pauses_refused);
}

fn count_crossings(crossings: &[Crossing], pauses_refused: u64) {
    for crossing in crossings {
        counter!(Metric::Crossings.name(), "kind" => crossing.kind.as_str()).increment(1);
    }
    counter!(Metric::PausesRefused.name()).increment(pauses_refused);
}
