//! The record of a decision, in the transaction of its plan.

use sqlx::sqlite::SqliteConnection;
use tollgate_domain::plan::Plan;

use super::database_error;
use crate::error::Result;

const INSERT: &str = "
INSERT INTO decision_records (first_offset, next_offset, generation, incarnation, kafka_partition, topic,
  lead_incarnation, lead_partition, lead_next_offset, lead_topic, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Writes a row for each partition that the plan moves; the bytes stand in the first one.
pub(crate) async fn write(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<()> {
    let (Some(body), Some(first)) = (&plan.record, plan.advances.first()) else { return Ok(()) };
    for (at, advance) in plan.advances.iter().enumerate() {
        let lead = (at > 0).then_some(first);
        sqlx::query(INSERT)
            .bind(advance.expected_offset)
            .bind(advance.next_offset)
            .bind(plan.generation as i64)
            .bind(advance.source.incarnation)
            .bind(advance.source.partition)
            .bind(&*advance.source.topic)
            .bind(lead.map(|lead| lead.source.incarnation))
            .bind(lead.map(|lead| lead.source.partition))
            .bind(lead.map(|lead| lead.next_offset))
            .bind(lead.map(|lead| &*lead.source.topic))
            .bind((at == 0).then_some(&body[..]))
            .execute(&mut *conn)
            .await
            .map_err(database_error)?;
    }
    Ok(())
}
