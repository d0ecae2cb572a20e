//! What history costs when there is much of it: `cargo run --release -p tollgate-ledger --example history_size`.
//!
//! Fills a private, durable Postgres with 20 million rows on 20 days, and takes turns between it and empty ledgers, so
//! that other work on the machine meets all alike. An argument chooses another number of rows for each day. The server
//! needs 12 GB of disk, which is free again afterwards.

mod charging;

use std::time::{Duration, Instant};

use charging::plans::Held;
use charging::postgres::Server;
use charging::{Memory, Way, hold, open, write};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tollgate_domain::book::DayKey;
use tollgate_domain::day::Day;
use tollgate_ledger::{AuditStep, Expired, HistorySettings, Ledger};

const DAYS: i32 = 20;
const ROWS_PER_DAY: i64 = 1_000_000;
/// Connections that fill the tables.
const FILLERS: usize = 4;
const TIME_PER_SHAPE: Duration = Duration::from_secs(25);
/// Rows of a batch, and whether COPY writes them.
const SHAPES: [(usize, bool); 5] =
    [(1, false), (8, false), (200, false), (1_000, true), (5_000, true)];

/// As tables were without partitions.
const PLAIN: &str = "
CREATE TABLE plain (LIKE ad_balance_histories INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
DROP VIEW history_sums;
DROP TABLE ad_balance_histories;
ALTER TABLE plain RENAME TO ad_balance_histories;
CREATE UNIQUE INDEX ON ad_balance_histories (kafka_partition, kafka_offset, incarnation, kafka_topic);
CREATE INDEX ON ad_balance_histories USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on)";

/// Names of ledgers, and what is done to their empty tables.
const SITES: [(&str, &str); 5] = [
    ("empty", ""),
    ("full", ""),
    ("no partitions", PLAIN),
    ("no unique index", "DROP INDEX ad_balance_histories_record"),
    ("no BRIN index", "DROP INDEX ad_balance_histories_occurred"),
];
const FULL: usize = 1;

/// A ledger and who charges it.
struct Site {
    url: String,
    memory: Memory,
    small: Ledger,
    large: Ledger,
    held: Held,
    /// Times of batches in microseconds, by shape.
    took: [Vec<u128>; SHAPES.len()],
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rows = std::env::args().nth(1).map_or(ROWS_PER_DAY, |rows| rows.parse().unwrap());
    let server = Server::start(true);
    let mut sites = vec![];
    let today = today(&server).await;
    for (number, (_, sql)) in SITES.iter().enumerate() {
        sites.push(Site::new(&server, number, sql, today).await);
    }
    sites[FULL].fill(today, rows).await;
    charge(&mut sites).await;
    print_rates(&mut sites);
    let site = &mut sites[FULL];
    site.print_sizes().await;
    site.print_reads(today, rows).await;
    site.print_refunds().await;
    site.print_audit().await;
    site.print_days().await;
}

async fn today(server: &Server) -> i32 {
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    let sql = "SELECT (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01'";
    sqlx::query(sql).fetch_one(&mut admin).await.unwrap().get(0)
}

/// Charges batches of every shape for a while. The ledgers take turns batch by batch; those that are to stay empty are
/// emptied before each shape.
async fn charge(sites: &mut [Site]) {
    for at in 0..SHAPES.len() {
        for (site, _) in sites.iter().zip(SITES).filter(|(_, (name, _))| *name != SITES[FULL].0) {
            site.connect().await.execute("TRUNCATE ad_balance_histories").await.unwrap();
        }
        let started = Instant::now();
        while started.elapsed() < TIME_PER_SHAPE {
            for site in sites.iter_mut() {
                site.write(at).await;
            }
        }
    }
}

fn print_rates(sites: &mut [Site]) {
    println!("clicks/s at the median of a batch, against the empty ledger");
    for (at, (rows, copy)) in SHAPES.into_iter().enumerate() {
        let mut empty = 0;
        for (site, (name, _)) in sites.iter_mut().zip(SITES) {
            let us = median(&mut site.took[at]);
            let rate = rows as u128 * 1_000_000 / us.max(1);
            empty = if name == "empty" { rate } else { empty };
            let shape = if copy { "COPY" } else { "statement" };
            println!(
                "{shape:<10} {rows:>5} {name:<16} {rate:>8} {:>5} %",
                rate * 100 / empty.max(1)
            );
        }
    }
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}

