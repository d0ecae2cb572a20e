//! Several clicks of a device at one instant, and several compensations that name it.

use super::*;

/// What one compensation leads to: what the rule is told is left, whether the clicks are complete, the refund, and the
/// charges that are given back.
type Expected<'e> = (i64, bool, i64, &'e [i64]);

/// Settles as the shipped rule does, over charges of 100 each whose offsets are their places in `charges`; a charge
/// that was given back before has `true`.
fn check_shared(
    (count, claimed, seconds): (u32, i64, &[i64]),
    charges: &[(i64, bool)],
    expected: Expected<'_>,
) {
    let price = |refunded| if refunded { -100 } else { 100 };
    let charges: Vec<_> = charges.iter().map(|(at, refunded)| (*at, price(*refunded))).collect();
    let facts = facts(100_000, &charges);
    let mut rule = PlainRule::new(Answer::AsClaimed);
    let plan = decide(1, &row(count, claimed, seconds), &facts, &LIMITS, &mut rule).unwrap();
    let told = rule.asked.expect("the rule was asked").compensations;
    let left = told.matched_micros[0] - told.matched_refunded_micros[0];
    let given_back: Vec<_> = plan.charges.iter().map(|charge| charge.offset).collect();
    let found = (left, told.clicks_complete[0] == 1, plan.refund.0, &*given_back);
    assert_eq!(found, expected, "{count} {claimed} {seconds:?} of {charges:?}");
}

#[test]
fn an_instant_gives_as_many_charges_as_it_is_named() {
    let (new, old) = (false, true);
    let five = [(1, new), (1, new), (1, new), (1, new), (1, new)];
    check_shared((3, 200, &[1, 1, 1]), &five, (300, true, 200, &[1, 2]));
    check_shared((5, 400, &[1; 5]), &five, (500, true, 400, &[1, 2, 3, 4]));
    // The rest of them, whichever comes first; the first click is named by both.
    let rest = [(1, new), (1, old), (1, old), (1, new), (1, new)];
    check_shared((3, 200, &[1, 1, 1]), &rest, (200, true, 200, &[3, 4]));
    check_shared((3, 300, &[1, 1, 1]), &rest, (200, true, 200, &[3, 4]));
    let other_rest = [(1, new), (1, old), (1, new), (1, old), (1, new)];
    check_shared((2, 100, &[1, 1]), &other_rest, (100, true, 100, &[2]));
    // A first click of its own.
    let three = [(0, new), (1, new), (1, new), (1, new)];
    check_shared((2, 100, &[0, 1]), &three, (200, true, 100, &[1]));
    check_shared((3, 200, &[0, 1, 1]), &three, (300, true, 200, &[1, 2]));
    let one_left = [(0, new), (1, old), (1, old), (1, new)];
    check_shared((2, 100, &[0, 1]), &one_left, (100, true, 100, &[3]));
    // The last duplicate of one event is the first click of the next one.
    let chain = [(1, old), (1, new), (2, new)];
    check_shared((3, 200, &[1, 1, 2]), &chain, (200, true, 200, &[1, 2]));
    check_shared((2, 100, &[1, 2]), &chain, (100, true, 100, &[2]));
    let more = [(1, old), (1, new), (1, new)];
    check_shared((2, 100, &[1, 1]), &more, (100, true, 100, &[1]));
}

#[test]
fn a_charge_of_another_compensation_is_no_click_that_has_come() {
    let (new, old) = (false, true);
    // Of three duplicates at an instant two are paid by another, and the third is not in the ledger yet.
    let early = [(0, new), (1, old), (1, old)];
    check_shared((3, 200, &[0, 1, 1]), &early, (0, false, 0, &[]));
    check_shared((2, 100, &[1, 1]), &[(1, new), (1, old)], (0, false, 0, &[]));
    check_shared((2, 100, &[1, 1]), &[(1, old), (1, new)], (100, true, 100, &[1]));
    // An instant that is named once is the click that was paid already, as in windows that overlap.
    check_shared((2, 100, &[0, 1]), &[(0, new), (1, old)], (0, true, 0, &[]));
    check_shared((3, 200, &[0, 1, 2]), &[(0, new), (1, old), (2, new)], (100, true, 100, &[2]));
    // More clicks at one instant are not those of another.
    check_shared((3, 200, &[0, 1, 2]), &[(0, new), (0, new), (0, new)], (0, false, 0, &[]));
}

