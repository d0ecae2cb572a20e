//! Progress of the consumers: first sight, acquisition, halting and going on.

use std::sync::Arc;

use sqlx::Executor;
use sqlx::postgres::PgConnection;

use super::database_error;
use crate::error::{LedgerError, Result};
use crate::progress::{COLUMNS, Move, Want, acquired, no_such_partition, plan_move, progress_row};
use crate::rows::{Acquired, ProgressRow, Repoint};
use crate::session::{Connection, ended};

/// Rows of a group and of these topics (of all topics when empty).
pub(crate) async fn read(
    conn: &mut PgConnection,
    group: &str,
    topics: &[&str],
) -> Result<Vec<ProgressRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consumer_progress
         WHERE consumer_group = $1 AND (cardinality($2::text[]) = 0 OR topic = ANY ($2))
         ORDER BY topic, kafka_partition"
    );
    let rows = sqlx::query(&sql).bind(group).bind(topics).fetch_all(conn).await;
    Ok(rows.map_err(database_error)?.iter().map(progress_row).collect())
}

/// Writes the first rows of a topic; false when the group knows the topic already.
pub(crate) async fn first_sight(
    conn: &mut PgConnection,
    group: &str,
    topic: &str,
    topic_id: &str,
    offsets: &[(i32, i64)],
) -> Result<bool> {
    // The lock on the activation row both gives the new rows the right generation and lets one process be first.
    let done = async {
        conn.execute("BEGIN; SELECT 1 FROM rule_activation FOR UPDATE").await?;
        let written = sqlx::query(
            "INSERT INTO consumer_progress (
               consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, generation)
             SELECT $1, $2, w.part, $3, w.off, w.off, a.number
             FROM unnest($4::integer[], $5::bigint[]) AS w (part, off) CROSS JOIN rule_activation a
             WHERE NOT EXISTS (SELECT 1 FROM consumer_progress WHERE consumer_group = $1 AND topic = $2)",
        )
        .bind(group)
        .bind(topic)
        .bind(topic_id)
        .bind(offsets.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
        .bind(offsets.iter().map(|(_, offset)| *offset).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
        Ok(written.rows_affected() > 0)
    }
    .await;
    ended(conn, done.map_err(database_error)).await
}

/// Takes partitions over: a higher epoch fences off whoever held them.
pub(crate) async fn acquire(conn: &mut PgConnection, want: Want<'_>) -> Result<Vec<Acquired>> {
    let rows = sqlx::query(
        "WITH want AS MATERIALIZED (
           SELECT * FROM unnest($4::integer[], $5::bigint[]) AS w (part, off)
         ), active AS MATERIALIZED (
           SELECT number FROM rule_activation FOR SHARE
         ), held AS (
           INSERT INTO consumer_progress AS p (
             consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, epoch, generation, owner)
           SELECT $1, $2, w.part, $3, w.off, w.off, 1, a.number, $6 FROM active a CROSS JOIN want w ORDER BY w.part
           ON CONFLICT (consumer_group, topic, kafka_partition) DO UPDATE SET
             epoch = p.epoch + 1, owner = excluded.owner, generation = excluded.generation, updated_at = now(),
             topic_id = CASE WHEN p.topic_id = '' THEN excluded.topic_id ELSE p.topic_id END
           WHERE p.halted_reason IS NULL AND (p.topic_id = excluded.topic_id OR p.topic_id = '' OR excluded.topic_id = '')
           RETURNING p.kafka_partition, p.incarnation, p.epoch, p.next_offset, p.generation
         )
         SELECT kafka_partition, true, incarnation, epoch, next_offset, generation, '', NULL FROM held
         UNION ALL
         SELECT p.kafka_partition, false, 0, 0, 0, 0, p.topic_id, p.halted_reason
         FROM want w JOIN consumer_progress p
           ON p.consumer_group = $1 AND p.topic = $2 AND p.kafka_partition = w.part
         WHERE p.kafka_partition NOT IN (SELECT kafka_partition FROM held)
         ORDER BY 1",
    )
    .bind(want.group)
    .bind(want.topic)
    .bind(want.topic_id)
    .bind(want.partitions.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
    .bind(want.partitions.iter().map(|(_, offset)| *offset).collect::<Vec<_>>())
    .bind(want.owner)
    .fetch_all(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    if rows.len() != want.partitions.len() {
        // A row that appeared while the statement ran is neither held nor visible as refused.
        let sentence = "a partition was created by another process at the same moment".to_owned();
        return Err(LedgerError::Transient { sqlstate: String::new(), sentence });
    }
    let topic: Arc<str> = want.topic.into();
    Ok(rows.iter().map(|row| acquired(row, &topic)).collect())
}

/// Stops a partition until an operator lets it go on; whoever holds it is fenced off.
pub(crate) async fn halt(
    conn: &mut PgConnection,
    group: &str,
    topic: &str,
    partition: i32,
    reason: &str,
) -> Result<()> {
    let done = sqlx::query(
        "UPDATE consumer_progress SET halted_reason = $4, epoch = epoch + 1, updated_at = now()
         WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3",
    )
    .bind(group)
    .bind(topic)
    .bind(partition)
    .bind(reason)
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    if done.rows_affected() == 0 {
        return Err(no_such_partition(group, topic, partition));
    }
    Ok(())
}

/// Lets a partition go on from another offset, and writes down who wanted it and why.
pub(crate) async fn repoint(
    conn: &mut PgConnection,
    group: &str,
    repoint: Repoint<'_>,
) -> Result<ProgressRow> {
    conn.begin().await?;
    let done = repoint_inside(conn, group, repoint).await;
    ended(conn, done).await
}

async fn repoint_inside(
    conn: &mut PgConnection,
    group: &str,
    repoint: Repoint<'_>,
) -> Result<ProgressRow> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consumer_progress
         WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3 FOR NO KEY UPDATE"
    );
    let row = sqlx::query(&sql)
        .bind(group)
        .bind(repoint.topic)
        .bind(repoint.partition)
        .fetch_optional(&mut *conn)
        .await
        .map_err(database_error)?
        .ok_or_else(|| no_such_partition(group, repoint.topic, repoint.partition))?;
    let change = plan_move(&progress_row(&row), &repoint)?;
    write_move(conn, &change, repoint.note).await.map_err(database_error)?;
    Ok(change.new)
}

