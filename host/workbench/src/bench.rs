//! What a rule costs, as the host runs it: each call on a fresh instance, with all the fuel, memory and time limits.
//! Fuel is exact and the same everywhere; time is this machine's, so it comes with its spread.

mod facts;
mod flame;
mod shown;

use std::time::Instant;

use serde::Serialize;
use tollgate_domain::rule::RuleError;
use tollgate_engine::{CallStats, Engine, Rule};

use facts::BenchFacts;

pub use flame::{flame_graph, folded};

/// Rows of the calls that are measured.
pub const BATCHES: [usize; 6] = [1, 16, 64, 256, 1024, 4096];

/// How long and how often is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of each batch size; odd, so that there is a middle one.
    pub rounds: usize,
    /// Length of a round, in microseconds.
    pub round_us: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 21, round_us: 10_000 }
    }
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The rule fails on facts that are ordinary.
    #[error("the rule fails on a batch of {batch}: {error}")]
    Fails { batch: usize, error: RuleError },
    #[error("the rules are of the worlds {one} and {other}; compare rules of one world")]
    TwoWorlds { one: &'static str, other: &'static str },
    #[error("the fuel differs between calls with the same facts: {one} and {other}")]
    NotDeterministic { one: u64, other: u64 },
    #[error("the flame graph cannot be drawn: {0}")]
    Picture(String),
}

impl BenchError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fails { .. } => "RULE_FAILS",
            Self::TwoWorlds { .. } => "WRONG_WORLD",
            Self::NotDeterministic { .. } => "NOT_DETERMINISTIC",
            Self::Picture(_) => "NO_PICTURE",
        }
    }
}

/// The costs of one rule, and of another one when two are compared.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    pub rule: String,
    pub against: Option<String>,
    pub batches: Vec<BatchCost>,
}

/// What calls with so many rows cost.
#[derive(Clone, Debug, Serialize)]
pub struct BatchCost {
    pub rows: usize,
    pub cost: Cost,
    pub against: Option<Cost>,
    /// Time of the rule by the time of the other one: the two are measured in turns, and each pair gives a quotient.
    pub ratio: Option<Spread>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Of one call. The same in every call.
    pub fuel: u64,
    pub memory_bytes: u64,
    /// Of one row.
    pub ns: Spread,
}

/// The middle of all rounds, and the middle half of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub lower_quartile: f64,
    pub upper_quartile: f64,
}

/// Measures a rule, alone or in turns with another one of the same world.
///
/// # Errors
/// A rule fails on ordinary facts, or the worlds differ.
pub fn measure(
    rule: &mut Rule,
    mut against: Option<&mut Rule>,
    batches: &[usize],
    effort: Effort,
) -> Result<Bench, BenchError> {
    if let Some(other) = &against {
        same_world(rule, other)?;
    }
    Engine::prepare_thread();
    let costs = batches.iter().map(|rows| batch(rule, against.as_deref_mut(), *rows, effort));
    let batches = costs.collect::<Result<_, _>>()?;
    Ok(Bench { rule: name(rule), against: against.as_deref().map(name), batches })
}

fn same_world(rule: &Rule, other: &Rule) -> Result<(), BenchError> {
    let (one, other) = (rule.module().world(), other.module().world());
    if one == other {
        return Ok(());
    }
    Err(BenchError::TwoWorlds { one: one.as_str(), other: other.as_str() })
}

fn name(rule: &Rule) -> String {
    let module = rule.module();
    let (description, digest) = (module.description(), &module.digest()[..12]);
    format!("{} {} ({digest})", description.name, description.version)
}

fn batch(
    rule: &mut Rule,
    against: Option<&mut Rule>,
    rows: usize,
    effort: Effort,
) -> Result<BatchCost, BenchError> {
    let mut first = Side::new(rule, rows, effort)?;
    let mut second = against.map(|rule| Side::new(rule, rows, effort)).transpose()?;
    let mut ratios = Vec::new();
    for round in 0..effort.rounds {
        let Some(second) = &mut second else {
            first.round()?;
            continue;
        };
        // Who goes first changes, so that neither always gets the warm or the cold machine.
        let (one, other) = if round % 2 == 0 {
            let one = first.round()?;
            (one, second.round()?)
        } else {
            let other = second.round()?;
            (first.round()?, other)
        };
        ratios.push(one / other);
    }
    let ratio = second.as_ref().map(|_| Spread::of(ratios));
    Ok(BatchCost { rows, cost: first.cost(), against: second.map(Side::cost), ratio })
}

/// One of the rules while it is measured.
struct Side<'r> {
    rule: &'r mut Rule,
    facts: BenchFacts,
    rows: usize,
    calls: u64,
    stats: CallStats,
    rounds: Vec<f64>,
}

impl<'r> Side<'r> {
    fn new(rule: &'r mut Rule, rows: usize, effort: Effort) -> Result<Self, BenchError> {
        let needs = rule.module().description().needs;
        let facts = BenchFacts::new(rule.module().world(), needs, rows);
        let mut side =
            Self { rule, facts, rows, calls: 1, stats: CallStats::default(), rounds: Vec::new() };
        side.stats = side.call()?;
        let again = side.call()?;
        if side.stats.fuel != again.fuel {
            let (one, other) = (side.stats.fuel, again.fuel);
            return Err(BenchError::NotDeterministic { one, other });
        }
        let ns = side.call()?.ns.max(1);
        side.calls = (effort.round_us * 1_000 / ns).max(1);
        Ok(side)
    }

    fn call(&mut self) -> Result<CallStats, BenchError> {
        let failed = |error| BenchError::Fails { batch: self.rows, error };
        self.facts.ask(self.rule).map_err(failed)?;
        Ok(self.rule.take_stats())
    }

    /// Nanoseconds a row in one round.
    fn round(&mut self) -> Result<f64, BenchError> {
        let start = Instant::now();
        for _ in 0..self.calls {
            self.call()?;
        }
        let rows = self.calls * self.rows as u64;
        let ns = start.elapsed().as_nanos() as f64 / rows as f64;
        self.rounds.push(ns);
        Ok(ns)
    }

    fn cost(self) -> Cost {
        let CallStats { fuel, memory_bytes, .. } = self.stats;
        Cost { fuel, memory_bytes, ns: Spread::of(self.rounds) }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values.get(values.len() * quarter / 4).copied().unwrap_or(0.0);
        Self { median: at(2), lower_quartile: at(1), upper_quartile: at(3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_the_middle_half() {
        fn check(values: &[f64], expected: (f64, f64, f64)) {
            let Spread { median, lower_quartile, upper_quartile } = Spread::of(values.to_vec());
            assert_eq!((lower_quartile, median, upper_quartile), expected, "{values:?}");
        }
        check(&[], (0.0, 0.0, 0.0));
        check(&[3.0], (3.0, 3.0, 3.0));
        check(&[5.0, 1.0, 4.0, 2.0, 3.0], (2.0, 3.0, 4.0));
        check(&[9.0, 1.0, 1.0, 1.0, 1.0], (1.0, 1.0, 1.0));
    }
}
