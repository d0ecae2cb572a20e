//! What writing a batch costs in Postgres over TCP: `cargo run --release -p tollgate-ledger --example write_cost`.
//!
//! 1,000 advertisers and 5,000 campaigns, drawn uniformly, which is the worst case because updates cost per key. The
//! server is private and durable unless `TOLLGATE_TEST_POSTGRES_URL` names another. Arguments choose batch sizes; any
//! other argument is SQL for the empty tables, to see what something in them costs.

#[path = "../tests/ledger/support/plans.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod plans;
#[path = "../tests/ledger/support/postgres.rs"]
mod postgres;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plans::{Batch, DAY, Held, TestClick};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tollgate_domain::book::{Campaign, DayKey, Status};
use tollgate_domain::money::Micros;
use tollgate_ledger::{Acquisition, AdDetails, Ledger, LedgerConfig, LockKeys, NewCampaign, Rows};

const ADVERTISERS: usize = 1_000;
const CAMPAIGNS: usize = 5_000;
const ROWS: [usize; 10] = [1, 8, 32, 64, 100, 200, 400, 1_000, 5_000, 20_000];
/// Size of a record, as `records_cost` in `host/app/src/records/tests.rs` measures it.
const RECORD_BYTES: usize = 100;
const RECORD_BYTES_PER_CLICK: usize = 16;
const TIME_PER_FIGURE: Duration = Duration::from_secs(4);

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Progress and history alone: the floor.
    HistoryOnly,
    Optimistic,
    /// As `Optimistic`, with a record of the decision of the usual size.
    Recorded,
    Locked,
}

/// What the writer remembers of the ledger.
struct Memory {
    campaigns: Vec<Campaign>,
    rows: HashMap<DayKey, tollgate_domain::book::DayState>,
    balances: HashMap<Arc<str>, Micros>,
    seed: u64,
    /// Instant of the last click.
    at_us: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = || std::env::args().skip(1);
    let chosen: Vec<usize> = arguments().filter_map(|rows| rows.parse().ok()).collect();
    let sizes = if chosen.is_empty() { ROWS.to_vec() } else { chosen };
    let server = postgres::Server::start(true);
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    admin.execute("DROP DATABASE IF EXISTS write_cost").await.unwrap();
    admin.execute("CREATE DATABASE write_cost").await.unwrap();
    let url = server.database("write_cost");
    let mut memory = seed(&url).await;
    for sql in arguments().filter(|text| text.parse::<usize>().is_err()) {
        PgConnection::connect(&url).await.unwrap().execute(&*sql).await.unwrap();
    }
    println!("median of a batch          one statement                    COPY");
    println!(
        "{:<12} {:>6} {:>11} {:>9} {:>14} {:>9}",
        "way", "rows", "rows/s", "us", "rows/s", "us"
    );
    for rows in sizes {
        for way in [Way::HistoryOnly, Way::Optimistic, Way::Recorded, Way::Locked] {
            let [small, large] = measure(&url, &mut memory, way, rows).await;
            let per_second = |us: u128| rows as u128 * 1_000_000 / us.max(1);
            let (small_rate, large_rate) = (per_second(small), per_second(large));
            let way = format!("{way:?}");
            println!("{way:<12} {rows:>6} {small_rate:>11} {small:>9} {large_rate:>14} {large:>9}");
        }
    }
    drop(admin);
}

async fn seed(url: &str) -> Memory {
    let mut ledger = Ledger::open(&LedgerConfig::new(url, "write-cost")).await.unwrap();
    ledger.migrate().await.unwrap();
    let campaigns: Vec<_> = (0..CAMPAIGNS).map(campaign).collect();
    ledger.put_campaigns(&campaigns).await.unwrap();
    ledger.first_sight("ad-events", "", &[(0, 0)]).await.unwrap();
    let ids: Vec<Arc<str>> = campaigns.iter().map(|c| c.id.as_str().into()).collect();
    let campaigns = ledger.campaigns(&ids).await.unwrap();
    Memory {
        campaigns,
        rows: HashMap::new(),
        balances: HashMap::new(),
        seed: 1,
        at_us: 1_795_219_200_123_457,
    }
}

