//! The charging desk: the shipped rules, a real database and the present of your choice, without Kafka and without a
//! process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tollgate_domain::batch::{Batch, Fates, Missing, Resolved};
use tollgate_domain::book::Book;
use tollgate_domain::decide::{Context, Hint, decide, look, resume_after_refund};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::Micros;
use tollgate_domain::refund::{self, RefundFacts, RefundLimits};
use tollgate_domain::rule::World;
use tollgate_domain::slice::{Reading, Record, Slice, SliceBuilder, Source};
use tollgate_domain::trial::{Candidate, Scope, Sides};
use tollgate_engine::{Engine, EngineLimits, Refunder, Rule, RuleSet};
use tollgate_ledger::{
    Acquisition, Keys, Ledger, LedgerConfig, LedgerError, LockKeys, Module, NewCampaign, Part,
};
use tollgate_tests::harness::host::workspace;
use tollgate_tests::harness::{ledger as reader, now_us};

pub(crate) const TOPIC: &str = "desk";
const COMPENSATIONS: &str = "desk-compensations";
pub(crate) const UNIT: i64 = 1_000_000;
const GROUP: &str = "desk";

/// Tables that charging fills.
const TABLES: [&str; 13] = [
    "refunded_charges",
    "duplicate_click_logs",
    "compensations",
    "ad_balance_histories",
    "campaigns",
    "advertiser_balances",
    "opening_changes",
    "campaign_daily_spend",
    "consumer_progress",
    "budget_crossings",
    "outbox",
    "dead_letters",
    "rule_generation_starts",
];

/// The ledger is taken to have all clicks at once.
const REFUND_LIMITS: RefundLimits = RefundLimits { settle_us: 0, expire_us: i64::MAX };

const FENCE: FenceLimits = FenceLimits { charge_max: Micros(i64::MAX), pause_floor_ppm: 500_000 };

/// Parameters of a candidate's threshold rule, and the campaigns that are its.
type Other<'o> = (&'o [(&'o str, &'o str)], &'o [&'o str]);

pub(crate) struct Desk {
    runtime: Runtime,
    ledger: Ledger,
    pub(crate) reader: reader::Ledger,
    rules: Sides<RuleSet>,
    refunder: Refunder,
    generation: u64,
    pub(crate) now_us: i64,
    /// Instant of the last click.
    pub(crate) clicked_us: i64,
    pub(crate) book: Book,
    /// What Redis says about every campaign.
    pub(crate) hint: Hint,
    sources: Vec<(Arc<Source>, i64)>,
    compensations: Option<(Arc<Source>, i64)>,
}

impl Desk {
    /// Opens the ledger and loads the shipped rules; `threshold` sets parameters of the threshold rule.
    pub(crate) fn new(url: &str, threshold: &[(&str, &str)]) -> Self {
        Self::build(url, threshold, None)
    }

    /// With the same rules and other parameters of the threshold rule for some campaigns.
    pub(crate) fn with_candidate(url: &str, threshold: &[(&str, &str)], whom: &[&str]) -> Self {
        Self::build(url, &[], Some((threshold, whom)))
    }

    fn build(url: &str, threshold: &[(&str, &str)], candidate: Option<Other<'_>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = LedgerConfig { copy_rows_min: 6, ..LedgerConfig::new(url, GROUP) };
        let (ledger, generation, rules, refunder) = runtime.block_on(async {
            let mut ledger = Ledger::open(&config).await.unwrap();
            ledger.migrate().await.unwrap();
            let other = match candidate {
                Some((params, whom)) => {
                    let (_, rules, _) = shipped_rules(&mut ledger, &params_of(params)).await;
                    let campaigns = whom.iter().map(|id| (*id).to_owned()).collect();
                    Some((rules, Scope { campaigns, ..Scope::default() }))
                }
                None => None,
            };
            let (generation, rules, refunder) =
                shipped_rules(&mut ledger, &params_of(threshold)).await;
            let rules = match other {
                None => Sides::alone(rules),
                Some((other, scope)) => {
                    let worlds = vec![World::Pricing, World::Threshold];
                    let charge_max = Micros(i64::MAX);
                    let candidate = Candidate { rules: other, worlds, scope, charge_max };
                    Sides::with_candidate(rules, candidate)
                }
            };
            (ledger, generation, rules, refunder)
        });
        Self {
            runtime,
            ledger,
            reader: reader::Ledger::open(url).unwrap(),
            rules,
            refunder,
            generation,
            now_us: now_us(),
            clicked_us: 0,
            book: Book::default(),
            hint: Hint::default(),
            sources: Vec::new(),
            compensations: None,
        }
    }

