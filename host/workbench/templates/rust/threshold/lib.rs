//! When a campaign is warned about, paused and resumed: by the spend of its day in the ledger.
//!
//! The host asks about every movement of spend: a charge (above 0), a refund (below 0), or a fresh look at a campaign
//! whose day or budget has changed (0). Money is whole micros, a ratio is whole parts per million (ppm); floats are
//! refused.

use tollgate_sdk::about::{Description, Given, Param, Reason, Source};
use tollgate_sdk::day::{Movement, Verdict};
use tollgate_sdk::ratio::ratio_ppm;

// Makes a module of this file: `describe`, `Params` and `judge`.
tollgate_sdk::threshold_module!(crate);

// Every answer carries a reason; it stands in the ledger beside the crossing.
const SPEND: Reason =
    Reason::new(1, "SPEND", Source::None, "Decided by the day's spend in the ledger.");
const NO_BUDGET: Reason =
    Reason::new(2, "NO_BUDGET", Source::None, "The campaign has no daily budget.");

// What operators may set without a new module: name, default, bounds, and one line that explains it.
const PARAMS: &[Param] = &[
    Param::ratios("warn_at", &[800_000, 950_000])
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

/// What the host reads when it admits the module. A rule is given only the facts that it needs: this one does not ask
/// for the counter in Redis (`Needs::COUNTER`).
#[must_use]
pub fn describe() -> Description {
    Description::new("{{name}}", "0.1.0").params(PARAMS).reasons(&[SPEND, NO_BUDGET])
}

/// Judges one movement. The host carries out a crossing once, however often it is said.
#[must_use]
pub fn judge(movement: Movement<'_>, params: &Params) -> Verdict {
    let Some(budget_micros) = movement.daily_budget_micros() else {
        return match movement.is_paused_by_budget() && movement.is_today() {
            true => Verdict::resume(0, 0, &NO_BUDGET),
            false => Verdict::keep(0, &NO_BUDGET),
        };
    };
    let usage_ppm = ratio_ppm(movement.spent_after_micros(), budget_micros);
    if usage_ppm >= params.pause_at_ppm {
        return Verdict::pause(params.pause_at_ppm, usage_ppm, &SPEND);
    }
    if movement.is_paused_by_budget() {
        // A new day or a new budget lets the campaign run again; a refund does not.
        let is_fresh = movement.is_today() && !movement.was_paused_before();
        return match is_fresh {
            true => Verdict::resume(params.pause_at_ppm, usage_ppm, &SPEND),
            false => Verdict::keep(usage_ppm, &SPEND),
        };
    }
    match params.warn_at_ppm.iter().rev().find(|level| usage_ppm >= **level) {
        Some(level) if *level > movement.warned_ppm() => Verdict::warn(*level, usage_ppm, &SPEND),
        _ => Verdict::keep(usage_ppm, &SPEND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_sdk::example::MovementExample;

    fn check(movement: MovementExample<'_>, expected: Verdict) {
        let params = Params::read(&Given::defaults(PARAMS));
        let verdict = movement.ask(&describe(), |movement| judge(movement, &params));
        assert_eq!(verdict, expected, "{movement:?}");
    }

    #[test]
    fn levels_are_crossed_once() {
        // The example's budget is 100 units, and it moves by one.
        let spent = |units: i64| MovementExample {
            spent_micros: units * tollgate_sdk::UNIT_MICROS,
            ..MovementExample::default()
        };
        check(spent(78), Verdict::keep(790_000, &SPEND));
        check(spent(79), Verdict::warn(800_000, 800_000, &SPEND));
        let warned = MovementExample { warned_ppm: 800_000, ..spent(80) };
        check(warned, Verdict::keep(810_000, &SPEND));
        check(spent(99), Verdict::pause(1_000_000, 1_000_000, &SPEND));
    }
}
