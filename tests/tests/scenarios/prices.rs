//! Prices come from Redis when it has sane ones in time, else from the database; nothing else changes.

use std::collections::HashMap;
use std::time::Duration;

use tollgate_tests::generator::campaigns::{Campaign, campaigns};
use tollgate_tests::generator::{Generator, Mix};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::scenario::{Database, Scenario};
use tollgate_tests::model::{Fate, Model};
use tollgate_tests::servers::redis::Redis;
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(120);
const EVENTS: usize = 5_000;
const CHARGE_MAX_MICROS: i64 = 5_000_000_000;

/// What Redis says about a campaign: the truth, another price, or nonsense of every kind.
fn said(at: usize, campaign: &Campaign) -> Option<String> {
    let text = match at % 10 {
        0 => return None,
        1 => "-1".to_owned(),
        2 => "0".to_owned(),
        3 => "not a price".to_owned(),
        4 => "99999999999999999999999".to_owned(),
        5 => "5000.000001".to_owned(),
        6 => String::new(),
        7 => "1e3".to_owned(),
        8 => "777.123456".to_owned(),
        _ => (campaign.cpc_micros / 1_000_000 + 1).to_string(),
    };
    Some(text)
}

fn scenario(name: &str, redis: &Redis) -> (Scenario, HashMap<String, String>) {
    let mut scenario = Scenario::new(name, Database::Postgres, campaigns(8, 60, 20)).unwrap();
    scenario.setup = scenario.setup.redis(&redis.url()).key("fence.charge_max", "\"5000\"");
    let table = scenario.campaigns.iter().enumerate();
    let cached: HashMap<_, _> = table
        .filter_map(|(at, campaign)| Some((campaign.id.clone(), said(at, campaign)?)))
        .collect();
    (scenario, cached)
}

fn produce(scenario: &Scenario, seed: u64) {
    scenario.produce(Mix { seed, ..Mix::default() }, EVENTS).unwrap();
}

/// Has the host look up prices until Redis answers, by clicks of a campaign of which Redis knows nothing.
fn wait_answered(scenario: &Scenario, host: &Host) {
    let unknown = &scenario.campaigns[..1];
    let mix = Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, ..Mix::default() };
    let (sender, mut generator) = (scenario.sender().unwrap(), Generator::new(mix, unknown));
    let misses = || host.metric("tollgate_redis_lookups_total{result=\"miss\"}").unwrap_or(0.0);
    let before = misses();
    let answered = wait_until("Redis to answer", LIMIT, || {
        let at_us = now_us();
        sender.send(&generator.next(at_us), at_us).unwrap();
        sender.flush().unwrap();
        (misses() > before).then_some(())
    });
    answered.unwrap_or_else(|error| panic!("{error}:\n{}", host.log()));
}

fn tell(redis: &Redis, cached: &HashMap<String, String>) {
    let pairs = cached.iter().map(|(id, price)| (format!("cpc:{id}"), price.clone()));
    redis.set_all(&pairs.collect::<Vec<_>>()).unwrap();
}

#[test]
fn sane_prices_of_redis_are_charged_and_lies_are_not() {
    let redis = Redis::start().unwrap();
    let (mut scenario, cached) = scenario("lying", &redis);
    tell(&redis, &cached);
    // A busy machine must not turn an answer into a late one.
    scenario.setup = scenario.setup.clone().key("redis.deadline_ms", "1000");
    let mut host = Host::start(&scenario.setup).unwrap();
    wait_answered(&scenario, &host);
    produce(&scenario, 5);
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let model = Model::new(&scenario.campaigns).with_redis(cached, CHARGE_MAX_MICROS);
    let outcome = scenario.verify(&model).unwrap();
    let from_redis = outcome
        .fates
        .values()
        .filter(|fate| matches!(fate, Fate::Charged(charge) if charge.price_source == "REDIS"));
    assert!(from_redis.count() > 100);
}

#[test]
fn an_empty_redis_changes_nothing() {
    let redis = Redis::start().unwrap();
    let (mut scenario, _) = scenario("empty", &redis);
    produce(&scenario, 5);
    let model = Model::new(&scenario.campaigns);
    scenario.charge_and_verify(&model).unwrap();
}

#[test]
fn a_redis_that_is_down_changes_nothing() {
    let mut redis = Redis::start().unwrap();
    let (mut scenario, _) = scenario("down", &redis);
    produce(&scenario, 5);
    redis.kill();
    let model = Model::new(&scenario.campaigns);
    scenario.charge_and_verify(&model).unwrap();
}

#[test]
fn a_redis_that_hangs_is_not_waited_for() {
    let redis = Redis::start().unwrap();
    let (mut scenario, cached) = scenario("hanging", &redis);
    produce(&scenario, 5);
    tell(&redis, &cached);
    redis.freeze().unwrap();
    let model = Model::new(&scenario.campaigns);
    scenario.charge_and_verify(&model).unwrap();
}

/// While Redis hangs, dies and returns, each row says where its price came from, and has that price.
#[test]
fn every_row_has_the_price_that_it_names() {
    let mut redis = Redis::start().unwrap();
    let (mut scenario, cached) = scenario("changing", &redis);
    tell(&redis, &cached);
    scenario.setup = scenario.setup.clone().key("redis.deadline_ms", "1000");
    let mut host = Host::start(&scenario.setup).unwrap();
    let more = |scenario: &mut Scenario, host: &Host, seed| {
        produce(scenario, seed);
        scenario.wait_charged(host).unwrap();
    };
    wait_answered(&scenario, &host);
    more(&mut scenario, &host, 5);
    redis.freeze().unwrap();
    more(&mut scenario, &host, 6);
    redis.thaw().unwrap();
    wait_answered(&scenario, &host);
    more(&mut scenario, &host, 7);
    redis.kill();
    more(&mut scenario, &host, 8);
    redis.restart().unwrap();
    tell(&redis, &cached);
    wait_answered(&scenario, &host);
    more(&mut scenario, &host, 9);
    assert!(host.terminate(LIMIT).unwrap().success(), "{}", host.log());
    let stored: HashMap<_, _> =
        scenario.campaigns.iter().map(|known| (known.id.as_str(), known.cpc_micros)).collect();
    let history = scenario.ledger.history(&scenario.topic).unwrap();
    let mut seen = HashMap::new();
    for row in &history {
        let campaign = row.campaign_id.as_str();
        let expected = match row.price_source.as_str() {
            "REDIS" => match cached[campaign].as_str() {
                "777.123456" => 777_123_456,
                whole => whole.parse::<i64>().unwrap() * 1_000_000,
            },
            _ => stored[campaign],
        };
        assert_eq!(-row.amount_micros, expected, "{row:?}");
        *seen.entry(row.price_source.as_str()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    scenario.setup.run(&["audit"]).unwrap();
}
