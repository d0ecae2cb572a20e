//! Which messages may be sent, and what became of them.

use std::time::Duration;

use super::alerts::{Lost, tell_lost};
use super::{count, micros};
use crate::dialect::{Arg, Cells, Dialect, change, ids, rows};
use crate::error::Result;
use crate::outbox_rows::{Delivery, DueRoute, Outcome, Sending};
use crate::session::ended;
use crate::shape::without_nul;

/// Columns of `delivery_row`, in the common words.
pub(crate) const COLUMNS: &str = "id, key, happening, kind, channel, route, severity, title, body, campaign_id, \
    advertiser_id, budget_day, generation, {us:occurred_at}, {us:created_at}, {us:next_attempt_at}, attempts, outcome, \
    {us:settled_at}, last_error";

/// Channel and route.
type Route<'a> = (&'a str, &'a str);

const OPEN_ROUTES: &str = "
SELECT w.channel, w.route, CAST(coalesce(r.failures, 0) AS BIGINT)
FROM (SELECT DISTINCT channel, route FROM deliveries WHERE outcome IS NULL AND next_attempt_at <= {now}) w
LEFT JOIN relay_routes r ON r.channel = w.channel AND r.route = w.route
WHERE r.not_before IS NULL OR r.not_before <= {now}
ORDER BY w.channel, w.route";

const CLOSE_IF_OPEN: &str = "
INSERT INTO relay_routes (channel, route, not_before) VALUES ($1, $2, {after:$3})
ON CONFLICT (channel, route) DO UPDATE SET not_before = excluded.not_before WHERE relay_routes.not_before <= {now}";

/// A route never opens earlier than somebody else has found.
const CLOSE: &str = "
INSERT INTO relay_routes (channel, route, not_before, failures, last_error) VALUES ($1, $2, {after:$3}, $4, $5)
ON CONFLICT (channel, route) DO UPDATE SET
  not_before = CASE WHEN relay_routes.not_before > excluded.not_before THEN relay_routes.not_before
    ELSE excluded.not_before END,
  failures = relay_routes.failures + excluded.failures, last_error = excluded.last_error";

const GIVE_UP: &str = "
UPDATE deliveries SET last_error = $2,
  outcome = CASE WHEN attempts >= $3 THEN 'DEAD' END, settled_at = CASE WHEN attempts >= $3 THEN {now} END
WHERE id IN {ids:$1} AND outcome IS NULL RETURNING outcome, kind, channel, route, key, last_error";

pub(super) async fn due<D: Dialect>(
    conn: &mut D,
    limit: usize,
    is_busy: &(dyn Fn(&str, &str) -> bool + Sync),
) -> Result<Vec<DueRoute>> {
    let waiting = "SELECT ".to_owned()
        + COLUMNS
        + " FROM deliveries WHERE outcome IS NULL AND channel = $1 AND route = $2 AND next_attempt_at <= {now}
           ORDER BY next_attempt_at, id LIMIT $3";
    let mut due = Vec::new();
    for row in rows(conn, OPEN_ROUTES, &[]).await? {
        let (channel, route): (String, String) = (row.cell(0), row.cell(1));
        if is_busy(&channel, &route) {
            continue;
        }
        let args = [(&channel).into(), (&route).into(), count(limit)];
        let deliveries = rows(conn, &waiting, &args).await?.iter().map(delivery_row).collect();
        let failures = u32::try_from(row.cell::<i64>(2)).unwrap_or(u32::MAX);
        due.push(DueRoute { channel, route, failures, deliveries });
    }
    Ok(due)
}

pub(super) async fn begin<D: Dialect>(
    conn: &mut D,
    route: Route<'_>,
    which: &[i64],
    gap: Duration,
) -> Result<bool> {
    conn.begin().await?;
    let done = begin_inside(conn, route, which, gap).await;
    ended(conn, done).await
}

