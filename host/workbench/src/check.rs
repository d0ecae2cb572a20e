//! What admission says about a module, and what the module says about itself.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde::Serialize;
use tollgate_domain::rule::{Description, Needs, Param, Value, World};
use tollgate_engine::{AdmissionError, Engine, EngineLimits, Module, Survey};

use crate::cases;

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub struct Check {
    /// As the author named it.
    pub module: String,
    /// Nothing when the module is admitted.
    pub problems: Vec<Finding>,
    /// What does not keep a module out, and an author may want to know.
    pub notes: Vec<Finding>,
    pub world: Option<&'static str>,
    /// Interfaces that it exports, with the version of the contract.
    pub exports: Vec<String>,
    pub limits: Vec<Limit>,
    /// What the module says about itself, when it is admitted.
    pub description: Option<Described>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub sentence: String,
}

/// How much of a limit is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    pub what: &'static str,
    pub unit: &'static str,
    pub used: u64,
    pub allowed: u64,
}

#[derive(Debug, Serialize)]
pub struct Described {
    pub name: String,
    pub version: String,
    /// SHA-256 of the file.
    pub digest: String,
    pub asks_for: Vec<&'static str>,
    pub params: Vec<ParamShown>,
    pub reasons: Vec<ReasonShown>,
    pub cases: usize,
}

#[derive(Debug, Serialize)]
pub struct ParamShown {
    pub name: String,
    /// As an operator writes it.
    pub default: String,
    pub lowest: Option<String>,
    pub highest: Option<String>,
    pub help: String,
}

#[derive(Debug, Serialize)]
pub struct ReasonShown {
    pub code: u16,
    pub name: String,
    /// Where a price with this reason comes from, as the ledger writes it.
    pub source: &'static str,
    pub help: String,
}

/// Judges a module as the host would, its cases included as far as they can be read.
#[must_use]
pub fn check(engine: &Engine, name: &str, world: Option<World>, bytes: &[u8]) -> Check {
    let survey = engine.survey(world, bytes);
    let mut problems = Vec::new();
    let mut description = None;
    let mut notes = Vec::new();
    match &survey.verdict {
        Err(found) => problems.extend(found.iter().map(finding)),
        Ok(module) => {
            let found = cases::embedded(module.world(), bytes);
            let cases = match found {
                Ok(cases) => cases.map_or(0, |cases| cases.len()),
                Err(error) => {
                    problems.push(Finding { code: error.code(), sentence: error.to_string() });
                    0
                }
            };
            if cases == 0 && problems.is_empty() {
                let sentence = "no cases travel inside the module, so nothing is checked when it is activated; \
                                `tollgate rule build` puts them in"
                    .to_owned();
                notes.push(Finding { code: "NO_CASES", sentence });
            }
            description = Some(Described::of(module.description(), module.digest(), cases));
        }
    }
    Check {
        module: name.to_owned(),
        limits: limits(
            &survey,
            bytes.len(),
            survey.verdict.as_ref().map_or(engine.limits(), Module::limits),
        ),
        world: survey.world.map(World::as_str),
        exports: survey.exports,
        problems,
        notes,
        description,
    }
}

fn finding(error: &AdmissionError) -> Finding {
    Finding { code: error.code(), sentence: error.to_string() }
}

fn limits(survey: &Survey, bytes: usize, limits: &EngineLimits) -> Vec<Limit> {
    let limit = |what, unit, used, allowed| Limit { what, unit, used, allowed };
    let mut shown = vec![limit("size", "bytes", bytes as u64, limits.module_bytes_max as u64)];
    if let Some(most) = survey.memory_bytes_max {
        shown.push(limit("memory", "bytes", most, limits.memory_bytes_max as u64));
    }
    if let Ok(module) = &survey.verdict {
        let description = module.description();
        let (base, row) = (description.fuel_base, description.fuel_per_item);
        shown.push(limit("fuel a call", "", base, limits.fuel_base_max));
        shown.push(limit("fuel a row", "", row, limits.fuel_per_item_max));
        let declared = limits.declarations_max as u64;
        shown.push(limit("parameters", "", description.params.len() as u64, declared));
        shown.push(limit("reasons", "", description.reasons.len() as u64, declared));
    }
    shown
}

