//! Clicks and duplicates by the minute, and the rates over sliding windows.

use std::collections::BTreeMap;

use serde_json::json;
use tollgate_domain::day::Day;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::refund::RefundPlan;

use crate::dialect::{Cells, Dialect, change, one, rows};
use crate::error::Result;
use crate::outbox::tell;
use crate::session::ended;
use crate::watch_rows::{ClickCount, DuplicateRate, DuplicateRates, RateFilter, RateScope, Window};

/// Minutes that are kept: the longest window, and as much again for duplicates that one hears of late.
pub(super) const MINUTES_KEPT: i64 = 2 * 1_440;

const MINUTE_US: i64 = 60_000_000;

/// A campaign belongs to one advertiser, whose balance is locked, so no two refunds write the same rows at once.
const NOTE: &str = "
INSERT INTO duplicate_minutes (minute, campaign_id, advertiser_id, duplicates, charged_micros)
SELECT CAST(e.value ->> 'm' AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST(e.value ->> 'n' AS BIGINT),
  CAST(e.value ->> 'charged' AS BIGINT)
FROM {elements:$1} AS e WHERE CAST(e.value ->> 'm' AS BIGINT) >= {clock} / 60000000 - $4
ORDER BY CAST(e.value ->> 'm' AS BIGINT)
ON CONFLICT (minute, campaign_id, advertiser_id) DO UPDATE SET
  duplicates = duplicate_minutes.duplicates + excluded.duplicates,
  charged_micros = duplicate_minutes.charged_micros + excluded.charged_micros";

/// Columns of a window follow each other from the longest to the shortest, which are the minutes from `$1`, `$2`, `$3`
/// on to `$4`.
const RATES: &str = "
SELECT advertiser_id, campaign_id,
  CAST(sum(clicks) AS BIGINT), CAST(sum(duplicates) AS BIGINT),
  CAST(sum(CASE WHEN minute >= $2 THEN clicks ELSE 0 END) AS BIGINT),
  CAST(sum(CASE WHEN minute >= $2 THEN duplicates ELSE 0 END) AS BIGINT),
  CAST(sum(CASE WHEN minute >= $3 THEN clicks ELSE 0 END) AS BIGINT),
  CAST(sum(CASE WHEN minute >= $3 THEN duplicates ELSE 0 END) AS BIGINT)
FROM (
  SELECT minute, advertiser_id, campaign_id, clicks, 0 AS duplicates FROM click_minutes
  WHERE minute >= $1 AND minute <= $4 AND ($5 = '' OR advertiser_id = $5) AND ($6 = '' OR campaign_id = $6)
  UNION ALL
  SELECT minute, advertiser_id, campaign_id, 0, duplicates FROM duplicate_minutes
  WHERE minute >= $1 AND minute <= $4 AND ($5 = '' OR advertiser_id = $5) AND ($6 = '' OR campaign_id = $6)
) AS every
GROUP BY advertiser_id, campaign_id";

/// Counts the charges that a refund gives back. Inside the transaction that does so.
pub(crate) async fn note<D: Dialect>(conn: &mut D, plan: &RefundPlan) -> Result<()> {
    let Some(day) = plan.day.as_ref().filter(|_| !plan.charges.is_empty()) else { return Ok(()) };
    let mut minutes: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for charge in &plan.charges {
        let (count, charged) =
            minutes.entry(charge.occurred_at_us.div_euclid(MINUTE_US)).or_default();
        *count += 1;
        *charged = charged.saturating_add(charge.charged.0);
    }
    let minutes = minutes
        .into_iter()
        .map(|(minute, (count, charged))| json!({ "m": minute, "n": count, "charged": charged }));
    let minutes = json!(minutes.collect::<Vec<_>>()).to_string();
    let args = [
        (&minutes).into(),
        (&*day.key.campaign).into(),
        (&*plan.advertiser).into(),
        MINUTES_KEPT.into(),
    ];
    change(conn, NOTE, &args).await.map(drop)
}

pub(super) async fn rates<D: Dialect>(conn: &mut D, filter: &RateFilter) -> Result<DuplicateRates> {
    let sql = "SELECT coalesce({us:caught_up_at}, {clock}) FROM watch_state";
    let as_of_us: i64 = one(conn, sql, &[]).await?.cell(0);
    let last = as_of_us.div_euclid(MINUTE_US);
    let from = |window: Window| (last - window.minutes() + 1).into();
    let args = [
        from(Window::Day),
        from(Window::Hour),
        from(Window::FiveMinutes),
        last.into(),
        filter.advertiser.as_deref().unwrap_or_default().into(),
        filter.campaign.as_deref().unwrap_or_default().into(),
    ];
    let found = rows(conn, RATES, &args).await?;
    let mut counts = Counts::default();
    for row in &found {
        let (advertiser, campaign): (String, String) = (row.cell(0), row.cell(1));
        for (at, window) in [Window::Day, Window::Hour, Window::FiveMinutes].into_iter().enumerate()
        {
            let count =
                ClickCount { clicks: row.cell(2 + 2 * at), duplicates: row.cell(3 + 2 * at) };
            counts.add(window, &advertiser, &campaign, count);
        }
    }
    let totals = Window::ALL.map(|window| counts.totals.get(&window).copied().unwrap_or_default());
    Ok(DuplicateRates { as_of_us, totals, rates: counts.ranked(filter) })
}

#[derive(Default)]
struct Counts {
    totals: BTreeMap<Window, ClickCount>,
    /// By scope, window, advertiser and campaign.
    counts: BTreeMap<(RateScope, Window, String, String), ClickCount>,
}

impl Counts {
    fn add(&mut self, window: Window, advertiser: &str, campaign: &str, count: ClickCount) {
        let of_advertiser = (RateScope::Advertiser, window, advertiser.to_owned(), String::new());
        let of_campaign = (RateScope::Campaign, window, advertiser.to_owned(), campaign.to_owned());
        let total = self.totals.entry(window).or_default();
        sum(total, count);
        sum(self.counts.entry(of_advertiser).or_default(), count);
        sum(self.counts.entry(of_campaign).or_default(), count);
    }

    fn ranked(self, filter: &RateFilter) -> Vec<DuplicateRate> {
        let mut groups: BTreeMap<(RateScope, Window), Vec<DuplicateRate>> = BTreeMap::new();
        for ((scope, window, advertiser, campaign), count) in self.counts {
            if count.clicks >= filter.clicks_min && count != ClickCount::default() {
                let rate = DuplicateRate { scope, window, advertiser, campaign, count };
                groups.entry((scope, window)).or_default().push(rate);
            }
        }
        let rank = |mut group: Vec<DuplicateRate>| {
            // The sort is stable, so that equals stay in the order of their ids.
            group.sort_by_key(|rate| {
                std::cmp::Reverse((rate.count.rate_ppm(), rate.count.duplicates, rate.count.clicks))
            });
            group.truncate(filter.top);
            group
        };
        groups.into_values().flat_map(rank).collect()
    }
}

fn sum(total: &mut ClickCount, more: ClickCount) {
    total.clicks += more.clicks;
    total.duplicates += more.duplicates;
}

pub(super) async fn alert<D: Dialect>(
    conn: &mut D,
    rates: &[DuplicateRate],
    level_ppm: u32,
) -> Result<u64> {
    let above: Vec<_> = rates.iter().filter(|rate| rate.count.rate_ppm() > level_ppm).collect();
    if above.is_empty() {
        return Ok(0);
    }
    conn.begin().await?;
    let written = alert_inside(conn, &above, level_ppm).await;
    ended(conn, written).await
}

async fn alert_inside<D: Dialect>(
    conn: &mut D,
    above: &[&DuplicateRate],
    level_ppm: u32,
) -> Result<u64> {
    let now_us = crate::dialect::clock_us(conn).await?;
    let today = Day::utc(now_us);
    let mut written = 0;
    for rate in above {
        let DuplicateRate { scope, window, advertiser, campaign, count } = rate;
        let id = if campaign.is_empty() { advertiser } else { campaign };
        let key = format!("duplicate-rate:{}:{}:{id}:{today}", scope.as_str(), window.as_str());
        let facts = HappeningFacts {
            campaign_id: campaign.clone(),
            advertiser_id: advertiser.clone(),
            level_ppm,
            usage_ppm: count.rate_ppm(),
            count: u64::try_from(count.duplicates).unwrap_or(0),
            detail: detail(*window, *count),
            occurred_at_us: now_us,
            ..HappeningFacts::default()
        };
        written += tell(conn, &key, HappeningKind::DuplicateRate, &facts).await?;
    }
    Ok(written)
}

fn detail(window: Window, count: ClickCount) -> String {
    let length = match window {
        Window::FiveMinutes => "5 minutes",
        Window::Hour => "1 hour",
        Window::Day => "1 day",
    };
    format!(
        "{} of {} charged clicks within {length} were given back as duplicates. Look with: tollgate duplicates --window {}",
        count.duplicates,
        count.clicks,
        window.as_str()
    )
}
