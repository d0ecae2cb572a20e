//! Compensations and refunds. The transaction that moves a partition's progress stores compensations; any host settles
//! them later, each in one transaction with the money that it moves.
//!
//! Locks are taken in one order: activation of rules, compensation, balance, day, campaign. Charging and storing take
//! those that they need in the same order, after the progress, which settling does not touch.

mod facts;
mod intake;
mod settling;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tollgate_domain::book::DayKey;
use tollgate_domain::refund::{RefundFacts, RefundPlan, state};

use crate::Ledger;
use crate::dialect::{Cells, Dialect, one};
use crate::error::Result;
use crate::refund_rows::{CompensationDepth, WaitingCompensation};
use crate::rows::Place;
use crate::session::{Connection, ended};

use facts::Wanted;
pub(crate) use facts::{compensation_row, days_around, unusable};
pub(crate) use intake::store;

impl Ledger {
    /// Compensations that wait and whose next look is due, those that are due longest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn waiting_compensations(
        &mut self,
        limit: usize,
    ) -> Result<Vec<WaitingCompensation>> {
        operation!(self, idle, run, |conn, _| facts::waiting(conn, limit))
    }

    /// Brings the index that finds charges by their instants up to date around these instants; worth calling while
    /// compensations come in, when clicks have come since.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn prepare_matching(&mut self, instants_us: &[i64]) -> Result<()> {
        let around = |at_us: &i64| days_around(std::slice::from_ref(at_us));
        let days: BTreeSet<i32> = instants_us.iter().flat_map(around).collect();
        let days: Vec<i32> = days.into_iter().collect();
        operation!(self, idle, run, |conn, _| sql::days::summarise(conn, &days))
    }

    /// Compensations that wait and are records of these dead letters, whether they are due or not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn waiting_compensations_of(
        &mut self,
        letters: &[Place],
    ) -> Result<Vec<WaitingCompensation>> {
        operation!(self, idle, run, |conn, _| facts::waiting_of(conn, letters))
    }

    /// How many of the compensations that are records of these dead letters are in each state.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn compensation_states_of(
        &mut self,
        letters: &[Place],
    ) -> Result<Vec<(String, i64)>> {
        operation!(self, idle, run, |conn, _| facts::states_of(conn, letters))
    }

    /// Begins a transaction, verifies that these rules are in force, locks the compensation, looks for its charges, locks
    /// its advertiser's balance and the campaign-day that the refund counts to, in this order, and reads what the refund
    /// is decided on. That day is `day` when no duplicate is in the ledger. The transaction stays open for
    /// [`Ledger::apply_refund`] or [`Ledger::rollback`]. `None`: another host is looking at it or has done so since it
    /// was read; no transaction is open then.
    ///
    /// # Errors
    /// - `GenerationChanged`: other rules are in force.
    /// - `Stale`: the campaign is gone or cannot be understood; read the compensation again.
    pub fn lock_refund<'l>(
        &'l mut self,
        waiting: &'l WaitingCompensation,
        day: &'l DayKey,
        generation: u64,
    ) -> impl Future<Output = Result<Option<RefundFacts>>> + Send + 'l {
        // The campaign stays behind, because a time zone must not be shared between threads.
        let wanted = Wanted { id: waiting.id, looks: waiting.looks, event: &waiting.row.event };
        async move {
            let facts = operation!(self, locking, run, |conn, _| facts::lock(
                conn, wanted, day, generation
            ))?;
            if facts.is_none() {
                self.rollback().await?;
            }
            Ok(facts)
        }
    }

    /// Writes everything that settles a compensation, or that it waits for another `next_look`, and commits. Ends the
    /// transaction that `lock_refund` began, whatever the outcome; without one, everything is verified all the same.
    ///
    /// # Errors
    /// As `apply`; `Stale` as well when the compensation does not wait any more or a charge was refunded meanwhile.
    pub async fn apply_refund(&mut self, plan: &RefundPlan, next_look: Duration) -> Result<()> {
        let open = either!(self, database => database.take_batch());
        operation!(self, ready, run, |conn, config| async move {
            if !open {
                conn.begin().await?;
            }
            let written = async {
                if plan.state == state::WAITING {
                    // A look that is lost is a look more; nobody waits for the disk because of one.
                    conn.commit_early().await?;
                }
                settling::compensation(conn, plan, next_look).await?;
                sql::apply::inside(conn, &config.group, &settling::money(plan)).await?;
                settling::records(conn, plan).await
            }
            .await;
            ended(conn, written).await
        })
    }

    /// How many compensations wait, and for how long.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn compensation_depth(&mut self) -> Result<CompensationDepth> {
        operation!(self, idle, run, |conn, _| depth(conn))
    }
}

async fn depth<D: Dialect>(conn: &mut D) -> Result<CompensationDepth> {
    let sql = "SELECT count(*), min({us:received_at}), {clock} FROM compensations WHERE state = 'WAITING'";
    let row = one(conn, sql, &[]).await?;
    let now_us: i64 = row.cell(2);
    let oldest_us = row.cell::<Option<i64>>(1).unwrap_or(now_us);
    Ok(CompensationDepth {
        waiting: row.cell(0),
        oldest_s: (now_us - oldest_us).max(0) / 1_000_000,
    })
}
