//! Plans decided without rules: every click costs its given price.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_domain::book::{Campaign, DayKey, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::dead::{Code, DeadLetter, Rejection, Stage};
use tollgate_domain::money::Micros;
use tollgate_domain::notice::HappeningKind;
use tollgate_domain::plan::{
    Advance, BalanceMove, Crossing, CrossingKind, DayMove, HistoryRow, OutboxMessage, Plan,
    ReasonName, StatusChange,
};
use tollgate_domain::rule::PriceSource;
use tollgate_domain::slice::Source;
use tollgate_ledger::{Keys, Ledger, LedgerError, LockKeys, Rows};

/// A partition in the hands of a test.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) source: Arc<Source>,
    pub(crate) next_offset: i64,
    pub(crate) generation: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct TestClick {
    pub(crate) campaign: Arc<str>,
    pub(crate) advertiser: Arc<str>,
    pub(crate) ad: String,
    pub(crate) day: Day,
    pub(crate) price: i64,
    pub(crate) at_us: i64,
}

pub(crate) const DAY: Day = Day(20_778);

/// A click of a numbered campaign; odd campaigns belong to the odd advertiser.
pub(crate) fn click(campaign: usize, price: i64) -> TestClick {
    TestClick {
        campaign: format!("campaign_{campaign}").into(),
        advertiser: format!("advertiser_{}", campaign % 2).into(),
        ad: if price % 2 == 0 { format!("ad_{price}") } else { String::new() },
        day: DAY,
        price,
        at_us: 1_795_219_200_123_457 + price,
    }
}

/// Clicks of one partition, all charged, and the keys they need.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) held: Held,
    pub(crate) clicks: Vec<TestClick>,
    pub(crate) advertisers: Vec<Arc<str>>,
    pub(crate) days: Vec<DayKey>,
    pub(crate) campaigns: Vec<Arc<str>>,
}

impl Batch {
    pub(crate) fn new(held: &Held, clicks: Vec<TestClick>) -> Self {
        let sorted = |mut ids: Vec<Arc<str>>| {
            ids.sort();
            ids.dedup();
            ids
        };
        let mut days: Vec<_> = clicks
            .iter()
            .map(|click| DayKey { campaign: Arc::clone(&click.campaign), day: click.day })
            .collect();
        days.sort();
        days.dedup();
        Self {
            held: held.clone(),
            advertisers: sorted(clicks.iter().map(|c| Arc::clone(&c.advertiser)).collect()),
            campaigns: sorted(clicks.iter().map(|c| Arc::clone(&c.campaign)).collect()),
            days,
            clicks,
        }
    }

