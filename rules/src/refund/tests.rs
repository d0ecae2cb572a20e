use proptest::prelude::*;

use super::*;
use tollgate_sdk::compensation::{Action, CompensationTable, CompensationTables};
use tollgate_sdk::day::DayTable;

const UNIT: i64 = tollgate_sdk::UNIT_MICROS;

/// A compensation in units; `matched` is sum, number and what of it is given back already.
#[derive(Clone, Copy, Debug)]
struct Claim {
    claimed: i64,
    complete: bool,
    refundable: i64,
    matched: (i64, u32, i64),
}

/// Two duplicates of a click of 1 unit, all of them known, on a day of 10 units.
const HONEST: Claim = Claim { claimed: 2, complete: true, refundable: 10, matched: (3, 3, 0) };

fn decided(claims: &[Claim], params: &Params) -> Vec<Decision> {
    let micros = |read: fn(&Claim) -> i64| -> Vec<i64> {
        claims.iter().map(|claim| read(claim) * UNIT).collect()
    };
    let claimed = micros(|claim| claim.claimed);
    let refundable = micros(|claim| claim.refundable);
    let matched = micros(|claim| claim.matched.0);
    let refunded = micros(|claim| claim.matched.2);
    let counts: Vec<u32> = claims.iter().map(|claim| claim.matched.1).collect();
    let complete: Vec<u8> = claims.iter().map(|claim| u8::from(claim.complete)).collect();
    let days = vec![0; claims.len()];
    let tables = CompensationTables {
        days: DayTable { campaign: &[0], ..DayTable::default() },
        compensations: CompensationTable {
            campaign_day: &days,
            claimed_micros: &claimed,
            refundable_micros: &refundable,
            clicks_complete: &complete,
            matched_micros: &matched,
            matched_count: &counts,
            matched_refunded_micros: &refunded,
            ..CompensationTable::default()
        },
        ..CompensationTables::default()
    };
    let mut decisions = Vec::new();
    let take = |decision| decisions.push(decision);
    tables.decide(|compensation| decide(compensation, params), take);
    decisions
}

fn params(hold: bool) -> Params {
    Params::read(&Given::defaults(PARAMS).with("hold_to_matched", hold))
}

fn check_with(params: &Params, claims: &[Claim], expected: &[(Action, i64, Reason)]) {
    let found = decided(claims, params);
    let found: Vec<_> = found
        .iter()
        .map(|decision| (decision.action, decision.refund_micros, decision.reason))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(action, units, reason)| (*action, *units * UNIT, reason.code()))
        .collect();
    assert_eq!(found, expected, "{params:?} {claims:?}");
}

fn check(claim: Claim, expected: (Action, i64, Reason)) {
    check_with(&Params::read(&Given::defaults(PARAMS)), &[claim], &[expected]);
}

fn check_held(claim: Claim, expected: (Action, i64, Reason)) {
    check_with(&params(true), &[claim], &[expected]);
}

#[test]
fn claims_are_paid_within_what_is_left() {
    use Action::{Approve, Park, Reject};
    check(HONEST, (Approve, 2, APPROVED));
    check(Claim { claimed: 3, ..HONEST }, (Approve, 3, APPROVED));
    check(Claim { claimed: 4, ..HONEST }, (Approve, 3, CUT_TO_REFUNDABLE));
    check(Claim { refundable: 2, ..HONEST }, (Approve, 2, APPROVED));
    check(Claim { refundable: 1, ..HONEST }, (Approve, 1, CUT_TO_REFUNDABLE));
    check(Claim { refundable: 0, ..HONEST }, (Reject, 0, NOTHING_REFUNDABLE));
    check(Claim { claimed: 0, ..HONEST }, (Reject, 0, NOTHING_CLAIMED));
    check(Claim { claimed: -1, ..HONEST }, (Reject, 0, NOTHING_CLAIMED));
    check(Claim { complete: false, ..HONEST }, (Park, 0, CLICKS_MISSING));
    check(Claim { complete: false, refundable: 0, ..HONEST }, (Park, 0, CLICKS_MISSING));
    check(Claim { complete: false, claimed: 0, ..HONEST }, (Reject, 0, NOTHING_CLAIMED));
    check(Claim { complete: false, matched: (3, 3, 3), ..HONEST }, (Park, 0, CLICKS_MISSING));
}

