//! What refunds are decided on.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use tollgate_domain::book::{Campaign, DayKey, DayState};
use tollgate_domain::compensation::{CompensationEvent, CompensationRow};
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_domain::refund::{MatchedCharge, RefundFacts, refund_day};
use tollgate_domain::slice::Source;

use crate::campaign::{COLUMNS, campaign_row};
use crate::dialect::{Arg, Cells, Dialect, clock_us, ids, one, rows, texts};
use crate::error::{LedgerError, Result};
use crate::refund_rows::WaitingCompensation;
use crate::rows::Place;
use crate::shape::{day_state, headers_of};

const WAITING: &str = "
SELECT id, topic, incarnation, kafka_partition, kafka_offset, advertiser_id, campaign_id, coalesce(ad_id, ''),
  coalesce(device_id, ''), duplicate_count, claimed_micros, CAST(timestamps AS TEXT), detection_window, reason,
  compensation_type, {us:occurred_at}, record_at_ms, message_key, payload, CAST(headers AS TEXT), {us:received_at},
  looks
FROM compensations WHERE state = 'WAITING' AND ";

const DUE: &str = "next_look_at <= {now} ORDER BY next_look_at, id LIMIT $1";

/// The records of dead letters.
const OF_LETTERS: &str = "id IN (
  SELECT c.id FROM {elements:$1} AS e JOIN compensations c ON c.topic = CAST(e.value ->> 'topic' AS TEXT)
    AND c.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
    AND c.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
    AND c.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT))";

const LOCK: &str = "
SELECT {us:received_at} FROM compensations WHERE id = $1 AND state = 'WAITING' AND looks = $2 {lock_free}";

/// The columns of `day_state` begin at the fifth.
const DAY: &str = "
SELECT NULL, NULL, NULL, NULL, spent_micros, warned_ppm, paused_ppm, crossing_budget_micros, overspent_micros, version
FROM campaign_daily_spend WHERE campaign_id = $1 AND day = {day:$2} {lock}";

const CHARGES: &str = "
SELECT h.kafka_topic, h.incarnation, h.kafka_partition, h.kafka_offset, {us:h.occurred_at}, {days:h.budget_day},
  h.amount_micros, h.generation, h.advertiser_id
FROM ad_balance_histories h
WHERE h.type = 'DEDUCT' AND h.device_id = $1 AND h.campaign_id = $2 AND h.ad_id = $3 AND h.occurred_at {among:$4}
  AND h.budget_day BETWEEN {day:$5} AND {day:$6}
ORDER BY h.occurred_at, h.kafka_topic, h.incarnation, h.kafka_partition, h.kafka_offset";

/// Which of some charges were given back.
const REFUNDED: &str = "
SELECT r.topic, r.incarnation, r.kafka_partition, r.kafka_offset FROM {elements:$1} AS e JOIN refunded_charges r
  ON r.topic = CAST(e.value ->> 'topic' AS TEXT) AND r.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND r.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND r.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT)";

/// Whether a campaign has charged anything on days that were retired.
const RETIRED: &str = "
SELECT EXISTS (
  SELECT 1 FROM retired_history
  WHERE campaign_id = $1 AND type = 'DEDUCT' AND budget_day BETWEEN {day:$2} AND {day:$3})";

pub(super) async fn waiting<D: Dialect>(
    conn: &mut D,
    limit: usize,
) -> Result<Vec<WaitingCompensation>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    with_campaigns(conn, DUE, limit.into()).await
}

/// Those that are records of dead letters, whenever they are due.
pub(super) async fn waiting_of<D: Dialect>(
    conn: &mut D,
    letters: &[Place],
) -> Result<Vec<WaitingCompensation>> {
    let letters = serde_json::json!(letters).to_string();
    with_campaigns(conn, &format!("{OF_LETTERS} ORDER BY id"), (&letters).into()).await
}

pub(super) async fn states_of<D: Dialect>(
    conn: &mut D,
    letters: &[Place],
) -> Result<Vec<(String, i64)>> {
    let letters = serde_json::json!(letters).to_string();
    let sql =
        format!("SELECT state, count(*) FROM compensations WHERE {OF_LETTERS} GROUP BY state");
    let found = rows(conn, &sql, &[(&letters).into()]).await?;
    Ok(found.iter().map(|row| (row.cell(0), row.cell(1))).collect())
}

