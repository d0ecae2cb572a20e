//! `tollgate audit`

use std::io::IsTerminal as _;

use comfy_table::{Table, presets};
use serde_json::json;
use tollgate_ledger::AuditReport;

use super::{load, open_ledger, runtime, unavailable};
use crate::cli::Audit;
use crate::exit::Exit;

pub(super) fn execute(arguments: &Audit) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let report = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        ledger
            .audit(&mut |check| progress(arguments.json, check))
            .await
            .map_err(|error| unavailable(&error))
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&report))?);
    } else {
        print_table(&report);
    }
    Ok(if report.is_exact() { Exit::Ok } else { Exit::Findings })
}

/// Says on a terminal what has been looked at, because large ledgers take a while.
fn progress(quiet: bool, check: &tollgate_ledger::Check) {
    if !quiet && std::io::stderr().is_terminal() {
        eprintln!("{} {}", if check.ok { "ok   " } else { "WRONG" }, check.claim);
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
    json!({ "exact": report.is_exact(), "checks": report.checks.iter().map(check).collect::<Vec<_>>() })
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
    println!(
        "{}",
        if report.is_exact() { "The ledger is exact." } else { "The ledger is NOT exact." }
    );
}
