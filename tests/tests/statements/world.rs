//! Servers, events and readers of what the statements have written.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row};
use tollgate_tests::harness::now_us;
use tollgate_tests::harness::topic::Sender;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::flink::statements::{Parameters, Statement, attribution_table};
use tollgate_tests::servers::flink::{Flink, Size};
use tollgate_tests::servers::kafka::create_topic;
use tollgate_tests::servers::postgres::create_database;
use tollgate_tests::servers::redis::Redis;
use tollgate_tests::wait::wait_until;

/// 2024-01-15T10:30:00Z, at which the customer's examples begin.
pub(crate) const BASE_MS: i64 = 1_705_314_600_000;
pub(crate) const MINUTE_MS: i64 = 60_000;
/// How far ahead of its record an event may be.
const AHEAD_MS_MAX: i64 = 10 * MINUTE_MS;

/// Topics of this run: their names, so that the servers of the suite can be shared, and partitions.
const CAMPAIGNS: (&str, i32) = ("statements-campaign-events", 4);
const ADS: (&str, i32) = ("statements-ad-events", 8);
const CONVERSIONS: (&str, i32) = ("statements-conversion-events", 4);
pub(crate) const COMPENSATIONS: &str = "statements-compensation-events";
pub(crate) const UNUSABLE: [&str; 3] = [
    "statements-campaign-events.unusable",
    "statements-ad-events.unusable",
    "statements-conversion-events.unusable",
];

/// Records with the timestamps of their events, which are old, have to outlive the test.
const RETENTION_DAYS: u32 = 36_500;

const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct World {
    pub(crate) flink: Flink,
    pub(crate) brokers: String,
    pub(crate) redis: Redis,
    database_url: String,
    campaigns: Sender,
    ads: Sender,
    conversions: Sender,
    /// Events with the times at which they are due.
    waiting: Vec<(i64, Topic, Value)>,
    /// How long figures live after their windows: those of the base for about an hour from now on.
    pub(crate) metrics_ttl_ms: i64,
}

#[derive(Clone, Copy)]
enum Topic {
    Ads,
    Conversions,
}

/// Everything that the statements have written to Redis and Postgres.
pub(crate) type Results = BTreeMap<String, String>;

impl World {
    pub(crate) fn start() -> Self {
        let servers = Servers::shared().unwrap();
        let (redis, brokers) = (Redis::durable().unwrap(), servers.brokers.clone());
        let single = [COMPENSATIONS].into_iter().chain(UNUSABLE).map(|name| (name, 1));
        for (name, partitions) in [CAMPAIGNS, ADS, CONVERSIONS].into_iter().chain(single) {
            create_topic(&brokers, name, partitions, RETENTION_DAYS).unwrap();
        }
        let database_url = create_database(&servers.postgres_url, "suite_statements").unwrap();
        let since_base_s = (now_us() / 1_000 - BASE_MS) / 1_000;
        let metrics_ttl_s = since_base_s + 3_600;
        let parameters = Parameters::of_servers(&brokers, &redis.url(), &database_url)
            .unwrap()
            .with("CAMPAIGN_EVENTS_TOPIC", CAMPAIGNS.0)
            .and_then(|all| all.with("AD_EVENTS_TOPIC", ADS.0))
            .and_then(|all| all.with("CONVERSION_EVENTS_TOPIC", CONVERSIONS.0))
            .and_then(|all| all.with("COMPENSATION_EVENTS_TOPIC", COMPENSATIONS))
            .and_then(|all| all.with("SCAN_PARALLELISM", "2"))
            .and_then(|all| all.with("CHECKPOINT_INTERVAL_MS", "500"))
            .and_then(|all| all.with("METRICS_TTL_S", metrics_ttl_s.to_string()))
            .unwrap();
        let sender = |(name, _)| Sender::new(&brokers, name).unwrap();
        let flink = Flink::start(Size::default(), parameters).unwrap();
        let (campaigns, ads) = (sender(CAMPAIGNS), sender(ADS));
        let conversions = sender(CONVERSIONS);
        let world = Self {
            flink,
            brokers,
            redis,
            database_url,
            campaigns,
            ads,
            conversions,
            waiting: Vec::new(),
            metrics_ttl_ms: metrics_ttl_s * 1_000,
        };
        world.sql(&attribution_table().unwrap());
        world
    }

    /// Sends what waits and starts the statements, which go on at their checkpoints, if there are any. Whatever they have to
    /// read first is there before them: while no partition counts as idle, none of it can be late.
    pub(crate) fn submit(&mut self) {
        self.flush();
        self.flink.submit(&Statement::ALL).unwrap();
    }

    /// An event of `campaign-events`, in the partition of its placement and category.
    pub(crate) fn campaign_event(&self, event: &Value) {
        let (placement, category) = (text(&event["placement"]), text(&event["category"]));
        let partition = partition(&format!("{placement}:{category}"), CAMPAIGNS.1);
        send(&self.campaigns, partition, event);
    }

