//! What a trial has shown so far, and how much is too much.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dead::Code;
use crate::money::{Micros, PPM};
use crate::rule::Fault;

/// Sums over clicks. None of them ever falls; a sum that would leave 64 bits stays at their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Charged clicks that both sides have priced, and those that they have priced differently.
    pub clicks: i64,
    pub clicks_differing: i64,
    /// What the rules in force charge for these clicks.
    pub active_micros: i64,
    /// What the candidate charges more where it charges more, and less where it charges less.
    pub raised_micros: i64,
    pub lowered_micros: i64,
    /// Clicks about which the candidate gave no answer, and those of which the money fence refused its answer.
    pub failed: i64,
    pub refused: i64,
    /// Verdicts that were compared, and those that differ.
    pub verdicts: i64,
    pub verdicts_differing: i64,
    /// Verdicts in which only the candidate warns, and in which only the candidate pauses.
    pub would_warn: i64,
    pub would_pause: i64,
}

/// What a trial has cost, and what could not be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Calls of the candidate, their rows, fuel and time.
    pub calls: i64,
    pub rows: i64,
    pub fuel: i64,
    pub ns: i64,
    /// Calls that the host could not run.
    pub host_failures: i64,
    /// Clicks that were not compared because comparing was behind.
    pub skipped: i64,
}

/// Sums by campaign, and what they have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub campaigns: BTreeMap<String, Sums>,
    pub cost: Cost,
}

/// When a canary is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most of the differences, each taken as positive, in ppm of what the rules in force charge.
    pub drift_max_ppm: i64,
    /// Clicks from which drift and fuel count.
    pub clicks_min: i64,
    /// Most clicks and calls that the candidate fails on.
    pub faults_max: i64,
    /// Most fuel a row, on average; `None` for no limit of its own.
    pub fuel_max: Option<i64>,
}

/// A limit that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub code: &'static str,
    pub sentence: String,
}

impl Sums {
    /// What the candidate charges more or less than the rules in force.
    #[must_use]
    pub fn drift_micros(&self) -> i64 {
        self.raised_micros.saturating_sub(self.lowered_micros)
    }

    /// The differences, each taken as positive.
    #[must_use]
    pub fn gross_micros(&self) -> i64 {
        self.raised_micros.saturating_add(self.lowered_micros)
    }

    /// Takes in a click and what both sides charge for it.
    pub(super) fn charge(&mut self, active_micros: i64, candidate_micros: i64) {
        let more = candidate_micros.saturating_sub(active_micros);
        self.add(&Self {
            clicks: 1,
            clicks_differing: i64::from(more != 0),
            active_micros,
            raised_micros: more.max(0),
            lowered_micros: more.saturating_neg().max(0),
            ..Self::default()
        });
    }

    /// The candidate failed at a click.
    pub(super) fn fail(&mut self, fault: &Fault) {
        match fault.code {
            Code::FenceBreach => self.refused = self.refused.saturating_add(1),
            _ => self.failed = self.failed.saturating_add(1),
        }
    }

    /// Takes in a pair of verdicts.
    pub(super) fn verdict(&mut self, differs: bool, would_warn: i64, would_pause: i64) {
        self.add(&Self {
            verdicts: 1,
            verdicts_differing: i64::from(differs),
            would_warn,
            would_pause,
            ..Self::default()
        });
    }