    /// Empties the ledger, loads campaigns, and takes over the partitions.
    pub(crate) fn begin(&mut self, campaigns: &[NewCampaign], partitions: i32) {
        for table in TABLES {
            self.reader.execute(&format!("DELETE FROM {table}")).unwrap();
        }
        (self.book, self.hint) = (Book::default(), Hint::default());
        self.runtime.block_on(self.ledger.put_campaigns(campaigns)).unwrap();
        self.sources = self.acquire(TOPIC, partitions);
        self.compensations = self.acquire(COMPENSATIONS, 1).pop();
        // Versions start at the clock; the same for every run, so that keys of messages can be compared.
        self.reader.execute("UPDATE campaigns SET version = 9000000000000000").unwrap();
    }

    fn acquire(&mut self, topic: &str, partitions: i32) -> Vec<(Arc<Source>, i64)> {
        let asked: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
        let acquired = self.runtime.block_on(async {
            self.ledger.first_sight(topic, "", &asked).await.unwrap();
            self.ledger.acquire("test", topic, "", &asked).await.unwrap()
        });
        let held = acquired.into_iter().map(|acquired| match acquired.result {
            Acquisition::Held { source, next_offset, .. } => (source, next_offset),
            other => panic!("{other:?}"),
        });
        held.collect()
    }

    pub(crate) fn put_balance(&mut self, advertiser: &str, opening: Micros) {
        self.runtime.block_on(self.ledger.put_balance(advertiser, opening)).unwrap();
    }

    /// One slice of a partition, from payloads that arrive now.
    pub(crate) fn slice<P: AsRef<[u8]>>(&mut self, partition: i32, payloads: &[P]) -> Slice {
        slice(&mut self.sources[partition as usize], Reading::Clicks, self.now_us, payloads)
    }

    /// Gives a part of the last click's day back: takes a compensation in and settles it, as the host does.
    pub(crate) fn give_back(&mut self, Micros(amount): Micros) {
        let source = self.compensations.as_mut().unwrap();
        let instant = |us: i64| jiff::Timestamp::from_microsecond(us).unwrap().to_string();
        let payload = serde_json::json!({
            "timestamp": instant(self.now_us), "advertiser_id": "a", "campaign_id": "c",
            "duplicate_click_count": 2, "refund_amount": amount / UNIT,
            "original_click_timestamps": [instant(self.clicked_us)],
            // Each is a compensation of its own.
            "detection_window": source.1.to_string(),
        });
        let slice = slice(source, Reading::Compensations, self.now_us, &[payload.to_string()]);
        self.charge(vec![slice], false);
        self.runtime.block_on(async {
            let waiting = self.ledger.waiting_compensations(1).await.unwrap().remove(0);
            let day = refund::day_key(&waiting.row.event, waiting.campaign.as_ref().unwrap());
            let locked = self.ledger.lock_refund(&waiting, &day, self.generation).await.unwrap();
            let facts = RefundFacts { now_us: self.now_us, ..locked.unwrap() };
            let (id, row, rule) = (waiting.id, &waiting.row, &mut self.refunder);
            let mut plan = refund::decide(id, row, &facts, &REFUND_LIMITS, rule).unwrap();
            resume_after_refund(&mut plan, &facts, &FENCE, &mut self.rules).unwrap();
            self.ledger.apply_refund(&plan, Duration::ZERO).await.unwrap();
        });
    }

