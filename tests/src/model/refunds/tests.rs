use super::*;
use crate::generator::campaigns::{Campaign, campaigns};
use crate::generator::compensations::{Compensation, Malformed, Sort};
use crate::generator::{Generated, Generator, Mix, Repeat};

/// Noon in Seoul, where the campaign is.
const NOON_US: i64 = 1_795_230_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn table() -> Vec<Campaign> {
    let mut known = campaigns(1, 3, 3);
    known[0].cpc_micros = 100;
    known
}

fn record(offset: i64, event: Generated, at_us: i64) -> Record {
    Record { partition: 0, offset, at_ms: at_us / 1_000, payload: event.payload }
}

/// Clicks of one device on one ad, at these seconds after noon.
fn clicks(model: &Model, seconds: &[i64]) -> Outcome {
    let records = seconds.iter().enumerate().map(|(offset, second)| {
        let at_us = NOON_US + second * SECOND_US;
        let at = Timestamp::from_microsecond(at_us).unwrap();
        let payload = format!(
            r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"{}","advertiser_id":"{}",
                "ad_id":"ad","device_id":"device"}}"#,
            table()[0].id,
            table()[0].advertiser
        );
        let payload = Some(payload.into_bytes());
        Record { partition: 0, offset: offset as i64, at_ms: at_us / 1_000, payload }
    });
    model.judge(&records.collect::<Vec<_>>())
}

/// A compensation for clicks at these seconds: what it counts, and what it claims.
fn claim(seconds: &[i64], count: usize, refund_micros: i64) -> Compensation {
    let at_us: Vec<i64> = seconds.iter().map(|second| NOON_US + second * SECOND_US).collect();
    let repeat = Repeat { campaign: 0, device: "device".into(), ad: "ad".into(), at_us };
    let honest = Compensation::new(&repeat, &table(), NOON_US + 60 * SECOND_US);
    Compensation { count, refund_micros, ..honest }
}

fn judge(seconds: &[i64], claims: &[Compensation]) -> Refunds {
    let model = Model::new(&table());
    // All of them arrive in the night after, one after the other.
    let at_us = NOON_US + 13 * 3_600 * SECOND_US;
    let records = claims.iter().enumerate();
    let records = records.map(|(offset, claim)| record(offset as i64, claim.event(), at_us));
    Refunds::judge(&model, &clicks(&model, seconds), &records.collect::<Vec<_>>())
}

const REJECTED: State = State::Rejected("COMPENSATION_REJECTED");

/// Clicks at these seconds, all of 100 micros, and compensations one after the other: state and refund of each, whether
/// it contradicts itself, and the charges that it gives back.
fn check(seconds: &[i64], claims: &[Compensation], expected: &[(State, i64, bool, &[i64])]) {
    let refunds = judge(seconds, claims);
    let found = refunds.settled.iter().map(|(place, settled)| {
        let given_back = refunds.given_back.iter().filter(|(_, by)| *by == place);
        let given_back: Vec<i64> = given_back.map(|((_, offset), _)| *offset).collect();
        (settled.state, settled.refund_micros, settled.is_contradictory, given_back)
    });
    let found: Vec<_> = found.collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(state, refund, wrong, charges)| (*state, *refund, *wrong, charges.to_vec()))
        .collect();
    assert_eq!(found, expected, "{seconds:?} {claims:#?}");
    let paid: i64 = refunds.by_day.values().sum();
    assert_eq!(paid, refunds.by_advertiser.values().sum::<i64>());
    assert!(paid <= seconds.len() as i64 * 100, "{paid}");
}

#[test]
fn compensations_are_settled_one_by_one() {
    use State::Refunded;
    let three = [0, 5, 9];
    check(&three, &[claim(&three, 3, 200)], &[(Refunded, 200, false, &[1, 2])]);
    check(&three, &[claim(&three, 3, 300)], &[(Refunded, 300, true, &[0, 1, 2])]);
    check(&three, &[claim(&three, 3, 301)], &[(Refunded, 300, true, &[0, 1, 2])]);
    check(&three, &[claim(&three, 3, 1)], &[(Refunded, 1, true, &[1, 2])]);
    check(&three, &[claim(&three, 3, 0)], &[(REJECTED, 0, false, &[])]);
    check(&three, &[claim(&three, 4, 200)], &[(Refunded, 200, true, &[1, 2])]);
    check(&three, &[claim(&three, 2, 200)], &[(Refunded, 200, true, &[1, 2])]);
    check(&three, &[claim(&[0, 5, 9, 10], 4, 300)], &[(Refunded, 300, true, &[0, 1, 2])]);
    check(&three, &[claim(&[9, 0, 5], 3, 200)], &[(Refunded, 200, false, &[1, 2])]);
    check(&three, &[claim(&[0, 9], 2, 100)], &[(Refunded, 100, false, &[2])]);
    check(&[0, 0], &[claim(&[0, 0], 2, 100)], &[(Refunded, 100, false, &[1])]);
    // Without instants only the day limits it.
    check(&three, &[claim(&[], 3, 200)], &[(Refunded, 200, true, &[])]);
    check(&three, &[claim(&[], 3, 999)], &[(Refunded, 300, true, &[])]);
    check(&[], &[claim(&[], 3, 200)], &[(REJECTED, 0, false, &[])]);
    check(&[], &[claim(&three, 3, 200)], &[(REJECTED, 0, false, &[])]);
    let anonymous = claim(&[], 3, 200).sort(Sort::Anonymous);
    check(&three, &[anonymous], &[(Refunded, 200, true, &[])]);
}