impl Described {
    fn of(description: &Description, digest: &str, cases: usize) -> Self {
        let reasons = description.reasons.iter().map(|reason| ReasonShown {
            code: reason.code,
            name: reason.name.clone(),
            source: reason.source.as_str(),
            help: reason.help.clone(),
        });
        Self {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: digest.to_owned(),
            asks_for: asks_for(description.needs),
            params: description.params.iter().map(ParamShown::of).collect(),
            reasons: reasons.collect(),
            cases,
        }
    }
}

impl ParamShown {
    fn of(param: &Param) -> Self {
        let default = match &param.default {
            Value::Number(number) => param.shown(*number),
            Value::Text(text) => format!("{text:?}"),
            Value::Numbers(numbers) => {
                numbers.iter().map(|number| param.shown(*number)).collect::<Vec<_>>().join(", ")
            }
        };
        Self {
            name: param.name.clone(),
            default,
            lowest: param.lowest.map(|lowest| param.shown(lowest)),
            highest: param.highest.map(|highest| param.shown(highest)),
            help: param.help.clone(),
        }
    }
}

/// Facts as the contract names them.
fn asks_for(needs: Needs) -> Vec<&'static str> {
    let all = [
        (needs.cached_price, "cached-price"),
        (needs.counter, "counter"),
        (needs.balance, "balance"),
        (needs.local_time, "local-time"),
        (needs.texts, "texts"),
        (needs.matched_charges, "matched-charges"),
    ];
    all.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name).collect()
}

impl Check {
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.problems.is_empty()
    }

    /// As a compiler would say it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let findings = self.problems.iter().map(|finding| ("error", finding));
        for (kind, finding) in findings.chain(self.notes.iter().map(|note| ("note", note))) {
            let Finding { code, sentence } = finding;
            line(&mut text, &format!("{kind}[{code}]: {sentence}\n  --> {}\n", self.module));
        }
        let Some(described) = &self.description else {
            let count = self.problems.len();
            let problems = if count == 1 { "problem" } else { "problems" };
            line(&mut text, &format!("{} is not admitted: {count} {problems}", self.module));
            self.limits_text(&mut text);
            return text;
        };
        let Described { name, version, digest, .. } = described;
        let world = self.world.unwrap_or_default();
        let verdict = if self.is_admitted() { "admitted" } else { "not admitted" };
        line(&mut text, &format!("{verdict}: {name} {version}, a {world} rule"));
        line(&mut text, &format!("{:<17} sha256:{digest}", "digest"));
        line(&mut text, &format!("{:<17} {}", "contract", self.exports.join(", ")));
        self.limits_text(&mut text);
        line(&mut text, &format!("{:<17} {}", "asks for", listed(&described.asks_for)));
        line(&mut text, &format!("{:<17} {}", "cases inside", described.cases));
        described.declared(&mut text);
        text
    }

    fn limits_text(&self, text: &mut String) {
        for Limit { what, unit, used, allowed } in &self.limits {
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let (used, allowed) = (grouped(*used), grouped(*allowed));
            line(text, &format!("{what:<17} {used} of {allowed}{unit}"));
        }
    }
}

impl Described {
    fn declared(&self, text: &mut String) {
        if !self.params.is_empty() {
            let mut table = table(["parameter", "default", "lowest", "highest", "means"]);
            for param in &self.params {
                let ParamShown { name, default, lowest, highest, help } = param;
                let bound = |bound: &Option<String>| bound.clone().unwrap_or_default();
                table.add_row([name, default, &bound(lowest), &bound(highest), help]);
            }
            line(text, &format!("\n{table}"));
        }
        if !self.reasons.is_empty() {
            let mut table = table(["code", "reason", "price from", "means"]);
            for ReasonShown { code, name, source, help } in &self.reasons {
                table.add_row([code.to_string().as_str(), name, source, help]);
            }
            line(text, &format!("\n{table}"));
        }
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A whole number with its thousands separated.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Tables fill their last column; nobody needs the blanks.
fn line(text: &mut String, lines: &str) {
    for line in lines.split('\n') {
        // Writing to a string does not fail.
        let _written = writeln!(text, "{}", line.trim_end());
    }
}
