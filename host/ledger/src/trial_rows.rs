//! Trials of rules, as they go into and come out of the ledger.

use tollgate_domain::money::Micros;
use tollgate_domain::trial::{Cost, Limits, Scope, Sums};

use crate::rule_rows::Part;

/// What kind of trial it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialKind {
    /// The candidate is asked about charged clicks, and its answers are compared and dropped.
    Shadow,
    /// The candidate answers for some campaigns.
    Canary,
}

impl TrialKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "SHADOW",
            Self::Canary => "CANARY",
        }
    }
}

/// A trial to start.
#[derive(Clone, Copy, Debug)]
pub struct NewTrial<'a> {
    /// The candidate's rules, which have to be published.
    pub parts: &'a [Part],
    pub scope: &'a Scope,
    /// The most that the candidate may charge for a click.
    pub charge_max: Micros,
    /// `None` for a shadow.
    pub limits: Option<Limits>,
    pub author: &'a str,
    pub note: &'a str,
}

/// A trial, and what all hosts have seen of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub id: i64,
    pub kind: TrialKind,
    /// RUNNING, STOPPED, PROMOTED, ABORTED, or OVERTAKEN by another activation.
    pub state: String,
    /// The generation that a canary is part of.
    pub generation: Option<u64>,
    /// The generation that was in force when it was started.
    pub base_generation: u64,
    pub scope: Scope,
    pub charge_max: Micros,
    /// `None` for a shadow.
    pub limits: Option<Limits>,
    /// Sorted by world.
    pub parts: Vec<Part>,
    pub started_us: i64,
    pub started_by: String,
    pub note: String,
    pub ended_us: Option<i64>,
    pub ended_by: Option<String>,
    pub end_note: Option<String>,
    pub sums: Sums,
    pub cost: Cost,
}

impl Trial {
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == "RUNNING"
    }
}

/// Why a canary ends by itself.
#[derive(Clone, Copy, Debug)]
pub struct Abort<'a> {
    pub actor: &'a str,
    pub code: &'a str,
    pub sentence: &'a str,
    /// Clicks and calls that the candidate has failed on.
    pub faults: u64,
}

/// A campaign that a canary has priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub campaign: String,
    pub clicks: i64,
    pub charged_micros: i64,
}