async fn with_campaigns<D: Dialect>(
    conn: &mut D,
    which: &str,
    argument: Arg<'_>,
) -> Result<Vec<WaitingCompensation>> {
    let found = rows(conn, &format!("{WAITING}{which}"), &[argument]).await?;
    let mut waiting: Vec<_> = found.iter().map(waiting_row).collect::<Result<_>>()?;
    let wanted: Vec<_> = waiting.iter().map(|one| one.row.event.campaign.clone()).collect();
    let sql = format!("SELECT {COLUMNS} FROM campaigns WHERE campaign_id IN {{keys:$1}}");
    let found = rows(conn, &sql, &[(&texts(&wanted)).into()]).await?;
    let known: HashMap<String, _> =
        found.iter().map(|row| (row.cell(0), campaign_row(row))).collect();
    for one in &mut waiting {
        match known.get(&one.row.event.campaign) {
            Some(Ok(campaign)) => one.campaign = Some(campaign.clone()),
            Some(Err(error)) => one.campaign_fault = Some(error.to_string()),
            None => (),
        }
    }
    Ok(waiting)
}

fn waiting_row(row: &impl Cells) -> Result<WaitingCompensation> {
    Ok(WaitingCompensation {
        id: row.cell(0),
        row: compensation_row(row)?,
        received_at_us: row.cell(20),
        looks: row.cell(21),
        campaign: None,
        campaign_fault: None,
    })
}

/// A compensation from the columns of `WAITING` up to its headers.
pub(crate) fn compensation_row(row: &impl Cells) -> Result<CompensationRow> {
    let unusable = |what: &str| unusable(row.cell(0), what);
    let source = Source {
        topic: row.cell::<String>(1).into(),
        partition: row.cell(3),
        incarnation: row.cell(2),
        epoch: 0,
    };
    let event = CompensationEvent {
        advertiser: row.cell(5),
        campaign: row.cell(6),
        ad: row.cell(7),
        device: row.cell(8),
        duplicate_count: u32::try_from(row.cell::<i64>(9)).map_err(|_| unusable("count"))?,
        claimed: Micros(row.cell(10)),
        timestamps_us: serde_json::from_str(&row.cell::<String>(11))
            .map_err(|_| unusable("timestamps"))?,
        window: row.cell(12),
        reason: row.cell(13),
        kind: row.cell(14),
        occurred_at_us: row.cell(15),
    };
    Ok(CompensationRow {
        source: Arc::new(source),
        offset: row.cell(4),
        record_at_ms: row.cell(16),
        event,
        payload: row.cell(18),
        key: row.cell(17),
        headers: headers_of(&row.cell::<String>(19)).ok_or_else(|| unusable("headers"))?,
    })
}

/// The row of a compensation with a column that makes no sense.
pub(crate) fn unusable(id: i64, what: &str) -> LedgerError {
    LedgerError::Row {
        table: "compensations",
        key: id.to_string(),
        sentence: format!("its {what} cannot be read"),
    }
}

/// Which compensation is to be locked, as it was read.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'e> {
    pub(super) id: i64,
    pub(super) looks: i64,
    pub(super) event: &'e CompensationEvent,
}

pub(super) async fn lock<D: Dialect>(
    conn: &mut D,
    wanted: Wanted<'_>,
    day: &DayKey,
    generation: u64,
) -> Result<Option<RefundFacts>> {
    conn.begin().await?;
    let sql = "SELECT number FROM rule_activation {share}";
    let active = one(conn, sql, &[]).await?.cell::<i64>(0) as u64;
    if active != generation {
        return Err(LedgerError::GenerationChanged { active });
    }
    let locked = rows(conn, LOCK, &[wanted.id.into(), wanted.looks.into()]).await?;
    let Some(received_at_us) = locked.first().map(|row| row.cell::<i64>(0)) else {
        return Ok(None);
    };
    let event = wanted.event;
    // Looking for the charges takes longest, so nobody waits for it; what comes in meanwhile is found at the next look.
    let Found { mut charges, charged_to } = charges(conn, event).await?;
    let sql = "SELECT balance_micros FROM advertiser_balances WHERE advertiser_id = $1 {lock}";
    let balance = rows(conn, sql, &[(&event.advertiser).into()]).await?;
    mark_refunded(conn, &mut charges).await?;
    let retired = is_short(event, &charges) && was_retired(conn, event).await?;
    let day = DayKey { day: refund_day(event, &charges, day.day), ..day.clone() };
    let spent = rows(conn, DAY, &[(&*day.campaign).into(), i64::from(day.day.0).into()]).await?;
    let campaign = campaign(conn, &day.campaign).await?;
    let now_us = clock_us(conn).await?;
    Ok(Some(RefundFacts {
        campaign,
        balance: balance.first().map_or(Micros::ZERO, |row| Micros(row.cell(0))),
        day,
        state: spent.first().map_or(Ok(DayState::default()), day_state)?,
        charges,
        charged_to,
        retired,
        generation,
        now_us,
        waited_us: now_us - received_at_us,
    }))
}

