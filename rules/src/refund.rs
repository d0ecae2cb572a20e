//! Refunds as claimed: approved within what the campaign-day can give back, once its clicks are known.

use crate::sdk::about::{Description, Given, Reason, Source};
use crate::sdk::compensation::{Compensation, Decision};

const APPROVED: Reason =
    Reason::new(1, "APPROVED", Source::None, "The claimed amount is given back.");
const CLICKS_MISSING: Reason = Reason::new(
    2,
    "CLICKS_MISSING",
    Source::None,
    "Waits until the clicks it refers to are in the ledger.",
);
const NOTHING_CLAIMED: Reason =
    Reason::new(3, "NOTHING_CLAIMED", Source::None, "The claimed amount is not above 0.");
const MORE_THAN_REFUNDABLE: Reason = Reason::new(
    4,
    "MORE_THAN_REFUNDABLE",
    Source::None,
    "The claim exceeds the charges of the day less what was already given back.",
);

/// Nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct Params;

impl Params {
    #[must_use]
    pub fn read(_: &Given) -> Self {
        Self
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("refund-as-claimed", "1.0.0").reasons(&[
        APPROVED,
        CLICKS_MISSING,
        NOTHING_CLAIMED,
        MORE_THAN_REFUNDABLE,
    ])
}

/// Decides one compensation.
#[must_use]
pub fn decide(compensation: Compensation<'_>, _: &Params) -> Decision {
    let claimed = compensation.claimed_micros();
    if claimed <= 0 {
        return Decision::reject(&NOTHING_CLAIMED);
    }
    if !compensation.clicks_are_complete() {
        return Decision::park(&CLICKS_MISSING);
    }
    if claimed > compensation.refundable_micros() {
        return Decision::reject(&MORE_THAN_REFUNDABLE);
    }
    Decision::approve(claimed, &APPROVED)
}

#[cfg(test)]
mod tests;
