//! Happenings that the ledger itself finds: dead letters, and messages that were given up.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_domain::day::Day;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::plan::OutboxMessage;

use super::micros;
use crate::dialect::{Cells, Dialect, change, clock_us, one, rows};
use crate::error::Result;
use crate::session::ended;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// A message that was given up.
pub(super) struct Lost {
    pub(super) kind: String,
    pub(super) channel: String,
    pub(super) route: String,
    pub(super) key: String,
    pub(super) error: String,
}

/// Tells that messages were given up, once an hour and route. Nothing is told of messages that tell of such a loss,
/// because they would be lost the same way.
pub(super) async fn tell_lost<D: Dialect>(conn: &mut D, mut lost: Vec<Lost>) -> Result<()> {
    // The one that is named is the first by its key, in whatever order the database gives them.
    lost.sort_by(|a, b| a.key.cmp(&b.key));
    let mut by_route: BTreeMap<(String, String), (u64, Lost)> = BTreeMap::new();
    for lost in lost {
        if lost.kind != HappeningKind::DeliveryFailed.as_str() {
            let route = (lost.channel.clone(), lost.route.clone());
            by_route.entry(route).or_insert((0, lost)).0 += 1;
        }
    }
    if by_route.is_empty() {
        return Ok(());
    }
    let now_us = clock_us(conn).await?;
    for ((channel, route), (count, first)) in by_route {
        let detail = format!(
            "The message {} to {channel} route {route} was given up: {}. \
             Look with `tollgate outbox list --state dead`.",
            first.key,
            first.error.trim_end_matches('.')
        );
        let key = format!("delivery-failed:{channel}:{route}:{}", hour(now_us));
        let facts =
            HappeningFacts { count, detail, occurred_at_us: now_us, ..HappeningFacts::default() };
        write(conn, &key, HappeningKind::DeliveryFailed, &facts).await?;
    }
    Ok(())
}

pub(super) async fn dead_letters<D: Dialect>(conn: &mut D, every: Duration) -> Result<bool> {
    conn.begin().await?;
    let done = dead_letters_inside(conn, every).await;
    ended(conn, done).await
}

async fn dead_letters_inside<D: Dialect>(conn: &mut D, every: Duration) -> Result<bool> {
    // A letter that was replayed was dead once, so that the count never falls and no later letter goes untold.
    let sql = "SELECT CAST(coalesce(sum(dead), 0) AS BIGINT) FROM
      (SELECT dead FROM consumer_progress UNION ALL SELECT dead FROM retired_progress
       UNION ALL SELECT value FROM alert_marks WHERE name = 'letters_replayed') AS counted";
    let total: i64 = one(conn, sql, &[]).await?.cell(0);
    let mark = one(conn, "SELECT value, {us:at} FROM alert_marks WHERE name = 'dead_letters'", &[])
        .await?;
    let (told, told_at_us): (i64, i64) = (mark.cell(0), mark.cell(1));
    if total <= told {
        return Ok(false);
    }
    let sql = "UPDATE alert_marks SET value = $1, at = {now}
               WHERE name = 'dead_letters' AND value = $2 AND {after:-$3} >= at";
    if change(conn, sql, &[total.into(), told.into(), micros(every)]).await? == 0 {
        return Ok(false);
    }
    let detail = format!("{}Look with: tollgate dlq list", codes_since(conn, told_at_us).await?);
    let count = u64::try_from(total - told).unwrap_or(0);
    let occurred_at_us = clock_us(conn).await?;
    let facts = HappeningFacts { count, detail, occurred_at_us, ..HappeningFacts::default() };
    write(conn, &format!("dead-letters:{total}"), HappeningKind::DeadLetters, &facts).await?;
    Ok(true)
}

/// The most frequent codes since an instant, in a sentence; empty when there are none.
async fn codes_since<D: Dialect>(conn: &mut D, since_us: i64) -> Result<String> {
    let sql = "SELECT code, count(*) FROM dead_letters WHERE created_at >= {at:$1}
               GROUP BY code ORDER BY count(*) DESC, code LIMIT 3";
    let codes = rows(conn, sql, &[since_us.into()]).await?;
    let codes: Vec<_> = codes
        .iter()
        .map(|row| format!("{} {}", row.cell::<i64>(1), row.cell::<String>(0)))
        .collect();
    Ok(if codes.is_empty() { String::new() } else { format!("Mostly {}. ", codes.join(", ")) })
}

/// Writes a happening; one with the same key is written once. Gives how many were written.
pub(crate) async fn write<D: Dialect>(
    conn: &mut D,
    key: &str,
    kind: HappeningKind,
    facts: &HappeningFacts,
) -> Result<u64> {
    keep(conn, &OutboxMessage { key: key.to_owned(), kind, payload: facts.to_json() }).await
}

/// As `write`, of a happening that was put together before.
pub(crate) async fn keep<D: Dialect>(conn: &mut D, message: &OutboxMessage) -> Result<u64> {
    let sql = "INSERT INTO outbox (dedup_key, kind, payload) VALUES ($1, $2, {json:$3})
               ON CONFLICT (dedup_key) DO NOTHING";
    let OutboxMessage { key, kind, payload } = message;
    change(conn, sql, &[key.into(), kind.as_str().into(), payload.into()]).await
}

/// `YYYY-MM-DDTHH` in UTC.
fn hour(at_us: i64) -> String {
    format!("{}T{:02}", Day::utc(at_us), at_us.rem_euclid(DAY_US) / HOUR_US)
}
