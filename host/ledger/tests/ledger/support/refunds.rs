//! Compensations and refunds for tests, decided as simply as possible.

use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::book::{DayKey, DayState};
use tollgate_domain::compensation::{CompensationEvent, CompensationRow};
use tollgate_domain::dead::{Code, DeadLetter, Rejection, Stage};
use tollgate_domain::facts::{Decisions, RefundColumns};
use tollgate_domain::money::Micros;
use tollgate_domain::notice::HappeningKind;
use tollgate_domain::plan::{Advance, BalanceMove, DayMove, OutboxMessage, Plan};
use tollgate_domain::refund::{self, RefundFacts, RefundLimits, RefundPlan, RefundRule};
use tollgate_domain::rule::{Description, RuleError};
use tollgate_ledger::{Acquisition, Ledger, LedgerError, WaitingCompensation};

use super::plans::{Batch, DAY, Held, TestClick, click};
use super::{Site, acquire};

pub(crate) const COMPENSATIONS: &str = "compensation-events";
pub(crate) const DEVICE: &str = "device-\u{c6b0}";
pub(crate) const LATER: Duration = Duration::from_secs(3_600);

/// A compensation for clicks of one price, and so of one instant, of a numbered campaign.
pub(crate) fn event(campaign: usize, price: i64) -> CompensationEvent {
    let click = click(campaign, price);
    CompensationEvent {
        advertiser: click.advertiser.to_string(),
        campaign: click.campaign.to_string(),
        ad: click.ad,
        device: DEVICE.into(),
        duplicate_count: 2,
        claimed: Micros(price),
        timestamps_us: vec![click.at_us],
        window: "5m".into(),
        reason: "DUPLICATE_CLICK".into(),
        kind: "DUPLICATE".into(),
        occurred_at_us: click.at_us + 1_000_000,
    }
}

/// What is stored of an event.
pub(crate) fn row(held: &Held, at: usize, event: CompensationEvent) -> CompensationRow {
    CompensationRow {
        source: Arc::clone(&held.source),
        offset: held.next_offset + at as i64,
        record_at_ms: 1_795_219_200_000,
        event,
        payload: "{\"reason\": \"\\u0000 광고\"}".into(),
        key: Some(vec![0, 0xff, b'k']),
        headers: vec![("h".into(), Some(vec![1, 2])), ("n".into(), None)],
    }
}

/// A plan that stores compensations and does nothing else.
pub(crate) fn intake(held: &Held, events: &[CompensationEvent]) -> Plan<'static> {
    let count = events.len() as i64;
    let rows = events.iter().cloned().enumerate().map(|(at, event)| row(held, at, event));
    Plan {
        advances: vec![Advance {
            next_offset: held.next_offset + count,
            charged: count,
            ..Advance::nowhere(&held.source, held.next_offset)
        }],
        compensations: rows.collect(),
        ..Plan::nothing(held.generation)
    }
}

/// Acquires a partition of the compensations.
pub(crate) async fn acquire_compensations(ledger: &mut Ledger, partition: i32) -> Held {
    let wanted = [(partition, 0)];
    let acquired = ledger.acquire("tester", COMPENSATIONS, "TID-2", &wanted).await.unwrap();
    let Acquisition::Held { source, next_offset, generation } = acquired[0].result.clone() else {
        panic!("not held: {acquired:?}");
    };
    Held { source, next_offset, generation }
}

/// Stores compensations at the next offsets of a partition.
pub(crate) async fn store(ledger: &mut Ledger, partition: i32, events: &[CompensationEvent]) {
    let held = acquire_compensations(ledger, partition).await;
    ledger.apply(&intake(&held, events)).await.unwrap();
}

/// Charges clicks on partition 0 of the clicks.
pub(crate) async fn charge(ledger: &mut Ledger, clicks: Vec<TestClick>) {
    let held = acquire(ledger, 0).await;
    Batch::new(&held, clicks).charge(ledger, false).await.unwrap();
}

pub(crate) fn day_of(waiting: &WaitingCompensation) -> DayKey {
    DayKey { campaign: waiting.row.event.campaign.as_str().into(), day: DAY }
}

