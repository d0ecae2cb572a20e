//! Clicks for measurements: 1,000 advertisers and 5,000 campaigns, drawn uniformly, which is the worst case because
//! updates cost per key.

#[path = "../../tests/ledger/support/plans.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
pub(crate) mod plans;
#[path = "../../tests/ledger/support/postgres.rs"]
pub(crate) mod postgres;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plans::{Batch, Held, TestClick};
use tollgate_domain::book::{Campaign, DayKey, DayState, Status};
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_ledger::{Acquisition, AdDetails, Ledger, LedgerConfig, LockKeys, NewCampaign, Rows};

const ADVERTISERS: usize = 1_000;
const CAMPAIGNS: usize = 5_000;
/// Size of a record, as `records_cost` in `host/app/src/records/tests.rs` measures it.
const RECORD_BYTES: usize = 100;
const RECORD_BYTES_PER_CLICK: usize = 16;
const GROUP: &str = "measured";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Progress and history alone: the floor.
    HistoryOnly,
    Optimistic,
    /// As `Optimistic`, with a record of the decision of the usual size.
    Recorded,
    Locked,
}

/// What the writer remembers of the ledger.
pub(crate) struct Memory {
    campaigns: Vec<Campaign>,
    rows: HashMap<DayKey, DayState>,
    balances: HashMap<Arc<str>, Micros>,
    seed: u64,
    day: Day,
    /// Instant of the last click.
    at_us: i64,
}

/// Makes the tables and the campaigns; clicks come on this day.
pub(crate) async fn seed(url: &str, day: Day) -> Memory {
    let mut ledger = open(url, LedgerConfig::COPY_ROWS_MIN).await;
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
        day,
        at_us: i64::from(day.0) * 86_400_000_000,
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

/// A connection that writes with COPY from this number of rows.
pub(crate) async fn open(url: &str, copy_rows_min: usize) -> Ledger {
    let config = LedgerConfig { copy_rows_min, ..LedgerConfig::new(url, GROUP) };
    Ledger::open(&config).await.unwrap()
}

/// Takes the partition that is charged.
pub(crate) async fn hold(ledger: &mut Ledger) -> Held {
    let acquired = ledger.acquire("w", "ad-events", "", &[(0, 0)]).await.unwrap().remove(0);
    let Acquisition::Held { source, next_offset, generation } = acquired.result else {
        panic!("the partition is not free");
    };
    Held { source, next_offset, generation }
}

/// Charges a batch and gives the time that it took, without the time to decide it.
pub(crate) async fn write(
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
    if way == Way::HistoryOnly {
        plan.balances.clear();
        plan.days.clear();
    }
    if way == Way::Recorded {
        plan.record = Some(memory.record(rows));
    }
    let started = Instant::now();
    if way == Way::Locked {
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
            day: self.day,
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
