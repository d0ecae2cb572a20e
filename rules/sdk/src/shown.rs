//! Numbers and texts as people read them, without floats.

use std::borrow::Cow;

use super::UNIT_MICROS;

/// Stands where a text was cut.
const CUT_MARK: &str = "…";

/// A whole number with its thousands separated: `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// An amount in units of currency: `1,234`, `1,234.50`, `-0.000001`. Decimals come only when there are any, and then
/// at least two.
#[must_use]
pub fn amount(micros: i64) -> String {
    let (whole, unit) = (micros.unsigned_abs(), UNIT_MICROS.unsigned_abs());
    let sign = if micros < 0 { "-" } else { "" };
    let units = grouped(whole / unit);
    if whole.is_multiple_of(unit) {
        return format!("{sign}{units}");
    }
    let decimals = format!("{:06}", whole % unit);
    let (kept, rest) = decimals.split_at(2);
    format!("{sign}{units}.{kept}{}", rest.trim_end_matches('0'))
}

/// A ratio in per cent, without the sign and rounded down to a tenth: `90`, `91.2`, `1,050`.
#[must_use]
pub fn percent(ppm: u32) -> String {
    let tenths = u64::from(ppm) / 1_000;
    match tenths % 10 {
        0 => grouped(tenths / 10),
        tenth => format!("{}.{tenth}", grouped(tenths / 10)),
    }
}

/// At most `bytes_max` bytes of a text; one that is cut ends with "…".
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(CUT_MARK.len()));
    Cow::Owned(format!("{}{CUT_MARK}", &text[..end]))
}

/// A text on one line: every control character becomes a space.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_exact() {
        let check = |micros, shown| assert_eq!(amount(micros), shown);
        check(0, "0");
        check(999 * UNIT_MICROS, "999");
        check(1_000 * UNIT_MICROS, "1,000");
        check(1_234_567 * UNIT_MICROS, "1,234,567");
        check(100_000_000 * UNIT_MICROS, "100,000,000");
        check(1_500_000, "1.50");
        check(1_234_560, "1.23456");
        check(1, "0.000001");
        check(-45_600 * UNIT_MICROS, "-45,600");
        check(-1, "-0.000001");
        check(i64::MAX, "9,223,372,036,854.775807");
        check(i64::MIN, "-9,223,372,036,854.775808");
    }

    #[test]
    fn percents_round_down() {
        let check = |ppm, shown| assert_eq!(percent(ppm), shown);
        check(0, "0");
        check(999, "0");
        check(1_000, "0.1");
        check(900_000, "90");
        check(912_999, "91.2");
        check(1_000_000, "100");
        check(10_500_000, "1,050");
        check(u32::MAX, "429,496.7");
    }

    #[test]
    fn texts_are_cut_between_letters() {
        let check = |text, bytes_max, shown| assert_eq!(cut(text, bytes_max), shown);
        check("abc", 3, "abc");
        check("abcd", 3, "…");
        check("abcdef", 5, "ab…");
        check("캠페인", 9, "캠페인");
        check("캠페인들", 11, "캠페…");
        check("abc", 0, "…");
    }
}
