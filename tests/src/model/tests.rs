use super::*;
use crate::generator::campaigns::{campaigns, limit};
use crate::generator::poison::Poison;
use crate::generator::{Generator, Kind, Mix};

const AT_US: i64 = 1_795_234_567_890_123;

fn fate(payload: Option<&[u8]>) -> Fate {
    let record = Record {
        partition: 0,
        offset: 0,
        at_ms: AT_US / 1_000,
        payload: payload.map(<[u8]>::to_vec),
    };
    Model::new(&campaigns(1, 10, 3)).fate(&record)
}

/// A click about the first campaign with `from` replaced by `to`.
fn check(from: &str, to: &str, expected: &str) {
    let campaign = &campaigns(1, 10, 3)[0];
    let honest = format!(
        r#"{{"event_type":"CLICK","timestamp":"2026-11-21T04:00:00Z","campaign_id":"{}",
            "advertiser_id":"{}","bid_price":1500,"actual_price":1200.5,"device_id":"d"}}"#,
        campaign.id, campaign.advertiser
    );
    assert!(honest.contains(from), "{from}");
    let at_us = "2026-11-21T04:00:00Z".parse::<Timestamp>().unwrap().as_microsecond();
    let record = Record {
        partition: 0,
        offset: 0,
        at_ms: at_us / 1_000,
        payload: Some(honest.replacen(from, to, 1).into_bytes()),
    };
    let found = match Model::new(&campaigns(1, 10, 3)).fate(&record) {
        Fate::Charged(charge) => charge.day,
        Fate::Skipped => "skipped".to_owned(),
        Fate::Dead(code) => code.to_owned(),
    };
    assert_eq!(found, expected, "{from} -> {to}");
}

#[test]
fn clicks_are_judged_one_by_one() {
    check("1500", "1500", "2026-11-21");
    check("04:00:00Z", "23:59:59.999999+09:00", "TIMESTAMP_IN_FUTURE");
    check("21T04:00:00Z", "20T14:59:59.999999Z", "2026-11-20");
    check("21T04:00:00Z", "20T15:00:00Z", "2026-11-21");
    check("CLICK", "IMPRESSION", "skipped");
    check("CLICK", "CL\\u0049CK", "2026-11-21");
    check("1500", "null", "2026-11-21");
    check("1500", "1e3", "NUMBER_EXPONENT");
    check("1500", "0.0000001", "NUMBER_TOO_PRECISE");
    check("1500", "0.00000010", "NUMBER_TOO_PRECISE");
    check("1500", "0.0000010", "2026-11-21");
    check("1500", "-0", "2026-11-21");
    check("1500", "-0.000001", "NUMBER_NEGATIVE");
    check("1500", "9223372036854.775807", "2026-11-21");
    check("1500", "9223372036854.775808", "NUMBER_OVERFLOW");
    check("1500", "01", "NOT_JSON");
    check("1500", "[]", "WRONG_TYPE");
    check("1500", "\"1\"", "NUMBER_AS_TEXT");
    check("\"bid_price\"", "\"x\":1,\"x\":2,\"bid_price\"", "2026-11-21");
    check("\"bid_price\"", "\"ad_id\":\"a\",\"ad\\u005fid\":\"a\",\"bid_price\"", "DUPLICATE_KEY");
    check("\"d\"", "\"a\\u0000\"", "NUL_IN_TEXT");
    check("\"d\"", "7", "WRONG_TYPE");
    check("\"d\"", "\"\\ud800\"", "NOT_JSON");
    check("\"d\"", "\"\\ud83d\\ude00\"", "2026-11-21");
    check("advertiser_5", "advertiser_x5", "ADVERTISER_MISMATCH");
    check("campaign_1", "campaign_x1", "UNKNOWN_CAMPAIGN");
    check("2026-11-21T04:00:00Z", "2026-11-21T04:00:00", "TIMESTAMP_UNPARSABLE");
    check("2026-11-21T04:00:00Z", "", "MISSING_FIELD");
}

#[test]
fn every_class_of_poison_dies_of_its_code() {
    let mut generator = Generator::new(Mix::default(), &campaigns(1, 10, 3));
    for class in Poison::SMALL.into_iter().chain([Poison::Huge]) {
        let event = generator.poison(class, AT_US);
        assert_eq!(fate(event.payload.as_deref()), Fate::Dead(class.code()), "{class:?}");
    }
}

#[test]
fn traffic_is_what_it_says() {
    let mut generator = Generator::new(Mix::default(), &campaigns(1, 10, 3));
    for _ in 0..20_000 {
        let event = generator.next(AT_US);
        let fate = fate(event.payload.as_deref());
        match event.kind {
            Kind::Impression | Kind::Conversion => assert_eq!(fate, Fate::Skipped),
            Kind::Compensation | Kind::Campaign => panic!("the topic of clicks has clicks"),
            Kind::Poison(class) => assert_eq!(fate, Fate::Dead(class.code())),
            Kind::Click(at) => {
                let Fate::Charged(charge) = fate else { panic!("{fate:?}") };
                assert_eq!(charge.amount_micros, generator.campaigns()[at].cpc_micros);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_traffic() {
    let run = |seed| {
        let mix = Mix { seed, ..Mix::default() };
        let mut generator = Generator::new(mix, &campaigns(1, 10, 3));
        (0..100).map(|_| generator.next(AT_US).payload).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn redis_prices_count_when_they_are_sane() {
    let price = |cached: &str| {
        let known = campaigns(1, 1, 1);
        let cached = HashMap::from([(known[0].id.clone(), cached.to_owned())]);
        let model = Model::new(&known).with_redis(cached, 5_000_000_000);
        model.cached_price(&known[0].id)
    };
    assert_eq!(price("1200"), Some(1_200_000_000));
    assert_eq!(price("0.5"), Some(500_000));
    for absurd in ["-1", "0", "abc", "", "99999999999999999999", "5000.000001", "1e3"] {
        assert_eq!(price(absurd), None, "{absurd}");
    }
}

#[test]
fn crossings_follow_the_running_spend() {
    let mut known = campaigns(1, 1, 1);
    limit(&mut known[0], 10);
    let model = Model::new(&known);
    let mix = Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, ..Mix::default() };
    let mut generator = Generator::new(mix, &known);
    let mut after = |clicks: i64| {
        let records = (0..clicks).map(|offset| Record {
            partition: 0,
            offset,
            at_ms: AT_US / 1_000,
            payload: generator.next(AT_US).payload,
        });
        let outcome = model.judge(&records.collect::<Vec<_>>());
        (outcome.warned.len(), outcome.exhausted.len())
    };
    assert_eq!(after(8), (0, 0));
    assert_eq!(after(9), (1, 0));
    assert_eq!(after(10), (1, 1));
}
