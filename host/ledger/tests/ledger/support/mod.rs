//! One site on either database, and plans that are decided as simply as possible.

pub(crate) mod outbox;
pub(crate) mod plans;
pub(crate) mod postgres;
pub(crate) mod refunds;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor, Row};
use tempfile::TempDir;
use tollgate_domain::book::Status;
use tollgate_domain::money::Micros;
use tollgate_ledger::{Acquisition, AdDetails, Ledger, LedgerConfig, Module, NewCampaign, Part};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

/// Runs the same tests on both databases.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::Kind::Postgres).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::Kind::Sqlite).await; })*
        }
    };
}

/// An empty, migrated ledger of its own.
pub(crate) struct Site {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    _folder: TempDir,
}

pub(crate) const GROUP: &str = "click-balance-processor";
pub(crate) const TOPIC: &str = "ad-events";
pub(crate) const TOPIC_ID: &str = "TID-1";

impl Site {
    /// A ledger without tables.
    pub(crate) async fn bare(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = TempDir::new().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("ledger.db").display()),
            Kind::Postgres => {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let name = format!("t{}_{number}", std::process::id());
                let mut admin = PgConnection::connect(&server().url).await.unwrap();
                let sql = format!("DROP DATABASE IF EXISTS {name}; ");
                admin.execute(&*sql).await.unwrap();
                admin.execute(&*format!("CREATE DATABASE {name}")).await.unwrap();
                server().database(&name)
            }
        };
        Self { kind, url, _folder: folder }
    }

    /// Four campaigns of two advertisers, generation 1, four partitions from offset 0.
    pub(crate) async fn new(kind: Kind) -> Self {
        let site = Self::bare(kind).await;
        let mut ledger = site.open().await;
        ledger.migrate().await.unwrap();
        let campaigns: Vec<_> = (0..4).map(campaign).collect();
        ledger.put_campaigns(&campaigns).await.unwrap();
        ledger.put_balance("advertiser_0", Micros(1_000_000_000)).await.unwrap();
        ledger.put_balance("advertiser_1", Micros(0)).await.unwrap();
        for digest in ["d1", "d2"] {
            ledger.publish(&module(digest), false).await.unwrap();
        }
        assert_eq!(ledger.activate(&[part("d1")], "tester", "first").await.unwrap(), 1);
        let offsets = [(0, 0), (1, 0), (2, 0), (3, 0)];
        assert!(ledger.first_sight(TOPIC, TOPIC_ID, &offsets).await.unwrap());
        site
    }

    pub(crate) fn config(&self) -> LedgerConfig {
        LedgerConfig::new(self.url.clone(), GROUP)
    }

    pub(crate) async fn open(&self) -> Ledger {
        Ledger::open(&self.config()).await.unwrap()
    }

    /// A ledger that always takes the small (`usize::MAX`) or the large (0) shape.
    pub(crate) async fn open_shape(&self, copy_rows_min: usize) -> Ledger {
        Ledger::open(&LedgerConfig { copy_rows_min, ..self.config() }).await.unwrap()
    }

    /// Runs plain SQL, as a person or an accident would.
    pub(crate) async fn sql(&self, sql: &str) {
        self.try_sql(sql).await.unwrap();
    }

    /// As `sql`, when the database may refuse it.
    pub(crate) async fn try_sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        match self.kind {
            Kind::Postgres => self.pg().await.execute(sql).await.map(drop),
            Kind::Sqlite => self.lite().await.execute(sql).await.map(drop),
        }
    }

    /// The first column of a query as texts.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        match self.kind {
            Kind::Postgres => {
                let rows = sqlx::query(sql).fetch_all(&mut self.pg().await).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Kind::Sqlite => {
                let rows = sqlx::query(sql).fetch_all(&mut self.lite().await).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// Everything that a plan can change, the same text for the same content on both databases.
    pub(crate) async fn dump(&self) -> String {
        let occurred = match self.kind {
            Kind::Postgres => "(extract(epoch FROM occurred_at) * 1000000)::bigint",
            Kind::Sqlite => "occurred_at",
        };
        let mut dump = String::new();
        for (table, columns) in TABLES {
            let columns = columns.replace("occurred_at", occurred);
            let texts = columns.split(", ").map(|c| format!("coalesce(CAST({c} AS TEXT), '~')"));
            let line = texts.collect::<Vec<_>>().join(" || '|' || ");
            let rows = self.rows(&format!("SELECT {line} AS line FROM {table} ORDER BY 1")).await;
            dump += &format!("{table}\n  {}\n", rows.join("\n  "));
        }
        dump
    }

    /// Returns as soon as a connection of this site waits for a row.
    pub(crate) async fn somebody_waits(&self) {
        self.so_many_wait(1).await;
    }

    /// Returns as soon as so many connections of this site wait for a lock.
    pub(crate) async fn so_many_wait(&self, count: usize) {
        let waiting = "SELECT 'x' FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while self.rows(waiting).await.len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn pg(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn lite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url).await.unwrap()
    }
}

const TABLES: &[(&str, &str)] = &[
    (
        "ad_balance_histories",
        "kafka_topic, kafka_partition, incarnation, kafka_offset, type, amount_micros, balance_after_micros, \
         advertiser_id, campaign_id, ad_id, device_id, occurred_at, budget_day, price_source, reason, generation",
    ),
    ("advertiser_balances", "advertiser_id, opening_micros, balance_micros"),
    (
        "campaign_daily_spend",
        "campaign_id, day, spent_micros, warned_ppm, paused_ppm, crossing_budget_micros, overspent_micros, version",
    ),
    (
        "consumer_progress",
        "topic, kafka_partition, topic_id, incarnation, first_offset, next_offset, epoch, generation, charged, \
         skipped, dead, absent, owner, halted_reason",
    ),
    ("campaigns", "campaign_id, status, paused_reason, paused_day, cpc_micros"),
    (
        "budget_crossings",
        "campaign_id, day, kind, level_ppm, budget_micros, advertiser_id, usage_ppm, spent_micros, reason",
    ),
    ("outbox", "dedup_key, kind, payload"),
    (
        "compensations",
        "topic, incarnation, kafka_partition, kafka_offset, identity, state, advertiser_id, campaign_id, ad_id, \
         device_id, duplicate_count, claimed_micros, detection_window, reason, compensation_type, record_at_ms, \
         payload, generation, refund_micros",
    ),
    (
        "duplicate_click_logs",
        "campaign_id, duplicate_count, refund_micros, mismatch, topic, incarnation, kafka_partition, kafka_offset",
    ),
    ("refunded_charges", "topic, incarnation, kafka_partition, kafka_offset"),
    (
        "dead_letters",
        "topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms, length(message_key), \
         length(payload), generation",
    ),
];

pub(crate) fn campaign(number: usize) -> NewCampaign {
    NewCampaign {
        id: format!("campaign_{number}"),
        advertiser: format!("advertiser_{}", number % 2),
        status: Status::Active,
        daily_budget: Some(Micros(10_000)),
        cpc: Micros(100),
        time_zone: "Asia/Seoul".into(),
        ad: AdDetails::default(),
    }
}

pub(crate) fn module(digest: &str) -> Module {
    Module {
        digest: digest.into(),
        world: "pricing".into(),
        name: "pricing".into(),
        version: "1.0.0".into(),
        bytes: digest.as_bytes().to_vec(),
        ..Module::default()
    }
}

pub(crate) fn part(digest: &str) -> Part {
    Part { world: "pricing".into(), digest: digest.into(), params: "{}".into() }
}

/// Acquires a partition that must be free to take.
pub(crate) async fn acquire(ledger: &mut Ledger, partition: i32) -> plans::Held {
    let acquired = ledger.acquire("tester", TOPIC, TOPIC_ID, &[(partition, 0)]).await.unwrap();
    match &acquired[0].result {
        Acquisition::Held { source, next_offset, generation } => plans::Held {
            source: source.clone(),
            next_offset: *next_offset,
            generation: *generation,
        },
        other => panic!("not held: {other:?}"),
    }
}

/// One server for all tests of a program; it ends with the program.
fn server() -> &'static postgres::Server {
    static SERVER: OnceLock<postgres::Server> = OnceLock::new();
    SERVER.get_or_init(|| postgres::Server::start(false))
}
