//! Happenings and messages. The transaction that charges writes what happened into the outbox. One host at a time, the
//! relay, has it worded by a rule, keeps the messages as deliveries, sends them and writes down what became of them.
//!
//! Whoever locks more than one of them locks routes before deliveries before the outbox.

mod alerts;
mod operator;
mod sending;
mod wording;

use std::time::Duration;

use crate::Ledger;
use crate::campaign;
use crate::dialect::{Arg, Cells, Dialect, change, one};
use crate::error::Result;
use crate::outbox_rows::{
    Delivery, DeliveryFilter, DueRoute, Happenings, Looks, OutboxDepth, Sending, Which, Worded,
};

pub(crate) use alerts::{keep, write as tell};

/// The row that says who is the relay.
const LEASE: &str = "relay_lease";
pub(crate) use sending::{COLUMNS, delivery_row};

impl Ledger {
    /// Becomes or stays the relay among all hosts. True: for at least half of `lease` from now. False: another one is.
    /// Asking often is cheap, because the lease is written again only when half of it is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lead(&mut self, owner: &str, lease: Duration) -> Result<bool> {
        operation!(self, idle, run, |conn, _| lead(conn, LEASE, owner, lease))
    }

    /// Gives the lease back, so that another host goes on at once. Nothing happens when another one has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn resign(&mut self, owner: &str) -> Result<()> {
        operation!(self, idle, run, |conn, _| resign(conn, LEASE, owner))
    }

    /// Happenings that nobody has worded yet, oldest first, and at most one of each kind, campaign and day, so that
    /// what is said of earlier messages is right.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn happenings(&mut self, limit: usize) -> Result<Happenings> {
        operation!(self, idle, run, |conn, _| wording::happenings(conn, limit))
    }

    /// Keeps the messages about happenings and marks these as worded, all at once. What is worded already is left
    /// alone.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is.
    pub async fn word(&mut self, worded: &[Worded]) -> Result<()> {
        operation!(self, idle, run, |conn, _| wording::word(conn, worded))
    }

    /// What may be sent now, route by route: at most `limit` of each, and nothing of routes that are closed, or busy
    /// by the caller's own account.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn due(
        &mut self,
        limit: usize,
        is_busy: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Result<Vec<DueRoute>> {
        operation!(self, idle, run, |conn, _| sending::due(conn, limit, is_busy))
    }

    /// To be called just before sending: counts the attempt and closes the route for `gap`, so that both hold whatever
    /// happens to this process. False: the route is closed, because another host sends there; send nothing.
    ///
    /// # Errors
    /// When the database cannot be written; then send nothing either.
    pub async fn begin_sending(
        &mut self,
        channel: &str,
        route: &str,
        ids: &[i64],
        gap: Duration,
    ) -> Result<bool> {
        operation!(self, idle, run, |conn, _| sending::begin(conn, (channel, route), ids, gap))
    }

    /// Writes down what became of an attempt, and gives the number of messages that were given up. What is settled
    /// already is left alone.
    ///
    /// # Errors
    /// When the database cannot be written; the messages then wait as before.
    pub async fn settle(
        &mut self,
        channel: &str,
        route: &str,
        ids: &[i64],
        result: &Sending,
    ) -> Result<u64> {
        operation!(self, idle, run, |conn, _| sending::settle(conn, (channel, route), ids, result))
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn deliveries(&mut self, filter: &DeliveryFilter) -> Result<Vec<Delivery>> {
        operation!(self, idle, run, |conn, _| operator::deliveries(conn, filter))
    }

    /// How much is on its way to people.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn outbox_depth(&mut self) -> Result<OutboxDepth> {
        operation!(self, idle, run, |conn, _| depth(conn))
    }

    /// Sends messages that were given up, dropped or are waiting (again) at once, and opens routes that failed. Writes
    /// an audit row and gives their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn retry_deliveries(&mut self, which: &Which, note: &str) -> Result<u64> {
        operation!(self, idle, run, |conn, _| operator::retry(conn, which, note))
    }

    /// Never sends messages that wait or were given up. Writes an audit row and gives their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn drop_deliveries(&mut self, which: &Which, note: &str) -> Result<u64> {
        operation!(self, idle, run, |conn, _| operator::drop_them(conn, which, note))
    }

    /// Writes a happening about the dead letters that have come since the last one, if there are any and the last one
    /// is older than `every`. True: written. Whoever else asks at the same moment gets false.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn alert_dead_letters(&mut self, every: Duration) -> Result<bool> {
        operation!(self, idle, run, |conn, _| alerts::dead_letters(conn, every))
    }

    /// Campaigns that the budget has paused or that changed at or after `since_us`. A change counts from the moment it
    /// was made and is seen once it is committed, so let `since_us` lie a while before the last look.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn looks(&mut self, since_us: i64) -> Result<Looks> {
        operation!(self, idle, run, |conn, _| campaign::looks(conn, since_us))
    }
}

/// Takes or keeps the lease in the only row of a table.
pub(crate) async fn lead<D: Dialect>(
    conn: &mut D,
    table: &str,
    owner: &str,
    lease: Duration,
) -> Result<bool> {
    // Whose lease is fresh is a matter of reading, so that neither the holder nor the others write at every turn.
    let sql = format!(
        "SELECT CASE WHEN owner = $1 THEN lease_until > {{after:$2}} ELSE lease_until > {{now}} END, owner = $1
         FROM {table}"
    );
    let row = one(conn, &sql, &[owner.into(), micros(lease / 2)]).await?;
    if row.cell(0) {
        return Ok(row.cell(1));
    }
    let sql = format!(
        "UPDATE {table} SET owner = $1, lease_until = {{after:$2}} WHERE owner = $1 OR lease_until <= {{now}}"
    );
    Ok(change(conn, &sql, &[owner.into(), micros(lease)]).await? == 1)
}

pub(crate) async fn depth<D: Dialect>(conn: &mut D) -> Result<OutboxDepth> {
    let sql = "SELECT (SELECT count(*) FROM outbox WHERE worded_at IS NULL),
      (SELECT count(*) FROM deliveries WHERE outcome IS NULL),
      (SELECT count(*) FROM deliveries WHERE outcome = 'DEAD'),
      (SELECT min({us:created_at}) FROM deliveries WHERE outcome IS NULL AND next_attempt_at <= {now}), {clock}";
    let row = one(conn, sql, &[]).await?;
    let now_us: i64 = row.cell(4);
    let oldest_us = row.cell::<Option<i64>>(3).unwrap_or(now_us);
    Ok(OutboxDepth {
        unworded: row.cell(0),
        waiting: row.cell(1),
        dead: row.cell(2),
        oldest_due_s: (now_us - oldest_us).max(0) / 1_000_000,
    })
}

pub(crate) async fn resign<D: Dialect>(conn: &mut D, table: &str, owner: &str) -> Result<()> {
    let sql = format!("UPDATE {table} SET owner = '', lease_until = {{now}} WHERE owner = $1");
    change(conn, &sql, &[owner.into()]).await.map(drop)
}

/// Microseconds; what is beyond a century is a century, because instants end somewhere.
pub(crate) fn micros(duration: Duration) -> Arg<'static> {
    const CENTURY_US: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(CENTURY_US, |us| us.min(CENTURY_US)).into()
}

fn count(limit: usize) -> Arg<'static> {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}
