//! Batches are invisible: however a log is cut, the shipped rules and a real database give the same ledger, on
//! remembered rows and on locked ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tollgate_domain::batch::{Batch, Fates};
use tollgate_domain::book::{Book, Status};
use tollgate_domain::decide::{Context, decide};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::rule::World;
use tollgate_domain::slice::{Record, Slice, SliceBuilder, Source};
use tollgate_engine::{Engine, EngineLimits, Rule, RuleSet};
use tollgate_ledger::{
    Acquisition, Keys, Ledger, LedgerConfig, LockKeys, Module, NewCampaign, Part,
};
use tollgate_tests::harness::host::workspace;
use tollgate_tests::harness::{ledger as reader, now_us};
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::postgres::create_database;

const TOPIC: &str = "splits";
const GROUP: &str = "splits";
const UNIT: i64 = 1_000_000;

/// Tables that a run fills.
const TABLES: [&str; 9] = [
    "ad_balance_histories",
    "campaigns",
    "advertiser_balances",
    "opening_changes",
    "campaign_daily_spend",
    "consumer_progress",
    "budget_crossings",
    "outbox",
    "dead_letters",
];

/// A record of the log: which partition, which campaign, how many hours from now.
#[derive(Clone, Copy, Debug)]
struct Sent {
    partition: i32,
    campaign: u8,
    hours: i8,
}

struct Bench {
    runtime: Runtime,
    ledger: Ledger,
    reader: reader::Ledger,
    rules: RuleSet,
    generation: u64,
    now_us: i64,
}

