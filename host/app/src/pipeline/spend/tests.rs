use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use redis::AsyncCommands as _;
use tollgate_domain::book::{Campaign, DayState, Status};
use tollgate_domain::day::{Day, Zone};
use tollgate_domain::plan::DayMove;

use super::*;
use crate::config::Config;

/// 2099-11-20 23:00 in Seoul, because Redis keeps nothing that ends in its past.
const NOW_US: i64 = 4_098_866_400_000_000;
/// The midnight after it.
const MIDNIGHT_S: i64 = 4_098_870_000;

/// A Redis of its own, which ends with the test.
struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    fn start(port: u16) -> Self {
        let server = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("install redis-server");
        Self { server, port }
    }

    /// Waits until there are so many keys, one of them with this value. The limit is no claim about speed: it ends a
    /// test that would hang. `meanwhile` is done before each look.
    async fn wait_for(
        &self,
        keys: usize,
        key: &str,
        value: &str,
        meanwhile: impl Fn(),
    ) -> MultiplexedConnection {
        let began = Instant::now();
        let client = redis::Client::open(url(self.port)).unwrap();
        loop {
            meanwhile();
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("DBSIZE").query_async(&mut connection).await == Ok(keys)
                && connection.get(key).await == Ok(Some(value.to_owned()))
            {
                return connection;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for {key}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

fn start(port: u16, budget_key: &str) -> SpendPublisher {
    let mut settings = Config::from_layers(None, []).unwrap().redis;
    settings.publish_spend = true;
    settings.url = url(port);
    settings.budget_key = budget_key.to_owned();
    SpendPublisher::start(&settings).unwrap().unwrap()
}

fn book(campaigns: &[&str]) -> Book {
    let mut book = Book::default();
    for id in campaigns {
        let campaign = Campaign {
            id: (*id).into(),
            advertiser: "advertiser_1".into(),
            status: Status::Active,
            paused_reason: None,
            daily_budget: None,
            cpc: Micros(1),
            zone: Zone::new("Asia/Seoul").unwrap(),
            version: 1,
        };
        book.campaigns.insert(Arc::clone(&campaign.id), campaign);
    }
    book
}

fn plan(days: Vec<DayMove>) -> Plan<'static> {
    Plan { days, ..Plan::nothing(1) }
}

/// A campaign's spend of today, or of as many days later.
fn spent(campaign: &str, later: i32, micros: i64) -> DayMove {
    let today = Zone::new("Asia/Seoul").unwrap().day(NOW_US);
    DayMove {
        key: DayKey { campaign: campaign.into(), day: Day(today.0 + later) },
        campaign_version: 1,
        expected_version: 1,
        new: DayState { spent: Micros(micros), ..DayState::default() },
    }
}

#[tokio::test]
async fn todays_spend_is_written_and_ends_with_the_day() {
    let redis = Redis::start(free_port());
    let spend = start(redis.port, "daily_budget:{campaign_id}");
    let book = book(&["c1", "c2", "c3"]);
    // Days that are over or to come are not the budget of now; nor is a campaign that nobody knows.
    let others = vec![spent("c2", -1, 7), spent("c3", 1, 8), spent("stranger", 0, 9)];
    spend.publish(&plan(others), &book, NOW_US);
    spend.publish(&plan(vec![spent("c1", 0, 1_000_000), spent("c2", -1, 5)]), &book, NOW_US);
    spend.publish(&plan(vec![spent("c1", 0, 12_345_678)]), &book, NOW_US);
    let mut connection = redis.wait_for(1, "daily_budget:c1", "12.345678", || ()).await;
    let end_s: i64 =
        redis::cmd("EXPIRETIME").arg("daily_budget:c1").query_async(&mut connection).await.unwrap();
    assert_eq!(end_s, MIDNIGHT_S);
}

#[tokio::test]
async fn the_key_may_hold_the_day() {
    let redis = Redis::start(free_port());
    let spend = start(redis.port, "spend:{day}:{campaign_id}");
    let book = book(&["c{day}1"]);
    spend.publish(&plan(vec![spent("c{day}1", 0, 500_000)]), &book, NOW_US);
    redis.wait_for(1, "spend:2099-11-20:c{day}1", "0.5", || ()).await;
}

#[tokio::test]
async fn many_spends_are_written_and_a_redis_that_comes_back_is_used_again() {
    let port = free_port();
    let ids: Vec<String> = (0..PIPELINE_MAX * 2 + 1).map(|number| format!("c{number}")).collect();
    let book = book(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let spends = |micros| plan(ids.iter().map(|id| spent(id, 0, micros)).collect());
    // Nobody is there yet; the spends wait.
    let spend = start(port, "spend:{campaign_id}");
    spend.publish(&spends(1_000_000), &book, NOW_US);
    let redis = Redis::start(port);
    redis.wait_for(ids.len(), "spend:c0", "1", || ()).await;
    drop(redis);
    let redis = Redis::start(port);
    // Whatever is lost meanwhile is written with the next commit.
    let commit = || spend.publish(&spends(2_000_000), &book, NOW_US);
    redis.wait_for(ids.len(), "spend:c0", "2", commit).await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_coalesced() {
    let ids: Vec<String> = (0..WAITING_MAX + 5).map(|number| format!("c{number}")).collect();
    let book = book(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let spend = start(1, "spend:{campaign_id}");
    for micros in [1, 2] {
        let days = ids.iter().map(|id| spent(id, 0, micros)).collect();
        spend.publish(&plan(days), &book, NOW_US);
        let waiting = spend.waiting.lock();
        assert_eq!(waiting.len(), WAITING_MAX);
        assert!(waiting.values().all(|spend| spend.spent == Micros(micros)));
    }
}

#[tokio::test]
async fn nothing_is_started_when_it_is_not_wanted() {
    let mut settings = Config::from_layers(None, []).unwrap().redis;
    assert!(SpendPublisher::start(&settings).unwrap().is_none(), "it is off by default");
    settings.publish_spend = true;
    settings.url = String::new();
    assert!(SpendPublisher::start(&settings).unwrap().is_none());
    settings.url = "not a URL".to_owned();
    assert!(SpendPublisher::start(&settings).is_err());
}
