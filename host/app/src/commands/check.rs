//! `tollgate check`

use comfy_table::{Table, presets};
use tollgate_domain::rule::{Param, Value};

use super::load;
use crate::cli::Check;
use crate::config;
use crate::exit::{Exit, ExitError};
use crate::rules::RuleLoader;
use crate::rules::folder::{FolderRule, read_folder};

pub(super) fn execute(arguments: &Check) -> anyhow::Result<Exit> {
    if arguments.schema {
        println!("{}", serde_json::to_string_pretty(&config::json_schema())?);
        return Ok(Exit::Ok);
    }
    let config = load(&arguments.common, arguments.rules.as_deref())?;
    let loader = RuleLoader::new(&config)?;
    let rules = read_folder(&loader, &config)
        .map_err(|error| ExitError::new(Exit::Usage, format!("{error:#}")))?;
    println!("{}", config.shown());
    for rule in &rules {
        show(rule);
    }
    println!("Configuration and modules can be used.");
    Ok(Exit::Ok)
}

fn show(rule: &FolderRule) {
    let (module, description) = (&rule.module, rule.module.description());
    println!(
        "{} rule {} {}: {} bytes, sha256 {}",
        module.world(),
        description.name,
        description.version,
        rule.bytes.len(),
        module.digest(),
    );
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["parameter", "value", "default", "lowest", "highest", "meaning"]);
    for param in &description.params {
        let given = rule.params.get(&param.name).map(|texts| texts.join(", "));
        let bound = |bound: Option<i64>| bound.map_or("any".to_owned(), |bound| param.shown(bound));
        table.add_row([
            param.name.clone(),
            given.unwrap_or_else(|| "(default)".to_owned()),
            default_of(param),
            bound(param.lowest),
            bound(param.highest),
            param.help.clone(),
        ]);
    }
    println!("{table}");
}

fn default_of(param: &Param) -> String {
    match &param.default {
        Value::Number(number) => param.shown(*number),
        Value::Text(text) => text.clone(),
        Value::Numbers(numbers) => {
            numbers.iter().map(|number| param.shown(*number)).collect::<Vec<_>>().join(", ")
        }
    }
}
