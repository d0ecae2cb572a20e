//! Reading what batches are decided on, with and without locks, and loading campaigns and balances.

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Row};
use tollgate_domain::book::{Campaign, DayKey, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use super::database_error;
use crate::campaign::{CampaignRow, check_zones};
use crate::error::{LedgerError, Result};
use crate::rows::{Keys, LockKeys, NewCampaign, Rows};
use crate::shape::{AdvanceColumns, DayKeyColumns, Found, texts};

pub(crate) async fn clock_us(conn: &mut PgConnection) -> Result<i64> {
    let row = sqlx::query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(conn)
        .await
        .map_err(database_error)?;
    Ok(row.get(0))
}

/// Campaigns that exist, in the order of their ids.
pub(crate) async fn campaigns(conn: &mut PgConnection, ids: &[Arc<str>]) -> Result<Vec<Campaign>> {
    let rows = sqlx::query(
        "SELECT campaign_id, advertiser_id, status, paused_reason, daily_budget_micros, cpc_micros, time_zone, version
         FROM unnest($1::text[]) AS w (id) JOIN campaigns ON campaign_id = w.id",
    )
    .bind(texts(ids))
    .fetch_all(conn)
    .await
    .map_err(database_error)?;
    let campaign = |row: &PgRow| {
        CampaignRow {
            id: row.get(0),
            advertiser: row.get(1),
            status: row.get(2),
            paused_reason: row.get(3),
            daily_budget_micros: row.get(4),
            cpc_micros: row.get(5),
            time_zone: row.get(6),
            version: row.get(7),
        }
        .into_campaign()
    };
    rows.iter().map(campaign).collect()
}

pub(crate) async fn load(conn: &mut PgConnection, keys: Keys<'_>) -> Result<Rows> {
    let days = DayKeyColumns::new(keys.days);
    let rows = sqlx::query(
        "SELECT b.advertiser_id, b.balance_micros, NULL::text, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint,
           NULL::bigint, NULL::bigint, NULL::bigint
         FROM unnest($1::text[]) AS w (id) JOIN advertiser_balances b ON b.advertiser_id = w.id
         UNION ALL
         SELECT NULL, NULL, d.campaign_id, d.day - DATE '1970-01-01', d.spent_micros, d.warned_ppm, d.paused_ppm,
           d.crossing_budget_micros, d.overspent_micros, d.version
         FROM unnest($2::text[], $3::integer[]) AS w (campaign, day)
         JOIN campaign_daily_spend d ON d.campaign_id = w.campaign AND d.day = DATE '1970-01-01' + w.day",
    )
    .bind(texts(keys.advertisers))
    .bind(days.campaigns)
    .bind(days.days)
    .fetch_all(conn)
    .await
    .map_err(database_error)?;
    collect(&rows, keys)
}

/// Begins a transaction and locks progress, balances and days, in this order.
pub(crate) async fn lock(conn: &mut PgConnection, group: &str, keys: LockKeys<'_>) -> Result<Rows> {
    conn.execute("BEGIN").await.map_err(database_error)?;
    let advances = AdvanceColumns::new(keys.advances);
    let days = DayKeyColumns::new(keys.days);
    let rows =
        sqlx::query("SELECT * FROM tollgate_lock_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            .bind(group)
            .bind(keys.generation as i64)
            .bind(advances.topics)
            .bind(advances.partitions)
            .bind(advances.epochs)
            .bind(advances.incarnations)
            .bind(advances.expected)
            .bind(texts(keys.advertisers))
            .bind(days.campaigns)
            .bind(days.days)
            .fetch_all(conn)
            .await
            .map_err(database_error)?;
    collect(&rows, Keys { advertisers: keys.advertisers, days: keys.days })
}

pub(crate) async fn put_campaigns(
    conn: &mut PgConnection,
    campaigns: &[NewCampaign],
) -> Result<()> {
    check_zones(campaigns)?;
    let column = |field: fn(&NewCampaign) -> &str| campaigns.iter().map(field).collect::<Vec<_>>();
    let budgets: Vec<_> = campaigns.iter().map(|c| c.daily_budget.map(|budget| budget.0)).collect();
    sqlx::query(
        "INSERT INTO campaigns AS c (campaign_id, advertiser_id, status, daily_budget_micros, cpc_micros, time_zone)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
         ON CONFLICT (campaign_id) DO UPDATE SET
           advertiser_id = excluded.advertiser_id, status = excluded.status,
           paused_reason = CASE WHEN c.status = excluded.status THEN c.paused_reason END,
           paused_day = CASE WHEN c.status = excluded.status THEN c.paused_day END,
           daily_budget_micros = excluded.daily_budget_micros, cpc_micros = excluded.cpc_micros,
           time_zone = excluded.time_zone",
    )
    .bind(column(|c| &c.id))
    .bind(column(|c| &c.advertiser))
    .bind(column(|c| c.status.as_str()))
    .bind(budgets)
    .bind(campaigns.iter().map(|c| c.cpc.0).collect::<Vec<_>>())
    .bind(column(|c| &c.time_zone))
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    Ok(())
}

/// Sets the opening balance; what was charged since stays charged.
pub(crate) async fn put_balance(
    conn: &mut PgConnection,
    advertiser: &str,
    opening: Micros,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO advertiser_balances AS b (advertiser_id, opening_micros, balance_micros) VALUES ($1, $2, $2)
         ON CONFLICT (advertiser_id) DO UPDATE SET
           opening_micros = excluded.opening_micros,
           balance_micros = b.balance_micros + excluded.opening_micros - b.opening_micros
         WHERE b.opening_micros <> excluded.opening_micros",
    )
    .bind(advertiser)
    .bind(opening.0)
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    Ok(())
}

fn collect(rows: &[PgRow], keys: Keys<'_>) -> Result<Rows> {
    let mut found = Found::new(keys);
    for row in rows {
        if let Some(advertiser) = row.try_get::<Option<&str>, _>(0).map_err(database_error)? {
            found.balance(advertiser, Micros(row.get(1)));
            continue;
        }
        let state = DayState {
            spent: Micros(row.get(4)),
            warned_ppm: ppm(row.get(5))?,
            paused_ppm: ppm(row.get(6))?,
            crossing_budget: row.get::<Option<i64>, _>(7).map(Micros),
            overspent: Micros(row.get(8)),
            version: row.get(9),
        };
        found.day(DayKey { campaign: row.get::<&str, _>(2).into(), day: Day(row.get(3)) }, state);
    }
    Ok(found.finish())
}

fn ppm(value: i64) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| LedgerError::Unexpected(format!("{value} is not a ratio in ppm")))
}
