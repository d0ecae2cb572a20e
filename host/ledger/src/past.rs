//! The past as it was decided, in its order: records of decisions, and the charges that they led to.

use serde_json::json;
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};

use crate::Ledger;
use crate::dialect::{Cells, Dialect, one, rows};
use crate::error::{LedgerError, Result};
use crate::rows::Place;

/// Names the record of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRecord {
    /// The last offset of the span that has the bytes.
    pub lead: Place,
    pub decided_at_us: i64,
    pub generation: u64,
}

/// A charge as history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCharge {
    pub offset: i64,
    pub advertiser: String,
    pub campaign: String,
    pub ad: Option<String>,
    pub device: Option<String>,
    /// Positive, or zero.
    pub charge: Micros,
    pub balance_after: Micros,
    pub occurred_at_us: i64,
    pub day: Day,
    pub price_source: String,
    pub reason: String,
}

/// Offsets of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSpan {
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub first_offset: i64,
    pub next_offset: i64,
}

/// Charged clicks of some days, and those of them whose rows were retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastClicks {
    pub charged: i64,
    pub retired: i64,
}

impl Ledger {
    /// Records that were decided at an instant or later, in the order in which they were.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn past_records(&mut self, since_us: i64) -> Result<Vec<PastRecord>> {
        operation!(self, idle, run_long, |conn, _| async move {
            let found = rows(conn, RECORDS, &[since_us.into()]).await?;
            Ok(found.iter().map(record).collect())
        })
    }

    /// The bytes of records that follow each other, in their order; those that are gone meanwhile are left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn past_bodies(&mut self, records: &[PastRecord]) -> Result<Vec<(usize, Vec<u8>)>> {
        operation!(self, idle, run_long, |conn, _| bodies(conn, records))
    }

    /// Charges in a span that count to a budget day or a later one, by offset.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn past_charges(&mut self, span: &PastSpan, since: Day) -> Result<Vec<PastCharge>> {
        operation!(self, idle, run_long, |conn, _| async move {
            let args = [
                (&span.topic).into(),
                i64::from(span.incarnation).into(),
                i64::from(span.partition).into(),
                span.first_offset.into(),
                span.next_offset.into(),
                i64::from(since.0).into(),
            ];
            Ok(rows(conn, CHARGES, &args).await?.iter().map(charge).collect())
        })
    }

    /// Charged clicks of a budget day and all later ones.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn past_clicks(&mut self, since: Day) -> Result<PastClicks> {
        operation!(self, idle, run_long, |conn, _| async move {
            let row = one(conn, CLICKS, &[i64::from(since.0).into()]).await?;
            Ok(PastClicks { charged: row.cell(0), retired: row.cell(1) })
        })
    }

    /// What budgets have led to on a budget day and all later ones: warnings, pauses and resumes, in their order.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row cannot be understood.
    pub async fn past_crossings(
        &mut self,
        since: Day,
    ) -> Result<Vec<(HappeningKind, HappeningFacts)>> {
        operation!(self, idle, run_long, |conn, _| async move {
            let since = since.to_string();
            let found = rows(conn, CROSSINGS, &[(&since).into()]).await?;
            found.iter().map(crossing).collect()
        })
    }
}

const RECORDS: &str = "
SELECT topic, incarnation, kafka_partition, next_offset - 1, {us:decided_at}, generation FROM decision_records
WHERE decided_at >= {at:$1} AND body IS NOT NULL
ORDER BY decided_at, topic, incarnation, kafka_partition, next_offset";

const BODIES: &str = "
SELECT CAST(e.value ->> 'at' AS BIGINT), r.body FROM {elements:$1} AS e
JOIN decision_records r ON r.topic = CAST(e.value ->> 'topic' AS TEXT)
  AND r.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND r.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND r.next_offset = CAST(e.value ->> 'next' AS BIGINT)
  AND r.decided_at = {at:CAST(e.value ->> 'us' AS BIGINT)}
WHERE r.body IS NOT NULL AND r.decided_at >= {at:$2} AND r.decided_at <= {at:$3} ORDER BY 1";

const CHARGES: &str = "
SELECT kafka_offset, advertiser_id, campaign_id, ad_id, device_id, -amount_micros, balance_after_micros,
  {us:occurred_at}, {days:budget_day}, price_source, reason
FROM ad_balance_histories
WHERE type = 'DEDUCT' AND kafka_topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND kafka_offset >= $4
  AND kafka_offset < $5 AND budget_day >= {day:$6}
ORDER BY kafka_offset";

const CLICKS: &str = "
SELECT CAST(coalesce((SELECT sum(row_count) FROM history_sums
    WHERE type = 'DEDUCT' AND budget_day >= {day:$1}), 0) AS BIGINT),
  CAST(coalesce((SELECT sum(row_count) FROM retired_history
    WHERE type = 'DEDUCT' AND budget_day >= {day:$1}), 0) AS BIGINT)";

const CROSSINGS: &str = "
SELECT kind, CAST(payload AS TEXT) FROM outbox
WHERE kind IN ('BUDGET_WARNING', 'CAMPAIGN_PAUSED', 'CAMPAIGN_RESUMED') AND payload ->> 'day' >= $1 ORDER BY id";

fn record(row: &impl Cells) -> PastRecord {
    PastRecord {
        lead: Place::of(row),
        decided_at_us: row.cell(4),
        generation: row.cell::<i64>(5) as u64,
    }
}

async fn bodies<D: Dialect>(conn: &mut D, records: &[PastRecord]) -> Result<Vec<(usize, Vec<u8>)>> {
    let instants = || records.iter().map(|record| record.decided_at_us);
    let (Some(first), Some(last)) = (instants().min(), instants().max()) else {
        return Ok(Vec::new());
    };
    let named = records.iter().enumerate().map(|(at, record)| {
        let Place { topic, incarnation, partition, offset } = &record.lead;
        json!({
            "at": at, "topic": topic, "incarnation": incarnation, "partition": partition, "next": offset + 1,
            "us": record.decided_at_us,
        })
    });
    let named = serde_json::Value::from(named.collect::<Vec<_>>()).to_string();
    let found = rows(conn, BODIES, &[(&named).into(), first.into(), last.into()]).await?;
    Ok(found.iter().map(|row| (row.cell::<i64>(0) as usize, row.cell(1))).collect())
}

fn charge(row: &impl Cells) -> PastCharge {
    PastCharge {
        offset: row.cell(0),
        advertiser: row.cell(1),
        campaign: row.cell(2),
        ad: row.cell(3),
        device: row.cell(4),
        charge: Micros(row.cell(5)),
        balance_after: Micros(row.cell(6)),
        occurred_at_us: row.cell(7),
        day: Day(row.cell(8)),
        price_source: row.cell(9),
        reason: row.cell(10),
    }
}

fn crossing(row: &impl Cells) -> Result<(HappeningKind, HappeningFacts)> {
    let (kind, payload): (String, String) = (row.cell(0), row.cell(1));
    let facts = serde_json::from_str(&payload);
    match (HappeningKind::from_name(&kind), facts) {
        (Some(kind), Ok(facts)) => Ok((kind, facts)),
        (_, facts) => {
            let sentence = facts.err().map_or_else(|| "unknown kind".into(), |e| e.to_string());
            Err(LedgerError::Unexpected(format!("a row of outbox, {kind}: {sentence}")))
        }
    }
}