#[test]
fn nothing_is_given_back_twice() {
    use State::{Refunded, Repeated};
    let three = [0, 5, 9];
    let honest = claim(&three, 3, 200);
    let paid = (Refunded, 200, false, &[1, 2][..]);
    check(&three, &[honest.clone(), honest.clone()], &[paid, (Repeated, 0, false, &[])]);
    check(&three, &[honest.clone(), claim(&three, 9, 999)], &[paid, (Repeated, 0, false, &[])]);
    let found_again = Compensation { found_at_us: NOON_US, ..honest.clone() };
    check(&three, &[honest.clone(), found_again], &[paid, (Repeated, 0, false, &[])]);
    // Another window is another compensation, of the same charges.
    let other = Compensation { window: "1_HOUR", ..honest.clone() };
    check(&three, &[honest.clone(), other], &[paid, (REJECTED, 0, false, &[])]);
    check(&three, &[honest.clone(), claim(&[0, 9], 2, 100)], &[paid, (REJECTED, 0, false, &[])]);
    let four = [0, 5, 9, 12];
    let sliding = claim(&[5, 9, 12], 3, 200);
    check(&four, &[honest.clone(), sliding], &[paid, (Refunded, 100, true, &[3])]);
    // A window that grows pays what is new, and never the click that was wanted.
    let two = claim(&[0, 5], 2, 100);
    let grown = (Refunded, 100, true, &[2][..]);
    check(&three, &[two, claim(&three, 3, 200)], &[(Refunded, 100, false, &[1]), grown]);
    // The day gives no more than it has taken.
    let untimed = claim(&[], 3, 200);
    check(
        &three,
        &[untimed.clone(), honest],
        &[(Refunded, 200, true, &[]), (Refunded, 100, true, &[1])],
    );
    let later = Compensation { found_at_us: NOON_US + 1, ..untimed.clone() };
    let last = Compensation { found_at_us: NOON_US + 2, ..untimed.clone() };
    check(
        &three,
        &[untimed, later, last],
        &[(Refunded, 200, true, &[]), (Refunded, 100, true, &[]), (REJECTED, 0, false, &[])],
    );
}

#[test]
fn clicks_of_one_instant_are_meant_by_number() {
    use State::Refunded;
    let window = |window, seconds: &[i64], count, refund| Compensation {
        window,
        ..claim(seconds, count, refund)
    };
    let five = [7; 5];
    let three = (Refunded, 200, false, &[1, 2][..]);
    check(&five, &[claim(&[7; 3], 3, 200)], &[three]);
    check(
        &five,
        &[claim(&[7; 3], 3, 200), claim(&[7; 2], 2, 100)],
        &[three, (Refunded, 100, false, &[3])],
    );
    // The third one finds only one that is left.
    check(
        &five,
        &[claim(&[7; 3], 3, 200), claim(&[7; 2], 2, 100), window("1_HOUR", &[7; 3], 3, 200)],
        &[three, (Refunded, 100, false, &[3]), (Refunded, 100, true, &[4])],
    );
    check(
        &five,
        &[claim(&[7; 3], 3, 200), window("1_HOUR", &[7; 3], 3, 300)],
        &[three, (Refunded, 200, false, &[3, 4])],
    );
    // A first click of its own, and an instant that two events share.
    let shared = [0, 7, 7, 7, 9];
    check(
        &shared,
        &[claim(&[0, 7, 9], 3, 200), claim(&[0, 7, 7], 3, 200)],
        &[(Refunded, 200, false, &[1, 4]), (Refunded, 200, false, &[2, 3])],
    );
    // What counts more than it names means more of its last instant.
    let begun = [0, 0, 0, 7, 7, 7];
    check(&begun, &[claim(&[0, 7], 4, 300)], &[(Refunded, 300, true, &[3, 4, 5])]);
    check(
        &begun,
        &[claim(&[0, 7], 4, 300), claim(&[0, 0, 0], 3, 200)],
        &[(Refunded, 300, true, &[3, 4, 5]), (Refunded, 200, false, &[1, 2])],
    );
    check(&begun, &[claim(&[0, 7], 5, 400)], &[(Refunded, 400, true, &[1, 3, 4, 5])]);
    check(&begun, &[claim(&[0, 7], 9, 800)], &[(Refunded, 600, true, &[0, 1, 2, 3, 4, 5])]);
    // What counts less than it names marks what it is paid for.
    let three = [0, 5, 9];
    check(
        &three,
        &[claim(&three, 2, 100), claim(&[0, 9], 2, 100)],
        &[(Refunded, 100, true, &[1]), (Refunded, 100, false, &[2])],
    );
    check(&three, &[claim(&three, 1, 101)], &[(Refunded, 101, true, &[1, 2])]);
}

