//! `tollgate statement`

use tollgate_domain::day::{Day, Zone};

use super::{load, open_ledger, runtime, unavailable};
use crate::cli::StatementOf;
use crate::exit::{Exit, ExitError};
use crate::statement::Statement;

pub(super) fn execute(arguments: &StatementOf) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let usage = |sentence: String| ExitError::new(Exit::Usage, sentence);
    let zone = Zone::new(&arguments.zone).map_err(|error| usage(error.to_string()))?;
    let date = arguments.day.parse().map_err(|_| {
        usage(format!("--day is {:?}, expected a date such as 2026-11-20", arguments.day))
    })?;
    let day = Day::from_date(date);
    let since_us = zone
        .start_us(day)
        .ok_or_else(|| usage(format!("{day} does not begin in {}", zone.name())))?;
    let found = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        let rows = ledger.statement(&arguments.advertiser, day, since_us).await;
        rows.map_err(|error| unavailable(&error))
    })?;
    let Some(rows) = found else {
        let sentence = format!("the ledger has no advertiser {:?}", arguments.advertiser);
        return Err(ExitError::new(Exit::Failed, sentence).into());
    };
    let statement = Statement::new(&arguments.advertiser, day, &zone, &rows);
    let statement =
        statement.ok_or_else(|| ExitError::new(Exit::Failed, "an amount leaves 64 bits"))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&statement)?);
    } else if arguments.csv {
        print!("{}", statement.csv());
        eprintln!("{}", statement.remark);
    } else {
        print!("{}", statement.text());
    }
    Ok(if statement.contradictions.is_empty() { Exit::Ok } else { Exit::Findings })
}
