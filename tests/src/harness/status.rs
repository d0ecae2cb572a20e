//! What a host says of itself at `/status`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Figures of `/status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub ready: bool,
    pub charged: i64,
    pub skipped: i64,
    pub dead_letters: i64,
    pub absent: i64,
    pub charged_micros: i64,
    pub warned: i64,
    pub paused: i64,
    pub batches: i64,
    pub lag: i64,
    pub latency_ms: Latency,
    pub refund_latency_ms: Latency,
    pub rules: Rules,
    pub near_budget: Vec<NearBudget>,
    pub watch: Watch,
    pub partitions: Vec<Partition>,
    pub compensation_partitions: Vec<Partition>,
}

/// What the running audit says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Whether this host is the one that watches.
    pub watcher: bool,
    /// Offsets that were left at the last lap.
    pub behind: Option<i64>,
    pub findings: Vec<Finding>,
    /// By window: 5m, 1h, 1d.
    pub duplicates: BTreeMap<String, DuplicateRate>,
}

/// A place where the ledger does not add up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub claim: String,
    pub subject: String,
    pub advertiser: String,
}

/// Duplicates among the charged clicks of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DuplicateRate {
    pub clicks: i64,
    pub duplicates: i64,
    pub rate_ppm: i64,
}

/// A partition in the hands of this host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    pub lane: usize,
    pub next_offset: Option<i64>,
    /// Why it is not read, and how to go on.
    pub halted: Option<String>,
}

/// Time from the event's timestamp to the commit.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rules {
    pub pricing: RuleCost,
    pub threshold: RuleCost,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RuleCost {
    pub ns_per_row: f64,
    pub calls: u64,
}

/// A campaign that has used much of its budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NearBudget {
    pub campaign: String,
    pub usage_ppm: u64,
    pub spent_micros: i64,
    pub budget_micros: i64,
    pub status: String,
}
