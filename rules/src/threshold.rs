//! Budget levels: a warning at each level of `warn_at`, a pause at `pause_at`.

use tollgate_sdk::about::{Description, Given, Needs, Param, Reason, Source};
use tollgate_sdk::day::{Movement, Verdict};
use tollgate_sdk::ratio::{ratio_ppm, share_micros};

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
const OVER_BUDGET: Reason = Reason::new(
    4,
    "OVER_BUDGET",
    Source::None,
    "Not charged: the click came after its day's budget had paused the campaign.",
);

const PARAMS: &[Param] = &[
    Param::ratios("warn_at", &[900_000])
        .between(1, 10_000_000)
        .help("Shares of the daily budget at which a warning is sent, each once a day."),
    Param::ratio("pause_at", 1_000_000)
        .between(1, 10_000_000)
        .help("Share of the daily budget at which the campaign is paused."),
    Param::ratio("counter_max", 10_000_000)
        .between(1, 1_000_000_000)
        .help("Share of the daily budget above which the counter in Redis is not believed."),
    Param::toggle("charge_after_pause", true).help(
        "Whether clicks are charged that come after the pause; the one that led to it always is.",
    ),
    Param::toggle("resume_after_refund", false).help(
        "Whether a campaign runs again today when a refund brings it below pause_at; otherwise it stays paused until \
         tomorrow.",
    ),
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    /// Ascending.
    pub warn_at_ppm: Vec<u32>,
    pub pause_at_ppm: u32,
    /// A counter above this share of the budget is absurd.
    pub counter_max_ppm: u32,
    pub charge_after_pause: bool,
    pub resume_after_refund: bool,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self {
            warn_at_ppm: given.ratios_ppm("warn_at"),
            pause_at_ppm: given.ratio_ppm("pause_at"),
            counter_max_ppm: given.ratio_ppm("counter_max"),
            charge_after_pause: given.toggle("charge_after_pause"),
            resume_after_refund: given.toggle("resume_after_refund"),
        }
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("budget-levels", "1.1.0").needs(Needs::COUNTER).params(PARAMS).reasons(&[
        LEDGER,
        COUNTER,
        NO_BUDGET,
        OVER_BUDGET,
    ])
}

/// Judges one movement. A budget of 0 is exhausted by the first charge.
#[must_use]
pub fn judge(movement: Movement<'_>, params: &Params) -> Verdict {
    let Some(budget) = movement.daily_budget_micros() else {
        return without_budget(&movement);
    };
    let closed = movement.is_paused_by_budget() && movement.was_paused_before();
    if closed && !params.charge_after_pause && movement.amount_micros() > 0 {
        let usage = ratio_ppm(movement.spent_before_micros(), budget);
        return Verdict::keep(usage, &OVER_BUDGET).allowing(0);
    }
    let (used, reason) = used(&movement, budget, params);
    let usage = ratio_ppm(used, budget);
    if usage >= params.pause_at_ppm {
        return Verdict::pause(params.pause_at_ppm, usage, reason);
    }
    if movement.is_paused_by_budget() {
        // A budget that has led to a pause stays exhausted, unless refunds that free some of it are to count; a day or
        // a budget that has not is a fresh one.
        let freed = params.resume_after_refund && movement.amount_micros() < 0;
        let resumes = movement.is_today() && (freed || !movement.was_paused_before());
        return match resumes {
            true => Verdict::resume(params.pause_at_ppm, usage, reason),
            false => Verdict::keep(usage, reason),
        };
    }
    match params.warn_at_ppm.iter().rev().find(|level| usage >= **level) {
        Some(level) if *level > movement.warned_ppm() => Verdict::warn(*level, usage, reason),
        _ => Verdict::keep(usage, reason),
    }
}

/// Without a budget there is nothing to warn about, and nothing that a pause could still wait for.
fn without_budget(movement: &Movement<'_>) -> Verdict {
    match movement.is_paused_by_budget() && movement.is_today() {
        true => Verdict::resume(0, 0, &NO_BUDGET),
        false => Verdict::keep(0, &NO_BUDGET),
    }
}

/// The greater of ledger and counter, as long as the counter can be believed.
#[inline]
fn used(movement: &Movement<'_>, budget: i64, params: &Params) -> (i64, &'static Reason) {
    let spent = movement.spent_after_micros();
    match movement.counter_micros() {
        Some(counter)
            if counter > spent
                && share_micros(budget, params.counter_max_ppm)
                    .is_none_or(|believed| counter <= believed) =>
        {
            (counter, &COUNTER)
        }
        _ => (spent, &LEDGER),
    }
}

#[cfg(test)]
mod tests;
