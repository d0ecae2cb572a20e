//! Runs cases with the engine that charges, each on a fresh instance.

use std::time::Instant;

use serde::Serialize;
use tollgate_domain::fence::{self, FenceLimits, MessageLimits, Nought};
use tollgate_domain::money::Micros;
use tollgate_domain::rule::{Fault, Needs, RuleError, World};
use tollgate_engine::{Module, Rule};

use super::expect::{Expect, Fields};
use super::reading::{Asked, Need};
use super::{AnswerRow, Case, Cases, Given, notification, pricing, refund, threshold};

/// How cases are checked.
#[derive(Clone, Debug)]
pub struct Checks {
    /// What the host demands of answers; a breach is a fault.
    pub fence: FenceLimits,
    /// The same module, compiled another way. Its answers have to be the same ones.
    pub second: Option<Module>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { fence: default_fence(), second: None }
    }
}

/// The fence of the host's default configuration.
#[must_use]
pub fn default_fence() -> FenceLimits {
    FenceLimits { charge_max: Micros(1_000_000_000_000), pause_floor_ppm: 500_000 }
}

/// What became of all cases.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(skip)]
    pub world: World,
    pub outcomes: Vec<Outcome>,
    /// The declared reasons, and how many rows of answers carried each.
    pub reasons: Vec<ReasonUse>,
    /// Whether everything ran with a second compilation as well.
    pub is_compared: bool,
    pub elapsed_ns: u64,
}

/// A declared reason and how often it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonUse {
    pub name: String,
    pub help: String,
    pub rows: u64,
}

/// What became of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub name: String,
    pub file: String,
    /// Line at which the case begins.
    pub line: usize,
    pub verdict: Verdict,
    pub fuel: u64,
    pub ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    Failed(Vec<Difference>),
    /// The host could not run it; nothing is held against the rule.
    Host(String),
}

/// A way in which an answer is not what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// A row of the answer, counted from 0, with all its fields.
    Row { row: usize, fields: Vec<FieldDifference> },
    /// The number of rows. Each row that was answered is shown.
    Rows { expected: usize, got: Vec<String> },
    /// A call that failed, or one that should have.
    Fault { expected: Option<&'static str>, got: String },
    /// The case does not fit the rule, or two compilations of the rule differ.
    Sentence(String),
}

/// A field as it was answered, and what was expected instead, if anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    pub name: &'static str,
    pub got: String,
    pub missed: Vec<Missed>,
}

/// An expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    pub text: String,
    /// Whether it had to be a part of the field only.
    pub is_part: bool,
}

impl Report {
    #[must_use]
    pub fn passed(&self) -> usize {
        let passed = |outcome: &&Outcome| outcome.verdict == Verdict::Passed;
        self.outcomes.iter().filter(passed).count()
    }

    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.passed() == self.outcomes.len()
    }

    /// The cases that did not pass, the rule's doing or not.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed)
    }

    /// Declared reasons that no case produced.
    pub fn unused_reasons(&self) -> impl Iterator<Item = &ReasonUse> {
        self.reasons.iter().filter(|reason| reason.rows == 0)
    }
}

/// Runs all cases. They have to be of the module's world.
#[must_use]
pub fn run(module: &Module, cases: &Cases, checks: &Checks) -> Report {
    let started = Instant::now();
    let reasons = module.description().reasons.iter().map(|reason| ReasonUse {
        name: reason.name.clone(),
        help: reason.help.clone(),
        rows: 0,
    });
    let mut reasons: Vec<_> = reasons.collect();
    let one = |case: &Case| {
        let mut outcome = Outcome {
            name: case.name.clone(),
            file: case.file.clone(),
            line: case.line,
            verdict: Verdict::Passed,
            fuel: 0,
            ns: 0,
        };
        let differences = misfits(module, case);
        outcome.verdict = if differences.is_empty() {
            ask_and_compare(module, case, checks, &mut outcome, &mut reasons)
        } else {
            Verdict::Failed(differences)
        };
        outcome
    };
    let outcomes = cases.cases.iter().map(one).collect();
    let is_compared = checks.second.is_some();
    let elapsed_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Report { world: module.world(), outcomes, reasons, is_compared, elapsed_ns }
}

