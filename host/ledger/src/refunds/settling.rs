//! What settles a compensation: its own row, the money, and what is kept about both.

use std::time::Duration;

use serde_json::json;
use tollgate_domain::dead::DeadLetter;
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;
use tollgate_domain::refund::{RefundPlan, state};

use crate::dialect::{Arg, Dialect, change};
use crate::error::{LedgerError, Result};
use crate::outbox::micros;
use crate::rows::Place;
use crate::shape::{hex, without_nul};
use crate::watch::duplicates;

const SETTLE: &str = "
UPDATE compensations SET state = $2, settled_reason = $3, detail = $4, refund_micros = $5, generation = $6,
  looks = looks + 1, next_look_at = CASE WHEN $2 = 'WAITING' THEN {after:$7} ELSE next_look_at END,
  settled_at = CASE WHEN $2 = 'WAITING' THEN NULL ELSE {now} END, budget_day = {day:$8}
WHERE id = $1 AND state = 'WAITING'";

const HISTORY: &str = "
INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
  budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, ad_id, device_id, kafka_topic,
  price_source, reason)
SELECT c.kafka_offset, $2, $3, $4, c.occurred_at, {day:$5}, c.kafka_partition, c.incarnation, 'REFUND',
  c.advertiser_id, c.campaign_id, c.ad_id, c.device_id, c.topic, 'NONE', $6
FROM compensations c WHERE c.id = $1";

const LOG: &str = "
INSERT INTO duplicate_click_logs (compensation_id, advertiser_id, campaign_id, ad_id, device_id, duplicate_count,
  timestamps, detection_window, claimed_micros, refund_micros, mismatch, refunded, topic, incarnation,
  kafka_partition, kafka_offset)
SELECT c.id, c.advertiser_id, c.campaign_id, c.ad_id, c.device_id, c.duplicate_count, c.timestamps,
  c.detection_window, c.claimed_micros, c.refund_micros, $2, {json:$3}, c.topic, c.incarnation, c.kafka_partition,
  c.kafka_offset
FROM compensations c WHERE c.id = $1";

const CHARGES: &str = "
INSERT INTO refunded_charges (topic, incarnation, kafka_partition, kafka_offset, compensation_id)
SELECT CAST(e.value ->> 'topic' AS TEXT), CAST(e.value ->> 'incarnation' AS INTEGER),
  CAST(e.value ->> 'partition' AS INTEGER), CAST(e.value ->> 'offset' AS BIGINT), CAST($2 AS BIGINT)
FROM {elements:$1} AS e WHERE true ON CONFLICT DO NOTHING";

/// One that was replayed and fails again is the same dead letter.
const DEAD_LETTER: &str = "
INSERT INTO dead_letters (topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms,
  campaign_id, message_key, payload, headers, generation)
SELECT c.topic, c.incarnation, c.kafka_partition, c.kafka_offset, $2, $3, $4, c.record_at_ms, c.campaign_id,
  c.message_key, {bytes:c.payload}, c.headers, $5
FROM compensations c WHERE c.id = $1
ON CONFLICT (topic, incarnation, kafka_partition, kafka_offset) DO UPDATE SET
  code = excluded.code, stage = excluded.stage, sentence = excluded.sentence, generation = excluded.generation,
  campaign_id = excluded.campaign_id, attempts = dead_letters.attempts + 1, replayed_at = NULL
WHERE dead_letters.replayed_at IS NOT NULL";

/// A span of one offset.
const RECORD: &str = "
INSERT INTO decision_records (first_offset, next_offset, generation, incarnation, kafka_partition, topic, body)
SELECT c.kafka_offset, c.kafka_offset + 1, $2, c.incarnation, c.kafka_partition, c.topic, {unhex:$3}
FROM compensations c WHERE c.id = $1";

/// The row of the compensation, which is this transaction's from here on.
pub(super) async fn compensation<D: Dialect>(
    conn: &mut D,
    plan: &RefundPlan,
    next_look: Duration,
) -> Result<()> {
    let detail = without_nul(&plan.detail);
    let args = [
        plan.compensation.into(),
        plan.state.into(),
        (&plan.reason).into(),
        (&detail).into(),
        plan.refund.0.into(),
        (plan.generation as i64).into(),
        micros(next_look),
        Arg::Int(plan.day.as_ref().map(|day| day.key.day.0.into())),
    ];
    if change(conn, SETTLE, &args).await? == 1 {
        return Ok(());
    }
    Err(LedgerError::Stale(format!("the compensation {} was settled", plan.compensation)))
}

/// The money, and what follows from it, as a plan that moves no partition.
pub(super) fn money(plan: &RefundPlan) -> Plan<'static> {
    Plan {
        balances: plan.balance.iter().cloned().collect(),
        days: plan.day.iter().cloned().collect(),
        statuses: plan.statuses.clone(),
        crossings: plan.crossings.clone(),
        outbox: plan.outbox.clone(),
        ..Plan::nothing(plan.generation)
    }
}

/// The history row, the log and the refunded charges of a refund; the dead letter of a failure; what was decided on.
pub(super) async fn records<D: Dialect>(conn: &mut D, plan: &RefundPlan) -> Result<()> {
    if let Some(body) = plan.record.as_ref().filter(|_| plan.state != state::WAITING) {
        let body = hex(body);
        let args = [plan.compensation.into(), (plan.generation as i64).into(), (&body).into()];
        change(conn, RECORD, &args).await?;
    }
    if plan.refund > Micros::ZERO {
        history(conn, plan).await?;
        let refunded = json!(plan.charges.iter().map(Place::from).collect::<Vec<_>>()).to_string();
        let mismatch = plan.mismatch.as_deref().map(without_nul);
        let args = [plan.compensation.into(), mismatch.as_deref().into(), (&refunded).into()];
        change(conn, LOG, &args).await?;
        let args = [(&refunded).into(), plan.compensation.into()];
        if change(conn, CHARGES, &args).await? != plan.charges.len() as u64 {
            return Err(LedgerError::Stale("a charge was refunded".to_owned()));
        }
        duplicates::note(conn, plan).await?;
    }
    match &plan.dead {
        Some(dead) => dead_letter(conn, plan.compensation, dead).await,
        None => Ok(()),
    }
}

async fn history<D: Dialect>(conn: &mut D, plan: &RefundPlan) -> Result<()> {
    let (Some(balance), Some(day)) = (&plan.balance, &plan.day) else {
        let sentence = format!("the refund of {} moves no balance or no day", plan.compensation);
        return Err(LedgerError::Unexpected(sentence));
    };
    let args = [
        plan.compensation.into(),
        plan.refund.0.into(),
        balance.new.0.into(),
        (plan.generation as i64).into(),
        i64::from(day.key.day.0).into(),
        (&plan.reason).into(),
    ];
    change(conn, HISTORY, &args).await.map(drop)
}

async fn dead_letter<D: Dialect>(conn: &mut D, compensation: i64, dead: &DeadLetter) -> Result<()> {
    let sentence = without_nul(&dead.rejection.sentence);
    let args = [
        compensation.into(),
        dead.rejection.code.as_str().into(),
        dead.rejection.stage.as_str().into(),
        (&sentence).into(),
        (dead.generation as i64).into(),
    ];
    if change(conn, DEAD_LETTER, &args).await? == 1 {
        return Ok(());
    }
    let sentence = format!("compensation {compensation} waits and has a dead letter that is open");
    Err(LedgerError::Unexpected(sentence))
}