    /// Charges slices as one batch: on remembered rows, or on locked ones. What is stale is read again.
    pub(crate) fn charge(&mut self, slices: Vec<Slice>, always_lock: bool) {
        let mut slices = Some(slices);
        while let Some(again) = slices.take() {
            let batch = Batch::new(again, &self.book);
            match self.try_charge(&batch, always_lock) {
                Ok(()) => return,
                Err(LedgerError::Stale(_)) => {
                    self.book = Book::default();
                    slices = Some(batch.into_slices());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn try_charge(&mut self, batch: &Batch, always_lock: bool) -> Result<(), LedgerError> {
        while let Err(missing) = batch.resolve(&self.book) {
            self.read(missing);
        }
        self.runtime.block_on(async {
            if always_lock {
                let keys = batch.resolve(&self.book).unwrap().keys();
                let advances = batch.advances(&vec![Fates::default(); batch.slices().len()]);
                let keys = LockKeys {
                    generation: self.generation,
                    advances: &advances,
                    advertisers: &keys.advertisers,
                    days: &keys.days,
                };
                let rows = self.ledger.lock(keys).await?;
                self.book.balances.extend(rows.balances);
                self.book.days.extend(rows.days);
            }
            let resolved = batch.resolve(&self.book).unwrap();
            let hints = vec![self.hint; resolved.campaigns.len()];
            let context = context(self.generation, self.now_us, &hints);
            let decision = decide(batch, &resolved, &context, &mut self.rules).unwrap();
            self.ledger.apply(&decision.plan).await?;
            self.book.absorb(&decision.plan);
            self.book.unknown.clear();
            Ok(())
        })
    }

    /// Looks at campaigns without any click, on rows that are read afresh, as the host does.
    pub(crate) fn look(&mut self, campaigns: &[&str]) {
        let ids: Vec<Arc<str>> = campaigns.iter().map(|id| (*id).into()).collect();
        let remembered = std::mem::take(&mut self.book);
        while let Err(missing) = Resolved::look(&self.book, &ids, self.now_us) {
            self.read(missing);
        }
        let resolved = Resolved::look(&self.book, &ids, self.now_us).unwrap();
        let hints = vec![self.hint; resolved.campaigns.len()];
        let context = context(self.generation, self.now_us, &hints);
        let plan = look(&resolved, &context, &mut self.rules).unwrap().plan;
        if !plan.days.is_empty() || !plan.statuses.is_empty() || !plan.outbox.is_empty() {
            self.runtime.block_on(self.ledger.apply(&plan)).unwrap();
        }
        self.book = remembered;
    }

    /// Checks that the ledger adds up.
    pub(crate) fn audit(&mut self) {
        let audit = self.runtime.block_on(self.ledger.audit(&mut |_| {})).unwrap();
        let wrong: Vec<_> = audit.checks.iter().filter(|check| !check.ok).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn read(&mut self, missing: Missing) {
        let book = &mut self.book;
        self.runtime.block_on(async {
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
        });
    }
}

fn params_of(params: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    params.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

/// One slice of a partition, from payloads that arrive now.
fn slice<P: AsRef<[u8]>>(
    (source, next_offset): &mut (Arc<Source>, i64),
    reading: Reading,
    now_us: i64,
    payloads: &[P],
) -> Slice {
    let mut builder = SliceBuilder::new(Arc::clone(source), *next_offset, reading);
    for payload in payloads {
        builder.push(
            &Record {
                offset: *next_offset,
                at_ms: now_us / 1_000,
                key: Some(b"device"),
                payload: Some(payload.as_ref()),
                headers: &[],
            },
            &DecodeLimits { ahead_ms_max: 48 * 3_600_000, ..DecodeLimits::default() },
        );
        *next_offset += 1;
    }
    builder.finish()
}

fn context(generation: u64, now_us: i64, hints: &[Hint]) -> Context<'_> {
    Context { generation, now_us, hints, fence: &FENCE, rule_rows_max: 1_000, record: false }
}

async fn shipped_rules(
    ledger: &mut Ledger,
    threshold: &BTreeMap<String, Vec<String>>,
) -> (u64, RuleSet, Refunder) {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let mut parts = Vec::new();
    let mut load = async |world: World, params: &BTreeMap<String, Vec<String>>| {
        let path = workspace().join(format!("target/rules/{world}.wasm"));
        let bytes = std::fs::read(path).expect("run `cargo xtask rules` first");
        let module = engine.admit(world, &bytes).unwrap();
        let digest = module.digest().to_owned();
        let (world, name) = (world.to_string(), module.description().name.clone());
        let version = module.description().version.clone();
        let stored = Module {
            digest: digest.clone(),
            world: world.clone(),
            name,
            version,
            bytes,
            ..Module::default()
        };
        ledger.publish(&stored, false).await.unwrap();
        parts.push(Part { world, digest, params: serde_json::to_string(params).unwrap() });
        Rule::bind(module, params).unwrap()
    };
    let pricing = load(World::Pricing, &BTreeMap::new()).await;
    let threshold = load(World::Threshold, threshold).await;
    let refund = load(World::Refund, &BTreeMap::new()).await;
    let generation = ledger.activate(&parts, "test", "desk").await.unwrap();
    (generation, RuleSet::new(pricing, threshold).unwrap(), Refunder::new(refund).unwrap())
}
