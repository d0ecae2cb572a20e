//! Changes of amounts: in millionths, in words, and in classes for histograms. Whole numbers only, because these are
//! shares of money.

use tollgate_domain::money::PPM;

/// Bounds of classes in ppm, on either side of no change.
const BOUNDS: [i64; 7] = [1_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000];

/// Classes of changes: those below zero, none, those above, and those that have no share.
pub(super) const CLASSES: usize = 2 * (BOUNDS.len() + 1) + 3;
const SAME: usize = BOUNDS.len() + 1;
/// From nothing to something.
pub(super) const FROM_ZERO: usize = CLASSES - 2;
/// Charged on one side only.
pub(super) const ONE_SIDE: usize = CLASSES - 1;

/// The change in ppm of what was; `None` when there was nothing and there is something.
#[must_use]
pub fn percent_ppm(before: i128, after: i128) -> Option<i64> {
    let difference = after - before;
    match (before, difference) {
        (_, 0) => Some(0),
        (0, _) => None,
        _ => {
            let ppm = difference.saturating_mul(i128::from(PPM)) / before.abs();
            Some(i64::try_from(ppm).unwrap_or(if ppm < 0 { i64::MIN } else { i64::MAX }))
        }
    }
}

/// Whether the amount of a change is above a share of what was. From nothing any change is.
#[must_use]
pub fn exceeds(before: i128, after: i128, max_ppm: i64) -> bool {
    let difference = (after - before).unsigned_abs();
    let allowed = before.unsigned_abs().saturating_mul(u128::from(max_ppm.unsigned_abs()));
    difference.saturating_mul(PPM.unsigned_abs().into()) > allowed
}

/// A change in words: `+1.25 %`, `-0.0004 %`, `new`.
#[must_use]
pub fn percent(ppm: Option<i64>) -> String {
    let Some(ppm) = ppm else { return "new".to_owned() };
    let sign = match ppm {
        0 => "",
        1.. => "+",
        _ => "\u{2212}",
    };
    let (whole, rest) = (ppm.unsigned_abs() / 10_000, ppm.unsigned_abs() % 10_000);
    let decimals =
        if rest % 100 == 0 { format!("{:02}", rest / 100) } else { format!("{rest:04}") };
    format!("{sign}{whole}.{decimals} %")
}

/// The class of a change of one click's or one campaign's amount.
pub(super) fn class(before: i128, after: i128) -> usize {
    let Some(ppm) = percent_ppm(before, after) else { return FROM_ZERO };
    if before == after {
        return SAME;
    }
    let size = ppm.unsigned_abs();
    let beyond = BOUNDS.iter().filter(|bound| size > bound.unsigned_abs()).count() + 1;
    if after < before { SAME - beyond } else { SAME + beyond }
}

/// Names of the classes, in order.
pub(super) fn class_names() -> Vec<String> {
    let edge = |ppm: i64| {
        let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let between = |at: usize, sign: &str, beyond: &str| match (at.checked_sub(1), BOUNDS.get(at)) {
        (None, Some(to)) => format!("{sign}0\u{2013}{} %", edge(*to)),
        (Some(from), Some(to)) => format!("{sign}{}\u{2013}{} %", edge(BOUNDS[from]), edge(*to)),
        (from, None) => format!("{beyond} {sign}{} %", edge(from.map_or(0, |from| BOUNDS[from]))),
    };
    let below = (0..=BOUNDS.len()).rev().map(|at| between(at, "\u{2212}", "<"));
    let above = (0..=BOUNDS.len()).map(|at| between(at, "+", ">"));
    let rest = ["from 0".to_owned(), "one side only".to_owned()];
    below.chain(["same".to_owned()]).chain(above).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_are_told_in_words() {
        fn check(before: i128, after: i128, expected: &str) {
            assert_eq!(percent(percent_ppm(before, after)), expected, "{before} {after}");
        }
        check(100, 100, "0.00 %");
        check(0, 0, "0.00 %");
        check(0, 5, "new");
        check(200, 201, "+0.50 %");
        check(200, 199, "\u{2212}0.50 %");
        check(100, 0, "\u{2212}100.00 %");
        check(1_000_000, 1_000_004, "+0.0004 %");
        check(1, 1_000, "+99900.00 %");
        check(1, i128::MAX / 4_000_000, &percent(Some(i64::MAX)));
        check(-100, -50, "+50.00 %");
    }

    #[test]
    fn a_limit_holds_on_both_sides_and_from_nothing() {
        fn check(before: i128, after: i128, max_ppm: i64, expected: bool) {
            assert_eq!(exceeds(before, after, max_ppm), expected, "{before} {after} {max_ppm}");
        }
        check(2_000, 2_001, 500, false);
        check(2_000, 2_001, 499, true);
        check(2_000, 1_999, 500, false);
        check(2_000, 1_999, 499, true);
        check(0, 0, 0, false);
        check(0, 1, 1_000_000, true);
        check(7, 7, 0, false);
        check(7, 8, 0, true);
    }

    #[test]
    fn classes_have_names() {
        let names = class_names();
        assert_eq!(names.len(), CLASSES);
        let check = |before, after, expected: &str| {
            assert_eq!(names[class(before, after)], expected, "{before} {after}");
        };
        check(1_000, 1_000, "same");
        check(1_000, 1_001, "+0\u{2013}0.1 %");
        check(1_000, 999, "\u{2212}0\u{2013}0.1 %");
        check(1_000, 1_002, "+0.1\u{2013}1 %");
        check(1_000, 1_500, "+20\u{2013}50 %");
        check(1_000, 1_501, "> +50 %");
        check(1_000, 0, "< \u{2212}50 %");
        check(1_000_000_000, 1_000_000_001, "+0\u{2013}0.1 %");
        check(0, 1, "from 0");
        check(0, 0, "same");
    }

    proptest! {
        #[test]
        fn every_change_has_a_class_of_its_direction(before in 0..i64::MAX, after in 0..i64::MAX) {
            let found = class(before.into(), after.into());
            prop_assert!(found < CLASSES);
            prop_assert_eq!(found == SAME, before == after);
            prop_assert_eq!(found < SAME, after < before);
        }
    }
}
