//! `tollgate rule check`

use anyhow::Context as _;
use tollgate_engine::Engine;
use tollgate_workbench::check;

use super::read;
use crate::cli::rule::author::CheckRule;
use crate::commands::load;
use crate::exit::Exit;
use crate::rules::engine_limits;

pub(super) fn execute(arguments: &CheckRule) -> anyhow::Result<Exit> {
    let limits = engine_limits(&load(&arguments.common, None)?);
    let engine = Engine::new(limits).context("the rule engine cannot start")?;
    let name = arguments.module.display().to_string();
    let bytes = read(&arguments.module)?;
    let found = check::check(&engine, &name, arguments.kind.map(Into::into), &bytes);
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => print!("{}", found.text()),
    }
    Ok(if found.is_admitted() { Exit::Ok } else { Exit::Findings })
}
