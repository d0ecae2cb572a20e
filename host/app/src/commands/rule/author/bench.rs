//! `tollgate rule bench`

use anyhow::Context as _;
use tollgate_engine::Rule;
use tollgate_workbench::bench::{self, BATCHES, Effort};

use super::{admit, bind, engine, read};
use crate::cli::rule::author::{BenchRule, Params};
use crate::commands::load;
use crate::exit::Exit;

pub(super) fn execute(arguments: &BenchRule) -> anyhow::Result<Exit> {
    let engine = engine(&load(&arguments.common, None)?)?;
    let rule = |path: &std::path::Path, params: &Params| -> anyhow::Result<Rule> {
        Ok(bind(admit(&engine, path, &read(path)?)?, params)?)
    };
    let mut one = rule(&arguments.module, &arguments.params)?;
    let none = Params { params: Vec::new() };
    let mut other = arguments.against.as_deref().map(|path| rule(path, &none)).transpose()?;
    if let Some(path) = &arguments.profile {
        let picture = bench::flame_graph(&one)?;
        std::fs::write(path, picture).with_context(|| format!("write {}", path.display()))?;
    }
    let wanted: Vec<usize> = arguments.batch.iter().map(|rows| *rows as usize).collect();
    let batches = if wanted.is_empty() { BATCHES.as_slice() } else { &wanted };
    let found = bench::measure(&mut one, other.as_mut(), batches, Effort::default())?;
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => print!("{}", found.text()),
    }
    Ok(Exit::Ok)
}
