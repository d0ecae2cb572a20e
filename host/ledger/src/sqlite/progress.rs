//! Progress of the consumers: first sight, acquisition, halting and going on.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{database_error, json};
use crate::error::Result;
use crate::progress::{COLUMNS, Move, Want, acquired, no_such_partition, plan_move, progress_row};
use crate::rows::{Acquired, ProgressRow, Repoint};
use crate::session::{Connection, ended};

/// Rows of a group and of these topics (of all topics when empty).
pub(crate) async fn read(
    conn: &mut SqliteConnection,
    group: &str,
    topics: &[&str],
) -> Result<Vec<ProgressRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consumer_progress
         WHERE consumer_group = ?1 AND (json_array_length(?2) = 0 OR topic IN (SELECT value FROM json_each(?2)))
         ORDER BY topic, kafka_partition"
    );
    let rows = sqlx::query(&sql).bind(group).bind(json(topics)?).fetch_all(conn).await;
    Ok(rows.map_err(database_error)?.iter().map(progress_row).collect())
}

/// Writes the first rows of a topic; false when the group knows the topic already.
pub(crate) async fn first_sight(
    conn: &mut SqliteConnection,
    group: &str,
    topic: &str,
    topic_id: &str,
    offsets: &[(i32, i64)],
) -> Result<bool> {
    // One statement is one transaction.
    let written = sqlx::query(
        "INSERT INTO consumer_progress (
           consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, generation)
         SELECT ?1, ?2, w.value ->> 0, ?3, w.value ->> 1, w.value ->> 1, a.number
         FROM json_each(?4) AS w CROSS JOIN rule_activation a
         WHERE NOT EXISTS (SELECT 1 FROM consumer_progress WHERE consumer_group = ?1 AND topic = ?2)",
    )
    .bind(group)
    .bind(topic)
    .bind(topic_id)
    .bind(json(offsets)?)
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    Ok(written.rows_affected() > 0)
}

/// Takes partitions over: a higher epoch fences off whoever held them.
pub(crate) async fn acquire(conn: &mut SqliteConnection, want: Want<'_>) -> Result<Vec<Acquired>> {
    conn.begin().await?;
    let done = acquire_inside(conn, want).await.map_err(database_error);
    ended(conn, done).await
}

async fn acquire_inside(
    conn: &mut SqliteConnection,
    want: Want<'_>,
) -> std::result::Result<Vec<Acquired>, sqlx::Error> {
    let topic: Arc<str> = want.topic.into();
    let mut all = Vec::with_capacity(want.partitions.len());
    for (partition, offset) in want.partitions {
        let row = sqlx::query(
            "INSERT INTO consumer_progress AS p (
               consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, epoch, generation, owner)
             SELECT ?1, ?2, ?3, ?4, ?5, ?5, 1, number, ?6 FROM rule_activation WHERE true
             ON CONFLICT (consumer_group, topic, kafka_partition) DO UPDATE SET
               epoch = p.epoch + 1, owner = excluded.owner, generation = excluded.generation,
               updated_at = excluded.updated_at,
               topic_id = CASE WHEN p.topic_id = '' THEN excluded.topic_id ELSE p.topic_id END
             WHERE p.halted_reason IS NULL
               AND (p.topic_id = excluded.topic_id OR p.topic_id = '' OR excluded.topic_id = '')
             RETURNING kafka_partition, true, incarnation, epoch, next_offset, generation, '', NULL",
        )
        .bind(want.group)
        .bind(want.topic)
        .bind(partition)
        .bind(want.topic_id)
        .bind(offset)
        .bind(want.owner)
        .fetch_optional(&mut *conn)
        .await?;
        let row = match row {
            Some(row) => row,
            None => refused(conn, want, *partition).await?,
        };
        all.push(acquired(&row, &topic));
    }
    Ok(all)
}

async fn refused(
    conn: &mut SqliteConnection,
    want: Want<'_>,
    partition: i32,
) -> std::result::Result<SqliteRow, sqlx::Error> {
    sqlx::query(
        "SELECT kafka_partition, false, 0, 0, 0, 0, topic_id, halted_reason FROM consumer_progress
         WHERE consumer_group = ?1 AND topic = ?2 AND kafka_partition = ?3",
    )
    .bind(want.group)
    .bind(want.topic)
    .bind(partition)
    .fetch_one(conn)
    .await
}

/// Stops a partition until an operator lets it go on; whoever holds it is fenced off.
pub(crate) async fn halt(
    conn: &mut SqliteConnection,
    group: &str,
    topic: &str,
    partition: i32,
    reason: &str,
) -> Result<()> {
    let done = sqlx::query(
        "UPDATE consumer_progress SET halted_reason = ?4, epoch = epoch + 1
         WHERE consumer_group = ?1 AND topic = ?2 AND kafka_partition = ?3",
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
    conn: &mut SqliteConnection,
    group: &str,
    repoint: Repoint<'_>,
) -> Result<ProgressRow> {
    conn.begin().await?;
    let done = repoint_inside(conn, group, repoint).await;
    ended(conn, done).await
}

async fn repoint_inside(
    conn: &mut SqliteConnection,
    group: &str,
    repoint: Repoint<'_>,
) -> Result<ProgressRow> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consumer_progress
         WHERE consumer_group = ?1 AND topic = ?2 AND kafka_partition = ?3"
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
    conn: &mut SqliteConnection,
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
             FROM consumer_progress WHERE consumer_group = ?1 AND topic = ?2 AND kafka_partition = ?3",
        )
        .bind(&old.group)
        .bind(&old.topic)
        .bind(old.partition)
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query(
        "UPDATE consumer_progress SET topic_id = ?4, incarnation = ?5, first_offset = ?6, next_offset = ?7, epoch = ?8,
           charged = ?9, skipped = ?10, dead = ?11, absent = ?12, halted_reason = NULL
         WHERE consumer_group = ?1 AND topic = ?2 AND kafka_partition = ?3",
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
    sqlx::query("INSERT INTO operator_actions (action, subject, detail, note) VALUES ('REPOINT', ?1, ?2, ?3)")
        .bind(format!("{} {} {}", new.group, new.topic, new.partition))
        .bind(detail)
        .bind(note)
        .execute(conn)
        .await?;
    Ok(())
}
