//! Writing a plan, whole or not at all.

use sqlx::sqlite::SqliteConnection;
use tollgate_domain::plan::{BalanceMove, DayMove, Plan, StatusChange};

use super::{advance, database_error, history, json, record};
use crate::config::LedgerConfig;
use crate::error::{LedgerError, Result};
use crate::refunds::store;
use crate::session::{Connection, ended};
use crate::shape::{headers_json, incarnation, without_nul};

/// Writes the plan and commits. `open`: the transaction that `lock` began is still open and is ended here.
pub(crate) async fn apply(
    conn: &mut SqliteConnection,
    config: &LedgerConfig,
    plan: &Plan<'_>,
    open: bool,
) -> Result<()> {
    if !open {
        conn.begin().await?;
    }
    let written = inside(conn, &config.group, plan).await;
    ended(conn, written).await
}

/// Writes a plan inside the open transaction.
pub(crate) async fn inside(
    conn: &mut SqliteConnection,
    group: &str,
    plan: &Plan<'_>,
) -> Result<()> {
    advance::advance(conn, group, plan.generation, &plan.advances).await?;
    if !plan.balances.is_empty() {
        balances(conn, &plan.balances).await?;
    }
    if !plan.days.is_empty() {
        days(conn, &plan.days).await?;
    }
    if !plan.statuses.is_empty() {
        statuses(conn, &plan.statuses).await?;
    }
    if !plan.crossings.is_empty() {
        crossings(conn, plan).await?;
    }
    if !plan.outbox.is_empty() {
        outbox(conn, plan).await?;
    }
    history::write(conn, plan).await?;
    record::write(conn, plan).await?;
    if !plan.compensations.is_empty() {
        store(conn, plan.generation, &plan.compensations).await?;
    }
    dead_letters(conn, plan).await.map_err(database_error)
}

async fn balances(conn: &mut SqliteConnection, moves: &[BalanceMove]) -> Result<()> {
    let rows: Vec<_> = moves.iter().map(|b| (&*b.advertiser, b.expected.0, b.new.0)).collect();
    let rows = json(&rows)?;
    if moves.iter().any(|b| b.expected.0 == 0) {
        sqlx::query(
            "INSERT INTO advertiser_balances (advertiser_id)
             SELECT value ->> 0 FROM json_each(?) WHERE value ->> 1 = 0 ON CONFLICT DO NOTHING",
        )
        .bind(&rows)
        .execute(&mut *conn)
        .await
        .map_err(database_error)?;
    }
    let done = sqlx::query(
        "UPDATE advertiser_balances AS b SET balance_micros = w.value ->> 2 FROM json_each(?) AS w
         WHERE b.advertiser_id = w.value ->> 0 AND b.balance_micros = w.value ->> 1",
    )
    .bind(&rows)
    .execute(conn)
    .await
    .map_err(database_error)?;
    all(done.rows_affected(), moves.len(), "a balance has moved")
}

async fn days(conn: &mut SqliteConnection, moves: &[DayMove]) -> Result<()> {
    let rows: Vec<_> = moves
        .iter()
        .map(|d| {
            let new = &d.new;
            (
                (&*d.key.campaign, d.key.day.0, d.campaign_version, d.expected_version),
                (new.spent.0, new.warned_ppm, new.paused_ppm),
                (new.crossing_budget.map(|budget| budget.0), new.overspent.0),
            )
        })
        .collect();
    let rows = json(&rows)?;
    if moves.iter().any(|d| d.expected_version == 0) {
        sqlx::query(
            "INSERT INTO campaign_daily_spend (campaign_id, day)
             SELECT value ->> '$[0][0]', date((value ->> '$[0][1]') * 86400, 'unixepoch')
             FROM json_each(?) WHERE value ->> '$[0][3]' = 0 ON CONFLICT DO NOTHING",
        )
        .bind(&rows)
        .execute(&mut *conn)
        .await
        .map_err(database_error)?;
    }
    let done = sqlx::query(
        "UPDATE campaign_daily_spend AS d SET
           spent_micros = w.value ->> '$[1][0]', warned_ppm = w.value ->> '$[1][1]', paused_ppm = w.value ->> '$[1][2]',
           crossing_budget_micros = w.value ->> '$[2][0]', overspent_micros = w.value ->> '$[2][1]',
           version = d.version + 1
         FROM json_each(?) AS w JOIN campaigns c
           ON c.campaign_id = w.value ->> '$[0][0]' AND c.version = w.value ->> '$[0][2]'
         WHERE d.campaign_id = w.value ->> '$[0][0]' AND d.day = date((w.value ->> '$[0][1]') * 86400, 'unixepoch')
           AND d.version = w.value ->> '$[0][3]'",
    )
    .bind(&rows)
    .execute(conn)
    .await
    .map_err(database_error)?;
    all(done.rows_affected(), moves.len(), "a day or its campaign has changed")
}