impl Site {
    async fn new(server: &Server, number: usize, sql: &str, today: i32) -> Self {
        let name = format!("size_{number}");
        let mut admin = PgConnection::connect(&server.url).await.unwrap();
        admin.execute(&*format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        admin.execute(&*format!("CREATE DATABASE {name}")).await.unwrap();
        let url = server.database(&name);
        let memory = charging::seed(&url, Day(today)).await;
        let mut small = open(&url, usize::MAX).await;
        let large = open(&url, 0).await;
        small.maintain_days(&settings(DAYS, 0)).await.unwrap();
        PgConnection::connect(&url).await.unwrap().execute(sql).await.unwrap();
        let held = hold(&mut small).await;
        Self { url, memory, small, large, held, took: Default::default() }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// History of other advertisers than those that are charged, with balances, spends and progress that fit.
    async fn fill(&mut self, today: i32, rows: i64) {
        let started = Instant::now();
        let fill = async |first: i32| {
            let mut conn = self.connect().await;
            for number in (first..DAYS).step_by(FILLERS) {
                let first = i64::from(number) * rows;
                let sql = day_rows(first, rows, today - DAYS + 1 + number);
                conn.execute(&*sql).await.unwrap();
                eprintln!("day {} of {DAYS}", number + 1);
            }
        };
        tokio::join!(fill(0), fill(1), fill(2), fill(3));
        let mut conn = self.connect().await;
        let all = i64::from(DAYS) * rows;
        conn.execute(&*rest(all)).await.unwrap();
        conn.execute("VACUUM (ANALYZE)").await.unwrap();
        conn.execute("CHECKPOINT").await.unwrap();
        eprintln!("{all} rows in {} s", started.elapsed().as_secs());
    }

    async fn write(&mut self, at: usize) {
        let (rows, copy) = SHAPES[at];
        let ledger = if copy { &mut self.large } else { &mut self.small };
        let took = write(ledger, &mut self.memory, Way::Optimistic, rows, &mut self.held).await;
        self.took[at].push(took.as_micros());
    }

    async fn print_sizes(&self) {
        let sql = "SELECT pg_size_pretty(sum(pg_relation_size(i.inhrelid))),
            (SELECT pg_size_pretty(sum(pg_relation_size(x.inhrelid))) FROM pg_inherits x
             WHERE x.inhparent = 'ad_balance_histories_record'::regclass),
            (SELECT pg_size_pretty(sum(pg_relation_size(x.inhrelid))) FROM pg_inherits x
             WHERE x.inhparent = 'ad_balance_histories_occurred'::regclass)
          FROM pg_inherits i WHERE i.inhparent = 'ad_balance_histories'::regclass";
        let row = sqlx::query(sql).fetch_one(&mut self.connect().await).await.unwrap();
        let [table, unique, brin] = [0, 1, 2].map(|at| row.get::<String, _>(at));
        println!("rows {table}, unique index {unique}, BRIN index {brin}");
    }

    async fn print_reads(&self, today: i32, rows: i64) {
        let mut conn = self.connect().await;
        let mut times = [vec![], vec![]];
        for number in 0..100 {
            let day = Day(today - number % DAYS);
            let offset = (i64::from(number) * 7_919_333) % (i64::from(DAYS) * rows);
            let sum = format!(
                "SELECT type, campaign_id, sum(amount_micros), count(*) FROM ad_balance_histories
                 WHERE budget_day = '{day}' AND advertiser_id = 'adv_{number}' GROUP BY type, campaign_id"
            );
            let lookup = format!(
                "SELECT * FROM ad_balance_histories WHERE kafka_partition = 1 AND kafka_offset = {offset}
                   AND incarnation = 0 AND kafka_topic = 'ad-events'"
            );
            for (times, sql) in times.iter_mut().zip([sum, lookup]) {
                let started = Instant::now();
                let found = sqlx::query(&sql).fetch_all(&mut conn).await.unwrap();
                assert!(!found.is_empty(), "{sql}");
                times.push(started.elapsed().as_micros());
            }
        }
        for (name, times) in
            ["an advertiser's day", "a record by its offset"].iter().zip(&mut times)
        {
            println!("{name}: median {} us, worst {} us", median(times), times[times.len() - 1]);
        }
    }

    /// Compensations that mean one charge each, on all days, are locked with what they are decided on.
    async fn print_refunds(&mut self) {
        self.connect().await.execute(COMPENSATIONS).await.unwrap();
        let waiting = self.small.waiting_compensations(1_000).await.unwrap();
        let mut times = vec![];
        for one in &waiting {
            let at_us = one.row.event.timestamps_us[0];
            let day = Day(i32::try_from(at_us / 86_400_000_000).unwrap());
            let key = DayKey { campaign: one.row.event.campaign.as_str().into(), day };
            let started = Instant::now();
            let facts = self.small.lock_refund(one, &key, 0).await.unwrap().unwrap();
            times.push(started.elapsed().as_micros());
            assert!(!facts.charges.is_empty(), "{one:?}");
            self.small.rollback().await.unwrap();
        }
        let p50 = median(&mut times);
        let p99 = times[times.len() * 99 / 100];
        println!("a refund's facts: median {p50} us, p99 {p99} us of {}", times.len());
        self.connect().await.execute("DELETE FROM compensations").await.unwrap();
    }

    async fn print_audit(&mut self) {
        let started = Instant::now();
        let mut begun = started;
        let mut on_step = |step: AuditStep<'_>| match step {
            AuditStep::Begins { .. } => begun = Instant::now(),
            AuditStep::Done(check) => {
                let took = begun.elapsed().as_millis();
                if took > 1_000 {
                    println!("  {}: {took} ms", check.name);
                }
            }
        };
        let report = self.small.audit_part(&Default::default(), &mut on_step).await.unwrap();
        let wrong: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
        println!("the audit: {} ms, wrong: {wrong:?}", started.elapsed().as_millis());
    }

    async fn print_days(&mut self) {
        for (name, settings) in [
            ("nothing to do", settings(DAYS, 0)),
            ("a day is made", HistorySettings { days_ahead: 8, ..settings(DAYS, 0) }),
            ("a day is retired", settings(DAYS - 1, DAYS - 2)),
        ] {
            let started = Instant::now();
            let report = self.small.maintain_days(&settings).await.unwrap();
            let took = started.elapsed().as_millis();
            println!(
                "{name}: {took} ms, {} made, {} rows retired",
                report.made.len(),
                report.retired_rows
            );
        }
    }
}

fn settings(days_back: i32, retention_days: i32) -> HistorySettings {
    HistorySettings { days_back, days_ahead: 7, retention_days, expired: Expired::Drop }
}

/// Rows of a day: the advertisers take turns, so that the balance after each row is known.
fn day_rows(first: i64, rows: i64, day: i32) -> String {
    let (day, apart_us) = (Day(day), 86_400_000_000 / rows);
    format!(
        "INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
           budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, ad_id, device_id, kafka_topic,
           price_source, reason)
         SELECT {first} + n, -100, -100 * (({first} + n) / 1000 + 1), 0,
           TIMESTAMPTZ '{day} 00:00Z' + n * {apart_us} * INTERVAL '1 microsecond', '{day}', 1, 0, 'DEDUCT',
           'adv_' || n % 1000, 'camp_' || n % 5000, 'ad_' || n % 9000, 'device-' || n * 7919 % 100003, 'ad-events',
           'STORED', 'STORED_PRICE'
         FROM generate_series(0::bigint, {rows} - 1) AS n;
         INSERT INTO campaign_daily_spend (campaign_id, day, spent_micros, version)
         SELECT 'camp_' || n, '{day}', {rows} / 5000 * 100, 1 FROM generate_series(0, 4999) AS n"
    )
}

