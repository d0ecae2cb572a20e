//! `tollgate audit`

use std::io::IsTerminal as _;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tollgate_domain::day::Day;
use tollgate_ledger::{AuditReport, AuditScope, AuditStep};

use super::{load, open_ledger, runtime, unavailable};
use crate::cli::Audit;
use crate::exit::Exit;

pub(super) fn execute(arguments: &Audit) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let scope = AuditScope {
        since: arguments.since.map(Day::from_date),
        advertiser: arguments.advertiser.clone(),
    };
    let bar = progress_bar(arguments.json)?;
    let report = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        ledger
            .audit_part(&scope, &mut |step| show(&bar, &step))
            .await
            .map_err(|error| unavailable(&error))
    })?;
    bar.finish_and_clear();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&report))?);
    } else {
        print_table(&report);
    }
    Ok(if report.is_exact() { Exit::Ok } else { Exit::Findings })
}

/// Says on a terminal what is looked at, because large ledgers take a while.
fn progress_bar(quiet: bool) -> anyhow::Result<ProgressBar> {
    if quiet || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed:>4}  {wide_msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    Ok(bar)
}

fn show(bar: &ProgressBar, step: &AuditStep<'_>) {
    match step {
        AuditStep::Begins { number, of, claim } => {
            bar.set_length(*of as u64);
            bar.set_position(*number as u64 - 1);
            bar.set_message(*claim);
        }
        AuditStep::Done(check) if !check.ok => {
            bar.println(format!("WRONG {}: {}", check.claim, check.detail));
        }
        AuditStep::Done(_) => (),
    }
}

fn to_json(report: &AuditReport) -> serde_json::Value {
    let check = |check: &tollgate_ledger::Check| {
        json!({
            "name": check.name,
            "claim": check.claim,
            "ok": check.ok,
            "expected": check.expected,
            "found": check.found,
            "detail": check.detail,
        })
    };
    json!({
        "exact": report.is_exact(),
        "checks": report.checks.iter().map(check).collect::<Vec<_>>(),
        "left_out": report.left_out,
    })
}

fn print_table(report: &AuditReport) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "what must hold", "looked at", "hold", "remark"]);
    for check in &report.checks {
        let mark = if check.ok { "ok" } else { "WRONG" };
        table.add_row([
            mark.to_owned(),
            check.claim.to_owned(),
            check.expected.to_string(),
            check.found.to_string(),
            check.detail.clone(),
        ]);
    }
    println!("{table}");
    if !report.left_out.is_empty() {
        println!("Only of the whole ledger can be asked: {}.", report.left_out.join(", "));
    }
    let what = if report.left_out.is_empty() { "The ledger" } else { "This part of the ledger" };
    println!("{what} is {}.", if report.is_exact() { "exact" } else { "NOT exact" });
}
