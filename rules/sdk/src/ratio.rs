//! Ratios as whole parts per million, without floats.

/// Parts per million in 1.
pub const PPM: u32 = 1_000_000;

/// `part` of `whole` in ppm, rounded down. Saturates; nothing of anything is 0, and something of nothing is the
/// greatest ratio. Rounding down loses nothing for a comparison: the exact ratio reaches a level of whole ppm exactly
/// when the rounded one does.
#[must_use]
#[inline]
pub fn ratio_ppm(part_micros: i64, whole_micros: i64) -> u32 {
    if part_micros <= 0 {
        return 0;
    }
    if whole_micros <= 0 {
        return u32::MAX;
    }
    let (part, whole) = (part_micros.unsigned_abs(), whole_micros.unsigned_abs());
    // A checked multiplication would work with 128 bits on this target, for every click.
    if part <= u64::MAX / u64::from(PPM) {
        return u32::try_from(part.wrapping_mul(u64::from(PPM)) / whole).unwrap_or(u32::MAX);
    }
    let wide = u128::from(part) * u128::from(PPM) / u128::from(whole);
    u32::try_from(wide).unwrap_or(u32::MAX)
}

/// `ratio` of an amount that is not negative, rounded down; `None` when it does not fit.
#[must_use]
pub fn share_micros(amount_micros: i64, ratio_ppm: u32) -> Option<i64> {
    let (ppm, ratio) = (i64::from(PPM), i64::from(ratio_ppm));
    let whole = (amount_micros / ppm).checked_mul(ratio)?;
    whole.checked_add(amount_micros % ppm * ratio / ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_round_down_and_saturate() {
        let check = |part, whole, ppm| assert_eq!(ratio_ppm(part, whole), ppm, "{part}/{whole}");
        check(899_999, 1_000_000, 899_999);
        check(1, 3, 333_333);
        check(0, 0, 0);
        check(-1, 5, 0);
        check(1, 0, u32::MAX);
        check(1, -1, u32::MAX);
        check(i64::MAX, 1, u32::MAX);
        check(i64::MAX, i64::MAX, PPM);
        check(i64::MAX - 1, i64::MAX, PPM - 1);
        check(18_446_744_073_709, 18_446_744_073_709, PPM);
        check(18_446_744_073_710, 18_446_744_073_710, PPM);
    }

    #[test]
    fn shares_round_down_and_never_wrap() {
        let check = |amount, ppm, share| assert_eq!(share_micros(amount, ppm), share, "{amount}");
        check(1_200_000_000, 1_150_000, Some(1_380_000_000));
        check(3, 333_333, Some(0));
        check(i64::MAX, PPM, Some(i64::MAX));
        check(i64::MAX, PPM + 1, None);
        check(0, u32::MAX, Some(0));
    }
}
