//! What one side has done.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_domain::book::DayKey;
use tollgate_domain::decide::Decision;
use tollgate_domain::money::Micros;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::plan::{Crossing, CrossingKind, OutboxMessage, Plan};
use tollgate_domain::rule::World;
use tollgate_engine::CallStats;

/// Sums and happenings of one side.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) charged: u64,
    pub(super) charged_micros: i128,
    /// Clicks that could not be charged, by code.
    pub(super) dead: BTreeMap<&'static str, u64>,
    /// Clicks and micros by source of the price and reason.
    pub(super) reasons: BTreeMap<(String, String), (u64, i128)>,
    /// Calls that failed.
    pub(super) faults: u64,
    pub(super) first_fault: Option<String>,
    pub(super) pauses_refused: u64,
    /// Charged after a pause.
    pub(super) overspent_micros: i128,
    pub(super) marks: Vec<Mark>,
    pub(super) cost: Vec<(World, CallStats)>,
}

/// A level that was crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) key: DayKey,
    pub(super) advertiser: Arc<str>,
    pub(super) kind: CrossingKind,
    pub(super) level_ppm: u32,
    pub(super) at_us: i64,
    pub(super) spent: Micros,
    pub(super) budget: Option<Micros>,
}

impl Tally {
    /// Adds what a decision says; `sums` are clicks and micros by index of the plan's reasons.
    pub(super) fn add(&mut self, decision: &Decision<'_>, sums: &[(u64, i128)]) {
        let plan = &decision.plan;
        self.charged += plan.history.len() as u64;
        self.charged_micros += plan.charged_micros();
        self.add_reasons(plan, sums);
        // Events that cannot be read never came to any rules.
        for dead in plan.dead.iter().filter(|dead| dead.generation != 0) {
            *self.dead.entry(dead.rejection.code.as_str()).or_default() += 1;
        }
        self.faults += decision.faults;
        if let Some(fault) = &decision.first_fault {
            let first = || format!("{} ({})", fault.sentence, fault.code.as_str());
            self.first_fault.get_or_insert_with(first);
        }
        self.pauses_refused += plan.pauses_refused;
        self.overspent_micros += i128::from(plan.overspent.0);
        self.marks.extend(marks(plan));
    }

    fn add_reasons(&mut self, plan: &Plan<'_>, sums: &[(u64, i128)]) {
        for (reason, (clicks, micros)) in plan.reasons.iter().zip(sums) {
            if *clicks > 0 {
                let key = (reason.source.as_str().to_owned(), reason.name.clone());
                let sum = self.reasons.entry(key).or_default();
                sum.0 += clicks;
                sum.1 += micros;
            }
        }
    }
}

/// Crossings with their instants, which their messages know.
fn marks(plan: &Plan<'_>) -> Vec<Mark> {
    let told = plan.outbox.iter().filter(|message| message.kind != HappeningKind::PauseRefused);
    let mark = |(crossing, message): (&Crossing, &OutboxMessage)| {
        let facts = serde_json::from_str::<HappeningFacts>(&message.payload).unwrap_or_default();
        Mark {
            key: crossing.key.clone(),
            advertiser: Arc::clone(&crossing.advertiser),
            kind: crossing.kind,
            level_ppm: crossing.level_ppm,
            at_us: facts.occurred_at_us,
            spent: crossing.spent,
            budget: crossing.budget,
        }
    };
    plan.crossings.iter().zip(told).map(mark).collect()
}