async fn begin_inside<D: Dialect>(
    conn: &mut D,
    (channel, route): Route<'_>,
    which: &[i64],
    gap: Duration,
) -> Result<bool> {
    if change(conn, CLOSE_IF_OPEN, &[channel.into(), route.into(), micros(gap)]).await? == 0 {
        return Ok(false);
    }
    let sql =
        "UPDATE deliveries SET attempts = attempts + 1 WHERE id IN {ids:$1} AND outcome IS NULL";
    change(conn, sql, &[(&ids(which)).into()]).await?;
    Ok(true)
}

pub(super) async fn settle<D: Dialect>(
    conn: &mut D,
    route: Route<'_>,
    which: &[i64],
    result: &Sending,
) -> Result<u64> {
    conn.begin().await?;
    let done = settle_inside(conn, route, &ids(which), result).await;
    ended(conn, done).await
}

async fn settle_inside<D: Dialect>(
    conn: &mut D,
    route: Route<'_>,
    which: &str,
    result: &Sending,
) -> Result<u64> {
    match result {
        Sending::Sent => {
            let sql = "UPDATE relay_routes SET failures = 0, last_error = NULL WHERE channel = $1 AND route = $2";
            change(conn, sql, &[route.0.into(), route.1.into()]).await?;
            let sql =
                "UPDATE deliveries SET outcome = 'SENT', settled_at = {now}, last_error = NULL
                       WHERE id IN {ids:$1} AND outcome IS NULL";
            change(conn, sql, &[which.into()]).await?;
            Ok(0)
        }
        Sending::Busy { error, wait } => {
            let error = without_nul(error);
            close(conn, route, *wait, 0, &error).await?;
            let sql = "UPDATE deliveries SET attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END,
                         last_error = $2 WHERE id IN {ids:$1} AND outcome IS NULL";
            change(conn, sql, &[which.into(), (&error).into()]).await?;
            Ok(0)
        }
        Sending::Failed { error, wait, attempts_max } => {
            let error = without_nul(error);
            close(conn, route, *wait, 1, &error).await?;
            give_up(conn, which, &error, *attempts_max).await
        }
        Sending::Refused { error } => give_up(conn, which, &without_nul(error), 0).await,
    }
}

async fn close<D: Dialect>(
    conn: &mut D,
    (channel, route): Route<'_>,
    wait: Duration,
    failures: i64,
    error: &str,
) -> Result<()> {
    let args: [Arg<'_>; 5] =
        [channel.into(), route.into(), micros(wait), failures.into(), error.into()];
    change(conn, CLOSE, &args).await.map(drop)
}

/// Gives up what has had so many attempts, and tells that it did.
async fn give_up<D: Dialect>(
    conn: &mut D,
    which: &str,
    error: &str,
    attempts_max: u32,
) -> Result<u64> {
    let args = [which.into(), error.into(), i64::from(attempts_max).into()];
    let settled = rows(conn, GIVE_UP, &args).await?;
    let dead = settled.iter().filter(|row| row.cell::<Option<String>>(0).is_some());
    let lost: Vec<_> = dead.map(lost_row).collect();
    let given_up = lost.len() as u64;
    tell_lost(conn, lost).await?;
    Ok(given_up)
}

fn lost_row(row: &impl Cells) -> Lost {
    Lost {
        kind: row.cell(1),
        channel: row.cell(2),
        route: row.cell(3),
        key: row.cell(4),
        error: row.cell(5),
    }
}

pub(crate) fn delivery_row(row: &impl Cells) -> Delivery {
    Delivery {
        id: row.cell(0),
        key: row.cell(1),
        happening: row.cell(2),
        kind: row.cell(3),
        channel: row.cell(4),
        route: row.cell(5),
        severity: row.cell(6),
        title: row.cell(7),
        body: row.cell(8),
        campaign: row.cell(9),
        advertiser: row.cell(10),
        day: row.cell(11),
        generation: row.cell::<i64>(12) as u64,
        occurred_at_us: row.cell(13),
        created_at_us: row.cell(14),
        next_attempt_at_us: row.cell(15),
        attempts: u32::try_from(row.cell::<i32>(16)).unwrap_or(0),
        outcome: row.cell::<Option<String>>(17).as_deref().and_then(Outcome::from_name),
        settled_at_us: row.cell(18),
        last_error: row.cell(19),
    }
}
