//! Ending trials: by people, by themselves, and by another activation.

use serde_json::json;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};

use super::reading::running;
use crate::Ledger;
use crate::dialect::{Dialect, change, clock_us};
use crate::error::{LedgerError, Result};
use crate::outbox::tell;
use crate::rule_rows::{Activation, Change, Generation, Part, change as kinds};
use crate::rules::{active, changed, lock, write_generation};
use crate::session::{Connection, ended};
use crate::trial_rows::{Abort, Trial, TrialKind};

impl Ledger {
    /// Ends the shadow that runs, and gives it.
    ///
    /// # Errors
    /// `NotFound` when none runs.
    pub async fn stop_shadow(&mut self, author: &str, note: &str) -> Result<Trial> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = stop_shadow(conn, author, note).await;
            ended(conn, done).await
        })
    }

    /// Puts the candidate of the canary that runs in force for all campaigns; gives the canary and the new generation.
    ///
    /// # Errors
    /// `NotFound` when none runs.
    pub async fn promote_canary(&mut self, author: &str, note: &str) -> Result<(Trial, u64)> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = end_canary(conn, ("PROMOTED", kinds::CANARY_PROMOTE), author, note).await;
            ended(conn, done).await
        })
    }

    /// Takes the candidate of the canary that runs back; gives the canary and the new generation.
    ///
    /// # Errors
    /// `NotFound` when none runs.
    pub async fn abort_canary(&mut self, author: &str, note: &str) -> Result<(Trial, u64)> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = end_canary(conn, ("ABORTED", kinds::CANARY_ABORT), author, note).await;
            ended(conn, done).await
        })
    }

    /// Takes the candidate of this canary back because it has passed a limit, once, whoever asks, and leaves a happening
    /// about it in the same transaction. Gives the new generation; `None`: the canary was over already.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing is.
    pub async fn abort_by_limit(&mut self, id: i64, abort: &Abort<'_>) -> Result<Option<u64>> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = abort_by_limit(conn, id, abort).await;
            ended(conn, done).await
        })
    }
}

/// Says of a canary whose generation is no longer in force that it is over. Inside a transaction that holds the registry.
pub(super) async fn overtaken<D: Dialect>(conn: &mut D, active: u64) -> Result<()> {
    let sql = "UPDATE rule_trials SET state = 'OVERTAKEN', ended_at = {now}, end_note = 'other rules were activated'
               WHERE state = 'RUNNING' AND generation <> $1";
    change(conn, sql, &[(active as i64).into()]).await.map(drop)
}

async fn stop_shadow<D: Dialect>(conn: &mut D, author: &str, note: &str) -> Result<Trial> {
    let (shadow, base) = held(conn, TrialKind::Shadow).await?;
    end(conn, shadow.id, "STOPPED", author, note).await?;
    let previous = Some(base.number);
    noted(conn, &shadow, kinds::SHADOW_STOP, (None, previous), author, note).await?;
    Ok(shadow)
}

async fn end_canary<D: Dialect>(
    conn: &mut D,
    (state, kind): (&str, &str),
    author: &str,
    note: &str,
) -> Result<(Trial, u64)> {
    let (canary, base) = held(conn, TrialKind::Canary).await?;
    let mut parts = base.parts;
    if state == "PROMOTED" {
        parts.retain(|part| canary.parts.iter().all(|other| other.world != part.world));
        parts.extend(canary.parts.iter().cloned());
        parts.sort();
    }
    let number = leave(conn, &canary, &parts, (state, kind), author, note).await?;
    Ok((canary, number))
}

async fn abort_by_limit<D: Dialect>(
    conn: &mut D,
    id: i64,
    abort: &Abort<'_>,
) -> Result<Option<u64>> {
    let (canary, base) = match held(conn, TrialKind::Canary).await {
        Ok((canary, base)) if canary.id == id => (canary, base),
        Ok(_) | Err(LedgerError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let note = format!("{}: {}", abort.code, abort.sentence);
    let how = ("ABORTED", kinds::CANARY_ABORT);
    let number = leave(conn, &canary, &base.parts, how, abort.actor, &note).await?;
    let generation = canary.generation.unwrap_or(0);
    let facts = HappeningFacts {
        count: abort.faults,
        detail: format!(
            "The canary of generation {generation} has ended by itself: {}. Generation {number} with the rules of before is \
             in force now. Look with: tollgate rule canary status",
            abort.sentence
        ),
        occurred_at_us: clock_us(conn).await?,
        generation,
        ..HappeningFacts::default()
    };
    tell(conn, &format!("canary:{id}"), HappeningKind::RuleFault, &facts).await?;
    Ok(Some(number))
}

/// Locks the registry, and gives the trial of this kind that runs and the generation in force.
async fn held<D: Dialect>(conn: &mut D, kind: TrialKind) -> Result<(Trial, Generation)> {
    lock(conn).await?;
    let running = running(conn).await?.filter(|trial| trial.kind == kind);
    let trial = running.ok_or_else(|| {
        let kind = kind.as_str().to_lowercase();
        LedgerError::NotFound(format!("no {kind} runs; look with: tollgate rule {kind} status"))
    })?;
    Ok((trial, active(conn).await?.unwrap_or_default()))
}

/// Leaves the generation of a canary for another one with these rules.
async fn leave<D: Dialect>(
    conn: &mut D,
    canary: &Trial,
    parts: &[Part],
    (state, kind): (&str, &str),
    author: &str,
    note: &str,
) -> Result<u64> {
    let activation = Activation { parts, author, note, ..Activation::default() };
    let number = write_generation(conn, parts, &activation).await?;
    end(conn, canary.id, state, author, note).await?;
    noted(conn, canary, kind, (Some(number), canary.generation), author, note).await?;
    Ok(number)
}

async fn end<D: Dialect>(
    conn: &mut D,
    id: i64,
    state: &str,
    author: &str,
    note: &str,
) -> Result<()> {
    let sql = "UPDATE rule_trials SET state = $2, ended_at = {now}, ended_by = $3, end_note = $4
               WHERE id = $1 AND state = 'RUNNING'";
    change(conn, sql, &[id.into(), state.into(), author.into(), note.into()]).await.map(drop)
}

async fn noted<D: Dialect>(
    conn: &mut D,
    trial: &Trial,
    kind: &str,
    (generation, previous): (Option<u64>, Option<u64>),
    actor: &str,
    note: &str,
) -> Result<()> {
    let detail = json!({ "candidate": trial.parts, "sums": trial.sums, "cost": trial.cost });
    let made = Change {
        kind,
        actor,
        note,
        generation,
        previous,
        digest: trial.parts.first().map(|part| part.digest.as_str()),
        detail: &detail.to_string(),
    };
    changed(conn, &made).await
}