    /// An event of `ad-events`, for the time when everything before it has happened.
    pub(crate) fn ad_event(&mut self, event: Value) {
        self.ad_event_at(at_ms(&event), event);
    }

    /// As `ad_event`, out of order: it comes when others come that happened at `order_ms`.
    pub(crate) fn ad_event_at(&mut self, order_ms: i64, event: Value) {
        self.waiting.push((order_ms, Topic::Ads, event));
    }

    pub(crate) fn conversion_event(&mut self, event: Value) {
        self.conversion_event_at(at_ms(&event), event);
    }

    pub(crate) fn conversion_event_at(&mut self, order_ms: i64, event: Value) {
        self.waiting.push((order_ms, Topic::Conversions, event));
    }

    /// Sends what waits. The last partition of `ad-events` never gets anything.
    pub(crate) fn flush(&mut self) {
        self.waiting.sort_by_key(|(order_ms, ..)| *order_ms);
        for (_, topic, event) in std::mem::take(&mut self.waiting) {
            let device = text(&event["device_id"]);
            match topic {
                Topic::Ads => send(&self.ads, partition(&device, ADS.1 - 1), &event),
                Topic::Conversions => {
                    send(&self.conversions, partition(&device, CONVERSIONS.1), &event)
                }
            }
        }
        self.wait_sent();
    }

    /// Waits until Kafka has everything.
    fn wait_sent(&self) {
        for sender in [&self.campaigns, &self.ads, &self.conversions] {
            sender.flush().unwrap();
        }
    }

    /// Any bytes or none, as a record of `at_ms`.
    pub(crate) fn raw(&self, topic: &str, payload: Option<&[u8]>, at_ms: i64) {
        let sender = match topic {
            "campaign-events" => &self.campaigns,
            "ad-events" => &self.ads,
            _ => &self.conversions,
        };
        sender.send_to(0, payload, at_ms * 1_000).unwrap();
    }

    /// Sends what waits and moves the time of clicks and conversions on, to `minutes` after the base, so that earlier
    /// windows end.
    pub(crate) fn let_time_pass_until(&mut self, minutes: i64) {
        self.flush();
        // What is read after the time has passed in another partition would be late.
        self.wait_read();
        let at_ms = BASE_MS + minutes * MINUTE_MS;
        self.send_everywhere(at_ms, at_ms);
    }

    /// Sends clicks and conversions that are as far ahead of their records as they may be, into every partition that has
    /// any, and waits until the statements have read them.
    pub(crate) fn run_ahead(&self, minutes: i64) {
        let record_at_ms = BASE_MS + minutes * MINUTE_MS;
        self.send_everywhere(record_at_ms, record_at_ms + AHEAD_MS_MAX);
        self.wait_read();
    }

    /// As `run_ahead` for campaign events, of today and about a campaign that nobody knows.
    pub(crate) fn run_ahead_with_campaigns(&self) {
        let record_at_ms = now_us() / 1_000;
        let event = json!({
            "event_type": "CAMPAIGN_STATUS_CHANGED", "timestamp": instant(record_at_ms + AHEAD_MS_MAX),
            "campaign_id": "campaign_clock", "advertiser_id": "advertiser_50", "status": "ACTIVE"
        });
        for partition in 0..CAMPAIGNS.1 {
            send_at(&self.campaigns, partition, &event, record_at_ms);
        }
        self.wait_sent();
        self.wait_read();
    }

    fn send_everywhere(&self, record_at_ms: i64, at_ms: i64) {
        for partition in 0..ADS.1 - 1 {
            let event = ad("IMPRESSION", "campaign_clock", "device_clock", at_ms);
            send_at(&self.ads, partition, &event, record_at_ms);
        }
        for partition in 0..CONVERSIONS.1 {
            let event = conversion("PURCHASE", "device_clock", at_ms);
            send_at(&self.conversions, partition, &event, record_at_ms);
        }
        self.wait_sent();
    }

    /// Waits until checkpoints of all statements cover everything that was sent.
    fn wait_read(&self) {
        for statement in Statement::ALL {
            let what = format!("{} to have read everything", statement.job_name());
            self.wait_for(&what, 0, |world| world.flink.parameters().uncovered(statement).unwrap());
        }
    }

    /// Waits until something is as it should be.
    pub(crate) fn wait_for<T: PartialEq + Debug>(
        &self,
        what: &str,
        expected: T,
        mut look: impl FnMut(&Self) -> T,
    ) {
        let mut seen = None;
        let came = wait_until(what, PATIENCE, || {
            let now = look(self);
            let is_there = now == expected;
            seen = Some(now);
            is_there.then_some(())
        });
        assert!(came.is_ok(), "{what}: expected {expected:#?}, there is {:#?}", seen.unwrap());
    }

