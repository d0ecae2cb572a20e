//! `tollgate rule show`

use comfy_table::Table;
use serde_json::{Value, json};
use tollgate_domain::rule::{Description, Param};
use tollgate_ledger::{Generation, ModuleRow};

use super::list::{change_json, generation_json, module_json};
use super::pick::{find, world_of};
use super::{Desk, at_desk, table, usage};
use crate::cli::rule::registry::ShowRule;
use crate::exit::Exit;

/// Changes and generations that are shown at most.
const SHOWN_MAX: u32 = 1_000;

pub(super) fn execute(arguments: &ShowRule) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let modules = desk.ledger.modules().await?;
        let what = arguments.what.as_str();
        // A digest is longer than any number of a generation.
        let number = what.parse::<u64>().ok().filter(|_| what.len() < 12);
        let page = match number {
            Some(number) => generation_page(&mut desk, number, &modules).await?,
            None => module_page(&mut desk, find(&modules, what)?, &modules).await?,
        };
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&page)?);
        } else {
            print(&page);
        }
        Ok(Exit::Ok)
    })
}

async fn generation_page(
    desk: &mut Desk,
    number: u64,
    modules: &[ModuleRow],
) -> anyhow::Result<Value> {
    let Some(generation) = desk.ledger.generation(number).await? else {
        let sentence = format!("there is no generation {number}; `tollgate rule list` shows them");
        return Err(usage(sentence).into());
    };
    let starts = desk.ledger.generation_starts(number).await?;
    let starts: Vec<_> = starts
        .iter()
        .map(|start| {
            json!({
                "group": start.group, "topic": start.topic, "incarnation": start.incarnation,
                "partition": start.partition, "first_offset": start.first_offset,
            })
        })
        .collect();
    let changes = desk.ledger.rule_changes(Some(number), None, SHOWN_MAX).await?;
    let mut page = generation_json(&generation, modules);
    page["active"] = json!(desk.ledger.active_number().await? == number);
    page["starts"] = json!(starts);
    page["changes"] = changes.iter().map(change_json).collect();
    Ok(page)
}

async fn module_page(
    desk: &mut Desk,
    row: &ModuleRow,
    modules: &[ModuleRow],
) -> anyhow::Result<Value> {
    let mut page = module_json(row, desk.loader.trust());
    let loaded = desk.loader.load_module(&mut desk.ledger, world_of(row)?, &row.digest).await;
    match &loaded {
        Ok(module) => {
            page["description"] = description_json(module.description());
        }
        Err(error) => {
            page["refused"] = json!({ "code": error.code(), "sentence": error.to_string() });
        }
    }
    let uses =
        |generation: &&Generation| generation.parts.iter().any(|part| part.digest == row.digest);
    let generations = desk.ledger.generations(SHOWN_MAX).await?;
    page["generations"] =
        generations.iter().filter(uses).map(|one| generation_json(one, modules)).collect();
    let changes = desk.ledger.rule_changes(None, Some(&row.digest), SHOWN_MAX).await?;
    page["changes"] = changes.iter().map(change_json).collect();
    Ok(page)
}

fn description_json(description: &Description) -> Value {
    let bound = |param: &Param, bound: Option<i64>| bound.map(|bound| param.shown(bound));
    let params: Vec<_> = description
        .params
        .iter()
        .map(|param| {
            json!({
                "name": param.name, "help": param.help, "default": format!("{:?}", param.default),
                "lowest": bound(param, param.lowest), "highest": bound(param, param.highest),
            })
        })
        .collect();
    let reasons: Vec<_> = description
        .reasons
        .iter()
        .map(|reason| json!({ "code": reason.code, "name": reason.name, "help": reason.help }))
        .collect();
    json!({
        "params": params, "reasons": reasons, "fuel_base": description.fuel_base,
        "fuel_per_row": description.fuel_per_item,
    })
}

/// The same page for people: plain fields first, then a table for each list.
fn print(page: &Value) {
    let Value::Object(fields) = page else { return };
    let mut plain = table(["", ""]);
    let mut lists = Vec::new();
    collect(fields, &mut plain, &mut lists);
    println!("{plain}");
    for (name, rows) in lists {
        println!("{name}\n{rows}");
    }
}

fn collect<'v>(
    fields: &'v serde_json::Map<String, Value>,
    plain: &mut Table,
    lists: &mut Vec<(&'v str, Table)>,
) {
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                lists.push((name.as_str(), rows_table(rows)));
            }
            Value::Object(inner) if name == "description" => collect(inner, plain, lists),
            Value::Null => {}
            value => {
                plain.add_row([name.clone(), text(value)]);
            }
        }
    }
}

fn rows_table(rows: &[Value]) -> Table {
    let columns: Vec<&String> = rows
        .first()
        .and_then(Value::as_object)
        .map(|row| row.keys().filter(|name| *name != "detail" && *name != "parts").collect())
        .unwrap_or_default();
    let mut found = table([""; 0]);
    found.set_header(columns.clone());
    for row in rows {
        found.add_row(columns.iter().map(|name| text(&row[name.as_str()])));
    }
    found
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
