//! From an amount back to everything it came from. Every question here is answered through an index.

use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;

use crate::dialect::{Cells, Dialect, rows};
use crate::error::Result;
use crate::explain_rows::{CompensationEntry, CrossingEntry, HistoryEntry, Reached, Traces};
use crate::outbox::{COLUMNS as DELIVERY, delivery_row};
use crate::outbox_rows::Delivery;
use crate::refunds::{compensation_row, days_around, unusable};
use crate::rows::Place;
use crate::session::Connection;
use crate::{Ledger, decisions, letters};

impl Ledger {
    /// How far any group has come in this partition, in every incarnation of its topic, the newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn reached(&mut self, topic: &str, partition: i32) -> Result<Vec<Reached>> {
        operation!(self, idle, run, |conn, _| reached(conn, topic, partition))
    }

    /// Everything that stands under one place.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row cannot be understood.
    pub async fn traces(&mut self, place: &Place) -> Result<Traces> {
        operation!(self, idle, run, |conn, _| traces(conn, place))
    }

    /// A compensation by its id.
    ///
    /// # Errors
    /// When the database cannot be asked, or its row cannot be understood.
    pub async fn compensation(&mut self, id: i64) -> Result<Option<CompensationEntry>> {
        operation!(self, idle, run, |conn, _| compensation(conn, "c.id = $1", &[id.into()]))
    }

    /// Charges of a device at instants in `from_us..=to_us`, by time.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn charges_of_device(
        &mut self,
        device: &str,
        campaign: Option<&str>,
        (from_us, to_us): (i64, i64),
    ) -> Result<Vec<HistoryEntry>> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            conn.begin_search().await?;
            let campaign = campaign.unwrap_or_default();
            let days = days_around(&[from_us, to_us]);
            let args = [
                device.into(),
                from_us.into(),
                to_us.into(),
                campaign.into(),
                i64::from(*days.start()).into(),
                i64::from(*days.end()).into(),
            ];
            let found = rows(conn, &format!("{HISTORY}{OF_DEVICE}"), &args).await;
            conn.roll_back().await?;
            Ok(found?.iter().map(history_entry).collect())
        })
    }

    /// Crossings of a campaign-day, in the order in which they happened.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn crossings(&mut self, campaign: &str, day: Day) -> Result<Vec<CrossingEntry>> {
        operation!(self, idle, run, |conn, _| async move {
            let found = rows(conn, CROSSINGS, &[campaign.into(), i64::from(day.0).into()]).await?;
            Ok(found.iter().map(crossing).collect())
        })
    }

    /// Messages about a campaign-day, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn messages(&mut self, campaign: &str, day: Day) -> Result<Vec<Delivery>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!(
                "SELECT {DELIVERY} FROM deliveries WHERE campaign_id = $1 AND budget_day = $2 ORDER BY id"
            );
            let day = day.to_string();
            let found = rows(conn, &sql, &[campaign.into(), (&day).into()]).await?;
            Ok(found.iter().map(delivery_row).collect())
        })
    }
}

const REACHED: &str = "
SELECT consumer_group, incarnation, first_offset, next_offset, skipped, absent FROM consumer_progress
WHERE topic = $1 AND kafka_partition = $2
UNION ALL
SELECT consumer_group, incarnation, first_offset, next_offset, skipped, absent FROM retired_progress
WHERE topic = $1 AND kafka_partition = $2
ORDER BY 2 DESC, 1";

const HISTORY: &str = "
SELECT kafka_topic, incarnation, kafka_partition, kafka_offset, type, amount_micros, balance_after_micros, generation,
  {us:occurred_at}, {us:created_at}, {days:budget_day}, advertiser_id, campaign_id, ad_id, device_id, price_source,
  reason
FROM ad_balance_histories ";

const AT_PLACE: &str =
    "WHERE kafka_topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND kafka_offset = $4";

/// The limit keeps a wide span of time from flooding whoever asks.
const OF_DEVICE: &str = "
WHERE type = 'DEDUCT' AND device_id = $1 AND occurred_at >= {at:$2} AND occurred_at <= {at:$3}
  AND ($4 = '' OR campaign_id = $4) AND budget_day BETWEEN {day:$5} AND {day:$6}
ORDER BY occurred_at, kafka_topic, kafka_partition, kafka_offset LIMIT 100";

const REFUNDED_BY: &str = "
SELECT compensation_id FROM refunded_charges
WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND kafka_offset = $4";