/// What makes a case useless for this rule.
fn misfits(module: &Module, case: &Case) -> Vec<Difference> {
    let rule = module.description();
    let mut sentences = Vec::new();
    if case.given.world() != module.world() {
        let (cases, rule) = (case.given.world(), module.world());
        sentences.push(format!("this is a case of the world {cases}, the rule is of {rule}"));
    }
    for Asked { need, key, line } in &case.asked {
        if !is_asked(*need, rule.needs) {
            let flag = name(*need);
            sentences.push(format!(
                "line {line} gives `{key}`, which this rule is never told: it has to ask for \
                 {flag} in `describe`"
            ));
        }
    }
    if let Expect::Rows(rows) = &case.expect {
        for field in rows.iter().flatten().filter(|field| field.name == "reason") {
            if !rule.reasons.iter().any(|reason| reason.name == field.text) {
                let known: Vec<_> = rule.reasons.iter().map(|reason| &*reason.name).collect();
                let (line, reason, known) = (field.line, &field.text, known.join(", "));
                sentences.push(format!(
                    "line {line} expects the reason {reason}, which the rule does not declare; \
                     it has: {known}"
                ));
            }
        }
    }
    sentences.into_iter().map(Difference::Sentence).collect()
}

fn ask_and_compare(
    module: &Module,
    case: &Case,
    checks: &Checks,
    outcome: &mut Outcome,
    reasons: &mut [ReasonUse],
) -> Verdict {
    let mut rule = match Rule::bind(module.clone(), &case.params) {
        Ok(rule) => rule,
        Err(error) => return Verdict::Failed(vec![Difference::Sentence(error.to_string())]),
    };
    let answered = ask(&mut rule, &case.given, &checks.fence);
    let stats = rule.take_stats();
    (outcome.fuel, outcome.ns) = (stats.fuel, stats.ns);
    if let Answered::Host(sentence) = answered {
        return Verdict::Host(sentence);
    }
    if let Answered::Rows(rows) = &answered {
        for (_, reason) in rows.iter().flatten().filter(|(name, _)| *name == "reason") {
            if let Some(known) = reasons.iter_mut().find(|known| known.name == *reason) {
                known.rows += 1;
            }
        }
    }
    let mut differences = compare(&case.expect, &answered);
    if let Some(second) = &checks.second {
        match again(second, case, &checks.fence) {
            Answered::Host(sentence) => return Verdict::Host(sentence),
            again if again == answered => {}
            again => differences.push(Difference::Sentence(format!(
                "compiled another way the rule answers {}, instead of {}",
                again.shown(),
                answered.shown()
            ))),
        }
    }
    if differences.is_empty() { Verdict::Passed } else { Verdict::Failed(differences) }
}

fn again(second: &Module, case: &Case, fence: &FenceLimits) -> Answered {
    match Rule::bind(second.clone(), &case.params) {
        Ok(mut rule) => ask(&mut rule, &case.given, fence),
        Err(error) => Answered::Host(error.to_string()),
    }
}

/// What came of one call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Rows(Vec<AnswerRow>),
    Fault(Fault),
    Host(String),
}

impl Answered {
    fn shown(&self) -> String {
        match self {
            Self::Rows(rows) => rows.iter().map(shown).collect::<Vec<_>>().join("; "),
            Self::Fault(fault) => format!("{} ({fault})", fault.code.as_str()),
            Self::Host(sentence) => sentence.clone(),
        }
    }
}

