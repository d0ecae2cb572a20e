//! The duplicates among the charges that a compensation means: what they have cost, on which day, and which of them a
//! refund gives back.

use std::collections::BTreeMap;

use crate::compensation::CompensationEvent;
use crate::day::Day;
use crate::money::Micros;

use super::MatchedCharge;
use super::matching::{Matched, matched};

/// The day whose spend a refund restores: the one that holds most of what the duplicates have cost that nobody has given
/// back; of several the latest. `otherwise` when there is no such duplicate. `charges` are in order.
#[must_use]
pub fn refund_day(event: &CompensationEvent, charges: &[MatchedCharge], otherwise: Day) -> Day {
    let matched = matched(event, charges);
    let mut costs: BTreeMap<Day, i128> = BTreeMap::new();
    for charge in left(&matched) {
        *costs.entry(charge.day).or_default() += i128::from(charge.charged.0);
    }
    // Of equal ones this gives the last.
    costs.into_iter().max_by_key(|(_, cost)| *cost).map_or(otherwise, |(day, _)| day)
}

/// Duplicates that nobody has given back: all matched charges but the earliest one.
pub(super) fn left<'m>(matched: &'m Matched<'_>) -> impl Iterator<Item = &'m MatchedCharge> {
    matched.charges.iter().skip(1).copied().filter(|charge| !charge.refunded)
}

/// Sum of charges, which cannot leave 128 bits.
pub(super) fn sum<'c>(charges: impl Iterator<Item = &'c MatchedCharge>) -> i128 {
    charges.map(|charge| i128::from(charge.charged.0)).sum()
}

/// What of the matched charges is taken to be given back. Nothing, before any was; after that also the earliest, which is
/// no duplicate, so that windows that overlap do not pay it back bit by bit. All of it when there is no duplicate.
pub(super) fn unavailable(matched: &Matched<'_>) -> i128 {
    if !matched.touched && left(matched).next().is_some() {
        return 0;
    }
    sum(matched.charges.iter().copied()) - sum(left(matched))
}

/// Whether a refund pays neither what is claimed nor what the duplicates have cost.
pub(super) fn is_cut(event: &CompensationEvent, matched: &Matched<'_>, refund: Micros) -> bool {
    refund < event.claimed && i128::from(refund.0) < sum(left(matched))
}

/// The charges that a refund gives back: as many duplicates as the event counts, more as long as the refund is more
/// than they have cost, and the earliest charge as well when it is more than all of them have cost. So whoever means
/// the others finds them, and nothing that was paid is paid again. Of a refund that is cut only as many as it pays for.
pub(super) fn given_back(
    event: &CompensationEvent,
    matched: &Matched<'_>,
    refund: Micros,
) -> Vec<MatchedCharge> {
    let counted = match is_cut(event, matched, refund) {
        true => 0,
        false => (event.duplicate_count as usize).saturating_sub(1),
    };
    let mut covered = 0;
    let meant = left(matched).enumerate().take_while(|(at, charge)| {
        let is_meant = *at < counted || covered < i128::from(refund.0);
        covered += i128::from(charge.charged.0);
        is_meant
    });
    let exceeds = i128::from(refund.0) > sum(left(matched));
    let first = matched.charges.first().copied().filter(|first| exceeds && !first.refunded);
    first.into_iter().chain(meant.map(|(_, charge)| charge)).cloned().collect()
}
