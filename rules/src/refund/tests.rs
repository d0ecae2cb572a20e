use super::*;
use crate::sdk::compensation::{Action, CompensationTable, CompensationTables};
use crate::sdk::day::DayTable;

const UNIT: i64 = crate::sdk::UNIT_MICROS;

/// Decides claims of one campaign-day of which `refundable` units can be given back.
fn check(claims: &[(i64, u8)], refundable: i64, expected: &[(Action, i64, Reason)]) {
    let rows = claims.len();
    let claimed: Vec<i64> = claims.iter().map(|(units, _)| units * UNIT).collect();
    let complete: Vec<u8> = claims.iter().map(|(_, complete)| *complete).collect();
    let (days, refundable) = (vec![0; rows], vec![refundable * UNIT; rows]);
    let tables = CompensationTables {
        days: DayTable { campaign: &[0], ..DayTable::default() },
        compensations: CompensationTable {
            campaign_day: &days,
            claimed_micros: &claimed,
            refundable_micros: &refundable,
            clicks_complete: &complete,
            ..CompensationTable::default()
        },
        ..CompensationTables::default()
    };
    let mut found = Vec::new();
    let take = |decision: Decision| {
        found.push((decision.action, decision.refund_micros / UNIT, decision.reason));
    };
    tables.decide(|compensation| decide(compensation, &Params), take);
    let expected: Vec<_> =
        expected.iter().map(|(action, units, reason)| (*action, *units, reason.code())).collect();
    assert_eq!(found, expected, "{claims:?}");
}

#[test]
fn claims_are_paid_within_what_is_left() {
    use Action::{Approve, Park, Reject};
    check(&[(3, 1)], 10, &[(Approve, 3, APPROVED)]);
    check(&[(10, 1)], 10, &[(Approve, 10, APPROVED)]);
    check(&[(11, 1)], 10, &[(Reject, 0, MORE_THAN_REFUNDABLE)]);
    check(&[(3, 0)], 10, &[(Park, 0, CLICKS_MISSING)]);
    check(&[(11, 0)], 10, &[(Park, 0, CLICKS_MISSING)]);
    check(&[(0, 1)], 10, &[(Reject, 0, NOTHING_CLAIMED)]);
    check(&[(-1, 0)], 10, &[(Reject, 0, NOTHING_CLAIMED)]);
    check(
        &[(6, 1), (6, 1), (4, 1)],
        10,
        &[(Approve, 6, APPROVED), (Reject, 0, MORE_THAN_REFUNDABLE), (Approve, 4, APPROVED)],
    );
}