fn shown(row: &AnswerRow) -> String {
    let field = |(name, text): &(&str, String)| match text.parse::<u64>() {
        Ok(_) => format!("{name} = {text}"),
        Err(_) => format!("{name} = {text:?}"),
    };
    row.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// Asks on a fresh instance and holds the answer to the fence, as the host does.
pub(super) fn ask(rule: &mut Rule, given: &Given, limits: &FenceLimits) -> Answered {
    let module = rule.module().clone();
    let description = module.description();
    let needs = description.needs;
    let answered = match given {
        Given::Pricing(given) => {
            let facts = given.facts(needs);
            held(rule.price(&facts), |quotes| {
                fence::check_quotes(&facts, quotes, description, limits)
            })
            .map(|quotes| pricing::answers(&quotes, description))
        }
        Given::Threshold(given) => {
            let facts = given.facts(needs, limits);
            held(rule.judge(&facts), |verdicts| {
                // A case does not say whether a movement of 0 is a click, so it is held to what both may answer.
                fence::check_verdicts(&facts, verdicts, description, Nought::Look)
            })
            .map(|verdicts| threshold::answers(&verdicts, description))
        }
        Given::Refund(given) => {
            let facts = given.facts(needs);
            held(rule.decide(&facts), |decisions| {
                fence::check_decisions(&facts, decisions, description)
            })
            .map(|decisions| refund::answers(&decisions, description))
        }
        Given::Notification(given) => rule
            .compose(&given.happenings, MessageLimits::default())
            .map(|messages| notification::answers(&messages)),
    };
    match answered {
        Ok(rows) => Answered::Rows(rows),
        Err(RuleError::Fault(fault)) => Answered::Fault(fault),
        Err(RuleError::Host(sentence)) => Answered::Host(sentence),
    }
}

fn held<A>(
    answer: Result<A, RuleError>,
    check: impl FnOnce(&A) -> Result<(), Fault>,
) -> Result<A, RuleError> {
    let answer = answer?;
    check(&answer)?;
    Ok(answer)
}

fn compare(expect: &Expect, answered: &Answered) -> Vec<Difference> {
    match (expect, answered) {
        (Expect::Fault(code), Answered::Fault(fault)) if fault.code.as_str() == *code => Vec::new(),
        (Expect::Rows(expected), Answered::Rows(got)) if expected.len() == got.len() => {
            let rows = expected.iter().zip(got).enumerate();
            rows.filter_map(|(row, (fields, got))| compare_row(row, fields, got)).collect()
        }
        (Expect::Rows(expected), Answered::Rows(got)) => {
            let got = got.iter().map(shown).collect();
            vec![Difference::Rows { expected: expected.len(), got }]
        }
        (expect, answered) => {
            let expected = match expect {
                Expect::Fault(code) => Some(*code),
                Expect::Rows(_) => None,
            };
            let got = answered.shown();
            vec![Difference::Fault { expected, got }]
        }
    }
}

fn compare_row(row: usize, expected: &Fields, got: &AnswerRow) -> Option<Difference> {
    let field = |(name, got): &(&'static str, String)| {
        let expected = expected.iter().filter(|field| field.name == *name);
        let missed = expected.filter(|field| match field.is_part {
            true => !got.contains(&field.text),
            false => *got != field.text,
        });
        let missed =
            missed.map(|field| Missed { text: field.text.clone(), is_part: field.is_part });
        FieldDifference { name, got: got.clone(), missed: missed.collect() }
    };
    let fields: Vec<_> = got.iter().map(field).collect();
    let differs = fields.iter().any(|field| !field.missed.is_empty());
    differs.then_some(Difference::Row { row, fields })
}

fn is_asked(need: Need, needs: Needs) -> bool {
    match need {
        Need::CachedPrice => needs.cached_price,
        Need::Counter => needs.counter,
        Need::Balance => needs.balance,
        Need::LocalTime => needs.local_time,
        Need::Texts => needs.texts,
        Need::MatchedCharges => needs.matched_charges,
    }
}

/// The flag as the contract writes it.
fn name(need: Need) -> &'static str {
    match need {
        Need::CachedPrice => "`cached-price`",
        Need::Counter => "`counter`",
        Need::Balance => "`balance`",
        Need::LocalTime => "`local-time`",
        Need::Texts => "`texts`",
        Need::MatchedCharges => "`matched-charges`",
    }
}

impl Given {
    fn world(&self) -> World {
        match self {
            Self::Pricing(_) => World::Pricing,
            Self::Threshold(_) => World::Threshold,
            Self::Refund(_) => World::Refund,
            Self::Notification(_) => World::Notification,
        }
    }
}