    /// The sums by their names in the ledger.
    #[must_use]
    pub fn columns(&self) -> [(&'static str, i64); 11] {
        [
            ("clicks", self.clicks),
            ("clicks_differing", self.clicks_differing),
            ("active_micros", self.active_micros),
            ("raised_micros", self.raised_micros),
            ("lowered_micros", self.lowered_micros),
            ("failed", self.failed),
            ("refused", self.refused),
            ("verdicts", self.verdicts),
            ("verdicts_differing", self.verdicts_differing),
            ("would_warn", self.would_warn),
            ("would_pause", self.would_pause),
        ]
    }

    /// The reverse of `columns`.
    #[must_use]
    pub fn from_columns(values: [i64; 11]) -> Self {
        let [clicks, clicks_differing, active, raised, lowered, failed, refused, rest @ ..] =
            values;
        let [verdicts, verdicts_differing, would_warn, would_pause] = rest;
        Self {
            clicks,
            clicks_differing,
            active_micros: active,
            raised_micros: raised,
            lowered_micros: lowered,
            failed,
            refused,
            verdicts,
            verdicts_differing,
            would_warn,
            would_pause,
        }
    }

    pub fn add(&mut self, more: &Self) {
        let (mut sums, more) = (self.columns().map(|(_, sum)| sum), more.columns());
        sums.iter_mut().zip(more).for_each(|(sum, (_, more))| *sum = sum.saturating_add(more));
        *self = Self::from_columns(sums);
    }
}

impl Cost {
    /// The sums by their names in the ledger.
    #[must_use]
    pub fn columns(&self) -> [(&'static str, i64); 6] {
        [
            ("calls", self.calls),
            ("rows_asked", self.rows),
            ("fuel", self.fuel),
            ("ns", self.ns),
            ("host_failures", self.host_failures),
            ("skipped", self.skipped),
        ]
    }

    /// The reverse of `columns`.
    #[must_use]
    pub fn from_columns([calls, rows, fuel, ns, host_failures, skipped]: [i64; 6]) -> Self {
        Self { calls, rows, fuel, ns, host_failures, skipped }
    }

    pub fn add(&mut self, more: &Self) {
        let (mut sums, more) = (self.columns().map(|(_, sum)| sum), more.columns());
        sums.iter_mut().zip(more).for_each(|(sum, (_, more))| *sum = sum.saturating_add(more));
        *self = Self::from_columns(sums);
    }
}

impl Tally {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.campaigns.is_empty() && self.cost == Cost::default()
    }

    /// The sums of all campaigns.
    #[must_use]
    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.campaigns.values().for_each(|sums| total.add(sums));
        total
    }

    pub fn add(&mut self, more: Self) {
        for (campaign, sums) in more.campaigns {
            self.campaigns.entry(campaign).or_default().add(&sums);
        }
        self.cost.add(&more.cost);
    }

    pub(super) fn of(&mut self, campaign: &str) -> &mut Sums {
        self.campaigns.entry(campaign.to_owned()).or_default()
    }
}

impl Limits {
    /// The first limit that these sums pass.
    #[must_use]
    pub fn passed(&self, sums: &Sums, cost: &Cost) -> Option<Breach> {
        let faults = sums.failed.saturating_add(sums.refused).saturating_add(cost.host_failures);
        if faults > self.faults_max {
            let Sums { failed, refused, .. } = sums;
            let (host, most) = (cost.host_failures, self.faults_max);
            let sentence = format!(
                "the candidate gave no answer about {failed} clicks, the money fence refused it about {refused}, and \
                 {host} calls could not be run; the limit is {most} together"
            );
            return Some(Breach { code: "CANARY_FAULTS", sentence });
        }
        if sums.clicks < self.clicks_min {
            return None;
        }
        let (gross, active) = (sums.gross_micros(), sums.active_micros);
        if i128::from(gross) * i128::from(PPM) > i128::from(active) * i128::from(self.drift_max_ppm)
        {
            let sentence = format!(
                "the candidate charges {} differently where the rules in force charge {}, net {}, over {} clicks; the \
                 limit is {} %",
                Micros(gross),
                Micros(active),
                Micros(sums.drift_micros()),
                sums.clicks,
                Micros(self.drift_max_ppm.saturating_mul(100))
            );
            return Some(Breach { code: "CANARY_DRIFT", sentence });
        }
        let (fuel, rows) = (i128::from(cost.fuel), i128::from(cost.rows));
        let most = self.fuel_max.map(i128::from).filter(|most| fuel > most * rows)?;
        let sentence = format!(
            "the candidate used {fuel} units of fuel for {rows} rows, which is more than {most} a row"
        );
        Some(Breach { code: "CANARY_FUEL", sentence })
    }
}
