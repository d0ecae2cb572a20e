//! From arguments to a candidate.

use std::collections::BTreeMap;

use tollgate_domain::money;
use tollgate_ledger::Part;

use super::super::registry::Desk;
use super::super::registry::activate::{Params, part};
use super::super::registry::pick::pick;
use super::TrialError;
use crate::cli::rule::trial::CandidateArgs;
use crate::exit::ExitError;
use crate::rules::CANDIDATE_WORLDS;

/// Finds the modules, publishes those of files, and gives them their parameters as an activation would.
pub(super) async fn candidate(
    desk: &mut Desk,
    arguments: &CandidateArgs,
) -> anyhow::Result<Vec<Part>> {
    let active = desk.ledger.active().await?.unwrap_or_default();
    let mut picked = BTreeMap::new();
    for text in &arguments.modules {
        let module = pick(&desk.loader, &mut desk.ledger, text).await?;
        let world = module.module.world();
        if !CANDIDATE_WORLDS.contains(&world) {
            return Err(ExitError::from(TrialError::World(module.shown(), world)).into());
        }
        if picked.insert(world, module).is_some() {
            return Err(ExitError::from(TrialError::Twice(world)).into());
        }
    }
    let params = Params::read(&arguments.params, &picked)?;
    if let Some(world) =
        CANDIDATE_WORLDS.into_iter().find(|world| params.has(*world) && !picked.contains_key(world))
    {
        return Err(ExitError::from(TrialError::NoModule(world)).into());
    }
    let mut parts = Vec::new();
    for (world, picked) in &picked {
        let old = active.parts.iter().find(|part| part.world == world.as_str());
        parts.push(part(&picked.module, old, &params, arguments.params.fresh_params)?);
    }
    for picked in picked.values() {
        let (actor, note) = (arguments.why.actor(), &arguments.why.note);
        picked.publish(&mut desk.ledger, &actor, note, false).await?;
    }
    Ok(parts)
}

/// A percentage such as `5%` in ppm.
pub(super) fn parts_per_million(text: &str) -> Result<i64, TrialError> {
    let wrong = || TrialError::Percent(text.to_owned());
    let percent = text.strip_suffix('%').ok_or_else(wrong)?.trim();
    let scaled = money::parse_scaled(percent).map_err(|_| wrong())?;
    if scaled < 0 || scaled % 100 != 0 { Err(wrong()) } else { Ok(scaled / 100) }
}

#[cfg(test)]
mod tests {
    use super::parts_per_million;

    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parts_per_million(text).ok(), expected, "{text}");
    }

    #[test]
    fn percentages_are_read() {
        check("5%", Some(50_000));
        check("0.5 %", Some(5_000));
        check("100%", Some(1_000_000));
        check("0.0001%", Some(1));
        check("0.00001%", None);
        check("-1%", None);
        check("5", None);
        check("%", None);
        check("x%", None);
    }
}
