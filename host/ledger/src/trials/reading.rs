//! Looking at trials.

use tollgate_domain::money::Micros;
use tollgate_domain::trial::{Cost, Limits, Scope, Sums};

use crate::Ledger;
use crate::dialect::{Cells, Dialect, rows};
use crate::error::{LedgerError, Result};
use crate::rule_rows::Part;
use crate::trial_rows::{Touched, Trial, TrialKind};

/// What `trial` reads; the state is that at this moment.
const COLUMNS: &str = "
SELECT t.id, t.kind,
  CASE WHEN t.state = 'RUNNING' AND t.generation IS NOT NULL AND t.generation <> a.number THEN 'OVERTAKEN'
    ELSE t.state END,
  t.generation, t.base_generation, CAST(t.campaigns AS TEXT), t.share_ppm, t.salt, t.charge_max_micros, t.drift_max_ppm,
  t.clicks_min, t.faults_max, t.fuel_max, {us:t.started_at}, t.started_by, t.note, {us:t.ended_at}, t.ended_by, t.end_note,
  s.clicks, s.clicks_differing, s.active_micros, s.raised_micros, s.lowered_micros, s.failed, s.refused, s.verdicts,
  s.verdicts_differing, s.would_warn, s.would_pause, s.calls, s.rows_asked, s.fuel, s.ns, s.host_failures, s.skipped
FROM rule_trials t JOIN trial_totals s ON s.trial = t.id, rule_activation a";

const CAMPAIGNS: &str = "
SELECT campaign_id, clicks, clicks_differing, active_micros, raised_micros, lowered_micros, failed, refused, verdicts,
  verdicts_differing, would_warn, would_pause
FROM trial_drift WHERE trial = $1
ORDER BY raised_micros / 2 + lowered_micros / 2 DESC, failed / 2 + refused / 2 DESC, verdicts_differing DESC, campaign_id LIMIT $2";

const TOUCHED: &str = "
SELECT campaign_id, count(*), CAST(-sum(amount_micros) AS BIGINT) FROM ad_balance_histories
WHERE generation = $1 AND type = 'DEDUCT' GROUP BY campaign_id ORDER BY campaign_id";

impl Ledger {
    /// The trial that runs.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn running_trial(&mut self) -> Result<Option<Trial>> {
        operation!(self, idle, run, |conn, _| running(conn))
    }

    /// The newest trial of a kind, running or over.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn newest_trial(&mut self, kind: TrialKind) -> Result<Option<Trial>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!("{COLUMNS} WHERE t.kind = $1 ORDER BY t.id DESC LIMIT 1");
            found(conn, &sql, kind.as_str().into()).await
        })
    }

    /// The canary that a generation is, running or over; `None` for a generation without a candidate.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn canary_of(&mut self, generation: u64) -> Result<Option<Trial>> {
        operation!(self, idle, run, |conn, _| async move {
            let sql = format!("{COLUMNS} WHERE t.generation = $1");
            found(conn, &sql, (generation as i64).into()).await
        })
    }

    /// Campaigns of a trial, those that differ most first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn trial_campaigns(&mut self, id: i64, limit: u32) -> Result<Vec<(String, Sums)>> {
        operation!(self, idle, run, |conn, _| async move {
            let found = rows(conn, CAMPAIGNS, &[id.into(), i64::from(limit).into()]).await?;
            let campaign = |row: &_| campaign_row(row);
            Ok(found.iter().map(campaign).collect())
        })
    }

    /// Campaigns that a canary's candidate was asked about a charge of, by their history: all that the canary is about and
    /// that its generation has charged.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn touched_by(&mut self, canary: &Trial) -> Result<Vec<Touched>> {
        let generation = canary.generation.unwrap_or(0) as i64;
        let all = operation!(self, idle, run_long, |conn, _| async move {
            let found = rows(conn, TOUCHED, &[generation.into()]).await?;
            let touched = |row: &_| touched_row(row);
            Ok(found.iter().map(touched).collect::<Vec<_>>())
        })?;
        Ok(all.into_iter().filter(|one| canary.scope.contains(&one.campaign)).collect())
    }
}

/// Whether a generation is a canary.
pub(crate) async fn is_canary<D: Dialect>(conn: &mut D, generation: u64) -> Result<bool> {
    let sql = "SELECT 1 FROM rule_trials WHERE generation = $1";
    Ok(!rows(conn, sql, &[(generation as i64).into()]).await?.is_empty())
}

/// The trial that runs.
pub(super) async fn running<D: Dialect>(conn: &mut D) -> Result<Option<Trial>> {
    let sql = format!(
        "{COLUMNS} WHERE t.state = $1 AND (t.generation IS NULL OR t.generation = a.number)"
    );
    found(conn, &sql, "RUNNING".into()).await
}

async fn found<D: Dialect>(
    conn: &mut D,
    sql: &str,
    arg: crate::dialect::Arg<'_>,
) -> Result<Option<Trial>> {
    let found = rows(conn, sql, &[arg]).await?;
    let Some(mut trial) = found.first().map(trial).transpose()? else { return Ok(None) };
    let sql = "SELECT world, digest, params FROM rule_trial_parts WHERE trial = $1 ORDER BY world";
    let parts = rows(conn, sql, &[trial.id.into()]).await?;
    let part = |row: &D::Row| Part { world: row.cell(0), digest: row.cell(1), params: row.cell(2) };
    trial.parts = parts.iter().map(part).collect();
    Ok(Some(trial))
}

fn trial(row: &impl Cells) -> Result<Trial> {
    let id: i64 = row.cell(0);
    let campaigns = serde_json::from_str(&row.cell::<String>(5)).map_err(|error| {
        let (table, key) = ("rule_trials", id.to_string());
        LedgerError::Row { table, key, sentence: format!("`campaigns` is no list of ids: {error}") }
    })?;
    let share_ppm = u32::try_from(row.cell::<i64>(6)).unwrap_or(0);
    let limits = row.cell::<Option<i64>>(9).map(|drift_max_ppm| Limits {
        drift_max_ppm,
        clicks_min: row.cell::<Option<i64>>(10).unwrap_or(0),
        faults_max: row.cell::<Option<i64>>(11).unwrap_or(0),
        fuel_max: row.cell(12),
    });
    Ok(Trial {
        id,
        kind: match row.cell::<String>(1).as_str() {
            "CANARY" => TrialKind::Canary,
            _ => TrialKind::Shadow,
        },
        state: row.cell(2),
        generation: row.cell::<Option<i64>>(3).map(|number| number as u64),
        base_generation: row.cell::<i64>(4) as u64,
        scope: Scope { campaigns, share_ppm, salt: row.cell(7) },
        charge_max: Micros(row.cell(8)),
        limits,
        parts: Vec::new(),
        started_us: row.cell(13),
        started_by: row.cell(14),
        note: row.cell(15),
        ended_us: row.cell(16),
        ended_by: row.cell(17),
        end_note: row.cell(18),
        sums: sums_at(row, 19),
        cost: Cost::from_columns(std::array::from_fn(|at| row.cell(30 + at))),
    })
}

fn campaign_row(row: &impl Cells) -> (String, Sums) {
    (row.cell(0), sums_at(row, 1))
}

fn sums_at(row: &impl Cells, first: usize) -> Sums {
    Sums::from_columns(std::array::from_fn(|at| row.cell(first + at)))
}

fn touched_row(row: &impl Cells) -> Touched {
    Touched { campaign: row.cell(0), clicks: row.cell(1), charged_micros: row.cell(2) }
}
