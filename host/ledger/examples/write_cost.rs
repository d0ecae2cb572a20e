//! What writing a batch costs in Postgres over TCP: `cargo run --release -p tollgate-ledger --example write_cost`.
//!
//! 1,000 advertisers and 5,000 campaigns, drawn uniformly, which is the worst case because updates cost per key. The
//! server is private and durable unless `TOLLGATE_TEST_POSTGRES_URL` names another.

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
use tollgate_ledger::{Acquisition, Ledger, LedgerConfig, LockKeys, NewCampaign, Rows};

const ADVERTISERS: usize = 1_000;
const CAMPAIGNS: usize = 5_000;
const TIME_PER_FIGURE: Duration = Duration::from_millis(2_500);

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Progress and history alone: the floor.
    HistoryOnly,
    Optimistic,
    Locked,
}

/// What the writer remembers of the ledger.
struct Memory {
    campaigns: Vec<Campaign>,
    rows: HashMap<DayKey, tollgate_domain::book::DayState>,
    balances: HashMap<Arc<str>, Micros>,
    seed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = postgres::Server::start(true);
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    admin.execute("DROP DATABASE IF EXISTS write_cost").await.unwrap();
    admin.execute("CREATE DATABASE write_cost").await.unwrap();
    let url = server.database("write_cost");
    let mut memory = seed(&url).await;
    println!(
        "{:<14}{:>9}{:>13}{:>13}",
        "way", "rows", "one statement", "COPY  (rows/s; ms a batch)"
    );
    for way in [Way::HistoryOnly, Way::Optimistic, Way::Locked] {
        for rows in [1, 8, 32, 64, 100, 200, 400, 1_000, 5_000, 20_000] {
            let mut line = format!("{:<14}{rows:>9}", format!("{way:?}"));
            for shape in [usize::MAX, 0] {
                let (batches, took) = measure(&url, &mut memory, way, rows, shape).await;
                let per_batch = took.as_micros() / batches;
                let per_second = batches * rows as u128 * 1_000_000 / took.as_micros();
                line +=
                    &format!("{per_second:>11} {:>5}.{:03}", per_batch / 1_000, per_batch % 1_000);
            }
            println!("{line}");
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
    Memory { campaigns, rows: HashMap::new(), balances: HashMap::new(), seed: 1 }
}

fn campaign(number: usize) -> NewCampaign {
    NewCampaign {
        id: format!("campaign_{number}"),
        advertiser: format!("advertiser_{}", number % ADVERTISERS),
        status: Status::Active,
        daily_budget: None,
        cpc: Micros(100),
        time_zone: "Asia/Seoul".into(),
    }
}

/// Number of batches and the time they took, without the time to decide them.
async fn measure(
    url: &str,
    memory: &mut Memory,
    way: Way,
    rows: usize,
    copy_rows_min: usize,
) -> (u128, Duration) {
    let config = LedgerConfig { copy_rows_min, ..LedgerConfig::new(url, "write-cost") };
    let mut ledger = Ledger::open(&config).await.unwrap();
    let acquired = ledger.acquire("w", "ad-events", "", &[(0, 0)]).await.unwrap().remove(0);
    let Acquisition::Held { source, next_offset, generation } = acquired.result else {
        panic!("the partition is not free");
    };
    let mut held = Held { source, next_offset, generation };
    let (mut batches, mut took, mut warm) = (0, Duration::ZERO, 3);
    while took < TIME_PER_FIGURE || batches < 3 {
        let spent = write(&mut ledger, memory, way, rows, &mut held).await;
        if warm > 0 {
            warm -= 1;
            continue;
        }
        took += spent;
        batches += 1;
    }
    (batches, took)
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
        let campaign = &self.campaigns[(self.seed >> 33) as usize % CAMPAIGNS];
        TestClick {
            campaign: Arc::clone(&campaign.id),
            advertiser: Arc::clone(&campaign.advertiser),
            ad: format!("ad_{}", self.seed >> 50),
            day: DAY,
            price: 100,
            at_us: 1_795_219_200_123_457,
        }
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
