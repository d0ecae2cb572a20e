//! Reads and fills the ledger's tables with plain SQL, without the host.

use std::fmt::Write as _;

use anyhow::Result;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Executor, FromRow, Row};
use tokio::runtime::Runtime;

use crate::generator::campaigns::Campaign;

/// A connection to either database.
pub struct Ledger {
    runtime: Runtime,
    connection: Either,
}

enum Either {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A struct that is read from rows of either database by the names of its fields.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(pub $field: $type,)*
        }
        row!(@from PgRow $name $($field)*);
        row!(@from SqliteRow $name $($field)*);
    };
    (@from $row:ident $name:ident $($field:ident)*) => {
        impl FromRow<'_, $row> for $name {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

row! {
    /// A row of `ad_balance_histories`.
    HistoryRow {
        kafka_partition: i64,
        kafka_offset: i64,
        advertiser_id: String,
        campaign_id: String,
        ad_id: String,
        device_id: String,
        amount_micros: i64,
        occurred_at_us: i64,
        budget_day: String,
        price_source: String,
        generation: i64,
    }
}

row! {
    /// A row of `rule_generation_starts`.
    StartRow {
        kafka_partition: i64,
        generation: i64,
        first_offset: i64,
    }
}

row! {
    /// A row of `dead_letters`.
    DeadRow {
        kafka_partition: i64,
        kafka_offset: i64,
        code: String,
        payload: Option<Vec<u8>>,
    }
}

row! {
    /// A row of `consumer_progress`.
    ProgressRow {
        kafka_partition: i64,
        first_offset: i64,
        next_offset: i64,
        charged: i64,
        skipped: i64,
        dead: i64,
        absent: i64,
        halted_reason: Option<String>,
    }
}

row! {
    /// A row of `campaign_daily_spend`.
    SpendRow {
        campaign_id: String,
        day: String,
        spent_micros: i64,
    }
}

row! {
    /// A row of `advertiser_balances`.
    BalanceRow {
        advertiser_id: String,
        opening_micros: i64,
        balance_micros: i64,
    }
}

row! {
    /// A row of `budget_crossings`.
    CrossingRow {
        campaign_id: String,
        day: String,
        kind: String,
        level_ppm: i64,
        reason: String,
    }
}

row! {
    /// A row of `campaigns`, as far as rules change it.
    CampaignRow {
        campaign_id: String,
        status: String,
        paused_reason: Option<String>,
    }
}

row! {
    /// A row of `deliveries`.
    DeliveryRow {
        key: String,
        happening: String,
        kind: String,
        channel: String,
        route: String,
        severity: String,
        title: String,
        body: String,
        campaign_id: String,
        attempts: i64,
        outcome: Option<String>,
    }
}

row! {
    /// What was charged on a campaign-day after its pause was decided.
    OverspentRow {
        campaign_id: String,
        day: String,
        overspent_micros: i64,
    }
}

/// Runs one query on whichever database it is.
macro_rules! rows {
    ($ledger:expr, $sql:expr) => {{
        let Ledger { runtime, connection } = $ledger;
        let sql: &str = $sql;
        let rows = match connection {
            Either::Postgres(db) => runtime.block_on(sqlx::query_as(sql).fetch_all(db))?,
            Either::Sqlite(db) => runtime.block_on(sqlx::query_as(sql).fetch_all(db))?,
        };
        Ok(rows)
    }};
}

mod refunds;

pub use refunds::{CompensationRow, DuplicateRow, GivenBackRow, RefundRow};

impl Ledger {
    /// # Errors
    /// The database cannot be reached.
    pub fn open(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = if url.starts_with("sqlite:") {
            Either::Sqlite(runtime.block_on(SqliteConnection::connect(url))?)
        } else {
            Either::Postgres(runtime.block_on(PgConnection::connect(url))?)
        };
        Ok(Self { runtime, connection })
    }

    /// Runs statements without results.
    ///
    /// # Errors
    /// The database refuses one.
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        let Self { runtime, connection } = self;
        match connection {
            Either::Postgres(db) => {
                runtime.block_on(db.execute(sqlx::raw_sql(sql)))?;
            }
            Either::Sqlite(db) => {
                runtime.block_on(db.execute(sqlx::raw_sql(sql)))?;
            }
        }
        Ok(())
    }

    /// One number.
    ///
    /// # Errors
    /// The database refuses, or there is no row.
    pub fn number(&mut self, sql: &str) -> Result<i64> {
        let Self { runtime, connection } = self;
        Ok(match connection {
            Either::Postgres(db) => runtime.block_on(sqlx::query_scalar(sql).fetch_one(db))?,
            Either::Sqlite(db) => runtime.block_on(sqlx::query_scalar(sql).fetch_one(db))?,
        })
    }

    /// A column of texts.
    ///
    /// # Errors
    /// The database refuses.
    pub fn texts(&mut self, sql: &str) -> Result<Vec<String>> {
        let Self { runtime, connection } = self;
        Ok(match connection {
            Either::Postgres(db) => runtime.block_on(sqlx::query_scalar(sql).fetch_all(db))?,
            Either::Sqlite(db) => runtime.block_on(sqlx::query_scalar(sql).fetch_all(db))?,
        })
    }

    /// Loads campaigns of advertisers whose balances are open.
    ///
    /// # Errors
    /// A campaign is there already.
    pub fn load_campaigns(&mut self, campaigns: &[Campaign]) -> Result<()> {
        for part in campaigns.chunks(500).filter(|part| !part.is_empty()) {
            self.execute(&insert_campaigns(part))?;
        }
        Ok(())
    }

    /// Loads campaigns and opens the balances of their advertisers.
    ///
    /// # Errors
    /// A campaign is there already.
    pub fn load(&mut self, campaigns: &[Campaign], opening_micros: i64) -> Result<()> {
        self.load_campaigns(campaigns)?;
        let mut advertisers: Vec<&str> =
            campaigns.iter().map(|campaign| campaign.advertiser.as_str()).collect();
        advertisers.sort_unstable();
        advertisers.dedup();
        for part in advertisers.chunks(500) {
            let rows: Vec<String> = part
                .iter()
                .map(|id| format!("({}, {opening_micros}, {opening_micros})", quoted(id)))
                .collect();
            self.execute(&format!(
                "INSERT INTO advertiser_balances (advertiser_id, opening_micros, balance_micros) VALUES {}",
                rows.join(", ")
            ))?;
        }
        Ok(())
    }

    /// # Errors
    /// The database refuses.
    pub fn history(&mut self, topic: &str) -> Result<Vec<HistoryRow>> {
        let occurred = match &self.connection {
            Either::Postgres(_) => "CAST(extract(epoch FROM occurred_at) * 1000000 AS bigint)",
            Either::Sqlite(_) => "occurred_at",
        };
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, kafka_offset, advertiser_id, campaign_id, \
             coalesce(ad_id, '') AS ad_id, coalesce(device_id, '') AS device_id, amount_micros, \
             {occurred} AS occurred_at_us, CAST(budget_day AS text) AS budget_day, price_source, generation \
             FROM ad_balance_histories WHERE kafka_topic = {} AND type = 'DEDUCT' \
             ORDER BY kafka_partition, kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// Where generations of rules begin in the partitions of a topic, the oldest first.
    ///
    /// # Errors
    /// The database refuses.
    pub fn generation_starts(&mut self, topic: &str) -> Result<Vec<StartRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, generation, first_offset \
             FROM rule_generation_starts WHERE topic = {} ORDER BY kafka_partition, generation",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// What is a dead letter still.
    ///
    /// # Errors
    /// The database refuses.
    pub fn dead_letters(&mut self, topic: &str) -> Result<Vec<DeadRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, kafka_offset, code, payload \
             FROM dead_letters WHERE topic = {} AND replayed_at IS NULL ORDER BY kafka_partition, kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// # Errors
    /// The database refuses.
    pub fn progress(&mut self, topic: &str) -> Result<Vec<ProgressRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, first_offset, next_offset, charged, \
             skipped, dead, absent, halted_reason \
             FROM consumer_progress WHERE topic = {} ORDER BY kafka_partition",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// # Errors
    /// The database refuses.
    pub fn spend(&mut self) -> Result<Vec<SpendRow>> {
        rows!(
            self,
            "SELECT campaign_id, CAST(day AS text) AS day, spent_micros FROM campaign_daily_spend \
             ORDER BY campaign_id, day"
        )
    }

    /// # Errors
    /// The database refuses.
    pub fn balances(&mut self) -> Result<Vec<BalanceRow>> {
        rows!(
            self,
            "SELECT advertiser_id, opening_micros, balance_micros FROM advertiser_balances \
             ORDER BY advertiser_id"
        )
    }

    /// # Errors
    /// The database refuses.
    pub fn crossings(&mut self) -> Result<Vec<CrossingRow>> {
        rows!(
            self,
            "SELECT campaign_id, CAST(day AS text) AS day, kind, level_ppm, reason FROM budget_crossings \
             ORDER BY campaign_id, day, kind, level_ppm"
        )
    }

    /// # Errors
    /// The database refuses.
    pub fn campaigns(&mut self) -> Result<Vec<CampaignRow>> {
        rows!(self, "SELECT campaign_id, status, paused_reason FROM campaigns ORDER BY campaign_id")
    }

    /// Kinds and keys of outbox rows.
    ///
    /// # Errors
    /// The database refuses.
    pub fn outbox(&mut self) -> Result<Vec<(String, String)>> {
        rows!(self, "SELECT kind, dedup_key FROM outbox ORDER BY dedup_key")
    }

    /// Messages, waiting, sent or given up, in the order in which they were worded.
    ///
    /// # Errors
    /// The database refuses.
    pub fn deliveries(&mut self) -> Result<Vec<DeliveryRow>> {
        rows!(
            self,
            "SELECT key, happening, kind, channel, route, severity, title, body, campaign_id, \
             CAST(attempts AS bigint) AS attempts, outcome FROM deliveries ORDER BY id"
        )
    }

    /// Campaign-days with charges after their pause.
    ///
    /// # Errors
    /// The database refuses.
    pub fn overspent(&mut self) -> Result<Vec<OverspentRow>> {
        rows!(
            self,
            "SELECT campaign_id, CAST(day AS text) AS day, overspent_micros FROM campaign_daily_spend \
             WHERE overspent_micros > 0 ORDER BY campaign_id, day"
        )
    }
}

fn insert_campaigns(campaigns: &[Campaign]) -> String {
    let mut sql = "INSERT INTO campaigns (campaign_id, advertiser_id, status, daily_budget_micros, cpc_micros, \
                   time_zone) VALUES "
        .to_owned();
    for (at, campaign) in campaigns.iter().enumerate() {
        let budget = campaign.daily_budget_micros.map_or("NULL".to_owned(), |b| b.to_string());
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ok = write!(
            sql,
            "{comma}({}, {}, {}, {budget}, {}, {})",
            quoted(&campaign.id),
            quoted(&campaign.advertiser),
            quoted(campaign.status),
            campaign.cpc_micros,
            quoted(&campaign.time_zone),
        );
    }
    sql
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
