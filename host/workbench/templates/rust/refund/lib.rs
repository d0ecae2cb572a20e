//! Whether a compensation is paid: as claimed, but no more than the duplicates that were found in the ledger have cost.
//!
//! Money is whole micros; floats are refused. The host refuses a refund above the day's charges less its refunds.

use tollgate_sdk::about::{Description, Given, Needs, Param, Reason, Source};
use tollgate_sdk::compensation::{Compensation, Decision};

// Makes a module of this file: `describe`, `Params` and `decide`.
tollgate_sdk::refund_module!(crate);

// Every answer carries a reason; it stands in the ledger beside the refund.
const APPROVED: Reason =
    Reason::new(1, "APPROVED", Source::None, "The claimed amount is given back.");
const CUT: Reason = Reason::new(
    2,
    "CUT",
    Source::None,
    "Less than claimed is given back: what the matched clicks or the day still have.",
);
const CLICKS_MISSING: Reason =
    Reason::new(3, "CLICKS_MISSING", Source::None, "Waits until its clicks are in the ledger.");
const TOO_SMALL: Reason = Reason::new(
    4,
    "TOO_SMALL",
    Source::None,
    "The claim is below the least amount that is given back.",
);
const NOTHING_LEFT: Reason = Reason::new(
    5,
    "NOTHING_LEFT",
    Source::None,
    "Nothing is left to give back of the clicks it means, or of their day.",
);
const REASONS: &[Reason] = &[APPROVED, CUT, CLICKS_MISSING, TOO_SMALL, NOTHING_LEFT];

// What operators may set without a new module: name, default, bounds, and one line that explains it.
const PARAMS: &[Param] = &[Param::units("least", 0)
    .between(0, 1_000_000_000)
    .help("Least amount that is given back; smaller claims are refused.")];

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    pub least_micros: i64,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { least_micros: given.number("least") }
    }
}

/// What the host reads when it admits the module. A rule is given only the facts that it needs.
#[must_use]
pub fn describe() -> Description {
    Description::new("{{name}}", "0.1.0")
        .needs(Needs::MATCHED_CHARGES)
        .params(PARAMS)
        .reasons(REASONS)
}

/// Decides one compensation.
#[must_use]
pub fn decide(compensation: Compensation<'_>, params: &Params) -> Decision {
    let claimed = compensation.claimed_micros();
    if claimed <= 0 || claimed < params.least_micros {
        return Decision::reject(&TOO_SMALL);
    }
    if !compensation.clicks_are_complete() {
        return Decision::park(&CLICKS_MISSING);
    }
    let most = compensation.refundable_micros().min(compensation.matched_left_micros());
    match most {
        ..=0 => Decision::reject(&NOTHING_LEFT),
        _ if claimed <= most => Decision::approve(claimed, &APPROVED),
        _ => Decision::approve(most, &CUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_sdk::UNIT_MICROS;
    use tollgate_sdk::example::CompensationExample;

    fn check(compensation: CompensationExample<'_>, expected: Decision) {
        let params = Params::read(&Given::defaults(PARAMS));
        let decision = compensation.ask(&describe(), |row| decide(row, &params));
        assert_eq!(decision, expected, "{compensation:?}");
    }

    #[test]
    fn claims_are_paid_within_what_was_matched() {
        // The example claims 2 units for matched charges of 3.
        let honest = CompensationExample::default();
        check(honest, Decision::approve(2 * UNIT_MICROS, &APPROVED));
        let greedy = CompensationExample { claimed_micros: 9 * UNIT_MICROS, ..honest };
        check(greedy, Decision::approve(3 * UNIT_MICROS, &CUT));
        let early = CompensationExample { clicks_are_complete: false, ..honest };
        check(early, Decision::park(&CLICKS_MISSING));
    }
}
