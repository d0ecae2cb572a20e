//! One lap: read and compare in a snapshot, then write what was seen if nobody else has done so.

use serde_json::{Value, json};

use super::compare::{Mismatch, compare};
use super::duplicates::MINUTES_KEPT;
use super::findings;
use super::seen::{Part, Seen, marks, read};
use crate::dialect::{Arg, Cells, Dialect, change, clock_us, one};
use crate::error::{LedgerError, Result};
use crate::session::ended;
use crate::watch_rows::Lap;

/// Rows of one statement at most, to keep its text within bounds.
const ROWS_MAX: usize = 5_000;

const MINUTE_US: i64 = 60_000_000;

/// What a lap has read, and on which earlier lap it builds.
struct View {
    lap: i64,
    now_us: i64,
    seen: Seen,
    left: i64,
    /// `None`: something is left to be read, so nothing could be compared.
    mismatches: Option<Vec<Mismatch>>,
}

pub(super) async fn lap<D: Dialect>(conn: &mut D, offsets_max: i64) -> Result<Lap> {
    conn.begin_snapshot().await?;
    let view = view(conn, offsets_max).await;
    if !view.as_ref().is_err_and(LedgerError::is_outage) {
        conn.roll_back().await?;
    }
    let view = view?;
    conn.begin().await?;
    let written = write(conn, &view).await;
    ended(conn, written).await
}

async fn view<D: Dialect>(conn: &mut D, offsets_max: i64) -> Result<View> {
    let lap = one(conn, "SELECT lap FROM watch_state", &[]).await?.cell(0);
    let now_us = clock_us(conn).await?;
    let mut marks = marks(conn).await?;
    let (seen, left) = read(conn, &mut marks, offsets_max).await?;
    let is_complete = left == 0 && !seen.is_late_left;
    let mismatches =
        if is_complete { Some(compare(conn, &marks, &seen, now_us).await?) } else { None };
    Ok(View { lap, now_us, seen, left, mismatches })
}

async fn write<D: Dialect>(conn: &mut D, view: &View) -> Result<Lap> {
    // The row is this transaction's from here on, so that laps are written one after the other.
    let sql = "UPDATE watch_state SET lap = lap + 1, behind = $2,
                 caught_up_at = CASE WHEN $3 > 0 THEN {at:$4} ELSE caught_up_at END
               WHERE lap = $1";
    let is_complete = i64::from(view.mismatches.is_some());
    let args = [view.lap.into(), view.left.into(), is_complete.into(), view.now_us.into()];
    if change(conn, sql, &args).await? == 0 {
        return Ok(Lap::default());
    }
    write_seen(conn, &view.seen, view.now_us / MINUTE_US - MINUTES_KEPT).await?;
    if let Some(mismatches) = &view.mismatches {
        findings::settle(conn, "WATCH", mismatches, view.now_us).await?;
    }
    Ok(Lap { counted: true, rows: view.seen.rows, behind: view.left })
}

async fn write_seen<D: Dialect>(conn: &mut D, seen: &Seen, oldest_minute: i64) -> Result<()> {
    let marks = seen.marks.iter().map(|(part, (upto, charged))| {
        json!({ "t": part.topic, "i": part.incarnation, "p": part.partition, "upto": upto, "charged": charged })
    });
    add(conn, MARKS, marks, &[]).await?;
    let balances = seen.balances.iter().map(|(id, moved)| json!({ "id": id, "moved": moved.0 }));
    add(conn, BALANCES, balances, &[]).await?;
    let days = seen.days.iter().map(|((campaign, day), money)| {
        json!({ "c": campaign, "d": day, "charged": money.charged.0, "refunded": money.refunded.0 })
    });
    add(conn, DAYS, days, &[]).await?;
    let fresh = seen.minutes.iter().filter(|((minute, ..), _)| *minute >= oldest_minute);
    let minutes = fresh.map(|((minute, campaign, advertiser), clicks)| {
        json!({ "m": minute, "c": campaign, "a": advertiser, "clicks": clicks })
    });
    add(conn, MINUTES, minutes, &[]).await?;
    for ((table, column), late) in &seen.late {
        let sql = LATE.replace("TABLE", table).replace("COLUMN", column);
        add(conn, &sql, late.iter().map(|(part, offset)| record(part, *offset)), &[]).await?;
    }
    for table in ["click_minutes", "duplicate_minutes"] {
        let sql = format!("DELETE FROM {table} WHERE minute < $1");
        change(conn, &sql, &[oldest_minute.into()]).await?;
    }
    Ok(())
}

