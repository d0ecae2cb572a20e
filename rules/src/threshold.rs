//! Budget levels: a warning at each level of `warn_at`, a pause at `pause_at`.

use crate::sdk::about::{Description, Given, Needs, Param, Reason, Source};
use crate::sdk::day::{Movement, Verdict};
use crate::sdk::ratio::ratio_ppm;

const LEDGER: Reason =
    Reason::new(1, "LEDGER", Source::None, "Decided by the day's spend in the ledger.");
const COUNTER: Reason = Reason::new(
    2,
    "COUNTER",
    Source::None,
    "Decided by the spend counter in Redis, which was ahead of the ledger.",
);
const NO_BUDGET: Reason =
    Reason::new(3, "NO_BUDGET", Source::None, "The campaign has no daily budget.");

const PARAMS: &[Param] = &[
    Param::ratios("warn_at", &[900_000])
        .between(1, 10_000_000)
        .help("Shares of the daily budget at which a warning is sent, each once a day."),
    Param::ratio("pause_at", 1_000_000)
        .between(1, 10_000_000)
        .help("Share of the daily budget at which the campaign is paused."),
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    /// Ascending.
    pub warn_at_ppm: Vec<u32>,
    pub pause_at_ppm: u32,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { warn_at_ppm: given.ratios_ppm("warn_at"), pause_at_ppm: given.ratio_ppm("pause_at") }
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("budget-levels", "1.0.0")
        .needs(Needs::COUNTER)
        .params(PARAMS)
        .reasons(&[LEDGER, COUNTER, NO_BUDGET])
}

/// Judges one movement.
#[must_use]
pub fn judge(movement: Movement<'_>, params: &Params) -> Verdict {
    let Some(budget) = movement.daily_budget_micros() else {
        return Verdict::keep(0, &NO_BUDGET);
    };
    let spent = movement.spent_after_micros();
    let (used, reason) = match movement.counter_micros() {
        Some(counter) if counter > spent => (counter, &COUNTER),
        _ => (spent, &LEDGER),
    };
    let usage = ratio_ppm(used, budget);
    if usage >= params.pause_at_ppm {
        return Verdict::pause(params.pause_at_ppm, usage, reason);
    }
    if movement.is_paused_by_budget() {
        // A budget that has led to a pause stays exhausted, also when refunds free some of it; a day or a budget
        // that has not is a fresh one.
        let fresh = movement.is_today() && !movement.was_paused_before();
        return match fresh {
            true => Verdict::resume(params.pause_at_ppm, usage, reason),
            false => Verdict::keep(usage, reason),
        };
    }
    match params.warn_at_ppm.iter().rev().find(|level| usage >= **level) {
        Some(level) if *level > movement.warned_ppm() => Verdict::warn(*level, usage, reason),
        _ => Verdict::keep(usage, reason),
    }
}

#[cfg(test)]
mod tests;
