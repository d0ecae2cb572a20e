//! Whom a trial is about, and when a canary is too much.

use std::collections::BTreeSet;

use super::*;

fn share(share_ppm: u32, salt: &str) -> BTreeSet<String> {
    let scope = Scope { share_ppm, salt: salt.to_owned(), ..Scope::default() };
    (0..10_000).map(|at| format!("campaign_{at}")).filter(|id| scope.contains(id)).collect()
}

#[test]
fn a_share_is_stable_and_grows_by_addition() {
    let (five, ten) = (share(50_000, "salt"), share(100_000, "salt"));
    assert!((400..600).contains(&five.len()), "{}", five.len());
    assert!((900..1_100).contains(&ten.len()), "{}", ten.len());
    assert!(five.is_subset(&ten));
    let other = share(50_000, "other");
    assert!(five.intersection(&other).count() < 60, "another salt takes others");
    assert_eq!((share(0, "salt").len(), share(1_000_000, "salt").len()), (0, 10_000));
    assert!(Scope::all().contains(""));
}

/// As computed elsewhere: `printf 'salt\0campaign_1' | sha256sum` begins with the hexadecimal digits on the left.
#[test]
fn the_place_of_a_campaign_is_that_of_its_digest() {
    let at = |share_ppm| Scope { share_ppm, salt: "salt".into(), ..Scope::default() };
    for (first, campaign) in PLACES {
        let place = (u128::from(u64::from_str_radix(first, 16).unwrap()) * 1_000_000) >> 64;
        let place = u32::try_from(place).unwrap();
        assert!(!at(place).contains(campaign), "{campaign}");
        assert!(at(place + 1).contains(campaign), "{campaign}");
    }
}

const PLACES: [(&str, &str); 3] = [
    ("96aec5d9d7b6ec56", "campaign_1"),
    ("ee30533ae13d4a3c", "campaign_2"),
    ("9559e0dab24ad988", "광고"),
];

#[test]
fn named_campaigns_need_no_share() {
    let scope = Scope { campaigns: ["c".to_owned()].into(), ..Scope::default() };
    assert!(scope.contains("c") && !scope.contains("d"));
}

const LIMITS: Limits =
    Limits { drift_max_ppm: 50_000, clicks_min: 100, faults_max: 3, fuel_max: Some(1_000) };

/// Clicks, what the active side charges, raised, lowered; failed, refused; fuel, rows; then the code.
fn check(charges: [i64; 4], [failed, refused]: [i64; 2], [fuel, rows]: [i64; 2], code: &str) {
    let [clicks, active_micros, raised_micros, lowered_micros] = charges;
    let sums = Sums {
        clicks,
        active_micros,
        raised_micros,
        lowered_micros,
        failed,
        refused,
        ..Sums::default()
    };
    let passed = LIMITS.passed(&sums, &Cost { fuel, rows, ..Cost::default() });
    assert_eq!(passed.map_or("", |breach| breach.code), code, "{charges:?}");
}

#[test]
fn a_canary_is_too_much_above_its_limits() {
    check([100, 1_000, 50, 0], [0, 0], [0, 0], "");
    check([100, 1_000, 51, 0], [0, 0], [0, 0], "CANARY_DRIFT");
    check([100, 1_000, 0, 51], [0, 0], [0, 0], "CANARY_DRIFT");
    check([100, 1_000, 26, 25], [0, 0], [0, 0], "CANARY_DRIFT");
    check([99, 1_000, 1_000, 0], [0, 0], [0, 0], "");
    check([100, 0, 1, 0], [0, 0], [0, 0], "CANARY_DRIFT");
    check([100, 0, 0, 0], [0, 0], [0, 0], "");
    check([0, 0, 0, 0], [2, 1], [0, 0], "");
    check([0, 0, 0, 0], [2, 2], [0, 0], "CANARY_FAULTS");
    check([100, 1_000, 0, 0], [0, 0], [100_000, 100], "");
    check([100, 1_000, 0, 0], [0, 0], [100_001, 100], "CANARY_FUEL");
    check([100, i64::MAX, i64::MAX, i64::MAX], [0, 0], [i64::MAX, 1], "CANARY_DRIFT");
    check([0, 0, 0, 0], [i64::MAX, i64::MAX], [0, 0], "CANARY_FAULTS");
}

#[test]
fn sums_stay_at_the_end_of_their_bits() {
    let mut sums = Sums { active_micros: i64::MAX - 1, ..Sums::default() };
    sums.charge(5, i64::MAX);
    assert_eq!((sums.active_micros, sums.raised_micros), (i64::MAX, i64::MAX - 5));
    sums.charge(i64::MAX, 0);
    assert_eq!((sums.lowered_micros, sums.gross_micros()), (i64::MAX, i64::MAX));
    assert_eq!((sums.clicks, sums.clicks_differing), (2, 2));
    assert_eq!(Sums::from_columns(sums.columns().map(|(_, sum)| sum)), sums);
}
