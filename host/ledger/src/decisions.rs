//! Records of decisions: found by any place that a batch has moved, and kept for some days.

use serde_json::json;
use tollgate_domain::day::Day;

use crate::Ledger;
use crate::dialect::{Cells, Dialect, change, rows};
use crate::error::{LedgerError, Result};
use crate::explain_rows::DecisionRecord;
use crate::rows::Place;
use crate::shape::hex;

impl Ledger {
    /// Makes tables for the records of the days to come, `ahead` of them, and drops those of days that lie more than
    /// `retention_days` before `today`; days are those of UTC. True: done. False: another host is at it, or writers
    /// are in the way for the moment; then call again later.
    ///
    /// # Errors
    /// When the database cannot be written, or does not let its user make tables.
    pub async fn maintain_decisions(
        &mut self,
        today: Day,
        ahead: u32,
        retention_days: u32,
    ) -> Result<bool> {
        let done = operation!(self, idle, run, |conn, _| {
            sql::decisions::maintain(conn, today, ahead, retention_days)
        });
        match done {
            Err(LedgerError::Transient { .. }) => Ok(false),
            done => done,
        }
    }
}

const COLUMNS: &str =
    "SELECT first_offset, next_offset, generation, {us:decided_at}, body, lead_topic,
  lead_incarnation, lead_partition, lead_next_offset, replay
FROM decision_records WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3";

/// The last replay of one letter.
const REPLAYED: &str =
    " AND first_offset = $4 AND next_offset = $4 + 1 AND replay ORDER BY decided_at DESC LIMIT 1";

/// The first span that ends behind an offset; a compensation that was settled again has two.
const SPAN: &str =
    " AND next_offset > $4 AND NOT replay ORDER BY next_offset, decided_at DESC LIMIT 1";

/// The bytes in the first row of a record, which was written no later than its other rows.
const LEAD: &str = "
SELECT body FROM decision_records WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND next_offset = $4
  AND CAST(replay AS INTEGER) = $5 AND decided_at <= {at:$6} AND body IS NOT NULL ORDER BY decided_at DESC LIMIT 1";

const LETTERS: &str = "
INSERT INTO decision_records (first_offset, next_offset, generation, incarnation, kafka_partition, topic,
  lead_incarnation, lead_partition, lead_next_offset, lead_topic, body, replay)
SELECT CAST(e.value ->> 'offset' AS BIGINT), CAST(e.value ->> 'offset' AS BIGINT) + 1, CAST($2 AS BIGINT),
  CAST(e.value ->> 'incarnation' AS INTEGER), CAST(e.value ->> 'partition' AS INTEGER),
  CAST(e.value ->> 'topic' AS TEXT), CAST(e.value ->> 'lead_incarnation' AS INTEGER),
  CAST(e.value ->> 'lead_partition' AS INTEGER), CAST(e.value ->> 'lead_next_offset' AS BIGINT),
  CAST(e.value ->> 'lead_topic' AS TEXT), CASE WHEN e.value ->> 'lead_topic' IS NULL THEN {unhex:$3} END, true
FROM {elements:$1} AS e";

/// Keeps the record of a replay, under each letter's place.
pub(crate) async fn of_letters<D: Dialect>(
    conn: &mut D,
    letters: &[Place],
    generation: u64,
    body: &[u8],
) -> Result<()> {
    let Some(lead) = letters.first() else { return Ok(()) };
    let first = json!({
        "topic": lead.topic, "incarnation": lead.incarnation, "partition": lead.partition, "offset": lead.offset,
    });
    let others = letters[1..].iter().map(|letter| {
        json!({
            "topic": letter.topic, "incarnation": letter.incarnation, "partition": letter.partition,
            "offset": letter.offset, "lead_topic": lead.topic, "lead_incarnation": lead.incarnation,
            "lead_partition": lead.partition, "lead_next_offset": lead.offset + 1,
        })
    });
    let rows: Vec<_> = std::iter::once(first).chain(others).collect();
    let (rows, body) = (json!(rows).to_string(), hex(body));
    let args = [(&rows).into(), (generation as i64).into(), (&body).into()];
    change(conn, LETTERS, &args).await.map(drop)
}

/// The record of a place: its last replay, or else the span that holds it.
pub(crate) async fn record<D: Dialect>(
    conn: &mut D,
    place: &Place,
) -> Result<Option<DecisionRecord>> {
    let mut found = rows(conn, &format!("{COLUMNS}{REPLAYED}"), &place.args()).await?;
    if found.is_empty() {
        found = rows(conn, &format!("{COLUMNS}{SPAN}"), &place.args()).await?;
    }
    let Some(row) = found.first().filter(|row| row.cell::<i64>(0) <= place.offset) else {
        return Ok(None);
    };
    let lead_topic: Option<String> = row.cell(5);
    let lead = match lead_topic {
        None => place.clone(),
        Some(topic) => Place {
            topic,
            incarnation: row.cell(6),
            partition: row.cell(7),
            offset: row.cell::<i64>(8) - 1,
        },
    };
    let body = match row.cell::<Option<Vec<u8>>>(4) {
        Some(body) => Some(body),
        None => {
            let Place { topic, incarnation, partition, offset } = &lead;
            let replay: bool = row.cell(9);
            let args = [
                topic.into(),
                i64::from(*incarnation).into(),
                i64::from(*partition).into(),
                (offset + 1).into(),
                i64::from(replay).into(),
                row.cell::<i64>(3).into(),
            ];
            rows(conn, LEAD, &args).await?.first().and_then(|row| row.cell(0))
        }
    };
    let next_offset = row.cell::<i64>(1);
    // All places of one span have one name for their record.
    let lead = if lead == *place { Place { offset: next_offset - 1, ..lead } } else { lead };
    Ok(body.map(|body| DecisionRecord {
        lead,
        first_offset: row.cell(0),
        next_offset,
        generation: row.cell::<i64>(2) as u64,
        decided_at_us: row.cell(3),
        body,
    }))
}
