//! Redis is asked and never needed: whatever it does, charges stay the same and budget decisions fall back to the ledger.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tollgate_tests::generator::Mix;
use tollgate_tests::generator::campaigns::{Campaign, campaigns, limit};
use tollgate_tests::harness::host::Host;
use tollgate_tests::harness::ledger::{
    BalanceRow, CampaignRow, CrossingRow, HistoryRow, Ledger, SpendRow,
};
use tollgate_tests::harness::scenario::{Database, Scenario, limited_campaigns, noon_zone};
use tollgate_tests::model::Model;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::postgres::create_database;
use tollgate_tests::servers::redis::Redis;
use tollgate_tests::wait::wait_until;

use crate::exact::{produce_steadily, stop_producing};

const LIMIT: Duration = Duration::from_secs(60);
const OPENING_MICROS: i64 = 1_000_000_000_000_000;
const BREAKER_OPEN: &str = "tollgate_redis_breaker_open";

/// Money as Redis has it.
fn decimal(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The database's prices, and counters that lag behind.
fn tell_truth(redis: &Redis, known: &[Campaign]) {
    let pairs = known.iter().flat_map(|campaign| {
        let price = decimal(campaign.cpc_micros);
        [(format!("cpc:{}", campaign.id), price), (counter(&campaign.id), "1".to_owned())]
    });
    redis.set_all(&pairs.collect::<Vec<_>>()).unwrap();
}

/// Prices and counters that nobody can mean.
fn tell_lies(redis: &Redis, known: &[Campaign]) {
    const PRICES: [&str; 5] = ["-1", "0", "free", "1000000.000001", "99999999999999999999999"];
    let pairs = known.iter().enumerate().flat_map(|(at, campaign)| {
        let beyond = campaign.daily_budget_micros.unwrap_or(1).saturating_mul(11);
        let counters = ["-1".to_owned(), "much".to_owned(), decimal(beyond)];
        let price = PRICES[at % PRICES.len()].to_owned();
        [
            (format!("cpc:{}", campaign.id), price),
            (counter(&campaign.id), counters[at % counters.len()].clone()),
        ]
    });
    redis.set_all(&pairs.collect::<Vec<_>>()).unwrap();
}

fn counter(campaign: &str) -> String {
    format!("daily_budget:{campaign}")
}

fn lookups(host: &Host, result: &str) -> f64 {
    let name = format!("tollgate_redis_lookups_total{{result=\"{result}\"}}");
    host.metric(&name).unwrap_or(0.0)
}

/// Waits until lookups end like this, and the breaker is as expected.
fn wait_seen(host: &Host, what: &str, result: &str, open: Option<f64>) {
    let before = lookups(host, result);
    let seen = wait_until(what, LIMIT, || {
        let breaker = open.is_none() || host.metric(BREAKER_OPEN) == open;
        (breaker && lookups(host, result) > before).then_some(())
    });
    if let Err(error) = seen {
        let metrics = host.get("/metrics").map(|(_, body)| body).unwrap_or_default();
        let lines: Vec<_> = metrics.lines().filter(|line| line.contains("redis")).collect();
        panic!("{error}:\n{}", lines.join("\n"));
    }
}

/// What charging leaves behind, without the names of who decided.
struct Left {
    history: Vec<HistoryRow>,
    spend: Vec<SpendRow>,
    balances: Vec<BalanceRow>,
    crossings: Vec<CrossingRow>,
    campaigns: Vec<CampaignRow>,
}

impl Left {
    fn of(ledger: &mut Ledger, topic: &str) -> Self {
        let mut history = ledger.history(topic).unwrap();
        history.iter_mut().for_each(|row| row.price_source.clear());
        Self {
            history,
            spend: ledger.spend().unwrap(),
            balances: ledger.balances().unwrap(),
            crossings: ledger.crossings().unwrap(),
            campaigns: ledger.campaigns().unwrap(),
        }
    }

    fn check_equals(&self, other: &Self) {
        same("history", &self.history, &other.history);
        same("spend", &self.spend, &other.spend);
        same("balances", &self.balances, &other.balances);
        same("crossings", &self.crossings, &other.crossings);
        same("campaigns", &self.campaigns, &other.campaigns);
    }
}

/// Tables may be long, so only the first difference is shown.
fn same<T: PartialEq + Debug>(what: &str, left: &[T], right: &[T]) {
    let different = left.iter().zip(right).find(|(left, right)| left != right);
    assert!(different.is_none() && left.len() == right.len(), "{what}: {different:?}");
}

/// Slows every answer down while `work` runs, without closing a connection.
fn slowly(redis: &Redis, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The next of these commands waits itself, so that one pause follows the other.
                redis.command(&["CLIENT", "PAUSE", "50"]).unwrap();
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_tortured_redis_changes_no_charge_and_no_crossing() {
    let mut redis = Redis::start().unwrap();
    let mut scenario =
        Scenario::new("torture", Database::Postgres, limited_campaigns(60, 20)).unwrap();
    scenario.setup = scenario
        .setup
        .clone()
        .redis(&redis.url())
        .key("redis.cache_ms", "1")
        .key("batch.clicks_max", "100");
    let known = scenario.campaigns.clone();
    tell_truth(&redis, &known);
    let mut host = Host::start(&scenario.setup).unwrap();
    let producing = produce_steadily(&scenario, 41, 1_500);

    wait_seen(&host, "prices to come from Redis", "hit", Some(0.0));
    redis.freeze().unwrap();
    wait_seen(&host, "a frozen Redis to be left alone", "skipped", Some(1.0));
    redis.thaw().unwrap();
    wait_seen(&host, "Redis to be asked after it thawed", "hit", Some(0.0));
    slowly(&redis, || wait_seen(&host, "late answers not to be waited for", "failed", None));
    wait_seen(&host, "Redis to be asked after it was slow", "hit", Some(0.0));
    tell_lies(&redis, &known);
    wait_seen(&host, "lies to be seen through", "absurd", Some(0.0));
    redis.command(&["FLUSHALL"]).unwrap();
    wait_seen(&host, "an empty Redis to be asked", "miss", Some(0.0));
    redis.kill();
    wait_seen(&host, "a dead Redis to be left alone", "skipped", Some(1.0));
    redis.restart().unwrap();
    tell_truth(&redis, &known);
    wait_seen(&host, "Redis to be asked after it returned", "hit", Some(0.0));

    stop_producing(producing);
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    scenario.setup.run(&["audit"]).unwrap();
    let tortured = Left::of(&mut scenario.ledger, &scenario.topic);

    // The same log once more, by a host that knows no Redis.
    let url = &Servers::shared().unwrap().postgres_url;
    scenario.setup.ledger_url = create_database(url, "suite_torture_alone").unwrap();
    scenario.setup.group = "suite-torture-alone".to_owned();
    scenario.setup = scenario.setup.clone().redis("");
    scenario.setup.migrate().unwrap();
    scenario.ledger = Ledger::open(&scenario.setup.ledger_url).unwrap();
    scenario.ledger.load(&known, OPENING_MICROS).unwrap();
    let outcome = scenario.charge_and_verify(&Model::new(&known)).unwrap();
    assert!(!outcome.exhausted.is_empty());
    let alone = Left::of(&mut scenario.ledger, &scenario.topic);
    tortured.check_equals(&alone);
}

fn clicks() -> Mix {
    Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, ..Mix::default() }
}

/// Crossings and refused pauses after `made` clicks on a budget of 100, with a counter that stands at `counter` clicks.
fn check_counter(
    name: &str,
    made: usize,
    counter_clicks: i64,
    expected: &[(&str, &str)],
    refused: i64,
) {
    let redis = Redis::start().unwrap();
    let mut known = campaigns(5, 1, 1);
    limit(&mut known[0], 100);
    known[0].time_zone = noon_zone();
    let amount = decimal(known[0].cpc_micros * counter_clicks);
    redis.set_all(&[(counter(&known[0].id), amount)]).unwrap();
    let mut scenario = Scenario::new(name, Database::Sqlite, known).unwrap();
    scenario.setup = scenario.setup.clone().redis(&redis.url()).key("redis.deadline_ms", "1000");
    // By the time it is ready, the host has met Redis.
    let mut host = Host::start(&scenario.setup).unwrap();
    scenario.produce(clicks(), made).unwrap();
    scenario.wait_charged(&host).unwrap();
    assert!(host.terminate(LIMIT).unwrap().success());
    let crossings = scenario.ledger.crossings().unwrap();
    let found: Vec<_> =
        crossings.iter().map(|row| (row.kind.as_str(), row.reason.as_str())).collect();
    assert_eq!(found, expected, "{name}");
    let told = "SELECT count(*) FROM outbox WHERE kind = 'PAUSE_REFUSED'";
    assert_eq!(scenario.ledger.number(told).unwrap(), refused, "{name}");
    scenario.setup.run(&["audit"]).unwrap();
}

#[test]
fn a_counter_that_is_ahead_decides_within_the_fence_and_says_so() {
    check_counter("counter-behind", 60, 30, &[], 0);
    check_counter("counter-ahead", 60, 95, &[("WARN", "COUNTER")], 0);
    // Half of the budget is the floor of the fence.
    check_counter("counter-full", 60, 100, &[("PAUSE", "COUNTER")], 1);
    check_counter("counter-floor", 20, 100, &[], 1);
    check_counter("counter-absurd", 60, 1_001, &[], 0);
}

#[test]
fn published_counters_are_the_ledgers_spend() {
    let redis = Redis::start().unwrap();
    let mut known = campaigns(6, 30, 8);
    known.iter_mut().for_each(|campaign| campaign.time_zone = noon_zone());
    let mut scenario = Scenario::new("published", Database::Postgres, known).unwrap();
    scenario.setup = scenario.setup.clone().redis(&redis.url()).key("redis.publish_spend", "true");
    let mut host = Host::start(&scenario.setup).unwrap();
    for seed in [51, 52] {
        scenario.produce(Mix { seed, ..clicks() }, 2_000).unwrap();
        scenario.wait_charged(&host).unwrap();
        for row in scenario.ledger.spend().unwrap() {
            let expected = decimal(row.spent_micros);
            wait_until(&format!("the counter of {row:?}"), LIMIT, || {
                let found = redis.command(&["GET", &counter(&row.campaign_id)]).unwrap()?;
                (padded(&found) == expected).then_some(())
            })
            .unwrap();
        }
    }
    assert!(host.terminate(LIMIT).unwrap().success());
    let left = redis.command(&["TTL", &counter(&scenario.campaigns[0].id)]).unwrap().unwrap();
    // Noon is about twelve hours from the end of the day.
    assert!((1..=24 * 3_600).contains(&left.parse::<i64>().unwrap()), "{left}");
}

/// A decimal with all six decimals.
fn padded(text: &str) -> String {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}.{decimals:0<6}")
}