const COMPENSATION: &str = "
SELECT c.id, c.topic, c.incarnation, c.kafka_partition, c.kafka_offset, c.advertiser_id, c.campaign_id,
  coalesce(c.ad_id, ''), coalesce(c.device_id, ''), c.duplicate_count, c.claimed_micros, CAST(c.timestamps AS TEXT),
  c.detection_window, c.reason, c.compensation_type, {us:c.occurred_at}, c.record_at_ms, c.message_key, c.payload,
  CAST(c.headers AS TEXT), {us:c.received_at}, c.state, c.settled_reason, c.detail, c.refund_micros, c.generation,
  {us:c.settled_at}, l.mismatch, CAST(l.refunded AS TEXT)
FROM compensations c LEFT JOIN duplicate_click_logs l ON l.compensation_id = c.id WHERE ";

const COMPENSATION_AT: &str =
    "c.topic = $1 AND c.incarnation = $2 AND c.kafka_partition = $3 AND c.kafka_offset = $4";

const CROSSINGS: &str = "
SELECT kind, level_ppm, budget_micros, usage_ppm, spent_micros, reason, {us:created_at} FROM budget_crossings
WHERE campaign_id = $1 AND day = {day:$2} ORDER BY created_at, level_ppm, round";

async fn reached<D: Dialect>(conn: &mut D, topic: &str, partition: i32) -> Result<Vec<Reached>> {
    let found = rows(conn, REACHED, &[topic.into(), i64::from(partition).into()]).await?;
    let reached = |row: &D::Row| Reached {
        group: row.cell(0),
        incarnation: row.cell(1),
        first_offset: row.cell(2),
        next_offset: row.cell(3),
        skipped: row.cell(4),
        absent: row.cell(5),
    };
    Ok(found.iter().map(reached).collect())
}

async fn traces<D: Dialect>(conn: &mut D, place: &Place) -> Result<Traces> {
    let args = place.args();
    let history = rows(conn, &format!("{HISTORY}{AT_PLACE}"), &args).await?;
    let refunded_by = rows(conn, REFUNDED_BY, &args).await?;
    Ok(Traces {
        history: history.first().map(history_entry),
        letter: letters::at(conn, &args).await?,
        compensation: compensation(conn, COMPENSATION_AT, &args).await?,
        refunded_by: refunded_by.first().map(|row| row.cell(0)),
        record: decisions::record(conn, place).await?,
    })
}

fn history_entry(row: &impl Cells) -> HistoryEntry {
    HistoryEntry {
        place: Place::of(row),
        kind: row.cell(4),
        amount: Micros(row.cell(5)),
        balance_after: Micros(row.cell(6)),
        generation: row.cell::<i64>(7) as u64,
        occurred_at_us: row.cell(8),
        created_at_us: row.cell(9),
        day: Day(row.cell(10)),
        advertiser: row.cell(11),
        campaign: row.cell(12),
        ad: row.cell(13),
        device: row.cell(14),
        price_source: row.cell(15),
        reason: row.cell(16),
    }
}

fn crossing(row: &impl Cells) -> CrossingEntry {
    CrossingEntry {
        kind: row.cell(0),
        level_ppm: row.cell(1),
        budget: Micros(row.cell(2)),
        usage_ppm: row.cell(3),
        spent: Micros(row.cell(4)),
        reason: row.cell(5),
        created_at_us: row.cell(6),
    }
}

async fn compensation<D: Dialect>(
    conn: &mut D,
    which: &str,
    args: &[crate::dialect::Arg<'_>],
) -> Result<Option<CompensationEntry>> {
    let found = rows(conn, &format!("{COMPENSATION}{which}"), args).await?;
    found.first().map(compensation_entry).transpose()
}

fn compensation_entry(row: &impl Cells) -> Result<CompensationEntry> {
    let id: i64 = row.cell(0);
    let refunded = row.cell::<Option<String>>(28);
    Ok(CompensationEntry {
        id,
        row: compensation_row(row)?,
        received_at_us: row.cell(20),
        state: row.cell(21),
        settled_reason: row.cell(22),
        detail: row.cell(23),
        refund: Micros(row.cell(24)),
        generation: row.cell::<i64>(25) as u64,
        settled_at_us: row.cell(26),
        mismatch: row.cell(27),
        refunded: serde_json::from_str(refunded.as_deref().unwrap_or("[]"))
            .map_err(|_| unusable(id, "log"))?,
    })
}
