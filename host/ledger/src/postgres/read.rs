//! Reading what batches are decided on, with and without locks, and loading campaigns and balances.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use tollgate_domain::book::Campaign;
use tollgate_domain::money::Micros;

use super::database_error;
use crate::campaign::{COLUMNS, campaign_row, check_zones};
use crate::error::Result;
use crate::rows::{AdDetails, Keys, LockKeys, NewCampaign, Rows};
use crate::session::Connection;
use crate::shape::{AdvanceColumns, DayKeyColumns, Found, texts};

/// Campaigns that exist, in the order of their ids.
pub(crate) async fn campaigns(conn: &mut PgConnection, ids: &[Arc<str>]) -> Result<Vec<Campaign>> {
    let sql = format!(
        "SELECT {COLUMNS}
         FROM unnest($1::text[]) AS w (id) JOIN campaigns ON campaign_id = w.id"
    );
    let rows = sqlx::query(&sql).bind(texts(ids)).fetch_all(conn).await.map_err(database_error)?;
    rows.iter().map(campaign_row).collect()
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
    Found::of(keys, &rows)
}

/// Begins a transaction and locks progress, balances and days, in this order.
pub(crate) async fn lock(conn: &mut PgConnection, group: &str, keys: LockKeys<'_>) -> Result<Rows> {
    conn.begin().await?;
    lock_inside(conn, group, keys).await
}

/// As `lock`, in the open transaction. Without partitions the generation is not verified.
pub(crate) async fn lock_inside(
    conn: &mut PgConnection,
    group: &str,
    keys: LockKeys<'_>,
) -> Result<Rows> {
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
    Found::of(Keys { advertisers: keys.advertisers, days: keys.days }, &rows)
}

pub(crate) async fn put_campaigns(
    conn: &mut PgConnection,
    campaigns: &[NewCampaign],
) -> Result<()> {
    check_zones(campaigns)?;
    let column = |field: fn(&NewCampaign) -> &str| campaigns.iter().map(field).collect::<Vec<_>>();
    let budgets: Vec<_> = campaigns.iter().map(|c| c.daily_budget.map(|budget| budget.0)).collect();
    let ad = |field: fn(&AdDetails) -> &Option<String>| {
        campaigns.iter().map(|c| field(&c.ad).as_deref()).collect::<Vec<_>>()
    };
    sqlx::query(PUT_CAMPAIGNS)
        .bind(column(|c| &c.id))
        .bind(column(|c| &c.advertiser))
        .bind(column(|c| c.status.as_str()))
        .bind(budgets)
        .bind(campaigns.iter().map(|c| c.cpc.0).collect::<Vec<_>>())
        .bind(column(|c| &c.time_zone))
        .bind(ad(|ad| &ad.product_id))
        .bind(ad(|ad| &ad.placement))
        .bind(ad(|ad| &ad.category))
        .bind(ad(|ad| &ad.approval_status))
        .bind(ad(|ad| &ad.targeting))
        .bind(campaigns.iter().map(|c| c.ad.effective_from_us).collect::<Vec<_>>())
        .bind(ad(|ad| &ad.rtb_impact))
        .bind(campaigns.iter().map(|c| c.ad.bid.map(|bid| bid.0)).collect::<Vec<_>>())
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

const PUT_CAMPAIGNS: &str = "
INSERT INTO campaigns AS c (campaign_id, advertiser_id, status, daily_budget_micros, cpc_micros, time_zone, product_id,
  placement, category, approval_status, targeting, effective_from, rtb_impact, bid_micros)
SELECT w.id, w.advertiser, w.status, w.budget, w.cpc, w.zone, w.product, w.placement, w.category, w.approval,
  w.targeting::jsonb, TIMESTAMPTZ 'epoch' + w.effective_us * INTERVAL '1 microsecond', w.impact, w.bid
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::bigint[])
  AS w (id, advertiser, status, budget, cpc, zone, product, placement, category, approval, targeting, effective_us,
    impact, bid)
ON CONFLICT (campaign_id) DO UPDATE SET
  advertiser_id = excluded.advertiser_id, status = excluded.status,
  paused_reason = CASE WHEN c.status = excluded.status THEN c.paused_reason END,
  paused_day = CASE WHEN c.status = excluded.status THEN c.paused_day END,
  daily_budget_micros = excluded.daily_budget_micros, cpc_micros = excluded.cpc_micros,
  time_zone = excluded.time_zone, product_id = excluded.product_id, placement = excluded.placement,
  category = excluded.category, approval_status = excluded.approval_status, targeting = excluded.targeting,
  effective_from = excluded.effective_from, rtb_impact = excluded.rtb_impact, bid_micros = excluded.bid_micros";
