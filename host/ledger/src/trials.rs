//! Trials: candidates beside the rules in force.
//!
//! A canary is a generation of its own, so that the fence, history and records tell by themselves what the candidate has
//! priced. Whoever starts or ends a trial holds the row of the activation, as for every change of rules.

mod ending;
mod reading;
mod sums;

use serde_json::json;
use tollgate_domain::trial::Limits;

use crate::Ledger;
use crate::dialect::{Arg, Cells, Dialect, change, one};
use crate::error::{LedgerError, Result};
use crate::rule_rows::{Activation, Change, Generation, Part, change as kinds};
use crate::rules::{active, changed, check_modules, lock, sorted, write_generation};
use crate::session::{Connection, ended};
use crate::trial_rows::{NewTrial, TrialKind};

pub(crate) use reading::is_canary;

impl Ledger {
    /// Starts a shadow and gives its id.
    ///
    /// # Errors
    /// `NotAllowed` while another trial runs, `NotFound` when a module was not published.
    pub async fn start_shadow(&mut self, trial: &NewTrial<'_>) -> Result<i64> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = start_shadow(conn, trial).await;
            ended(conn, done).await
        })
    }

    /// Puts a canary in force: a generation with the rules of the one before and a candidate. Gives its number. As after
    /// any activation, no plan of an older generation is written from then on.
    ///
    /// # Errors
    /// As `start_shadow`.
    pub async fn start_canary(&mut self, trial: &NewTrial<'_>) -> Result<u64> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let done = start_canary(conn, trial).await;
            ended(conn, done).await
        })
    }
}

async fn start_shadow<D: Dialect>(conn: &mut D, trial: &NewTrial<'_>) -> Result<i64> {
    let (base, parts) = ready(conn, trial).await?;
    let id = insert(conn, trial, TrialKind::Shadow, None, base.number).await?;
    insert_parts(conn, id, &parts).await?;
    started(conn, trial, kinds::SHADOW_START, (None, base.number), &parts).await?;
    Ok(id)
}

async fn start_canary<D: Dialect>(conn: &mut D, trial: &NewTrial<'_>) -> Result<u64> {
    let (base, parts) = ready(conn, trial).await?;
    let activation = Activation {
        parts: &base.parts,
        author: trial.author,
        note: trial.note,
        ..Activation::default()
    };
    let number = write_generation(conn, &base.parts, &activation).await?;
    let id = insert(conn, trial, TrialKind::Canary, Some(number), base.number).await?;
    insert_parts(conn, id, &parts).await?;
    started(conn, trial, kinds::CANARY_START, (Some(number), base.number), &parts).await?;
    Ok(number)
}

/// Locks the registry, and gives the generation in force and the candidate's rules.
async fn ready<D: Dialect>(conn: &mut D, trial: &NewTrial<'_>) -> Result<(Generation, Vec<Part>)> {
    lock(conn).await?;
    let base = active(conn).await?.ok_or_else(|| {
        LedgerError::NotAllowed("no rules are in force; activate some first".to_owned())
    })?;
    ending::overtaken(conn, base.number).await?;
    if let Some(running) = reading::running(conn).await? {
        let kind = running.kind.as_str().to_lowercase();
        let end = if running.kind == TrialKind::Shadow { "stop" } else { "abort" };
        return Err(LedgerError::NotAllowed(format!(
            "a {kind} of {} runs ({}); end it first: tollgate rule {kind} {end}",
            running.started_by, running.note
        )));
    }
    let parts = sorted(trial.parts)?;
    check_modules(conn, &parts).await?;
    if let Some(part) = parts.iter().find(|part| base.parts.contains(part)) {
        return Err(LedgerError::NotAllowed(format!(
            "the {} rule {} is in force with these parameters; a candidate has to differ",
            part.world, part.digest
        )));
    }
    Ok((base, parts))
}

async fn insert<D: Dialect>(
    conn: &mut D,
    trial: &NewTrial<'_>,
    kind: TrialKind,
    generation: Option<u64>,
    base: u64,
) -> Result<i64> {
    let sql = "
INSERT INTO rule_trials (kind, generation, base_generation, campaigns, share_ppm, salt, charge_max_micros, drift_max_ppm,
  clicks_min, faults_max, fuel_max, started_by, note)
VALUES ($1, $2, $3, {json:$4}, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
    let campaigns = json!(trial.scope.campaigns).to_string();
    let limit = |of: fn(&Limits) -> i64| Arg::Int(trial.limits.as_ref().map(of));
    let args = [
        kind.as_str().into(),
        Arg::Int(generation.map(|number| number as i64)),
        (base as i64).into(),
        (&campaigns).into(),
        i64::from(trial.scope.share_ppm).into(),
        (&trial.scope.salt).into(),
        trial.charge_max.0.into(),
        limit(|limits| limits.drift_max_ppm),
        limit(|limits| limits.clicks_min),
        limit(|limits| limits.faults_max),
        Arg::Int(trial.limits.and_then(|limits| limits.fuel_max)),
        trial.author.into(),
        trial.note.into(),
    ];
    let id = one(conn, sql, &args).await?.cell(0);
    change(conn, "INSERT INTO trial_totals (trial) VALUES ($1)", &[Arg::Int(Some(id))]).await?;
    Ok(id)
}

async fn insert_parts<D: Dialect>(conn: &mut D, id: i64, parts: &[Part]) -> Result<()> {
    for Part { world, digest, params } in parts {
        let sql =
            "INSERT INTO rule_trial_parts (trial, world, digest, params) VALUES ($1, $2, $3, $4)";
        change(conn, sql, &[id.into(), world.into(), digest.into(), params.into()]).await?;
    }
    Ok(())
}

async fn started<D: Dialect>(
    conn: &mut D,
    trial: &NewTrial<'_>,
    kind: &str,
    (generation, base): (Option<u64>, u64),
    parts: &[Part],
) -> Result<()> {
    let detail = json!({
        "candidate": parts, "campaigns": trial.scope.campaigns, "share_ppm": trial.scope.share_ppm,
        "salt": trial.scope.salt,
    });
    let made = Change {
        kind,
        actor: trial.author,
        note: trial.note,
        generation,
        previous: Some(base),
        digest: parts.first().map(|part| part.digest.as_str()),
        detail: &detail.to_string(),
    };
    changed(conn, &made).await
}