async fn write_move(
    conn: &mut PgConnection,
    change: &Move,
    note: &str,
) -> std::result::Result<(), sqlx::Error> {
    let Move { old, new, detail } = change;
    if new.incarnation != old.incarnation {
        sqlx::query(
            "INSERT INTO retired_progress (consumer_group, topic, kafka_partition, incarnation, topic_id, first_offset,
               next_offset, charged, skipped, dead, absent)
             SELECT consumer_group, topic, kafka_partition, incarnation, topic_id, first_offset, next_offset, charged,
               skipped, dead, absent
             FROM consumer_progress WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3",
        )
        .bind(&old.group)
        .bind(&old.topic)
        .bind(old.partition)
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query(
        "UPDATE consumer_progress SET topic_id = $4, incarnation = $5, first_offset = $6, next_offset = $7, epoch = $8,
           charged = $9, skipped = $10, dead = $11, absent = $12, halted_reason = NULL, updated_at = now()
         WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3",
    )
    .bind(&new.group)
    .bind(&new.topic)
    .bind(new.partition)
    .bind(&new.topic_id)
    .bind(new.incarnation)
    .bind(new.first_offset)
    .bind(new.next_offset)
    .bind(new.epoch)
    .bind(new.charged)
    .bind(new.skipped)
    .bind(new.dead)
    .bind(new.absent)
    .execute(&mut *conn)
    .await?;
    sqlx::query("INSERT INTO operator_actions (action, subject, detail, note) VALUES ('REPOINT', $1, $2, $3)")
        .bind(format!("{} {} {}", new.group, new.topic, new.partition))
        .bind(detail)
        .bind(note)
        .execute(conn)
        .await?;
    Ok(())
}
