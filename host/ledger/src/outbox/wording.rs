//! From happenings to messages.

use std::collections::HashSet;

use tollgate_domain::money::Micros;
use tollgate_domain::notice::HappeningFacts;

use super::alerts::{Lost, tell_lost};
use super::{count, micros};
use crate::dialect::{Cells, Dialect, YEAR_9999_US, change, clock_us, ids, one, rows};
use crate::error::Result;
use crate::outbox_rows::{CampaignCard, HappeningRow, Happenings, NewDelivery, Outcome, Worded};
use crate::session::ended;
use crate::shape::without_nul;

/// Rows that are looked at for each that is wanted, because not every one may be worded yet.
const ROWS_PER_ROW: usize = 8;

const UNWORDED: &str = "
SELECT id, kind, coalesce(CAST(payload ->> 'campaign_id' AS TEXT), ''), coalesce(CAST(payload ->> 'day' AS TEXT), '')
FROM outbox WHERE worded_at IS NULL ORDER BY id LIMIT $1";

/// A happening without a day looks back for 24 hours, which is `$2`.
const FACTS: &str = "
SELECT h.id, h.dedup_key, h.kind, CAST(h.payload AS TEXT), {us:h.created_at},
  (SELECT count(DISTINCT d.happening) FROM deliveries d
   WHERE d.campaign_id = h.campaign AND d.budget_day = h.day AND d.kind = h.kind AND d.channel <> 'topic'
     AND (h.day <> '' OR d.created_at > {after:$2})),
  (SELECT max({us:d.created_at}) FROM deliveries d
   WHERE d.campaign_id = h.campaign AND d.budget_day = h.day AND d.kind = h.kind AND d.channel <> 'topic'
     AND (h.day <> '' OR d.created_at > {after:$2})),
  c.campaign_id, c.advertiser_id, c.time_zone, c.daily_budget_micros, c.cpc_micros, c.bid_micros, c.product_id,
  c.placement, c.category, c.approval_status, c.rtb_impact, CAST(c.targeting AS TEXT), {us:c.effective_from}
FROM (
  SELECT id, dedup_key, kind, payload, created_at, coalesce(CAST(payload ->> 'campaign_id' AS TEXT), '') AS campaign,
    coalesce(CAST(payload ->> 'day' AS TEXT), '') AS day
  FROM outbox WHERE id IN {ids:$1} AND worded_at IS NULL
) h LEFT JOIN campaigns c ON c.campaign_id = h.campaign
ORDER BY h.id";

const LOOK_BACK_US: i64 = -86_400_000_000;

const INSERT: &str = "
INSERT INTO deliveries (key, happening, kind, channel, route, severity, title, body, campaign_id, advertiser_id,
  budget_day, generation, occurred_at, next_attempt_at, outcome, settled_at, last_error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, {at:$13}, {after:$14}, $15,
  CASE WHEN $15 IS NOT NULL THEN {now} END, $16)
ON CONFLICT (key) DO NOTHING";

pub(super) async fn happenings<D: Dialect>(conn: &mut D, limit: usize) -> Result<Happenings> {
    let now_us = clock_us(conn).await?;
    let generation = one(conn, "SELECT number FROM rule_activation", &[]).await?.cell::<i64>(0);
    let wide = count(limit.saturating_mul(ROWS_PER_ROW));
    let unworded = rows(conn, UNWORDED, &[wide]).await?;
    let chosen = ids(&choose(&unworded, limit));
    let facts = rows(conn, FACTS, &[(&chosen).into(), LOOK_BACK_US.into()]).await?;
    let generation = generation as u64;
    Ok(Happenings { now_us, generation, rows: facts.iter().map(happening_row).collect() })
}

/// The oldest ones, one of each kind, campaign and day. What happened to a campaign is worded in the order in which it
/// happened: whoever has to wait makes all later ones of the campaign wait.
fn choose(unworded: &[impl Cells], limit: usize) -> Vec<i64> {
    let (mut seen, mut held_up) = (HashSet::new(), HashSet::new());
    let mut chosen = Vec::new();
    for row in unworded {
        let (kind, campaign, day): (String, String, String) =
            (row.cell(1), row.cell(2), row.cell(3));
        if chosen.len() == limit {
            break;
        }
        if held_up.contains(&campaign) {
            continue;
        }
        if seen.insert((kind, campaign.clone(), day)) {
            chosen.push(row.cell(0));
        } else if !campaign.is_empty() {
            held_up.insert(campaign);
        }
    }
    chosen
}

