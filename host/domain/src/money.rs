//! Money: whole micros of one currency, never a float.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Micros in one currency unit.
pub const MICROS_PER_UNIT: i64 = 1_000_000;

/// Parts per million in 1.
pub const PPM: i64 = 1_000_000;

/// An amount of money in micros (1/1,000,000 of the currency unit).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("the number uses an exponent")]
    Exponent,
    #[error("the number has more than 6 decimals")]
    TooManyDecimals,
    #[error("the number is negative")]
    Negative,
    #[error("the number does not fit into 64 bits of micros")]
    Overflow,
    #[error("this is not a decimal number")]
    NotANumber,
}

impl Micros {
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when it does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount with its sign turned, or `None` when it does not fit.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads an amount that may not be negative, as events write it: plain decimal notation, at most 6 decimals.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse_non_negative(text: &str) -> Result<Self, AmountError> {
        if text.bytes().any(|b| matches!(b, b'e' | b'E')) {
            return Err(AmountError::Exponent);
        }
        let amount = parse_scaled(text)?;
        if text.starts_with('-') && amount != 0 {
            return Err(AmountError::Negative);
        }
        Ok(Self(amount))
    }
}

/// Reads a decimal such as "0.90" as millionths, which serves micros and ppm alike.
///
/// # Errors
/// Says which rule the text breaks.
pub fn parse_scaled(text: &str) -> Result<i64, AmountError> {
    if let Some(whole) = parse_whole(text) {
        return whole.checked_mul(MICROS_PER_UNIT).ok_or(AmountError::Overflow);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(AmountError::NotANumber);
    }
    let decimals = digits.split_once('.').map_or("", |(_, decimals)| decimals);
    if decimals.trim_end_matches('0').len() > 6 {
        return Err(AmountError::TooManyDecimals);
    }
    // Beyond 28 digits the decimal type rounds, and no such number fits into 64 bits of micros anyway.
    if digits.trim_start_matches('0').len() - decimals.len().saturating_sub(6) > 28 {
        return Err(AmountError::Overflow);
    }
    let decimal = Decimal::from_str(text.get(..text.len().min(48)).unwrap_or(text))
        .map_err(|_| AmountError::NotANumber)?;
    let scaled =
        decimal.checked_mul(Decimal::from(MICROS_PER_UNIT)).ok_or(AmountError::Overflow)?.trunc();
    i64::try_from(scaled).map_err(|_| AmountError::Overflow)
}

/// Most prices are whole numbers, so they skip the decimal library.
fn parse_whole(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.bytes().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

impl fmt::Display for Micros {
    /// Decimal notation without superfluous zeros: `1200`, `0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Decimal::new(self.0, 6).normalize(), f)
    }
}

/// `part` of `whole` in ppm, rounded down; saturates, and a part of nothing is the greatest ratio.
#[must_use]
pub fn ratio_ppm(part: Micros, whole: Micros) -> u32 {
    if part.0 <= 0 {
        return 0;
    }
    if whole.0 <= 0 {
        return u32::MAX;
    }
    let ppm = i128::from(part.0) * i128::from(PPM) / i128::from(whole.0);
    u32::try_from(ppm).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<i64, AmountError>) {
        assert_eq!(Micros::parse_non_negative(text).map(|m| m.0), expected, "{text:?}");
    }

    #[test]
    fn reads_amounts_as_events_write_them() {
        check("0", Ok(0));
        check("1200", Ok(1_200_000_000));
        check("0.000001", Ok(1));
        check("0.0000010", Ok(1));
        check("12.345678", Ok(12_345_678));
        check("-0", Ok(0));
        check("9223372036854.775807", Ok(i64::MAX));
        check("9223372036854.775808", Err(AmountError::Overflow));
        check("999999999999", Ok(999_999_999_999_000_000));
        check("9999999999999", Err(AmountError::Overflow));
        check("1000000000000000000000000000000000000000000", Err(AmountError::Overflow));
        check("0.0000001", Err(AmountError::TooManyDecimals));
        check("1e3", Err(AmountError::Exponent));
        check("1E3", Err(AmountError::Exponent));
        check("-1", Err(AmountError::Negative));
        check("-0.000001", Err(AmountError::Negative));
        check("", Err(AmountError::NotANumber));
        check("-", Err(AmountError::NotANumber));
        check("1.2.3", Err(AmountError::NotANumber));
        check("+1", Err(AmountError::NotANumber));
        check("NaN", Err(AmountError::NotANumber));
        check("1,000", Err(AmountError::NotANumber));
        check("0.50000000000000000000000000000000000000000000000000000000", Ok(500_000));
    }

    #[test]
    fn prints_what_it_reads() {
        for micros in [0, 1, 1_200_000_000, -1, i64::MAX, i64::MIN, 500_000] {
            let text = Micros(micros).to_string();
            assert_eq!(parse_scaled(&text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn ratios_round_down_and_saturate() {
        assert_eq!(ratio_ppm(Micros(899_999), Micros(1_000_000)), 899_999);
        assert_eq!(ratio_ppm(Micros(1), Micros(3)), 333_333);
        assert_eq!(ratio_ppm(Micros(i64::MAX), Micros(1)), u32::MAX);
        assert_eq!(ratio_ppm(Micros(1), Micros(0)), u32::MAX);
        assert_eq!(ratio_ppm(Micros(0), Micros(0)), 0);
        assert_eq!(ratio_ppm(Micros(-5), Micros(10)), 0);
    }
}
