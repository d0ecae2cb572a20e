//! The fence: progress moves only for whoever holds the partition, from where the batch began.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tollgate_domain::plan::Advance;

use super::{database_error, json};
use crate::error::{LedgerError, Result};

/// Moves the partitions on.
///
/// # Errors
/// `Fenced` or `GenerationChanged`; the caller rolls back.
pub(crate) async fn advance(
    conn: &mut SqliteConnection,
    group: &str,
    generation: u64,
    advances: &[Advance],
) -> Result<()> {
    if advances.is_empty() {
        return check_generation(conn, generation).await;
    }
    let rows: Vec<_> = advances
        .iter()
        .map(|a| {
            let source = &a.source;
            (
                (&*source.topic, source.partition, source.epoch, source.incarnation),
                (a.expected_offset, a.next_offset, a.charged, a.skipped, a.dead, a.absent),
            )
        })
        .collect();
    let moved = sqlx::query(
        "UPDATE consumer_progress AS p SET
           next_offset = w.value ->> '$[1][1]', charged = p.charged + (w.value ->> '$[1][2]'),
           skipped = p.skipped + (w.value ->> '$[1][3]'), dead = p.dead + (w.value ->> '$[1][4]'),
           absent = p.absent + (w.value ->> '$[1][5]'),
           updated_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
         FROM json_each(?1) AS w
         WHERE p.consumer_group = ?2 AND p.topic = w.value ->> '$[0][0]'
           AND p.kafka_partition = w.value ->> '$[0][1]' AND p.epoch = w.value ->> '$[0][2]'
           AND p.incarnation = w.value ->> '$[0][3]' AND p.next_offset = w.value ->> '$[1][0]' AND p.generation = ?3",
    )
    .bind(json(&rows)?)
    .bind(group)
    .bind(generation as i64)
    .execute(&mut *conn)
    .await
    .map_err(database_error)?;
    if moved.rows_affected() == advances.len() as u64 {
        return Ok(());
    }
    Err(miss(conn, group, advances).await)
}

/// Verifies the fence without moving anything.
///
/// # Errors
/// As `advance`.
pub(crate) async fn verify(
    conn: &mut SqliteConnection,
    group: &str,
    generation: u64,
    advances: &[Advance],
) -> Result<()> {
    if held(conn, group, advances).await? != advances.len() as i64 {
        return Err(miss(conn, group, advances).await);
    }
    check_generation(conn, generation).await
}

async fn check_generation(conn: &mut SqliteConnection, generation: u64) -> Result<()> {
    let active = active(conn).await?;
    if active == generation { Ok(()) } else { Err(LedgerError::GenerationChanged { active }) }
}

/// Says why the fence did not hold.
async fn miss(conn: &mut SqliteConnection, group: &str, advances: &[Advance]) -> LedgerError {
    match (held(conn, group, advances).await, active(conn).await) {
        (Ok(held), Ok(active)) if held == advances.len() as i64 => {
            LedgerError::GenerationChanged { active }
        }
        (Ok(held), Ok(_)) => {
            LedgerError::Fenced(format!("{held} of {} partitions held", advances.len()))
        }
        (Err(error), _) | (_, Err(error)) => error,
    }
}

async fn held(conn: &mut SqliteConnection, group: &str, advances: &[Advance]) -> Result<i64> {
    let rows: Vec<_> = advances
        .iter()
        .map(|a| {
            let source = &a.source;
            (&*source.topic, source.partition, source.epoch, source.incarnation, a.expected_offset)
        })
        .collect();
    let row = sqlx::query(
        "SELECT count(*) FROM json_each(?1) AS w JOIN consumer_progress p
           ON p.consumer_group = ?2 AND p.topic = w.value ->> 0 AND p.kafka_partition = w.value ->> 1
         WHERE p.epoch = w.value ->> 2 AND p.incarnation = w.value ->> 3 AND p.next_offset = w.value ->> 4",
    )
    .bind(json(&rows)?)
    .bind(group)
    .fetch_one(conn)
    .await
    .map_err(database_error)?;
    Ok(row.get(0))
}

async fn active(conn: &mut SqliteConnection) -> Result<u64> {
    let row = sqlx::query("SELECT number FROM rule_activation")
        .fetch_one(conn)
        .await
        .map_err(database_error)?;
    Ok(row.get::<i64, _>(0) as u64)
}