#[test]
fn who_must_not_be_paid_is_not() {
    let three = [0, 5, 9];
    let honest = || claim(&three, 3, 200);
    let unknown = State::Expired("UNKNOWN_CAMPAIGN");
    check(&three, &[honest().sort(Sort::UnknownCampaign)], &[(unknown, 0, false, &[])]);
    let foreign = State::Rejected("ADVERTISER_MISMATCH");
    check(&three, &[honest().sort(Sort::ForeignAdvertiser)], &[(foreign, 0, false, &[])]);
    // Charges of another device, ad or campaign are not meant.
    for other in [
        Compensation { device: "another".into(), ..honest() },
        Compensation { ad: "another".into(), ..honest() },
    ] {
        check(&three, &[other], &[(State::Refunded, 200, true, &[])]);
    }
    let elsewhere = &table()[1];
    let other = Compensation {
        campaign: elsewhere.id.clone(),
        advertiser: elsewhere.advertiser.clone(),
        ..honest()
    };
    check(&three, &[other], &[(REJECTED, 0, false, &[])]);
}

#[test]
fn a_refund_belongs_to_the_day_of_most_duplicates() {
    // Midnight in Seoul is twelve hours after noon.
    let midnight = 12 * 3_600;
    let clicks = [0, 1, midnight - 1, midnight, midnight + 1];
    let campaign = &table()[0].id;
    let check_days = |claims: &[Compensation], expected: &[(&str, i64)]| {
        let days =
            expected.iter().map(|(day, refund)| ((campaign.clone(), (*day).to_owned()), *refund));
        assert_eq!(judge(&clicks, claims).by_day, days.collect(), "{claims:#?}");
    };
    let (today, tomorrow) = ("2026-11-21", "2026-11-22");
    check_days(&[claim(&[0, 1], 2, 100)], &[(today, 100)]);
    check_days(&[claim(&[1, midnight], 2, 100)], &[(tomorrow, 100)]);
    check_days(&[claim(&[0, 1, midnight - 1, midnight], 4, 300)], &[(today, 300)]);
    check_days(&[claim(&[0, 1, midnight], 3, 200)], &[(tomorrow, 200)]);
    // What is paid back already does not count.
    let grown = [claim(&[0, 1, midnight - 1], 3, 200), claim(&clicks[..4], 4, 300)];
    check_days(&grown, &[(today, 200), (tomorrow, 100)]);
    // Nobody knows of which day clicks are that the ledger does not have.
    check_days(&[claim(&[2, midnight + 2], 2, 100)], &[(tomorrow, 100)]);
    // A day that cannot pay for all of them gives what it has, and the others stay open.
    let untimed = Compensation { found_at_us: NOON_US, ..claim(&[], 2, 200) };
    let claims = [untimed, claim(&clicks[..4], 4, 300), claim(&[0, 1, midnight - 1], 3, 200)];
    check_days(&claims, &[(today, 300)]);
    let refunds = judge(&clicks, &claims);
    let given_back: Vec<i64> = refunds.given_back.keys().map(|(_, offset)| *offset).collect();
    assert_eq!(given_back, [1]);
}

#[test]
fn every_class_of_malformed_compensation_dies_of_its_code() {
    let honest = claim(&[0, 5], 2, 100);
    let at_us = honest.found_at_us;
    let read = |event| Claim::read(&record(0, event, at_us)).map(drop);
    assert_eq!(read(honest.event()), Ok(()));
    for class in Malformed::all() {
        assert_eq!(read(honest.spoiled(class)), Err(class.code()), "{class:?}");
    }
}

#[test]
fn repeats_are_told_of_once_and_are_true() {
    let mix = Mix { repeats_ppm: 200_000, clicks_ppm: 300_000, ..Mix::default() };
    let known = campaigns(1, 10, 3);
    let mut generator = Generator::new(mix, &known);
    let (model, mut records, mut repeats) = (Model::new(&known), Vec::new(), Vec::new());
    for offset in 0..20_000 {
        let at_us = NOON_US + offset * 1_000;
        records.push(record(offset, generator.next(at_us), at_us));
        if offset % 3_000 == 0 {
            repeats.extend(generator.take_repeats(at_us - 1_000_000));
        }
    }
    repeats.extend(generator.take_repeats(i64::MAX));
    assert_eq!(generator.take_repeats(i64::MAX), []);
    let outcome = model.judge(&records);
    let clicks = outcome.fates.values().filter(|fate| matches!(fate, Fate::Charged(_))).count();
    let mut duplicates = 0;
    for repeat in &repeats {
        let honest = Compensation::new(repeat, &known, NOON_US).event();
        let claim = Claim::read(&record(0, honest, NOON_US)).unwrap();
        assert_eq!(claim.charges(&by_device(&outcome)).len(), repeat.at_us.len(), "{repeat:?}");
        duplicates += repeat.at_us.len() - 1;
    }
    let share_ppm = duplicates * 1_000_000 / clicks;
    assert!((180_000..220_000).contains(&share_ppm), "{share_ppm}");
}