fn record(part: &Part, offset: i64) -> Value {
    json!({ "t": part.topic, "i": part.incarnation, "p": part.partition, "o": offset })
}

/// Runs a statement over elements, which it knows as `$1`, in portions.
async fn add<D: Dialect>(
    conn: &mut D,
    sql: &str,
    elements: impl Iterator<Item = Value>,
    more: &[Arg<'_>],
) -> Result<()> {
    let elements: Vec<Value> = elements.collect();
    for part in elements.chunks(ROWS_MAX) {
        let text = json!(part).to_string();
        let args: Vec<Arg<'_>> =
            std::iter::once((&text).into()).chain(more.iter().copied()).collect();
        change(conn, sql, &args).await?;
    }
    Ok(())
}

const MARKS: &str = "
INSERT INTO watch_marks (topic, incarnation, kafka_partition, upto_offset, charged)
SELECT CAST(e.value ->> 't' AS TEXT), CAST(e.value ->> 'i' AS INTEGER), CAST(e.value ->> 'p' AS INTEGER),
  CAST(e.value ->> 'upto' AS BIGINT), CAST(e.value ->> 'charged' AS BIGINT)
FROM {elements:$1} AS e WHERE true
ON CONFLICT (topic, incarnation, kafka_partition) DO UPDATE SET
  upto_offset = excluded.upto_offset, charged = watch_marks.charged + excluded.charged";

const BALANCES: &str = "
INSERT INTO watch_balances (advertiser_id, moved_micros)
SELECT CAST(e.value ->> 'id' AS TEXT), CAST(e.value ->> 'moved' AS BIGINT) FROM {elements:$1} AS e WHERE true
ON CONFLICT (advertiser_id) DO UPDATE SET moved_micros = watch_balances.moved_micros + excluded.moved_micros";

const DAYS: &str = "
INSERT INTO watch_days (day, campaign_id, charged_micros, refunded_micros)
SELECT {day:CAST(e.value ->> 'd' AS INTEGER)}, CAST(e.value ->> 'c' AS TEXT),
  CAST(e.value ->> 'charged' AS BIGINT), CAST(e.value ->> 'refunded' AS BIGINT)
FROM {elements:$1} AS e WHERE true
ON CONFLICT (day, campaign_id) DO UPDATE SET
  charged_micros = watch_days.charged_micros + excluded.charged_micros,
  refunded_micros = watch_days.refunded_micros + excluded.refunded_micros";

const MINUTES: &str = "
INSERT INTO click_minutes (minute, campaign_id, advertiser_id, clicks)
SELECT CAST(e.value ->> 'm' AS BIGINT), CAST(e.value ->> 'c' AS TEXT), CAST(e.value ->> 'a' AS TEXT),
  CAST(e.value ->> 'clicks' AS BIGINT)
FROM {elements:$1} AS e WHERE true
ON CONFLICT (minute, campaign_id, advertiser_id) DO UPDATE SET clicks = click_minutes.clicks + excluded.clicks";

const LATE: &str = "
UPDATE TABLE AS a SET COLUMN = true FROM {elements:$1} AS e
WHERE a.topic = CAST(e.value ->> 't' AS TEXT) AND a.incarnation = CAST(e.value ->> 'i' AS INTEGER)
  AND a.kafka_partition = CAST(e.value ->> 'p' AS INTEGER) AND a.kafka_offset = CAST(e.value ->> 'o' AS BIGINT)";