fn campaign(number: usize) -> NewCampaign {
    NewCampaign {
        id: format!("campaign_{number}"),
        advertiser: format!("advertiser_{}", number % ADVERTISERS),
        status: Status::Active,
        daily_budget: None,
        cpc: Micros(100),
        time_zone: "Asia/Seoul".into(),
        ad: AdDetails::default(),
    }
}

/// Median time of a batch in microseconds, without the time to decide it, as one statement and with COPY. The two take
/// turns, so that other work on the machine meets both.
async fn measure(url: &str, memory: &mut Memory, way: Way, rows: usize) -> [u128; 2] {
    let config = LedgerConfig::new(url, "write-cost");
    let mut small = open(LedgerConfig { copy_rows_min: usize::MAX, ..config.clone() }).await;
    let mut large = open(LedgerConfig { copy_rows_min: 0, ..config }).await;
    let acquired = small.acquire("w", "ad-events", "", &[(0, 0)]).await.unwrap().remove(0);
    let Acquisition::Held { source, next_offset, generation } = acquired.result else {
        panic!("the partition is not free");
    };
    let mut held = Held { source, next_offset, generation };
    let mut took = [vec![], vec![]];
    let started = Instant::now();
    while started.elapsed() < TIME_PER_FIGURE || took[1].len() < 9 {
        took[0].push(write(&mut small, memory, way, rows, &mut held).await.as_micros());
        took[1].push(write(&mut large, memory, way, rows, &mut held).await.as_micros());
    }
    took.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

async fn open(config: LedgerConfig) -> Ledger {
    Ledger::open(&config).await.unwrap()
}

async fn write(
    ledger: &mut Ledger,
    memory: &mut Memory,
    way: Way,
    rows: usize,
    held: &mut Held,
) -> Duration {
    let clicks: Vec<_> = (0..rows).map(|_| memory.click()).collect();
    let batch = Batch::new(held, clicks);
    let known = memory.rows(&batch);
    let mut plan = batch.plan(&known, &memory.campaigns);
    if matches!(way, Way::HistoryOnly) {
        plan.balances.clear();
        plan.days.clear();
    }
    if matches!(way, Way::Recorded) {
        plan.record = Some(memory.record(rows));
    }
    let started = Instant::now();
    if matches!(way, Way::Locked) {
        let (advertisers, days) = (&batch.advertisers[..], &batch.days[..]);
        let advances = &plan.advances[..];
        ledger.lock(LockKeys { generation: 0, advances, advertisers, days }).await.unwrap();
    }
    ledger.apply(&plan).await.unwrap();
    let took = started.elapsed();
    for balance in &plan.balances {
        memory.balances.insert(Arc::clone(&balance.advertiser), balance.new);
    }
    for day in &plan.days {
        memory.rows.insert(day.key.clone(), day.new);
    }
    held.next_offset += rows as i64;
    took
}

impl Memory {
    fn click(&mut self) -> TestClick {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.at_us += 10;
        let campaign = &self.campaigns[(self.seed >> 33) as usize % CAMPAIGNS];
        TestClick {
            campaign: Arc::clone(&campaign.id),
            advertiser: Arc::clone(&campaign.advertiser),
            ad: format!("ad_{}", self.seed >> 50),
            day: DAY,
            price: 100,
            at_us: self.at_us,
        }
    }

    /// Bytes as they come out of a compressor.
    fn record(&mut self, rows: usize) -> Vec<u8> {
        let bytes = RECORD_BYTES + rows * RECORD_BYTES_PER_CLICK;
        let mut random = self.seed | 1;
        let byte = |_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        };
        (0..bytes).map(byte).collect()
    }

    fn rows(&self, batch: &Batch) -> Rows {
        let balance =
            |id: &Arc<str>| (Arc::clone(id), self.balances.get(id).copied().unwrap_or_default());
        let day = |key: &DayKey| (key.clone(), self.rows.get(key).copied().unwrap_or_default());
        Rows {
            balances: batch.advertisers.iter().map(balance).collect(),
            days: batch.days.iter().map(day).collect(),
        }
    }
}
