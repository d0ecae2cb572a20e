//! Where a rule spends its fuel, as a flame graph. Fuel is exact, so the picture of a module is the same on any
//! machine.

use inferno::flamegraph::{self, Options};
use tollgate_engine::{Profile, Rule};

use super::BenchError;
use super::facts::BenchFacts;

/// Rows of the call that is drawn: enough that what is done once a call does not hide what is done for each row.
const ROWS: usize = 256;

/// The stacks of a call with ordinary facts, a line each: functions from the outside in, then the fuel.
///
/// # Errors
/// The rule fails on ordinary facts.
pub fn folded(rule: &Rule) -> Result<(Vec<String>, u64), BenchError> {
    let module = rule.module();
    let facts = BenchFacts::new(module.world(), module.description().needs, ROWS);
    let profile = rule.profile(facts.question());
    let failed = |error| BenchError::Fails { batch: ROWS, error };
    let Profile { stacks, fuel } = profile.map_err(failed)?;
    let line = |(stack, fuel): &(Vec<String>, u64)| {
        let names: Vec<_> = stack.iter().map(|name| readable(name)).collect();
        let names = if names.is_empty() { "(start)".to_owned() } else { names.join(";") };
        format!("{names} {fuel}")
    };
    Ok((stacks.iter().map(line).collect(), fuel))
}

/// The same as a picture (SVG).
///
/// # Errors
/// As `folded`, and a profile that cannot be drawn.
pub fn flame_graph(rule: &Rule) -> Result<Vec<u8>, BenchError> {
    let (lines, fuel) = folded(rule)?;
    let description = rule.module().description();
    let mut options = Options::default();
    options.title = format!("{} {}", description.name, description.version);
    options.subtitle = Some(format!("{fuel} fuel in one call of {ROWS} rows"));
    options.count_name = "fuel".to_owned();
    options.hash = true;
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
        .map_err(|error| BenchError::Picture(error.to_string()))?;
    Ok(picture)
}

/// A function's name as its author wrote it, without what the notation of stacks needs itself.
fn readable(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name)).replace(';', ",")
}