impl Bench {
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = LedgerConfig { copy_rows_min: 6, ..LedgerConfig::new(url, GROUP) };
        let engine = Engine::new(EngineLimits::default()).unwrap();
        let (ledger, generation, rules) = runtime.block_on(async {
            let mut ledger = Ledger::open(&config).await.unwrap();
            ledger.migrate().await.unwrap();
            let mut parts = Vec::new();
            let mut rule = Vec::new();
            for world in [World::Pricing, World::Threshold] {
                let path = workspace().join(format!("target/rules/{world}.wasm"));
                let bytes = std::fs::read(path).expect("run `cargo xtask rules` first");
                let module = engine.admit(world, &bytes).unwrap();
                let digest = module.digest().to_owned();
                let (world, name) = (world.to_string(), module.description().name.clone());
                let version = module.description().version.clone();
                let stored =
                    Module { digest: digest.clone(), world: world.clone(), name, version, bytes };
                ledger.publish(&stored).await.unwrap();
                parts.push(Part { world, digest, params: "{}".to_owned() });
                rule.push(Rule::bind(module, &BTreeMap::new()).unwrap());
            }
            let generation = ledger.activate(&parts, "test", "splits").await.unwrap();
            let threshold = rule.pop().unwrap();
            let pricing = rule.pop().unwrap();
            (ledger, generation, RuleSet::new(pricing, threshold).unwrap())
        });
        let reader = reader::Ledger::open(url).unwrap();
        Self { runtime, ledger, reader, rules, generation, now_us: now_us() }
    }

    /// Charges the log in batches of these sizes and gives everything that must not depend on them.
    fn run(&mut self, log: &[Sent], cuts: &[usize], always_lock: bool) -> String {
        for table in TABLES {
            self.reader.execute(&format!("DELETE FROM {table}")).unwrap();
        }
        self.load();
        let mut sources = self.acquire();
        let mut book = Book::default();
        let (mut rest, mut cuts) = (log, cuts.iter().cycle());
        while !rest.is_empty() {
            let size = (*cuts.next().unwrap()).min(rest.len());
            let (batch, later) = rest.split_at(size);
            let slices = self.slices(batch, &mut sources);
            self.charge(slices, &mut book, always_lock);
            rest = later;
        }
        self.outcome()
    }

    fn load(&mut self) {
        let campaign = |number: u8, budget: Option<i64>, cpc: i64| NewCampaign {
            id: format!("c{number}"),
            advertiser: format!("a{}", number / 2),
            status: Status::Active,
            daily_budget: budget.map(|units| Micros(units * UNIT)),
            cpc: Micros(cpc * UNIT + 1),
            time_zone: ["Asia/Seoul", "America/New_York", "UTC", "Asia/Kathmandu"]
                [usize::from(number)]
            .to_owned(),
        };
        let campaigns = [
            campaign(0, Some(100), 9),
            campaign(1, Some(50), 7),
            campaign(2, None, 1_000),
            campaign(3, Some(20), 30),
        ];
        self.runtime.block_on(async {
            self.ledger.put_campaigns(&campaigns).await.unwrap();
            self.ledger.put_balance("a0", Micros(500 * UNIT)).await.unwrap();
        });
        // Versions start at the clock; the same for every run, so that keys of messages can be compared.
        self.reader.execute("UPDATE campaigns SET version = 9000000000000000").unwrap();
    }

    fn acquire(&mut self) -> Vec<(Arc<Source>, i64)> {
        let asked = [(0, 0), (1, 0)];
        self.runtime.block_on(async {
            self.ledger.first_sight(TOPIC, "", &asked).await.unwrap();
            let acquired = self.ledger.acquire("test", TOPIC, "", &asked).await.unwrap();
            let held = acquired.into_iter().map(|acquired| match acquired.result {
                Acquisition::Held { source, next_offset, .. } => (source, next_offset),
                other => panic!("{other:?}"),
            });
            held.collect()
        })
    }

    /// One slice for each run of records of one partition, so that the order of the log is kept.
    fn slices(&self, sent: &[Sent], sources: &mut [(Arc<Source>, i64)]) -> Vec<Slice> {
        let mut slices = Vec::new();
        for run in sent.chunk_by(|one, next| one.partition == next.partition) {
            let (source, next_offset) = &mut sources[run[0].partition as usize];
            let mut builder = SliceBuilder::new(Arc::clone(source), *next_offset);
            for record in run {
                let payload = self.payload(*record);
                builder.push(
                    &Record {
                        offset: *next_offset,
                        at_ms: self.now_us / 1_000,
                        key: Some(b"device"),
                        payload: Some(payload.as_bytes()),
                        headers: &[],
                    },
                    &DecodeLimits { ahead_ms_max: 48 * 3_600_000, ..DecodeLimits::default() },
                );
                *next_offset += 1;
            }
            slices.push(builder.finish());
        }
        slices
    }

    fn payload(&self, sent: Sent) -> String {
        let at_us = self.now_us + i64::from(sent.hours) * 3_600_000_000;
        let at = jiff::Timestamp::from_microsecond(at_us).unwrap();
        match sent.campaign {
            number @ 0..=3 => format!(
                r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"c{number}","advertiser_id":"a{}","ad_id":"ad","device_id":"d{}"}}"#,
                number / 2,
                sent.hours
            ),
            4 => r#"{"event_type":"IMPRESSION"}"#.to_owned(),
            5 => format!(
                r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"nobody","advertiser_id":"a0"}}"#
            ),
            _ => "nonsense".to_owned(),
        }
    }

    fn charge(&mut self, slices: Vec<Slice>, book: &mut Book, always_lock: bool) {
        let batch = Batch::new(slices, book);
        self.runtime.block_on(async {
            while let Err(missing) = batch.resolve(book) {
                let found = self.ledger.campaigns(&missing.campaigns).await.unwrap();
                book.unknown.extend(missing.campaigns);
                for campaign in found {
                    book.unknown.remove(&campaign.id);
                    book.campaigns.insert(Arc::clone(&campaign.id), campaign);
                }
                let keys = Keys { advertisers: &missing.advertisers, days: &missing.days };
                let rows = self.ledger.load(keys).await.unwrap();
                book.balances.extend(rows.balances);
                book.days.extend(rows.days);
            }
            if always_lock {
                let keys = batch.resolve(book).unwrap().keys();
                let advances = batch.advances(&vec![Fates::default(); batch.slices().len()]);
                let keys = LockKeys {
                    generation: self.generation,
                    advances: &advances,
                    advertisers: &keys.advertisers,
                    days: &keys.days,
                };
                let rows = self.ledger.lock(keys).await.unwrap();
                book.balances.extend(rows.balances);
                book.days.extend(rows.days);
            }
            let fence = FenceLimits { charge_max: Micros(i64::MAX), pause_floor_ppm: 500_000 };
            let context = Context {
                generation: self.generation,
                now_us: self.now_us,
                hints: &[],
                fence: &fence,
                rule_rows_max: 1_000,
            };
            let resolved = batch.resolve(book).unwrap();
            let decision = decide(&batch, &resolved, &context, &mut self.rules).unwrap();
            self.ledger.apply(&decision.plan).await.unwrap();
            book.absorb(&decision.plan);
            book.unknown.clear();
        });
    }

    fn outcome(&mut self) -> String {
        let audit = self.runtime.block_on(self.ledger.audit(&mut |_| {})).unwrap();
        assert!(audit.is_exact(), "{audit:#?}");
        let reader = &mut self.reader;
        let sum = |reader: &mut reader::Ledger, sql: &str| reader.number(sql).unwrap();
        let chain = sum(
            reader,
            "SELECT CAST(coalesce(sum(balance_after_micros % 1000003 * (kafka_offset + 1)), 0) AS bigint) \
             FROM ad_balance_histories",
        );
        let levels = sum(
            reader,
            "SELECT CAST(coalesce(sum(warned_ppm * 3 + paused_ppm * 5 + overspent_micros), 0) AS bigint) \
             FROM campaign_daily_spend",
        );
        format!(
            "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{chain} {levels}",
            reader.history(TOPIC).unwrap(),
            reader.dead_letters(TOPIC).unwrap(),
            reader.progress(TOPIC).unwrap(),
            reader.spend().unwrap(),
            reader.balances().unwrap(),
            reader.crossings().unwrap(),
            reader.campaigns().unwrap(),
            reader.outbox().unwrap(),
        )
    }
}

fn log() -> impl Strategy<Value = Vec<Sent>> {
    let hours = prop_oneof![3 => Just(0_i8), 1 => -30..1_i8];
    let record = (0..2, 0..7_u8, hours);
    let record =
        record.prop_map(|(partition, campaign, hours)| Sent { partition, campaign, hours });
    prop::collection::vec(record, 1..50)
}

fn check(url: &str, cases: u32) {
    let bench = RefCell::new(Bench::new(url));
    let cuts = prop::collection::vec(1..25_usize, 1..10);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(log(), cuts, any::<bool>()), |(log, cuts, always_lock)| {
        let mut bench = bench.borrow_mut();
        let single = bench.run(&log, &[1], false);
        let batched = bench.run(&log, &cuts, always_lock);
        let whole = bench.run(&log, &[log.len()], !always_lock);
        prop_assert_eq!(&single, &batched);
        prop_assert_eq!(&single, &whole);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn postgres_gives_the_same_ledger_for_every_cut() {
    let servers = Servers::shared().unwrap();
    let url = create_database(&servers.postgres_url, "splits").unwrap();
    check(&url, 24);
}

#[test]
fn sqlite_gives_the_same_ledger_for_every_cut() {
    let folder = Folder::new("splits").unwrap();
    check(&format!("sqlite://{}", folder.file("ledger.db").display()), 24);
}