    /// Members and scores of a sorted set, the highest first.
    pub(crate) fn ranks(&self, key: &str) -> String {
        self.script(
            "return table.concat(redis.call('ZREVRANGE', KEYS[1], 0, -1, 'WITHSCORES'), ' ')",
            key,
        )
    }

    /// Fields and values of a hash.
    pub(crate) fn hash(&self, key: &str) -> String {
        self.script("return table.concat(redis.call('HGETALL', KEYS[1]), ' ')", key)
    }

    pub(crate) fn set_hash(&self, key: &str, field: &str, value: &str) {
        self.redis.command(&["HSET", key, field, value]).unwrap();
    }

    /// What the task manager has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.flink.folder().join("taskmanager.log")).unwrap_or_default()
    }

    /// Milliseconds until a key is gone.
    pub(crate) fn ttl_ms(&self, key: &str) -> i64 {
        self.redis.command(&["PTTL", key]).unwrap().unwrap().parse().unwrap()
    }

    /// What the attribution has written of an order or another key.
    pub(crate) fn attribution(&self, key: &str) -> Option<Value> {
        let rows = self.rows("SELECT to_jsonb(a)::text FROM conversion_attribution a ORDER BY 1");
        let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
        let found: Vec<_> = rows.filter(|row| row["conversion_key"] == key).collect();
        assert!(found.len() <= 1);
        found.into_iter().next()
    }

    /// Everything in Redis and Postgres that is for others.
    pub(crate) fn results(&self) -> Results {
        let keys = self.script("return table.concat(redis.call('KEYS', KEYS[1]), '\\n')", "*");
        let shown =
            |key: &str| if key.starts_with("rtb:") { self.ranks(key) } else { self.hash(key) };
        let mut results: Results = keys
            .lines()
            .filter(|key| *key != "rtb-places")
            .map(|key| (key.to_owned(), shown(key)))
            .collect();
        let rows = self.rows("SELECT to_jsonb(a)::text FROM conversion_attribution a");
        results.extend(rows.into_iter().map(|row| (row, String::new())));
        results
    }

    fn script(&self, script: &str, key: &str) -> String {
        self.redis.command(&["EVAL", script, "1", key]).unwrap().unwrap()
    }

    pub(crate) fn sql(&self, statement: &str) {
        runtime().block_on(async {
            let mut connection = sqlx::PgConnection::connect(&self.database_url).await.unwrap();
            connection.execute(statement).await.unwrap();
        });
    }

    fn rows(&self, query: &str) -> Vec<String> {
        runtime().block_on(async {
            let mut connection = sqlx::PgConnection::connect(&self.database_url).await.unwrap();
            let rows = connection.fetch_all(query).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }
}

/// An event of `ad-events` with the customer's ids.
pub(crate) fn ad(kind: &str, campaign: &str, device: &str, at_ms: i64) -> Value {
    json!({
        "event_type": kind, "timestamp": instant(at_ms), "device_id": device, "session_id": "session_67890",
        "ad_id": "ad_001", "campaign_id": campaign, "advertiser_id": "advertiser_50", "product_id": "product_200",
        "placement": "CATEGORY", "bid_price": 1500, "actual_price": 1200, "search_term": "노트북",
        "category": "전자제품/컴퓨터"
    })
}

/// An event of `conversion-events` without an order.
pub(crate) fn conversion(kind: &str, device: &str, at_ms: i64) -> Value {
    json!({
        "timestamp": instant(at_ms), "device_id": device, "session_id": "session_67890", "product_id": "product_200",
        "revenue_amount": 50000, "conversion_type": kind, "attribution_window": 24,
        "referrer_url": "https://example.com/product/200"
    })
}

/// The same event with other fields; `null` takes one away.
pub(crate) fn with(mut event: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    event
}

/// RFC 3339 in UTC, with as many digits as it needs.
pub(crate) fn instant(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap().to_string()
}

/// When an event happened; the base, when it does not say.
fn at_ms(event: &Value) -> i64 {
    let at = text(&event["timestamp"]).parse::<Timestamp>();
    at.map_or(BASE_MS, Timestamp::as_millisecond)
}

fn send(sender: &Sender, partition: i32, event: &Value) {
    // The record is as old as the event, where that can be read.
    send_at(sender, partition, event, at_ms(event));
}

fn send_at(sender: &Sender, partition: i32, event: &Value, record_at_ms: i64) {
    let payload = event.to_string();
    sender.send_to(partition, Some(payload.as_bytes()), record_at_ms * 1_000).unwrap();
}

fn partition(key: &str, partitions: i32) -> i32 {
    let sum: i32 = key.bytes().map(i32::from).sum();
    sum % partitions
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