pub(super) async fn word<D: Dialect>(conn: &mut D, worded: &[Worded]) -> Result<()> {
    conn.begin().await?;
    let done = word_inside(conn, worded).await;
    ended(conn, done).await
}

async fn word_inside<D: Dialect>(conn: &mut D, worded: &[Worded]) -> Result<()> {
    let mut lost = Vec::new();
    for one in worded {
        let sql = "UPDATE outbox SET worded_at = {now} WHERE id = $1 AND worded_at IS NULL
                   RETURNING dedup_key, kind, CAST(payload AS TEXT), {us:created_at}";
        let Some(row) = rows(conn, sql, &[one.happening.into()]).await?.into_iter().next() else {
            continue;
        };
        let told = Told::new(&row);
        for delivery in &one.deliveries {
            let new = insert(conn, &told, delivery).await?;
            if new && delivery.outcome == Some(Outcome::Dead) {
                lost.push(Lost {
                    kind: told.kind.clone(),
                    channel: delivery.channel.clone(),
                    route: delivery.route.clone(),
                    key: delivery.key.clone(),
                    error: delivery.error.clone().unwrap_or_default(),
                });
            }
        }
    }
    tell_lost(conn, lost).await
}

/// What a message takes over from its happening.
struct Told {
    key: String,
    kind: String,
    facts: HappeningFacts,
    occurred_at_us: i64,
}

impl Told {
    fn new(row: &impl Cells) -> Self {
        // A row that somebody has written by hand is told all the same.
        let facts: HappeningFacts =
            serde_json::from_str(&row.cell::<String>(2)).unwrap_or_default();
        let known = (1..YEAR_9999_US).contains(&facts.occurred_at_us);
        let occurred_at_us = if known { facts.occurred_at_us } else { row.cell(3) };
        Self { key: row.cell(0), kind: row.cell(1), facts, occurred_at_us }
    }
}

/// False: the message is there already.
async fn insert<D: Dialect>(conn: &mut D, told: &Told, new: &NewDelivery) -> Result<bool> {
    let (title, body) = (without_nul(&new.title), without_nul(&new.body));
    let error = new.error.as_deref().map(without_nul);
    let args = [
        (&new.key).into(),
        (&told.key).into(),
        (&told.kind).into(),
        (&new.channel).into(),
        (&new.route).into(),
        (&new.severity).into(),
        (&title).into(),
        (&body).into(),
        (&told.facts.campaign_id).into(),
        (&told.facts.advertiser_id).into(),
        (&told.facts.day).into(),
        (new.generation as i64).into(),
        told.occurred_at_us.into(),
        micros(new.delay),
        new.outcome.map(Outcome::as_str).into(),
        error.as_deref().into(),
    ];
    Ok(change(conn, INSERT, &args).await? == 1)
}

fn happening_row(row: &impl Cells) -> HappeningRow {
    HappeningRow {
        id: row.cell(0),
        key: row.cell(1),
        kind: row.cell(2),
        payload: row.cell(3),
        created_at_us: row.cell(4),
        sent_today: u32::try_from(row.cell::<i64>(5)).unwrap_or(u32::MAX),
        last_sent_us: row.cell(6),
        campaign: row.cell::<Option<String>>(7).map(|id| card(id, row)),
    }
}

fn card(id: String, row: &impl Cells) -> CampaignCard {
    CampaignCard {
        id,
        advertiser: row.cell(8),
        time_zone: row.cell(9),
        daily_budget: row.cell::<Option<i64>>(10).map(Micros),
        cpc: Micros(row.cell(11)),
        bid: row.cell::<Option<i64>>(12).map(Micros),
        product_id: row.cell(13),
        placement: row.cell(14),
        category: row.cell(15),
        approval_status: row.cell(16),
        rtb_impact: row.cell(17),
        targeting: row.cell(18),
        effective_from_us: row.cell(19),
    }
}