#[test]
fn a_count_above_the_instants_means_more_charges_at_them() {
    let (new, old) = (false, true);
    let five = [(0, new), (1, new), (1, new), (1, new), (2, new)];
    check_shared((5, 400, &[0, 1, 2]), &five, (500, true, 400, &[1, 2, 3, 4]));
    check_shared((4, 300, &[0, 1, 2]), &five, (400, true, 300, &[1, 2, 4]));
    check_shared((6, 500, &[0, 1, 2]), &five, (500, false, 500, &[0, 1, 2, 3, 4]));
    // The last instant first: the event was cut off there, and the rest of the first one is another's.
    let both = [(0, new), (0, new), (1, new), (1, new)];
    check_shared((3, 200, &[0, 1]), &both, (300, true, 200, &[2, 3]));
    check_shared(
        (3, 200, &[0, 1]),
        &[(0, new), (1, old), (1, new), (1, new)],
        (200, true, 200, &[2, 3]),
    );
    check_shared((3, 200, &[0, 1]), &[(0, new), (1, old), (1, new)], (100, false, 100, &[2]));
}

#[test]
fn no_more_is_given_back_than_counted_or_paid() {
    let three: Vec<_> = (1..=3).map(|second| (second, false)).collect();
    check_shared((2, 100, &[1, 2, 3]), &three, (300, true, 100, &[1]));
    check_shared((2, 101, &[1, 2, 3]), &three, (300, true, 101, &[1, 2]));
    check_shared((2, 200, &[1, 2, 3]), &three, (300, true, 200, &[1, 2]));
    check_shared((0, 300, &[1, 2, 3]), &three, (300, true, 300, &[0, 1, 2]));
    check_shared((3, 1, &[1, 2, 3]), &three, (300, true, 1, &[1, 2]));
}

/// Clicks of one device by time, and their cut into events, which are settled in some order.
#[derive(Clone, Debug)]
struct Cut {
    seconds: Vec<i64>,
    /// Duplicates that an event names at most.
    named_max: usize,
    /// Whether an instant is one event's, which then counts more clicks than it names.
    together: bool,
    order: Vec<usize>,
}

fn cuts() -> impl Strategy<Value = Cut> {
    let seconds = prop::collection::vec(0..6_i64, 2..40);
    let order = Just((0..40).collect::<Vec<_>>()).prop_shuffle();
    (seconds, 1..12_usize, any::<bool>(), order).prop_map(
        |(mut seconds, named_max, together, order)| {
            seconds.sort_unstable();
            Cut { seconds, named_max, together, order }
        },
    )
}

impl Cut {
    /// Counts and instants of the events, each with the first click.
    fn events(&self) -> Vec<(u32, Vec<i64>)> {
        let mut events = vec![(1, vec![self.seconds[0]]); self.seconds.len()];
        for (nth, second) in self.seconds[1..].iter().enumerate() {
            let begun = self.seconds[1..].iter().position(|other| other == second).unwrap();
            let event = if self.together { begun } else { nth } / self.named_max;
            events[event].0 += 1;
            if event == nth / self.named_max {
                events[event].1.push(*second);
            }
        }
        events
    }
}

proptest! {
    #[test]
    fn every_duplicate_is_paid_once_however_they_are_cut(cut in cuts()) {
        let mut given_back = vec![false; cut.seconds.len()];
        let (events, mut paid) = (cut.events(), 0);
        let settled = cut.order.iter().filter_map(|at| events.get(*at));
        for (count, seconds) in settled.filter(|(count, _)| *count > 1) {
            let at_its_instants = |at: &usize| seconds.contains(&cut.seconds[*at]);
            let clicks: Vec<usize> = (0..cut.seconds.len()).filter(at_its_instants).collect();
            let charges: Vec<_> = clicks.iter().map(|at| (cut.seconds[*at], 100)).collect();
            let mut facts = facts(100_000 - paid, &charges);
            for (charge, at) in facts.charges.iter_mut().zip(&clicks) {
                (charge.offset, charge.refunded) = (*at as i64, given_back[*at]);
            }
            let mut rule = PlainRule::new(Answer::AsClaimed);
            let row = row(*count, i64::from(*count - 1) * 100, seconds);
            let plan = decide(1, &row, &facts, &LIMITS, &mut rule).unwrap();
            prop_assert_eq!(rule.asked.unwrap().compensations.clicks_complete[0], 1);
            paid += plan.refund.0;
            prop_assert_eq!(plan.charges.len() as u32, *count - 1);
            for charge in &plan.charges {
                let again = std::mem::replace(&mut given_back[charge.offset as usize], true);
                prop_assert!(!again, "{:?}", charge);
            }
        }
        prop_assert_eq!(paid, (cut.seconds.len() as i64 - 1) * 100);
        prop_assert!(!given_back[0] && given_back[1..].iter().all(|given_back| *given_back));
    }
}
