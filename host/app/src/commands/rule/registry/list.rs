//! `tollgate rule list`

use serde_json::{Value, json};
use tollgate_ledger::{ChangeRow, Generation, ModuleRow};

use super::pick::named;
use super::{at_desk, instant, short, table};
use crate::cli::rule::registry::ListRules;
use crate::exit::Exit;
use crate::rules::signatures::Trust;

pub(super) fn execute(arguments: &ListRules) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let (limit, ledger) = (arguments.limit, &mut desk.ledger);
        let (active, modules) = (ledger.active_number().await?, ledger.modules().await?);
        let generations = ledger.generations(limit).await?;
        let changes = ledger.rule_changes(None, None, limit).await?;
        if arguments.json {
            let trust = desk.loader.trust();
            let page = json!({
                "active": active,
                "generations": generations.iter().map(|one| generation_json(one, &modules)).collect::<Vec<_>>(),
                "modules": modules.iter().map(|row| module_json(row, trust)).collect::<Vec<_>>(),
                "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
            });
            println!("{}", serde_json::to_string_pretty(&page)?);
            return Ok(Exit::Ok);
        }
        print_generations(&generations, &modules, active);
        print_modules(&modules, desk.loader.trust());
        print_changes(&changes);
        Ok(Exit::Ok)
    })
}

fn print_generations(generations: &[Generation], modules: &[ModuleRow], active: u64) {
    let mut rows = table(["generation", "since", "by", "modules", "note"]);
    for generation in generations {
        let state = match &generation.bad {
            _ if generation.number == active => " (in force)",
            Some(_) => " (bad)",
            None => "",
        };
        let parts = generation.parts.iter();
        let parts: Vec<_> = parts.map(|part| named(modules, &part.digest)).collect();
        let bad = generation.bad.as_ref().map(|bad| format!("\nbad: {}", bad.reason));
        rows.add_row([
            format!("{}{state}", generation.number),
            instant(generation.since_us),
            generation.author.clone(),
            parts.join("\n"),
            format!("{}{}", generation.note, bad.unwrap_or_default()),
        ]);
    }
    println!("{rows}");
}

fn print_modules(modules: &[ModuleRow], trust: &Trust) {
    let mut rows = table(["module", "world", "digest", "bytes", "published", "by", "signed by"]);
    for row in modules {
        let bytes =
            if row.pruned_us.is_some() { "pruned".to_owned() } else { row.bytes.to_string() };
        rows.add_row([
            format!("{}@{}", row.name, row.version),
            row.world.clone(),
            short(&row.digest).to_owned(),
            bytes,
            instant(row.published_us),
            row.publisher.clone(),
            signer(row, trust).unwrap_or_else(|| "nobody".to_owned()),
        ]);
    }
    println!("{rows}");
}

fn print_changes(changes: &[ChangeRow]) {
    let mut rows = table(["when", "what", "generation", "digest", "by", "note"]);
    for change in changes {
        let generation = match (change.generation, change.previous) {
            (Some(number), Some(previous)) => format!("{previous} → {number}"),
            _ => String::new(),
        };
        rows.add_row([
            instant(change.changed_us),
            change.kind.clone(),
            generation,
            change.digest.as_deref().map(short).unwrap_or_default().to_owned(),
            change.actor.clone(),
            change.note.clone(),
        ]);
    }
    println!("{rows}");
}

/// Who has signed a module, by name where the configuration has one.
fn signer(row: &ModuleRow, trust: &Trust) -> Option<String> {
    let signer = &row.signature.as_ref()?.signer;
    Some(trust.name(signer).unwrap_or(short(signer)).to_owned())
}

pub(super) fn generation_json(generation: &Generation, modules: &[ModuleRow]) -> Value {
    let parts: Vec<_> = generation
        .parts
        .iter()
        .map(|part| {
            let row = modules.iter().find(|row| row.digest == part.digest);
            json!({
                "world": part.world, "digest": part.digest,
                "name": row.map(|row| &row.name), "version": row.map(|row| &row.version),
                "params": serde_json::from_str::<Value>(&part.params).unwrap_or_default(),
            })
        })
        .collect();
    let bad = generation.bad.as_ref();
    json!({
        "number": generation.number, "since": instant(generation.since_us), "author": generation.author,
        "note": generation.note, "source": generation.source, "parts": parts,
        "bad": bad.map(|bad| json!({ "reason": bad.reason, "world": bad.world })),
    })
}

pub(super) fn module_json(row: &ModuleRow, trust: &Trust) -> Value {
    json!({
        "digest": row.digest, "world": row.world, "name": row.name, "version": row.version, "bytes": row.bytes,
        "publisher": row.publisher, "note": row.note, "published": instant(row.published_us),
        "signer": row.signature.as_ref().map(|signature| &signature.signer), "signed_by": signer(row, trust),
        "pruned": row.pruned_us.map(instant),
    })
}

pub(super) fn change_json(change: &ChangeRow) -> Value {
    json!({
        "id": change.id, "at": crate::channels::rfc3339(change.changed_us), "kind": change.kind,
        "actor": change.actor, "note": change.note, "generation": change.generation,
        "previous": change.previous, "digest": change.digest,
        "detail": serde_json::from_str::<Value>(&change.detail).unwrap_or_default(),
    })
}
