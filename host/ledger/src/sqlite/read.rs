//! Reading what batches are decided on, and loading campaigns and balances.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use tollgate_domain::book::Campaign;
use tollgate_domain::money::Micros;

use super::{advance, database_error, json};
use crate::campaign::{COLUMNS, campaign_row, check_zones};
use crate::error::Result;
use crate::rows::{Keys, LockKeys, NewCampaign, Rows};
use crate::session::{Connection, ended};
use crate::shape::{Found, texts};

/// Campaigns that exist, in the order of their ids.
pub(crate) async fn campaigns(
    conn: &mut SqliteConnection,
    ids: &[Arc<str>],
) -> Result<Vec<Campaign>> {
    let sql = format!(
        "SELECT {COLUMNS}
         FROM campaigns WHERE campaign_id IN (SELECT value FROM json_each(?)) ORDER BY campaign_id"
    );
    let ids = json(&texts(ids))?;
    let rows = sqlx::query(&sql).bind(ids).fetch_all(conn).await.map_err(database_error)?;
    rows.iter().map(campaign_row).collect()
}

/// Reads on one snapshot, or inside the open transaction.
pub(crate) async fn load(conn: &mut SqliteConnection, keys: Keys<'_>) -> Result<Rows> {
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
    Found::of(keys, &rows)
}

/// Begins a transaction, which locks the whole file, and verifies the fence.
pub(crate) async fn lock(
    conn: &mut SqliteConnection,
    group: &str,
    keys: LockKeys<'_>,
) -> Result<Rows> {
    conn.begin().await?;
    lock_inside(conn, group, keys).await
}

/// As `lock`, in the open transaction.
pub(crate) async fn lock_inside(
    conn: &mut SqliteConnection,
    group: &str,
    keys: LockKeys<'_>,
) -> Result<Rows> {
    advance::verify(conn, group, keys.generation, keys.advances).await?;
    load(conn, Keys { advertisers: keys.advertisers, days: keys.days }).await
}

pub(crate) async fn put_campaigns(
    conn: &mut SqliteConnection,
    campaigns: &[NewCampaign],
) -> Result<()> {
    check_zones(campaigns)?;
    conn.begin().await?;
    let done = write_campaigns(conn, campaigns).await.map_err(database_error);
    ended(conn, done).await
}

async fn write_campaigns(
    conn: &mut SqliteConnection,
    campaigns: &[NewCampaign],
) -> std::result::Result<(), sqlx::Error> {
    for campaign in campaigns {
        sqlx::query(
            "INSERT INTO campaigns (campaign_id, advertiser_id, status, daily_budget_micros, cpc_micros, time_zone,
               product_id, placement, category, approval_status, targeting, effective_from, rtb_impact, bid_micros)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (campaign_id) DO UPDATE SET
               advertiser_id = excluded.advertiser_id, status = excluded.status,
               paused_reason = CASE WHEN campaigns.status = excluded.status THEN campaigns.paused_reason END,
               paused_day = CASE WHEN campaigns.status = excluded.status THEN campaigns.paused_day END,
               daily_budget_micros = excluded.daily_budget_micros, cpc_micros = excluded.cpc_micros,
               time_zone = excluded.time_zone, product_id = excluded.product_id, placement = excluded.placement,
               category = excluded.category, approval_status = excluded.approval_status,
               targeting = excluded.targeting, effective_from = excluded.effective_from,
               rtb_impact = excluded.rtb_impact, bid_micros = excluded.bid_micros",
        )
        .bind(&campaign.id)
        .bind(&campaign.advertiser)
        .bind(campaign.status.as_str())
        .bind(campaign.daily_budget.map(|budget| budget.0))
        .bind(campaign.cpc.0)
        .bind(&campaign.time_zone)
        .bind(&campaign.ad.product_id)
        .bind(&campaign.ad.placement)
        .bind(&campaign.ad.category)
        .bind(&campaign.ad.approval_status)
        .bind(&campaign.ad.targeting)
        .bind(campaign.ad.effective_from_us)
        .bind(&campaign.ad.rtb_impact)
        .bind(campaign.ad.bid.map(|bid| bid.0))
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
