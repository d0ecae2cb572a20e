//! Refunds as claimed: what the event says, within what the campaign-day and the matched charges can give back, once
//! the clicks are known.

use tollgate_sdk::about::{Description, Given, Needs, Param, Reason, Source};
use tollgate_sdk::compensation::{Compensation, Decision};

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
const NOTHING_REFUNDABLE: Reason = Reason::new(
    4,
    "NOTHING_REFUNDABLE",
    Source::None,
    "The day has no charges that were not given back already.",
);
const CUT_TO_REFUNDABLE: Reason = Reason::new(
    5,
    "CUT_TO_REFUNDABLE",
    Source::None,
    "Less than claimed is given back, because the charges of the day or of the clicks are less.",
);
const ALREADY_REFUNDED: Reason = Reason::new(
    6,
    "ALREADY_REFUNDED",
    Source::None,
    "No duplicate that was not given back already is left among the clicks it refers to.",
);
const NO_DUPLICATE_MATCHED: Reason = Reason::new(
    7,
    "NO_DUPLICATE_MATCHED",
    Source::None,
    "No duplicate was found in the ledger, and neither `hold_to_matched` nor `pay_unpriced` pays for others.",
);

const PAID_AS_MATCHED: Reason = Reason::new(
    8,
    "PAID_AS_MATCHED",
    Source::None,
    "Nothing was claimed, as when the clicks name no prices; what the duplicates in the ledger have cost is given back.",
);

const PARAMS: &[Param] = &[
    Param::toggle("hold_to_matched", false).help(
        "Whether to give back no more than the duplicates that were found in the ledger have cost.",
    ),
    Param::toggle("pay_unpriced", false).help(
        "Whether a claim of 0 gives back what the duplicates that were found in the ledger have cost.",
    ),
];

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    pub hold_to_matched: bool,
    pub pay_unpriced: bool,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self {
            hold_to_matched: given.toggle("hold_to_matched"),
            pay_unpriced: given.toggle("pay_unpriced"),
        }
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("refund-as-claimed", "1.2.0")
        .needs(Needs::MATCHED_CHARGES)
        .params(PARAMS)
        .reasons(&[
            APPROVED,
            CLICKS_MISSING,
            NOTHING_CLAIMED,
            NOTHING_REFUNDABLE,
            CUT_TO_REFUNDABLE,
            ALREADY_REFUNDED,
            NO_DUPLICATE_MATCHED,
            PAID_AS_MATCHED,
        ])
}

/// Decides one compensation.
#[must_use]
pub fn decide(compensation: Compensation<'_>, params: &Params) -> Decision {
    let claimed = compensation.claimed_micros();
    let is_unpriced = claimed == 0 && params.pay_unpriced;
    if claimed <= 0 && !is_unpriced {
        return Decision::reject(&NOTHING_CLAIMED);
    }
    if !compensation.clicks_are_complete() {
        return Decision::park(&CLICKS_MISSING);
    }
    let most = match limit(&compensation, params) {
        Ok(most) => most,
        Err(reason) => return Decision::reject(reason),
    };
    if is_unpriced {
        let cost = most.min(duplicates_micros(&compensation));
        if cost <= 0 {
            return Decision::reject(&NO_DUPLICATE_MATCHED);
        }
        return Decision::approve(cost, &PAID_AS_MATCHED);
    }
    if claimed <= most {
        Decision::approve(claimed, &APPROVED)
    } else {
        Decision::approve(most, &CUT_TO_REFUNDABLE)
    }
}

/// The most that can be given back, above 0; or why nothing can.
fn limit(compensation: &Compensation<'_>, params: &Params) -> Result<i64, &'static Reason> {
    let mut most = compensation.refundable_micros();
    if compensation.matched_count() > 0 {
        let left = compensation.matched_left_micros();
        if left <= 0 && compensation.matched_micros() > 0 {
            return Err(&ALREADY_REFUNDED);
        }
        // What overlapping windows share is paid once.
        most = most.min(left);
    }
    if most <= 0 {
        return Err(&NOTHING_REFUNDABLE);
    }
    if params.hold_to_matched {
        most = most.min(duplicates_micros(compensation));
        if most <= 0 {
            return Err(&NO_DUPLICATE_MATCHED);
        }
    }
    Ok(most)
}

/// What the duplicates can have cost that were not given back: what is left of the matched charges; while nothing was
/// given back that includes the first click, which is taken at the mean.
fn duplicates_micros(compensation: &Compensation<'_>) -> i64 {
    let left = compensation.matched_left_micros();
    if compensation.matched_count() > 0 && left < compensation.matched_micros() {
        return left;
    }
    let matched = compensation.matched_micros();
    let count = i64::from(compensation.matched_count()).max(1);
    let mean = matched / count + i64::from(matched % count > 0);
    left.saturating_sub(mean)
}

#[cfg(test)]
mod tests;