/// Whether clicks that a compensation means are missing among the charges at its instants.
fn is_short(event: &CompensationEvent, charges: &[MatchedCharge]) -> bool {
    let meant = (event.duplicate_count as usize).max(event.timestamps_us.len());
    let is_there = |at_us: &i64| charges.iter().any(|charge| charge.occurred_at_us == *at_us);
    event.is_matchable() && (charges.len() < meant || !event.timestamps_us.iter().all(is_there))
}

/// Whether clicks of a compensation can be of days that were retired, and with them what is known of their refunds.
async fn was_retired<D: Dialect>(conn: &mut D, event: &CompensationEvent) -> Result<bool> {
    let days = days_around(&event.timestamps_us);
    let (first, last) = (i64::from(*days.start()), i64::from(*days.end()));
    let args = [(&event.campaign).into(), first.into(), last.into()];
    Ok(one(conn, RETIRED, &args).await?.cell(0))
}

/// Charges at the instants of a compensation.
#[derive(Default)]
struct Found {
    /// Of its advertiser.
    charges: Vec<MatchedCharge>,
    /// Another advertiser, when there are charges of another one.
    charged_to: Option<String>,
}

/// All charges at the instants of a compensation, as if none was given back; none when it does not say enough.
async fn charges<D: Dialect>(conn: &mut D, event: &CompensationEvent) -> Result<Found> {
    if !event.is_matchable() {
        return Ok(Found::default());
    }
    let instants = ids(&event.timestamps_us);
    let days = days_around(&event.timestamps_us);
    let args = [
        (&event.device).into(),
        (&event.campaign).into(),
        (&event.ad).into(),
        (&instants).into(),
        i64::from(*days.start()).into(),
        i64::from(*days.end()).into(),
    ];
    conn.begin_search().await?;
    let found = rows(conn, CHARGES, &args).await?;
    conn.end_search().await?;
    let charge = |row: &D::Row| MatchedCharge {
        topic: row.cell(0),
        incarnation: row.cell(1),
        partition: row.cell(2),
        offset: row.cell(3),
        occurred_at_us: row.cell(4),
        day: Day(row.cell(5)),
        charged: Micros(row.cell::<i64>(6).saturating_neg()),
        generation: row.cell::<i64>(7) as u64,
        refunded: false,
    };
    // Campaigns move between advertisers, and what was charged to one is not given back to another.
    let (own, others): (Vec<_>, Vec<_>) =
        found.iter().partition(|row| row.cell::<String>(8) == event.advertiser);
    Ok(Found {
        charges: own.into_iter().map(charge).collect(),
        charged_to: others.first().map(|row| row.cell(8)),
    })
}

/// Says which charges were given back. Under the lock of the balance, because whoever gives back has that.
async fn mark_refunded<D: Dialect>(conn: &mut D, charges: &mut [MatchedCharge]) -> Result<()> {
    if charges.is_empty() {
        return Ok(());
    }
    let places: Vec<Place> = charges.iter().map(|charge: &MatchedCharge| charge.into()).collect();
    let given_back =
        rows(conn, REFUNDED, &[(&serde_json::json!(places).to_string()).into()]).await?;
    let given_back: HashSet<_> = given_back.iter().map(Place::of).collect();
    for (charge, place) in charges.iter_mut().zip(&places) {
        charge.refunded = given_back.contains(place);
    }
    Ok(())
}

/// The budget days that instants can have, whatever the time zone: from the day before the first one to the day after
/// the last one.
pub(crate) fn days_around(instants_us: &[i64]) -> RangeInclusive<i32> {
    let day = |at_us: Option<&i64>| at_us.map_or(0, |at_us| Day::utc(*at_us).0);
    day(instants_us.iter().min()) - 1..=day(instants_us.iter().max()) + 1
}

/// A campaign as it is now.
///
/// # Errors
/// `Stale` when it cannot be used: whoever reads the compensation again is told.
async fn campaign<D: Dialect>(conn: &mut D, id: &str) -> Result<Campaign> {
    let sql = format!("SELECT {COLUMNS} FROM campaigns WHERE campaign_id = $1");
    let found = rows(conn, &sql, &[id.into()]).await?.first().map(campaign_row);
    match found {
        Some(Ok(campaign)) => Ok(campaign),
        Some(Err(error)) => Err(LedgerError::Stale(error.to_string())),
        None => Err(LedgerError::Stale(format!("the campaign {id} was removed"))),
    }
}
