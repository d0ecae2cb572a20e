//! `tollgate rule activate`

mod params;

use std::collections::BTreeMap;

use tollgate_domain::rule::World;
use tollgate_engine::Module;
use tollgate_ledger::{Activation, Generation, Ledger, Part};

use super::pick::{Picked, named, pick};
use super::{Desk, at_desk, persist, refused, table, usage};
use crate::cli::rule::registry::Activate;
use crate::exit::{Exit, ExitError};
use crate::rules::LoadError;

pub(in crate::commands::rule) use params::Params;

pub(super) fn execute(arguments: &Activate) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| activate(&mut desk, arguments).await)
}

async fn activate(desk: &mut Desk, arguments: &Activate) -> anyhow::Result<Exit> {
    let before = desk.ledger.active().await?.unwrap_or_default();
    if let Some(expected) = arguments.if_active
        && expected != before.number
    {
        let active = before.number;
        return Err(usage(format!("generation {active} is in force and not {expected}")).into());
    }
    let mut picked = BTreeMap::new();
    for text in &arguments.modules {
        let module = pick(&desk.loader, &mut desk.ledger, text).await?;
        module.prove(&desk.loader, &mut desk.ledger).await?;
        if let Some(other) = picked.insert(module.module.world(), module) {
            return Err(
                usage(format!("{} is not the only module of its world", other.shown())).into()
            );
        }
    }
    let params = Params::read(&arguments.params, &picked)?;
    let parts = new_parts(desk, &before, &picked, &params, arguments.params.fresh_params).await?;
    show(&mut desk.ledger, &before, &parts, &picked).await?;
    if arguments.dry_run {
        println!("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let (author, note) = (arguments.why.actor(), arguments.why.note.as_str());
    for picked in picked.values() {
        picked.publish(&mut desk.ledger, &author, note, false).await?;
    }
    let activation = Activation {
        parts: &parts,
        author: &author,
        note,
        expected: Some(before.number),
        ..Activation::default()
    };
    let done = persist(async || desk.ledger.activate_rules(&activation).await).await?;
    if done.number == done.previous {
        println!("Generation {} has these rules already.", done.number);
    } else {
        println!("Generation {} is in force; {} was before.", done.number, done.previous);
    }
    Ok(Exit::Ok)
}

/// The parts of the new generation: what is picked or gets other parameters, and everything else as it is in force.
async fn new_parts(
    desk: &mut Desk,
    before: &Generation,
    picked: &BTreeMap<World, Picked>,
    params: &Params,
    is_fresh: bool,
) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for world in World::ALL {
        let old = before.parts.iter().find(|part| part.world == world.as_str());
        let is_changed = picked.contains_key(&world) || params.has(world);
        let part = match (picked.get(&world), old, is_changed) {
            (None, Some(old), false) => old.clone(),
            (None, None, _) => return Err(refused(LoadError::Incomplete(world)).into()),
            (Some(picked), old, _) => part(&picked.module, old, params, is_fresh)?,
            (None, Some(old), true) => {
                let module = desk.loader.load_module(&mut desk.ledger, world, &old.digest).await;
                part(&module.map_err(refused)?, Some(old), params, is_fresh)?
            }
        };
        parts.push(part);
    }
    Ok(parts)
}

/// A module with what is given, and what is in force for the rest.
///
/// # Errors
/// The module has no such parameters.
pub(in crate::commands::rule) fn part(
    module: &Module,
    old: Option<&Part>,
    params: &Params,
    is_fresh: bool,
) -> Result<Part, ExitError> {
    let (world, description) = (module.world(), module.description());
    let kept = old.filter(|_| !is_fresh).map(|old| serde_json::from_str(&old.params));
    let mut values: BTreeMap<String, Vec<String>> =
        kept.transpose().map_err(|error| usage(error.to_string()))?.unwrap_or_default();
    params.apply(world, description, &mut values);
    description.bind(&values).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(|error| format!("{world}: {error}")).collect();
        usage(format!(
            "the parameters cannot be used (BAD_PARAMETERS); --fresh-params forgets those in force:\n  {}",
            errors.join("\n  ")
        ))
    })?;
    let params = serde_json::to_string(&values).map_err(|error| usage(error.to_string()))?;
    Ok(Part { world: world.to_string(), digest: module.digest().to_owned(), params })
}

/// Prints what is in force and what is to be.
async fn show(
    ledger: &mut Ledger,
    before: &Generation,
    parts: &[Part],
    picked: &BTreeMap<World, Picked>,
) -> anyhow::Result<()> {
    let known = ledger.modules().await?;
    let mut rows = table(["world", "in force", "after"]);
    for part in parts {
        let old = before.parts.iter().find(|old| old.world == part.world);
        let line = |name: String, part: &Part| format!("{name}\n{}", params::shown(&part.params));
        let was = old.map_or("nothing".into(), |old| line(named(&known, &old.digest), old));
        let is = if old == Some(part) {
            "the same".to_owned()
        } else {
            let new = picked.values().find(|picked| picked.module.digest() == part.digest);
            let name = new.map_or_else(|| named(&known, &part.digest), Picked::shown);
            line(name, part)
        };
        rows.add_row([part.world.clone(), was, is]);
    }
    println!("{rows}");
    Ok(())
}
