//! The ledger in Postgres: one dedicated connection that is never shared and never cancelled halfway.

pub(crate) mod apply;
mod copy;
pub(crate) mod days;
pub(crate) mod decisions;
mod error;
mod history;
pub(crate) mod partitions;
pub(crate) mod progress;
pub(crate) mod read;
mod schema;
mod small;

use std::str::FromStr;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Executor, Postgres};

use crate::config::LedgerConfig;
use crate::dialect::{Arg, Dialect, Words};
use crate::error::{LedgerError, Result};
use crate::session::Connection;

pub(crate) use error::database_error;

impl Connection for PgConnection {
    const LATEST: i64 = schema::LATEST;

    async fn connect(config: &LedgerConfig, address: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(address)
            .map_err(|_| LedgerError::Address("it is not a valid URL".into()))?
            .application_name(&config.application_name)
            .disable_statement_logging();
        let mut conn = options.connect().await.map_err(database_error)?;
        conn.execute(&*settings(config)).await.map_err(database_error)?;
        Ok(conn)
    }

    async fn version(&mut self) -> Result<i64> {
        schema::version(self).await
    }

    async fn migrate(&mut self) -> Result<i64> {
        schema::migrate(self).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.execute("BEGIN").await.map(drop).map_err(database_error)
    }

    async fn commit_early(&mut self) -> Result<()> {
        let set = self.execute("SET LOCAL synchronous_commit = off").await;
        set.map(drop).map_err(database_error)
    }

    async fn commit(&mut self) -> Result<()> {
        let done = self.execute("COMMIT").await;
        done.map(drop).map_err(|error| database_error(error).during_commit())
    }

    async fn roll_back(&mut self) -> Result<()> {
        self.execute("ROLLBACK").await.map(drop).map_err(database_error)
    }
}

impl Dialect for PgConnection {
    type Row = PgRow;

    const WORDS: Words = Words {
        now: "now()",
        clock: "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        after: ("(now() + ", " * INTERVAL '1 microsecond')"),
        at: ("(TIMESTAMPTZ 'epoch' + ", " * INTERVAL '1 microsecond')"),
        us: ("(extract(epoch FROM ", ") * 1000000)::bigint"),
        days: ("(", " - DATE '1970-01-01')"),
        ids: ("(SELECT value::bigint FROM jsonb_array_elements_text(", "::jsonb))"),
        keys: ("(SELECT value FROM jsonb_array_elements_text(", "::jsonb))"),
        json: ("", "::jsonb"),
        elements: ("jsonb_array_elements((", ")::jsonb)"),
        // An array, so that an index is asked for each instant.
        among: (
            "= ANY (ARRAY(SELECT TIMESTAMPTZ 'epoch' + value::bigint * INTERVAL '1 microsecond'
               FROM jsonb_array_elements_text((",
            ")::jsonb)))",
        ),
        day: ("(DATE '1970-01-01' + CAST(", " AS integer))"),
        unhex: ("decode(", ", 'hex')"),
        bytes: ("convert_to(", ", 'UTF8')"),
        digest: ("md5(", ")"),
        share: "FOR SHARE",
        lock: "FOR NO KEY UPDATE",
        lock_free: "FOR NO KEY UPDATE SKIP LOCKED",
    };

    async fn begin_snapshot(&mut self) -> Result<()> {
        // The first statement that reads fixes what is seen, and locks alone do not read. So no day comes or goes between
        // that instant and the first look at history, whose rows would then be in no table, or their sums not be seen.
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {WHOLE_TABLES};
             LOCK TABLE ONLY ad_balance_histories, ONLY ad_balance_histories_default IN ACCESS SHARE MODE"
        );
        self.execute(&*sql).await.map(drop).map_err(database_error)
    }

    async fn begin_search(&mut self) -> Result<()> {
        // Only a bitmap scan uses the summaries of page ranges. A planner that has no statistics of a new day yet would
        // read the whole unique index instead, if its entries cost nothing. Starting workers takes longer than the
        // scan does. Only a plan for these very days leaves the other days alone.
        let sql = "SET LOCAL enable_bitmapscan = on; SET LOCAL cpu_index_tuple_cost = 1000;
            SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL plan_cache_mode = force_custom_plan";
        self.execute(sql).await.map(drop).map_err(database_error)
    }

    async fn end_search(&mut self) -> Result<()> {
        let sql =
            "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_bitmapscan = off;
            SET LOCAL cpu_index_tuple_cost = DEFAULT";
        self.execute(sql).await.map(drop).map_err(database_error)
    }

    async fn begin_bulk(&mut self) -> Result<()> {
        self.execute(&*format!("BEGIN; {WHOLE_TABLES}")).await.map(drop).map_err(database_error)
    }

    async fn hold_days(&mut self) -> Result<()> {
        let sql = format!("SELECT pg_advisory_xact_lock_shared({})", days::HISTORY.turn);
        self.execute(&*sql).await.map(drop).map_err(database_error)
    }

    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<PgRow>> {
        bound(sql, args).fetch_all(self).await.map_err(database_error)
    }

    async fn change(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64> {
        let done = bound(sql, args).execute(self).await.map_err(database_error)?;
        Ok(done.rows_affected())
    }
}

fn bound<'q>(sql: &'q str, args: &[Arg<'q>]) -> Query<'q, Postgres, PgArguments> {
    args.iter().fold(sqlx::query(sql), |query, arg| match *arg {
        Arg::Int(value) => query.bind(value),
        Arg::Text(value) => query.bind(value),
        Arg::Bytes(value) => query.bind(value),
    })
}

/// Settings of the hot path would make statements over whole tables slow. Plans are made for the days that are asked
/// for, so that other days are left alone.
const WHOLE_TABLES: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL plan_cache_mode = force_custom_plan;
    SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on;
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_material = on; SET LOCAL work_mem = '64MB'";

/// Session settings. Without hash and merge joins and full scans, the planner takes rows through their index, in the
/// order of the sorted lists, which is the order of the locks; without costs for pages it begins with the lists even
/// while the tables are small; with generic plans it is asked only once.
fn settings(config: &LedgerConfig) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_hashjoin = off;
         SET enable_mergejoin = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
         SET random_page_cost = 0; SET seq_page_cost = 0; SET enable_material = off; SET enable_memoize = off;
         SET default_transaction_isolation = 'read committed'; SET TIME ZONE 'UTC'{}",
        config.statement_timeout.as_millis(),
        config.lock_timeout.as_millis(),
        config.idle_in_transaction_timeout.as_millis(),
        // Otherwise it stays as the site has it.
        if config.early_commits { "; SET synchronous_commit = off" } else { "" },
    )
}