async fn statuses(conn: &mut SqliteConnection, changes: &[StatusChange]) -> Result<()> {
    let rows: Vec<_> = changes
        .iter()
        .map(|c| {
            (
                (&*c.campaign, c.expected_version, c.new_version),
                (c.status.as_str(), c.paused_reason, c.paused_day.map(|day| day.0)),
            )
        })
        .collect();
    let done = sqlx::query(
        "UPDATE campaigns AS c SET
           status = w.value ->> '$[1][0]', paused_reason = w.value ->> '$[1][1]',
           paused_day = date((w.value ->> '$[1][2]') * 86400, 'unixepoch'), version = w.value ->> '$[0][2]'
         FROM json_each(?) AS w
         WHERE c.campaign_id = w.value ->> '$[0][0]' AND c.version = w.value ->> '$[0][1]'",
    )
    .bind(json(&rows)?)
    .execute(conn)
    .await
    .map_err(database_error)?;
    all(done.rows_affected(), changes.len(), "a campaign has changed")
}

async fn crossings(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<()> {
    for crossing in &plan.crossings {
        sqlx::query(
            "INSERT INTO budget_crossings (campaign_id, day, kind, level_ppm, budget_micros, round, advertiser_id,
               usage_ppm, spent_micros, reason)
             VALUES (?, date(? * 86400, 'unixepoch'), ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (campaign_id, day, kind, level_ppm, budget_micros, round) DO NOTHING",
        )
        .bind(&*crossing.key.campaign)
        .bind(crossing.key.day.0)
        .bind(crossing.kind.as_str())
        .bind(crossing.level_ppm)
        .bind(crossing.budget.map_or(-1, |budget| budget.0))
        .bind(crossing.round)
        .bind(&*crossing.advertiser)
        .bind(crossing.usage_ppm)
        .bind(crossing.spent.0)
        .bind(&crossing.reason)
        .execute(&mut *conn)
        .await
        .map_err(database_error)?;
    }
    Ok(())
}

async fn outbox(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<()> {
    for message in &plan.outbox {
        sqlx::query(
            "INSERT INTO outbox (dedup_key, kind, payload) VALUES (?, ?, ?) ON CONFLICT (dedup_key) DO NOTHING",
        )
        .bind(&message.key)
        .bind(message.kind.as_str())
        .bind(&message.payload)
        .execute(&mut *conn)
        .await
        .map_err(database_error)?;
    }
    Ok(())
}

async fn dead_letters(
    conn: &mut SqliteConnection,
    plan: &Plan<'_>,
) -> std::result::Result<(), sqlx::Error> {
    for dead in &plan.dead {
        sqlx::query(
            "INSERT INTO dead_letters (topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence,
               record_at_ms, message_key, payload, headers, generation, campaign_id)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*dead.topic)
        .bind(incarnation(dead, plan))
        .bind(dead.partition)
        .bind(dead.offset)
        .bind(dead.rejection.code.as_str())
        .bind(dead.rejection.stage.as_str())
        .bind(without_nul(&dead.rejection.sentence))
        .bind(dead.record_at_ms)
        .bind(dead.key.as_deref())
        .bind(dead.payload.as_deref())
        .bind(headers_json(&dead.headers))
        .bind(dead.generation as i64)
        .bind(dead.campaign.as_deref())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

fn all(done: u64, wanted: usize, sentence: &str) -> Result<()> {
    if done == wanted as u64 { Ok(()) } else { Err(LedgerError::Stale(sentence.to_owned())) }
}
