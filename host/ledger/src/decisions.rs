//! Records of decisions: found by any place that a batch has moved, and kept for some days.

use tollgate_domain::day::Day;

use crate::Ledger;
use crate::dialect::{Cells, Dialect, rows};
use crate::error::{LedgerError, Result};
use crate::explain_rows::{DecisionRecord, Place};

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

const RECORD: &str = "
SELECT first_offset, next_offset, generation, {us:decided_at}, body, lead_topic, lead_incarnation, lead_partition,
  lead_next_offset
FROM decision_records
WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND next_offset > $4
ORDER BY next_offset LIMIT 1";

/// The record of a place: the first span that ends behind it, when it holds it.
pub(crate) async fn record<D: Dialect>(
    conn: &mut D,
    place: &Place,
) -> Result<Option<DecisionRecord>> {
    let found = rows(conn, RECORD, &place.args()).await?;
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
        None => rows(conn, RECORD, &lead.args()).await?.first().and_then(|row| row.cell(4)),
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