    pub(crate) fn keys(&self) -> Keys<'_> {
        Keys { advertisers: &self.advertisers, days: &self.days }
    }

    pub(crate) fn advances(&self) -> Vec<Advance> {
        let count = self.clicks.len() as i64;
        vec![Advance {
            source: Arc::clone(&self.held.source),
            expected_offset: self.held.next_offset,
            next_offset: self.held.next_offset + count,
            charged: count,
            skipped: 0,
            dead: 0,
            absent: 0,
        }]
    }

    /// The plan on these rows.
    pub(crate) fn plan(&self, rows: &Rows, campaigns: &[Campaign]) -> Plan<'_> {
        let versions: BTreeMap<_, _> = campaigns.iter().map(|c| (&*c.id, c.version)).collect();
        let mut balances: BTreeMap<Arc<str>, Micros> = rows.balances.iter().cloned().collect();
        let mut days: BTreeMap<DayKey, DayState> = rows.days.iter().cloned().collect();
        let mut history = Vec::new();
        for (at, click) in self.clicks.iter().enumerate() {
            let balance = balances.get_mut(&click.advertiser).unwrap();
            balance.0 -= click.price;
            let key = DayKey { campaign: Arc::clone(&click.campaign), day: click.day };
            days.get_mut(&key).unwrap().spent.0 += click.price;
            history.push(HistoryRow {
                source: &self.held.source,
                offset: self.held.next_offset + at as i64,
                advertiser: &click.advertiser,
                campaign: &click.campaign,
                ad: &click.ad,
                device: "device-\u{c6b0}",
                occurred_at_us: click.at_us,
                day: click.day,
                amount: Micros(-click.price),
                balance_after: *balance,
                reason: (click.price % 2) as u16,
            });
        }
        let balance_move = |(advertiser, expected): &(Arc<str>, Micros)| BalanceMove {
            advertiser: Arc::clone(advertiser),
            expected: *expected,
            new: balances[advertiser],
        };
        let day_move = |(key, old): &(DayKey, DayState)| DayMove {
            key: key.clone(),
            campaign_version: versions.get(&*key.campaign).copied().unwrap_or(-1),
            expected_version: old.version,
            new: DayState { version: old.version + 1, ..days[key] },
        };
        Plan {
            advances: self.advances(),
            balances: rows.balances.iter().map(balance_move).collect(),
            days: rows.days.iter().map(day_move).collect(),
            history,
            reasons: vec![
                ReasonName { source: PriceSource::Stored, name: "STORED_PRICE".into() },
                ReasonName { source: PriceSource::Cached, name: "CACHED_PRICE".into() },
            ],
            ..Plan::nothing(self.held.generation)
        }
    }

    /// Reads, decides and writes; with locks or without.
    pub(crate) async fn charge(
        &mut self,
        ledger: &mut Ledger,
        locked: bool,
    ) -> Result<(), LedgerError> {
        let rows = if locked {
            let advances = self.advances();
            let keys = LockKeys {
                generation: self.held.generation,
                advances: &advances,
                advertisers: &self.advertisers,
                days: &self.days,
            };
            ledger.lock(keys).await?
        } else {
            ledger.load(self.keys()).await?
        };
        let campaigns = ledger.campaigns(&self.campaigns).await?;
        ledger.apply(&self.plan(&rows, &campaigns)).await?;
        self.held.next_offset += self.clicks.len() as i64;
        Ok(())
    }
}

/// Adds the rare parts: the first campaign is warned about and paused, and the next offset is a dead letter.
pub(crate) fn with_rare_parts(plan: &mut Plan<'_>) {
    let day = &mut plan.days[0];
    day.new.warned_ppm = 900_000;
    day.new.paused_ppm = 1_000_000;
    day.new.crossing_budget = Some(Micros(10_000));
    let (key, version) = (day.key.clone(), day.campaign_version);
    plan.statuses.push(StatusChange {
        campaign: Arc::clone(&key.campaign),
        expected_version: version,
        new_version: version + 1,
        status: tollgate_domain::book::Status::Paused,
        paused_reason: Some(tollgate_domain::book::BUDGET_EXHAUSTED),
        paused_day: Some(key.day),
    });
    for (kind, level_ppm, round, message) in [
        (CrossingKind::Warn, 900_000, 0, HappeningKind::Warning),
        (CrossingKind::Pause, 1_000_000, version + 1, HappeningKind::Paused),
    ] {
        plan.crossings.push(Crossing {
            key: key.clone(),
            advertiser: "advertiser_0".into(),
            kind,
            level_ppm,
            usage_ppm: 1_000_001,
            spent: plan.days[0].new.spent,
            budget: Some(Micros(10_000)),
            reason: "LEVEL".into(),
            round,
        });
        let key = format!("{}:{}:{}", key.campaign, key.day, kind.as_str());
        plan.outbox.push(OutboxMessage { key, kind: message, payload: "{}".into() });
    }
    let advance = &mut plan.advances[0];
    let offset = advance.next_offset;
    advance.next_offset += 3;
    advance.dead += 1;
    advance.skipped += 1;
    advance.absent += 1;
    plan.dead.push(DeadLetter {
        topic: Arc::clone(&advance.source.topic),
        partition: advance.source.partition,
        offset,
        record_at_ms: -1,
        campaign: None,
        key: None,
        payload: Some(vec![0, 0xff, b'x']),
        headers: vec![("h".into(), Some(vec![1, 2])), ("n".into(), None)],
        rejection: Rejection::new(Code::NotJson, Stage::Decode, "a \0 in it"),
        generation: 1,
    });
}
