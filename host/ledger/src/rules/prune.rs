//! Taking the bytes of modules away that nothing which is kept can ask for any more.

use super::{active, changed, lock};
use crate::Ledger;
use crate::dialect::{Arg, Cells, Dialect, change, ids, rows};
use crate::error::{LedgerError, Result};
use crate::rule_rows::{Change, PrunePolicy, Pruned, change as kinds};
use crate::session::{Connection, ended};

const DAY_US: i64 = 86_400_000_000;

/// Generations of everything that can be explained or is still to be done.
const USED: &str = "
SELECT generation FROM ad_balance_histories UNION SELECT generation FROM decision_records
UNION SELECT generation FROM dead_letters UNION SELECT generation FROM deliveries
UNION SELECT coalesce(generation, 0) FROM compensations";

/// Place `$1` is a list of generations that are kept, `$2` the first of those that are kept for their age, `$3` the age of
/// a module in microseconds.
const UNUSED: &str = "
SELECT m.digest, m.name, m.version, CAST(length(m.bytes) AS BIGINT) FROM rule_modules m
WHERE m.pruned_at IS NULL AND m.created_at <= {after:-$3} AND NOT EXISTS (
  SELECT 1 FROM rule_generation_parts p WHERE p.digest = m.digest AND (p.number >= $2 OR p.number IN {ids:$1}))
AND NOT EXISTS (
  SELECT 1 FROM rule_trial_parts p JOIN rule_trials t ON t.id = p.trial WHERE p.digest = m.digest
    AND (t.state = 'RUNNING' OR t.generation >= $2 OR t.generation IN {ids:$1}))
ORDER BY m.name, m.created_at, m.digest";

impl Ledger {
    /// Takes the bytes of unused modules away and gives these modules; `is_dry` only gives them. What is known of them
    /// stays, and publishing one again brings its bytes back.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is.
    pub async fn prune_modules(
        &mut self,
        policy: PrunePolicy,
        actor: &str,
        note: &str,
        is_dry: bool,
    ) -> Result<Vec<Pruned>> {
        operation!(self, idle, run_long, |conn, _| async move {
            let used = used(conn).await?;
            conn.begin().await?;
            let done = prune(conn, policy, &used, (!is_dry).then_some((actor, note))).await;
            ended(conn, done).await
        })
    }
}

/// Read before anything is locked, because it reads all of history. Older generations gain nothing meanwhile: no plan of
/// theirs is written any more.
async fn used<D: Dialect>(conn: &mut D) -> Result<Vec<i64>> {
    conn.begin_snapshot().await?;
    let found = rows(conn, USED, &[]).await;
    if !found.as_ref().is_err_and(LedgerError::is_outage) {
        conn.roll_back().await?;
    }
    Ok(found?.iter().map(|row| row.cell(0)).collect())
}

async fn prune<D: Dialect>(
    conn: &mut D,
    policy: PrunePolicy,
    used: &[i64],
    who: Option<(&str, &str)>,
) -> Result<Vec<Pruned>> {
    lock(conn).await?;
    let active = active(conn).await?.map_or(0, |active| active.number);
    let oldest = active.saturating_sub(policy.generations.saturating_sub(1));
    let unused_us = i64::from(policy.unused_days) * DAY_US;
    let used = ids(used);
    let args = [(&used).into(), (oldest as i64).into(), unused_us.into()];
    let found: Vec<Pruned> = rows(conn, UNUSED, &args).await?.iter().map(pruned).collect();
    let Some((actor, note)) = who else { return Ok(found) };
    for module in &found {
        let sql = "UPDATE rule_modules SET bytes = $2, pruned_at = {now} WHERE digest = $1";
        change(conn, sql, &[(&module.digest).into(), Arg::Bytes(&[])]).await?;
        let detail = serde_json::json!({
            "name": module.name, "version": module.version, "bytes": module.bytes
        });
        let made = Change {
            kind: kinds::PRUNE,
            actor,
            note,
            digest: Some(&module.digest),
            detail: &detail.to_string(),
            ..Change::default()
        };
        changed(conn, &made).await?;
    }
    Ok(found)
}

fn pruned(row: &impl Cells) -> Pruned {
    Pruned { digest: row.cell(0), name: row.cell(1), version: row.cell(2), bytes: row.cell(3) }
}
