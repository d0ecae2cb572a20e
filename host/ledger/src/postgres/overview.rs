//! A small picture of the ledger for status pages.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tollgate_domain::day::Day;

use super::{database_error, progress, read};
use crate::error::Result;
use crate::near::{BudgetRow, NEAR_BUDGET_SQL_FILTER, near_budget};
use crate::rows::Overview;

pub(crate) async fn overview(conn: &mut PgConnection) -> Result<Overview> {
    let counts = sqlx::query(
        "SELECT (SELECT number FROM rule_activation),
           (SELECT count(*) FROM campaigns WHERE status = 'ACTIVE'),
           (SELECT count(*) FROM campaigns WHERE status = 'PAUSED'),
           (SELECT count(*) FROM campaigns),
           (SELECT count(*) FROM advertiser_balances),
           (SELECT count(*) FROM advertiser_balances WHERE balance_micros < 0),
           (SELECT count(*) FROM outbox WHERE sent_at IS NULL AND dead_at IS NULL),
           (SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL),
           (SELECT count(*) FROM dead_letters),
           (SELECT count(*) FROM dead_letters WHERE published_at IS NULL)",
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(database_error)?;
    let now_us = read::clock_us(conn).await?;
    let sql = format!(
        "SELECT c.campaign_id, c.status, c.time_zone, d.day - DATE '1970-01-01', d.spent_micros,
           c.daily_budget_micros, d.overspent_micros
         FROM campaign_daily_spend d JOIN campaigns c ON c.campaign_id = d.campaign_id
         WHERE d.day BETWEEN (now() AT TIME ZONE 'UTC')::date - 1 AND (now() AT TIME ZONE 'UTC')::date + 1
           AND {NEAR_BUDGET_SQL_FILTER}"
    );
    let near = sqlx::query(&sql).fetch_all(&mut *conn).await.map_err(database_error)?;
    Ok(Overview {
        generation: counts.get::<i64, _>(0) as u64,
        active: counts.get(1),
        paused: counts.get(2),
        campaigns: counts.get(3),
        advertisers: counts.get(4),
        negative_balances: counts.get(5),
        outbox_waiting: counts.get(6),
        outbox_given_up: counts.get(7),
        dead_letters: counts.get(8),
        dead_letters_unpublished: counts.get(9),
        near_budget: near_budget(near.iter().map(budget_row), now_us),
        progress: progress::read(conn, None, &[]).await?,
    })
}

fn budget_row(row: &PgRow) -> BudgetRow {
    BudgetRow {
        campaign: row.get(0),
        status: row.get(1),
        time_zone: row.get(2),
        day: Day(row.get(3)),
        spent_micros: row.get(4),
        budget_micros: row.get(5),
        overspent_micros: row.get(6),
    }
}