#[test]
fn matched_charges_are_paid_once() {
    use Action::{Approve, Reject};
    check(Claim { matched: (3, 3, 1), ..HONEST }, (Approve, 2, APPROVED));
    check(Claim { matched: (3, 3, 2), ..HONEST }, (Approve, 1, CUT_TO_REFUNDABLE));
    check(Claim { matched: (3, 3, 3), ..HONEST }, (Reject, 0, ALREADY_REFUNDED));
    check(Claim { matched: (3, 3, 3), refundable: 0, ..HONEST }, (Reject, 0, ALREADY_REFUNDED));
    check(Claim { matched: (1, 1, 1), ..HONEST }, (Reject, 0, ALREADY_REFUNDED));
    // Clicks that cost nothing were not given back either.
    check(Claim { matched: (0, 3, 0), ..HONEST }, (Reject, 0, NOTHING_REFUNDABLE));
    // Without matches the claim is taken at its word.
    check(Claim { matched: (0, 0, 0), ..HONEST }, (Approve, 2, APPROVED));
    check(Claim { claimed: 12, matched: (0, 0, 0), ..HONEST }, (Approve, 10, CUT_TO_REFUNDABLE));
}

#[test]
fn held_to_matches_only_duplicates_are_paid() {
    use Action::{Approve, Reject};
    check_held(HONEST, (Approve, 2, APPROVED));
    check_held(Claim { claimed: 1, ..HONEST }, (Approve, 1, APPROVED));
    check_held(Claim { claimed: 3, ..HONEST }, (Approve, 2, CUT_TO_REFUNDABLE));
    check_held(Claim { refundable: 1, ..HONEST }, (Approve, 1, CUT_TO_REFUNDABLE));
    // Once something was given back, the first click is no longer among what is left.
    check_held(Claim { matched: (3, 3, 1), ..HONEST }, (Approve, 2, APPROVED));
    check_held(Claim { matched: (3, 3, 2), ..HONEST }, (Approve, 1, CUT_TO_REFUNDABLE));
    check_held(Claim { matched: (3, 3, 3), ..HONEST }, (Reject, 0, ALREADY_REFUNDED));
    check_held(Claim { matched: (1, 1, 0), ..HONEST }, (Reject, 0, NO_DUPLICATE_MATCHED));
    check_held(Claim { matched: (0, 0, 0), ..HONEST }, (Reject, 0, NO_DUPLICATE_MATCHED));
}

#[test]
fn a_claim_of_nothing_is_paid_as_matched_when_that_is_wanted() {
    use Action::{Approve, Park, Reject};
    let wanted = |hold| Params { pay_unpriced: true, ..params(hold) };
    let check = |claim: Claim, expected| {
        check_with(&wanted(false), &[claim], &[expected]);
        check_with(&wanted(true), &[claim], &[expected]);
    };
    let unpriced = Claim { claimed: 0, ..HONEST };
    check(unpriced, (Approve, 2, PAID_AS_MATCHED));
    check(Claim { refundable: 1, ..unpriced }, (Approve, 1, PAID_AS_MATCHED));
    check(Claim { matched: (3, 3, 2), ..unpriced }, (Approve, 1, PAID_AS_MATCHED));
    check(Claim { matched: (3, 3, 3), ..unpriced }, (Reject, 0, ALREADY_REFUNDED));
    check(Claim { refundable: 0, ..unpriced }, (Reject, 0, NOTHING_REFUNDABLE));
    check(Claim { matched: (0, 0, 0), ..unpriced }, (Reject, 0, NO_DUPLICATE_MATCHED));
    check(Claim { matched: (1, 1, 0), ..unpriced }, (Reject, 0, NO_DUPLICATE_MATCHED));
    check(Claim { complete: false, ..unpriced }, (Park, 0, CLICKS_MISSING));
    check(Claim { claimed: -1, ..HONEST }, (Reject, 0, NOTHING_CLAIMED));
    check(Claim { claimed: 1, ..HONEST }, (Approve, 1, APPROVED));
}

#[test]
fn what_one_takes_the_next_cannot() {
    use Action::{Approve, Reject};
    let claim = |claimed| Claim { claimed, matched: (0, 0, 0), ..HONEST };
    check_with(
        &params(false),
        &[claim(6), claim(6), claim(4)],
        &[(Approve, 6, APPROVED), (Approve, 4, CUT_TO_REFUNDABLE), (Reject, 0, NOTHING_REFUNDABLE)],
    );
}

proptest! {
    #[test]
    fn no_decision_exceeds_the_claim_the_day_or_the_charges(
        claimed in -2..20_i64,
        refundable in 0..20_i64,
        count in 0..6_u32,
        price in 0..5_i64,
        refunded in 0..30_i64,
        complete: bool,
        hold: bool,
    ) {
        let sum = i64::from(count) * price;
        let matched = (sum, count, refunded.min(sum));
        let claim = Claim { claimed, complete, refundable, matched };
        let decision = decided(&[claim], &params(hold))[0];
        let refund = decision.refund_micros;
        prop_assert_eq!(decision.action == Action::Approve, refund > 0);
        prop_assert!((0..=claimed.max(0) * UNIT).contains(&refund));
        prop_assert!(refund <= refundable * UNIT);
        prop_assert!(count == 0 || refund <= (sum - matched.2) * UNIT);
        prop_assert!(!hold || matched.2 > 0 || refund <= (sum - price).max(0) * UNIT);
    }
}
