//! What rules have cost and answered, by rule and generation. Written out here and not by the recorder, which keeps
//! whatever it has once seen: generations that are long gone have to go.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::counter;
use tollgate_domain::dead::Code;
use tollgate_domain::rule::World;
use tollgate_engine::{CallStats, Module, Rule};

use crate::metrics::Metric;

/// A figure of a rule's calls, and counts by name.
type Figure = fn(&CallStats) -> u64;
type Counts = fn(&Sum) -> Vec<(&str, u64)>;

/// Generations that are shown: the newest that this host has used.
const GENERATIONS_MAX: usize = 3;

/// Safe to share.
#[derive(Debug, Default)]
pub struct RuleCosts {
    sums: Mutex<BTreeMap<u64, BTreeMap<&'static str, Sum>>>,
}

#[derive(Debug, Default)]
struct Sum {
    rule: String,
    version: String,
    calls: CallStats,
    answers: BTreeMap<String, u64>,
    failures: BTreeMap<&'static str, u64>,
}

impl RuleCosts {
    /// Takes in what a rule of a generation has done since the last time, and gives what that has cost.
    pub fn called(&self, generation: u64, rule: &mut Rule) -> (World, CallStats) {
        let (calls, answers) = (rule.take_stats(), rule.take_answers());
        let module = rule.module();
        if calls.calls == 0 {
            return (module.world(), calls);
        }
        self.with(generation, module, |sum| {
            sum.calls.calls += calls.calls;
            sum.calls.rows += calls.rows;
            sum.calls.fuel += calls.fuel;
            sum.calls.ns += calls.ns;
            for (reason, count) in module.description().reasons.iter().zip(answers) {
                if count > 0 {
                    *sum.answers.entry(reason.name.clone()).or_default() += count;
                }
            }
        });
        (module.world(), calls)
    }

    /// A rule has failed on so many clicks, compensations, happenings or looks.
    pub fn failed(&self, generation: u64, rule: &Rule, code: Code, count: u64) {
        self.with(generation, rule.module(), |sum| {
            *sum.failures.entry(code.as_str()).or_default() += count;
        });
    }

    /// A module was refused.
    pub fn refused(&self, code: &'static str) {
        counter!(Metric::RulesRefused.name(), "code" => code).increment(1);
    }

    /// As Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let sums = self.lock();
        let figures: [(Metric, Figure); 4] = [
            (Metric::RuleCalls, |calls| calls.calls),
            (Metric::RuleRows, |calls| calls.rows),
            (Metric::RuleFuel, |calls| calls.fuel),
            (Metric::RuleNanoseconds, |calls| calls.ns),
        ];
        for (metric, figure) in figures {
            head(&mut text, metric);
            for (labels, sum) in lines(&sums) {
                line(&mut text, metric, &labels, figure(&sum.calls));
            }
        }
        let by_name: [(Metric, &str, Counts); 2] = [
            (Metric::RuleAnswers, "reason", |sum| {
                sum.answers.iter().map(|(name, count)| (name.as_str(), *count)).collect()
            }),
            (Metric::RuleFailures, "code", |sum| {
                sum.failures.iter().map(|(code, count)| (*code, *count)).collect()
            }),
        ];
        for (metric, label, figures) in by_name {
            head(&mut text, metric);
            for (labels, sum) in lines(&sums) {
                for (name, count) in figures(sum) {
                    line(&mut text, metric, &format!("{labels},{label}=\"{name}\""), count);
                }
            }
        }
        text
    }

    fn with(&self, generation: u64, module: &Module, change: impl FnOnce(&mut Sum)) {
        let mut sums = self.lock();
        let description = module.description();
        let sum = sums.entry(generation).or_default().entry(module.world().as_str()).or_default();
        if sum.rule.is_empty() {
            sum.rule.clone_from(&description.name);
            sum.version.clone_from(&description.version);
        }
        change(sum);
        while sums.len() > GENERATIONS_MAX {
            sums.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeMap<&'static str, Sum>>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of rules and reasons are plain words, and versions plain letters without quotes, as admission has it.
fn lines<'s>(
    sums: &'s BTreeMap<u64, BTreeMap<&'static str, Sum>>,
) -> impl Iterator<Item = (String, &'s Sum)> {
    sums.iter().flat_map(|(generation, worlds)| {
        worlds.iter().map(move |(world, sum)| {
            let version = sum.version.replace(['\\', '"'], "_");
            let labels = format!(
                "world=\"{world}\",rule=\"{}\",version=\"{version}\",generation=\"{generation}\"",
                sum.rule
            );
            (labels, sum)
        })
    })
}

fn head(text: &mut String, metric: Metric) {
    let (name, help) = (metric.name(), metric.help());
    *text += &format!("# HELP {name} {help}\n# TYPE {name} counter\n");
}

fn line(text: &mut String, metric: Metric, labels: &str, value: u64) {
    *text += &format!("{}{{{labels}}} {value}\n", metric.name());
}