/// Pays the claim and marks all but the first of the charges that are not refunded yet.
pub(crate) fn paid(waiting: &WaitingCompensation, facts: &RefundFacts) -> RefundPlan {
    let refund = waiting.row.event.claimed;
    let advertiser: Arc<str> = waiting.row.event.advertiser.as_str().into();
    let state = facts.state;
    RefundPlan {
        state: "REFUNDED",
        reason: "DUPLICATES".into(),
        refund,
        balance: Some(BalanceMove {
            advertiser,
            expected: facts.balance,
            new: Micros(facts.balance.0 + refund.0),
        }),
        day: Some(DayMove {
            key: facts.day.clone(),
            campaign_version: facts.campaign.version,
            expected_version: state.version,
            new: DayState {
                spent: Micros(state.spent.0 - refund.0),
                version: state.version + 1,
                ..state
            },
        }),
        charges: facts.charges.iter().skip(1).filter(|charge| !charge.refunded).cloned().collect(),
        ..waits(waiting, facts.generation)
    }
}

/// Goes on waiting.
pub(crate) fn waits(waiting: &WaitingCompensation, generation: u64) -> RefundPlan {
    RefundPlan {
        compensation: waiting.id,
        generation,
        state: "WAITING",
        reason: "CLICKS_MISSING".into(),
        detail: "0 of 2 clicks".into(),
        refund: Micros::ZERO,
        advertiser: waiting.row.event.advertiser.as_str().into(),
        balance: None,
        day: None,
        charges: vec![],
        mismatch: None,
        outbox: vec![],
        dead: None,
        statuses: vec![],
        crossings: vec![],
        record: None,
    }
}

/// Is refused, with a dead letter and a happening.
pub(crate) fn rejected(waiting: &WaitingCompensation, generation: u64) -> RefundPlan {
    let row = &waiting.row;
    let key =
        format!("refund-failed:{}:0:{}:{}", row.source.topic, row.source.partition, row.offset);
    let dead = DeadLetter {
        topic: Arc::clone(&row.source.topic),
        partition: row.source.partition,
        offset: row.offset,
        record_at_ms: row.record_at_ms,
        campaign: Some(row.event.campaign.clone()),
        key: row.key.clone(),
        payload: Some(row.payload.clone().into_bytes()),
        headers: row.headers.clone(),
        rejection: Rejection::new(Code::CompensationRejected, Stage::Refund, "no \0 duplicates"),
        generation,
    };
    RefundPlan {
        state: "REJECTED",
        reason: "NO_DUPLICATES".into(),
        outbox: vec![OutboxMessage {
            key,
            kind: HappeningKind::RefundFailed,
            payload: "{}".into(),
        }],
        dead: Some(dead),
        ..waits(waiting, generation)
    }
}

/// A rule that nobody may ask.
struct Unasked;

impl RefundRule for Unasked {
    fn description(&self) -> &Description {
        panic!("the rule is asked")
    }

    fn decide(&mut self, facts: &RefundColumns) -> Result<Decisions, RuleError> {
        panic!("the rule is asked: {facts:?}")
    }
}

/// What the host refuses without asking a rule, once the ledger is taken to have all clicks.
pub(crate) fn refused(waiting: &WaitingCompensation, facts: &RefundFacts) -> RefundPlan {
    let limits = RefundLimits { settle_us: 0, expire_us: i64::MAX };
    refund::decide(waiting.id, &waiting.row, facts, &limits, &mut Unasked).unwrap()
}

/// Settles whatever is due by paying it; gives how many this host has settled.
pub(crate) async fn pay_all(ledger: &mut Ledger) -> Result<usize, LedgerError> {
    let mut settled = 0;
    for waiting in ledger.waiting_compensations(100).await? {
        let day = day_of(&waiting);
        if let Some(facts) = ledger.lock_refund(&waiting, &day, 1).await? {
            ledger.apply_refund(&paid(&waiting, &facts), LATER).await?;
            settled += 1;
        }
    }
    Ok(settled)
}

impl Site {
    /// Charges twice four clicks of four campaigns at the same instants, and lets compensations be read.
    pub(crate) async fn with_duplicates(kind: super::Kind) -> Self {
        let site = Self::new(kind).await;
        let mut ledger = site.open().await;
        let clicks = (0..8).map(|at| click(at % 4, 100 + 2 * (at as i64 % 4)));
        charge(&mut ledger, clicks.collect()).await;
        let offsets = [(0, 0), (1, 0)];
        assert!(ledger.first_sight(COMPENSATIONS, "TID-2", &offsets).await.unwrap());
        site
    }

    /// The event for the duplicates of a campaign in `with_duplicates`.
    pub(crate) fn duplicate(campaign: usize) -> CompensationEvent {
        event(campaign, 100 + 2 * campaign as i64)
    }
}
