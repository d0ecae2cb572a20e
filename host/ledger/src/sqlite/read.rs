//! Reading what batches are decided on, and loading campaigns and balances.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Executor, Row};
use tollgate_domain::book::{Campaign, DayKey, DayState};
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use super::{advance, database_error, ended, json};
use crate::campaign::{CampaignRow, check_zones};
use crate::error::{LedgerError, Result};
use crate::rows::{Keys, LockKeys, NewCampaign, Rows};
use crate::shape::{Found, texts};

pub(crate) async fn clock_us(conn: &mut SqliteConnection) -> Result<i64> {
    let row = sqlx::query("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000")
        .fetch_one(conn)
        .await
        .map_err(database_error)?;
    Ok(row.get(0))
}

/// Campaigns that exist, in the order of their ids.
pub(crate) async fn campaigns(
    conn: &mut SqliteConnection,
    ids: &[Arc<str>],
) -> Result<Vec<Campaign>> {
    let rows = sqlx::query(
        "SELECT campaign_id, advertiser_id, status, paused_reason, daily_budget_micros, cpc_micros, time_zone, version
         FROM campaigns WHERE campaign_id IN (SELECT value FROM json_each(?)) ORDER BY campaign_id",
    )
    .bind(json(&texts(ids))?)
    .fetch_all(conn)
    .await
    .map_err(database_error)?;
    let campaign = |row: &SqliteRow| {
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

/// Reads on one snapshot, or inside the open transaction.
pub(crate) async fn load(conn: &mut SqliteConnection, keys: Keys<'_>) -> Result<Rows> {
    let mut found = Found::new(keys);
    let days: Vec<_> = keys.days.iter().map(|key| (&*key.campaign, key.day.0)).collect();
    let rows = sqlx::query(
        "SELECT b.advertiser_id, b.balance_micros, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
         FROM json_each(?1) AS w JOIN advertiser_balances b ON b.advertiser_id = w.value
         UNION ALL
         SELECT NULL, NULL, d.campaign_id, unixepoch(d.day) / 86400, d.spent_micros, d.warned_ppm, d.paused_ppm,
           d.crossing_budget_micros, d.overspent_micros, d.version
         FROM json_each(?2) AS w JOIN campaign_daily_spend d
           ON d.campaign_id = w.value ->> 0 AND d.day = date((w.value ->> 1) * 86400, 'unixepoch')",
    )
    .bind(json(&texts(keys.advertisers))?)
    .bind(json(&days)?)
    .fetch_all(conn)
    .await
    .map_err(database_error)?;
    for row in &rows {
        if let Some(advertiser) = row.try_get::<Option<&str>, _>(0).map_err(database_error)? {
            found.balance(advertiser, Micros(row.get(1)));
            continue;
        }
        let key = DayKey { campaign: row.get::<&str, _>(2).into(), day: Day(row.get(3)) };
        found.day(key, day_state(row)?);
    }
    Ok(found.finish())
}

/// Begins a transaction, which locks the whole file, and verifies the fence.
pub(crate) async fn lock(
    conn: &mut SqliteConnection,
    group: &str,
    keys: LockKeys<'_>,
) -> Result<Rows> {
    conn.execute("BEGIN IMMEDIATE").await.map_err(database_error)?;
    advance::verify(conn, group, keys.generation, keys.advances).await?;
    load(conn, Keys { advertisers: keys.advertisers, days: keys.days }).await
}

pub(crate) async fn put_campaigns(
    conn: &mut SqliteConnection,
    campaigns: &[NewCampaign],
) -> Result<()> {
    check_zones(campaigns)?;
    conn.execute("BEGIN IMMEDIATE").await.map_err(database_error)?;
    let done = write_campaigns(conn, campaigns).await.map_err(database_error);
    ended(conn, done).await
}

async fn write_campaigns(
    conn: &mut SqliteConnection,
    campaigns: &[NewCampaign],
) -> std::result::Result<(), sqlx::Error> {
    for campaign in campaigns {
        sqlx::query(
            "INSERT INTO campaigns (campaign_id, advertiser_id, status, daily_budget_micros, cpc_micros, time_zone)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (campaign_id) DO UPDATE SET
               advertiser_id = excluded.advertiser_id, status = excluded.status,
               paused_reason = CASE WHEN campaigns.status = excluded.status THEN campaigns.paused_reason END,
               paused_day = CASE WHEN campaigns.status = excluded.status THEN campaigns.paused_day END,
               daily_budget_micros = excluded.daily_budget_micros, cpc_micros = excluded.cpc_micros,
               time_zone = excluded.time_zone",
        )
        .bind(&campaign.id)
        .bind(&campaign.advertiser)
        .bind(campaign.status.as_str())
        .bind(campaign.daily_budget.map(|budget| budget.0))
        .bind(campaign.cpc.0)
        .bind(&campaign.time_zone)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Sets the opening balance; what was charged since stays charged.
pub(crate) async fn put_balance(
    conn: &mut SqliteConnection,
    advertiser: &str,
    opening: Micros,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO advertiser_balances (advertiser_id, opening_micros, balance_micros) VALUES (?1, ?2, ?2)
         ON CONFLICT (advertiser_id) DO UPDATE SET
           opening_micros = excluded.opening_micros,
           balance_micros = advertiser_balances.balance_micros + excluded.opening_micros
             - advertiser_balances.opening_micros
         WHERE advertiser_balances.opening_micros <> excluded.opening_micros",
    )
    .bind(advertiser)
    .bind(opening.0)
    .execute(conn)
    .await
    .map_err(|error| database_error(error).during_commit())?;
    Ok(())
}

fn day_state(row: &SqliteRow) -> Result<DayState> {
    let ppm = |value: i64| {
        u32::try_from(value)
            .map_err(|_| LedgerError::Unexpected(format!("{value} is not a ratio in ppm")))
    };
    Ok(DayState {
        spent: Micros(row.get(4)),
        warned_ppm: ppm(row.get(5))?,
        paused_ppm: ppm(row.get(6))?,
        crossing_budget: row.get::<Option<i64>, _>(7).map(Micros),
        overspent: Micros(row.get(8)),
        version: row.get(9),
    })
}
