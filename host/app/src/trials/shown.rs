//! The gauges of the trial that runs, over all hosts: its total, and the campaigns that differ most.

use std::fmt::Write as _;
use std::sync::Mutex;

use tollgate_domain::trial::Sums;
use tollgate_ledger::Trial;

use super::lock;
use crate::metrics::{Metric, escaped};

/// Campaigns that have gauges of their own.
pub(super) const CAMPAIGNS_MAX: u32 = 20;

#[derive(Default)]
pub(super) struct Shown(Mutex<String>);

impl Shown {
    pub(super) fn set(&self, trial: &Trial, campaigns: Vec<(String, Sums)>) {
        *lock(&self.0) = text(trial, &campaigns);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn metrics(&self) -> String {
        lock(&self.0).clone()
    }
}

fn text(trial: &Trial, campaigns: &[(String, Sums)]) -> String {
    let labels = format!("kind=\"{}\",trial=\"{}\"", trial.kind.as_str().to_lowercase(), trial.id);
    let mut text = String::new();
    let mut gauge = |metric: Metric, lines: &[(String, i64)]| {
        let (name, help) = (metric.name(), metric.help());
        // Writing to a String cannot fail.
        let _ok = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in lines {
            let _ok = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let sums = &trial.sums;
    gauge(Metric::TrialDriftMicros, &[(labels.clone(), sums.drift_micros())]);
    gauge(Metric::TrialGrossMicros, &[(labels.clone(), sums.gross_micros())]);
    gauge(Metric::TrialActiveMicros, &[(labels.clone(), sums.active_micros)]);
    let campaigns = campaigns.iter().map(|(campaign, sums)| {
        (format!("{labels},campaign=\"{}\"", escaped(campaign)), sums.drift_micros())
    });
    gauge(Metric::TrialCampaignDriftMicros, &campaigns.collect::<Vec<_>>());
    text
}

#[cfg(test)]
mod tests {
    use tollgate_domain::money::Micros;
    use tollgate_domain::trial::{Cost, Scope};
    use tollgate_ledger::TrialKind;

    use super::*;

    #[test]
    fn a_trial_has_gauges_while_it_runs() {
        let sums =
            Sums { active_micros: 100, raised_micros: 7, lowered_micros: 3, ..Sums::default() };
        let trial = Trial {
            id: 5,
            kind: TrialKind::Shadow,
            state: "RUNNING".to_owned(),
            generation: None,
            base_generation: 1,
            scope: Scope::all(),
            charge_max: Micros(1),
            limits: None,
            parts: Vec::new(),
            started_us: 0,
            started_by: String::new(),
            note: String::new(),
            ended_us: None,
            ended_by: None,
            end_note: None,
            sums,
            cost: Cost::default(),
        };
        let shown = Shown::default();
        assert_eq!(shown.metrics(), "");
        shown.set(&trial, vec![("c\"1".to_owned(), sums)]);
        let text = shown.metrics();
        for line in [
            "tollgate_trial_drift_micros{kind=\"shadow\",trial=\"5\"} 4",
            "tollgate_trial_gross_micros{kind=\"shadow\",trial=\"5\"} 10",
            "tollgate_trial_active_micros{kind=\"shadow\",trial=\"5\"} 100",
            "tollgate_trial_campaign_drift_micros{kind=\"shadow\",trial=\"5\",campaign=\"c\\\"1\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        shown.clear();
        assert_eq!(shown.metrics(), "");
    }
}
