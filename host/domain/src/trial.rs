//! Trials: a candidate beside the rules in force, and what it would have cost.
//!
//! In a *canary* the candidate answers for some campaigns, and the money is real. In a *shadow* it is asked about clicks
//! that are charged already, and its answers are compared and dropped. A quote depends on its click and campaign only,
//! and what a threshold rule knows is about one campaign-day, so rows can be parted by campaign without a trace.

mod compare;
mod part;
mod scope;
mod sides;
mod tally;

pub use compare::{Comparison, Role, compare};
pub use scope::Scope;
pub use sides::{Candidate, Sides};
pub use tally::{Breach, Cost, Limits, Sums, Tally};

#[cfg(test)]
mod tests;