/// Everything else that charging so many rows leaves.
fn rest(all: i64) -> String {
    format!(
        "INSERT INTO campaigns (campaign_id, advertiser_id, cpc_micros)
         SELECT 'camp_' || n, 'adv_' || n % 1000, 100 FROM generate_series(0, 4999) AS n;
         INSERT INTO advertiser_balances (advertiser_id, balance_micros)
         SELECT 'adv_' || n, -100 * {all} / 1000 FROM generate_series(0, 999) AS n;
         INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset,
           generation, charged)
         VALUES ('measured', 'ad-events', 1, '', 0, {all}, 0, {all})"
    )
}

const COMPENSATIONS: &str = "
INSERT INTO compensations (topic, incarnation, kafka_partition, kafka_offset, identity, state, advertiser_id,
  campaign_id, ad_id, device_id, duplicate_count, claimed_micros, timestamps, detection_window, reason,
  compensation_type, occurred_at, record_at_ms, payload, headers, generation)
SELECT 'compensations', 0, 0, row_number() OVER (ORDER BY kafka_offset), CAST(kafka_offset AS text), 'WAITING', advertiser_id,
  campaign_id, ad_id, device_id, 2, 100,
  jsonb_build_array((extract(epoch FROM occurred_at) * 1000000)::bigint), '5m', 'X', 'X', occurred_at, 0, '{}', '[]', 0
FROM ad_balance_histories TABLESAMPLE SYSTEM (0.02)
WHERE kafka_partition = 1 ORDER BY md5(CAST(kafka_offset AS text)) LIMIT 1000";
