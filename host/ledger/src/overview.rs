//! A small picture of the ledger for status pages.

use tollgate_domain::day::{Day, Zone};
use tollgate_domain::money::{Micros, ratio_ppm};

use crate::dialect::{Cells, Dialect, clock_us, one, rows};
use crate::error::Result;
use crate::outbox;
use crate::progress::{COLUMNS, progress_row};
use crate::rows::{NearBudget, Overview};

/// From this share of the budget a campaign is listed.
const NEAR_PPM: u32 = 800_000;
const LISTED_MAX: usize = 100;

const COUNTS: &str = "
SELECT (SELECT number FROM rule_activation),
  (SELECT count(*) FROM campaigns WHERE status = 'ACTIVE'),
  (SELECT count(*) FROM campaigns WHERE status = 'PAUSED'),
  (SELECT count(*) FROM campaigns),
  (SELECT count(*) FROM advertiser_balances),
  (SELECT count(*) FROM advertiser_balances WHERE balance_micros < 0),
  (SELECT CAST(coalesce(sum(overspent_micros), 0) AS BIGINT) FROM campaign_daily_spend),
  (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND dropped_at IS NULL),
  (SELECT count(*) FROM dead_letters WHERE published_at IS NULL)";

/// The filter on the usage is rough and cannot overflow; `near_budget` looks closer.
const NEAR: &str = "
SELECT c.campaign_id, c.status, c.time_zone, {days:d.day}, d.spent_micros, c.daily_budget_micros, d.overspent_micros
FROM campaign_daily_spend d JOIN campaigns c ON c.campaign_id = d.campaign_id
WHERE {days:d.day} BETWEEN $1 AND $2 AND c.daily_budget_micros IS NOT NULL
  AND d.spent_micros / 4 >= c.daily_budget_micros / 5 - 1";

pub(crate) async fn overview<D: Dialect>(conn: &mut D) -> Result<Overview> {
    let counts = one(conn, COUNTS, &[]).await?;
    let outbox = outbox::depth(conn).await?;
    let now_us = clock_us(conn).await?;
    let today = now_us.div_euclid(86_400_000_000);
    let near = rows(conn, NEAR, &[(today - 1).into(), (today + 1).into()]).await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM consumer_progress ORDER BY consumer_group, topic, kafka_partition"
    );
    let progress = rows(conn, &sql, &[]).await?;
    Ok(Overview {
        generation: counts.cell::<i64>(0) as u64,
        active: counts.cell(1),
        paused: counts.cell(2),
        campaigns: counts.cell(3),
        advertisers: counts.cell(4),
        negative_balances: counts.cell(5),
        outbox_waiting: outbox.unworded,
        deliveries_waiting: outbox.waiting,
        deliveries_dead: outbox.dead,
        oldest_waiting_s: outbox.oldest_due_s,
        overspent: Micros(counts.cell(6)),
        dead_letters: counts.cell(7),
        dead_letters_unpublished: counts.cell(8),
        near_budget: near_budget(&near, now_us),
        progress: progress.iter().map(progress_row).collect(),
    })
}

/// The campaigns whose budget of today, where today is their own, is nearly used up; the fullest first.
fn near_budget(rows: &[impl Cells], now_us: i64) -> Vec<NearBudget> {
    let mut near: Vec<_> = rows
        .iter()
        .filter(|row| is_today(&row.cell::<String>(2), Day(row.cell(3)), now_us))
        .map(|row| {
            let (spent, budget) = (Micros(row.cell(4)), Micros(row.cell(5)));
            NearBudget {
                campaign: row.cell(0),
                day: Day(row.cell(3)),
                status: row.cell(1),
                spent,
                budget,
                usage_ppm: ratio_ppm(spent, budget),
                overspent: Micros(row.cell(6)),
            }
        })
        .filter(|near| near.usage_ppm >= NEAR_PPM)
        .collect();
    near.sort_by(|a, b| b.usage_ppm.cmp(&a.usage_ppm).then_with(|| a.campaign.cmp(&b.campaign)));
    near.truncate(LISTED_MAX);
    near
}

fn is_today(zone: &str, day: Day, now_us: i64) -> bool {
    Zone::new(zone).is_ok_and(|zone| zone.day(now_us) == day)
}
