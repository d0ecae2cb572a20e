//! A trial as text and as JSON.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use tollgate_domain::money::Micros;
use tollgate_domain::trial::Sums;
use tollgate_ledger::{Touched, Trial, TrialKind};

use crate::channels::rfc3339;

pub(super) fn json(
    trial: &Trial,
    campaigns: &[(String, Sums)],
    touched: Option<&[Touched]>,
) -> Value {
    let campaign = |(id, sums): &(String, Sums)| {
        let mut line = figures(sums);
        line.insert("campaign_id".to_owned(), id.as_str().into());
        Value::Object(line)
    };
    let limits = trial.limits.as_ref().map(|limits| {
        json!({
            "drift_max_ppm": limits.drift_max_ppm, "clicks_min": limits.clicks_min,
            "faults_max": limits.faults_max, "fuel_max": limits.fuel_max,
        })
    });
    let touched = touched.map(|touched| {
        let line = |one: &Touched| {
            json!({ "campaign_id": one.campaign, "clicks": one.clicks, "charged_micros": one.charged_micros })
        };
        touched.iter().map(line).collect::<Vec<_>>()
    });
    let cost: Map<String, Value> =
        trial.cost.columns().into_iter().map(|(name, sum)| (name.to_owned(), sum.into())).collect();
    json!({
        "id": trial.id,
        "kind": trial.kind.as_str(),
        "state": trial.state,
        "generation": trial.generation,
        "base_generation": trial.base_generation,
        "candidate": trial.parts,
        "campaigns": trial.scope.campaigns,
        "share_ppm": trial.scope.share_ppm,
        "salt": trial.scope.salt,
        "charge_max_micros": trial.charge_max.0,
        "limits": limits,
        "started_at": rfc3339(trial.started_us),
        "started_by": trial.started_by,
        "note": trial.note,
        "ended_at": trial.ended_us.map(rfc3339),
        "ended_by": trial.ended_by,
        "end_note": trial.end_note,
        "total": figures(&trial.sums),
        "cost": cost,
        "by_campaign": campaigns.iter().map(campaign).collect::<Vec<_>>(),
        "touched": touched,
    })
}

fn figures(sums: &Sums) -> Map<String, Value> {
    let mut figures: Map<String, Value> =
        sums.columns().into_iter().map(|(name, sum)| (name.to_owned(), sum.into())).collect();
    figures.insert("drift_micros".to_owned(), sums.drift_micros().into());
    figures.insert("gross_micros".to_owned(), sums.gross_micros().into());
    figures
}

pub(super) fn text(
    trial: &Trial,
    campaigns: &[(String, Sums)],
    touched: Option<&[Touched]>,
) -> String {
    let mut text = String::new();
    for line in head(trial) {
        // Writing to a String cannot fail.
        let _ok = writeln!(text, "{line}");
    }
    if !campaigns.is_empty() {
        let _ok = writeln!(text, "{}", drift_table(&trial.sums, campaigns));
    }
    if let Some(touched) = touched {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_header(["touched campaign", "clicks", "charged"]);
        for one in touched {
            let charged = Micros(one.charged_micros).to_string();
            table.add_row([one.campaign.clone(), one.clicks.to_string(), charged]);
        }
        let _ok = writeln!(text, "{table}");
    }
    text
}

fn head(trial: &Trial) -> Vec<String> {
    let (sums, cost) = (&trial.sums, &trial.cost);
    let what = match trial.generation {
        Some(generation) => format!("Canary of generation {generation}"),
        None => "Shadow".to_owned(),
    };
    let since = rfc3339(trial.started_us);
    let mut lines = vec![
        format!("{what}, {}: {}", trial.state, trial.note),
        format!(
            "  started {since} by {} beside generation {}",
            trial.started_by, trial.base_generation
        ),
    ];
    for part in &trial.parts {
        let digest = part.digest.get(..12).unwrap_or(&part.digest);
        lines.push(format!("  candidate {} {digest} {}", part.world, part.params));
    }
    lines.push(format!("  campaigns {}", whom(trial)));
    if let (Some(ended_us), Some(by)) = (trial.ended_us, &trial.ended_by) {
        let note = trial.end_note.as_deref().unwrap_or_default();
        lines.push(format!("  ended {} by {by}: {note}", rfc3339(ended_us)));
    }
    let drift = Micros(sums.drift_micros());
    lines.push(format!(
        "  drift {drift} ({}), differences {} ({}), of {} by the rules in force",
        share(sums.drift_micros(), sums.active_micros),
        Micros(sums.gross_micros()),
        share(sums.gross_micros(), sums.active_micros),
        Micros(sums.active_micros),
    ));
    lines.push(format!(
        "  clicks {} compared, {} differ, {} failed, {} refused by the fence, {} not compared",
        sums.clicks, sums.clicks_differing, sums.failed, sums.refused, cost.skipped
    ));
    if sums.verdicts > 0 {
        lines.push(format!(
            "  verdicts {} compared, {} differ; only the candidate warns {} times, pauses {} times",
            sums.verdicts, sums.verdicts_differing, sums.would_warn, sums.would_pause
        ));
    }
    let per_row = |sum: i64| sum / cost.rows.max(1);
    lines.push(format!(
        "  cost {} ns and {} units of fuel a row, {} calls, {} could not be run",
        per_row(cost.ns),
        per_row(cost.fuel),
        cost.calls,
        cost.host_failures
    ));
    if let Some(limits) = &trial.limits {
        let fuel = limits.fuel_max.map_or(String::new(), |most| format!(", fuel {most} a row"));
        lines.push(format!(
            "  limits: differences {}, from {} clicks on; faults {}{fuel}",
            share(limits.drift_max_ppm, 1_000_000),
            limits.clicks_min,
            limits.faults_max
        ));
    }
    lines
}

fn whom(trial: &Trial) -> String {
    let named = trial.scope.campaigns.iter().cloned().collect::<Vec<_>>().join(", ");
    let share_of = share(trial.scope.share_ppm.into(), 1_000_000);
    match (trial.scope.share_ppm, trial.kind) {
        (0, _) => named,
        (1_000_000, TrialKind::Shadow) => "all".to_owned(),
        _ if named.is_empty() => format!("{share_of} of all (salt {})", trial.scope.salt),
        _ => format!("{share_of} of all (salt {}), and {named}", trial.scope.salt),
    }
}

fn drift_table(total: &Sums, campaigns: &[(String, Sums)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["campaign", "clicks", "differ", "in force", "drift", "share", "faults"]);
    let row = |name: &str, sums: &Sums| {
        [
            name.to_owned(),
            sums.clicks.to_string(),
            sums.clicks_differing.to_string(),
            Micros(sums.active_micros).to_string(),
            Micros(sums.drift_micros()).to_string(),
            share(sums.drift_micros(), sums.active_micros),
            sums.failed.saturating_add(sums.refused).to_string(),
        ]
    };
    for (campaign, sums) in campaigns {
        table.add_row(row(campaign, sums));
    }
    table.add_row(row("all", total));
    table
}

/// A part of a whole in percent, with 4 decimals; toward 0.
fn share(part: i64, whole: i64) -> String {
    if whole == 0 {
        return if part == 0 { "0 %".to_owned() } else { "- %".to_owned() };
    }
    let ppm = i128::from(part) * 1_000_000 / i128::from(whole);
    let (sign, ppm) = (if ppm < 0 { "-" } else { "" }, ppm.unsigned_abs());
    format!("{sign}{}.{:04} %", ppm / 10_000, ppm % 10_000)
}
