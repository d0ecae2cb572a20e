//! Rules: admitted modules with their parameters, ready to be asked.

use std::collections::BTreeMap;
use std::time::Instant;

use tollgate_domain::dead::Code;
use tollgate_domain::facts::{
    Decisions, PricingFacts, Quotes, RefundColumns, ThresholdFacts, Verdicts,
};
use tollgate_domain::fence::{self, MessageLimits};
use tollgate_domain::notice::{Happening, Message};
use tollgate_domain::rule::{Description, Fault, ParamError, RuleError, Rules, World};
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::convert::{self, ComposeArguments, WireValue};
use crate::module::{self, Module};
use crate::stats::{Answers, CallStats};

/// A module with its parameters.
#[derive(Debug)]
pub struct Rule {
    module: Module,
    pub(crate) params: Vec<WireValue>,
    stats: CallStats,
    answers: Answers,
}

/// Why rules cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "the parameters of rule `{rule}` cannot be used: {}",
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Params { rule: String, errors: Vec<ParamError> },
    #[error("rule `{rule}` is of the world {found}, expected {expected}")]
    WrongWorld { rule: String, expected: World, found: World },
}

impl BindError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Params { .. } => "BAD_PARAMETERS",
            Self::WrongWorld { .. } => "WRONG_WORLD",
        }
    }
}

impl Rule {
    /// Gives a module its parameters: what is configured, and the module's own defaults for the rest.
    ///
    /// # Errors
    /// Every parameter that is unknown, unreadable or out of bounds.
    pub fn bind(module: Module, params: &BTreeMap<String, Vec<String>>) -> Result<Self, BindError> {
        let values = module.description.bind(params).map_err(|errors| BindError::Params {
            rule: module.description.name.clone(),
            errors,
        })?;
        let params = values.into_iter().map(convert::wire_value).collect();
        let answers = Answers::new(&module.description.reasons);
        Ok(Self { module, params, stats: CallStats::default(), answers })
    }

    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What the rule's calls have cost since it was bound, or since the sums were last taken.
    #[must_use]
    pub fn stats(&self) -> CallStats {
        self.stats
    }

    /// The sums, which start again at zero.
    pub fn take_stats(&mut self) -> CallStats {
        std::mem::take(&mut self.stats)
    }

    /// How often each reason was answered, in the order in which the module declares them; counts start again at zero.
    pub fn take_answers(&mut self) -> Vec<u64> {
        self.answers.take()
    }

    /// Asks a rule of the world pricing.
    ///
    /// # Errors
    /// The rule trapped, ran out of fuel or memory, gave another number of answers than it was asked for, or the host
    /// could not run it, which is also the answer of a rule of another world.
    pub fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        let rows = facts.clicks.len();
        let texts = convert::texts(&facts.texts);
        let arguments = convert::price_arguments(&self.params, &texts, facts);
        let asked = ask(&self.module, &mut self.stats, rows, arguments).map(convert::quotes);
        let quotes =
            self.answered(asked, rows, |quotes| [quotes.charge_micros.len(), quotes.reason.len()])?;
        self.answers.count(&quotes.reason);
        Ok(quotes)
    }

    /// Asks a rule of the world threshold.
    ///
    /// # Errors
    /// As `price`.
    pub fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        let rows = facts.movements.campaign_day.len();
        let texts = convert::texts(&facts.texts);
        let arguments = convert::judge_arguments(&self.params, &texts, facts);
        let asked = ask(&self.module, &mut self.stats, rows, arguments).map(convert::verdicts);
        let verdicts = self.answered(asked, rows, |verdicts| {
            [
                verdicts.action.len(),
                verdicts.level_ppm.len(),
                verdicts.usage_ppm.len(),
                verdicts.allowed_micros.len(),
                verdicts.reason.len(),
            ]
        })?;
        self.answers.count(&verdicts.reason);
        Ok(verdicts)
    }

    /// Asks a rule of the world refund.
    ///
    /// # Errors
    /// As `price`.
    pub fn decide(&mut self, facts: &RefundColumns) -> Result<Decisions, RuleError> {
        let rows = facts.compensations.campaign_day.len();
        let texts = convert::texts(&facts.texts);
        let arguments = convert::decide_arguments(&self.params, &texts, facts);
        let asked = ask(&self.module, &mut self.stats, rows, arguments).map(convert::decisions);
        let decisions = self.answered(asked, rows, |decisions| {
            [decisions.action.len(), decisions.refund_micros.len(), decisions.reason.len()]
        })?;
        self.answers.count(&decisions.reason);
        Ok(decisions)
    }

    /// Asks a rule of the world notification, and holds its messages to these limits.
    ///
    /// # Errors
    /// As `price`, and messages beyond the limits.
    pub fn compose(
        &mut self,
        happenings: &[Happening],
        limits: MessageLimits,
    ) -> Result<Vec<Message>, RuleError> {
        let rows = happenings.len();
        let wire = convert::happenings(happenings);
        let arguments: ComposeArguments<'_> = (&self.params, &wire);
        let asked = ask(&self.module, &mut self.stats, rows, arguments).map(convert::messages);
        self.counted(asked.and_then(|messages| {
            fence::check_messages(rows, &messages, limits)?;
            Ok(messages)
        }))
    }

    /// The rule itself, when it is of that world.
    pub(crate) fn of_world(self, expected: World) -> Result<Self, BindError> {
        let found = self.module.world;
        if found == expected {
            return Ok(self);
        }
        Err(BindError::WrongWorld { rule: self.module.description.name.clone(), expected, found })
    }

    /// Refuses columns of another length than the table asked about, and counts what failed.
    fn answered<T, const N: usize>(
        &mut self,
        answer: Result<T, RuleError>,
        rows: usize,
        lengths: impl Fn(&T) -> [usize; N],
    ) -> Result<T, RuleError> {
        let checked = answer.and_then(|answer| {
            match lengths(&answer).into_iter().find(|length| *length != rows) {
                None => Ok(answer),
                Some(length) => Err(RuleError::Fault(Fault {
                    code: Code::RuleWrongAnswers,
                    sentence: format!("it gave {length} answers for {rows} rows"),
                })),
            }
        });
        self.counted(checked)
    }

    fn counted<T>(&mut self, answer: Result<T, RuleError>) -> Result<T, RuleError> {
        match &answer {
            Ok(_) => {}
            Err(RuleError::Fault(_)) => self.stats.faults += 1,
            Err(RuleError::Host(_)) => self.stats.host_failures += 1,
        }
        answer
    }
}

/// The rules that price and judge a batch.
#[derive(Debug)]
pub struct RuleSet {
    pricing: Rule,
    threshold: Rule,
}

impl RuleSet {
    /// # Errors
    /// A rule is of another world.
    pub fn new(pricing: Rule, threshold: Rule) -> Result<Self, BindError> {
        let pricing = pricing.of_world(World::Pricing)?;
        let threshold = threshold.of_world(World::Threshold)?;
        Ok(Self { pricing, threshold })
    }

    #[must_use]
    pub fn pricing_rule(&self) -> &Rule {
        &self.pricing
    }

    #[must_use]
    pub fn threshold_rule(&self) -> &Rule {
        &self.threshold
    }

    /// The rules themselves, pricing and threshold, whose sums are to be taken.
    pub fn rules_mut(&mut self) -> [&mut Rule; 2] {
        [&mut self.pricing, &mut self.threshold]
    }

    /// The sums of pricing and threshold, which start again at zero.
    pub fn take_stats(&mut self) -> [(World, CallStats); 2] {
        [
            (World::Pricing, self.pricing.take_stats()),
            (World::Threshold, self.threshold.take_stats()),
        ]
    }
}

impl Rules for RuleSet {
    fn pricing(&self) -> &Description {
        self.pricing.module.description()
    }

    fn threshold(&self) -> &Description {
        self.threshold.module.description()
    }

    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError> {
        self.pricing.price(facts)
    }

    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.threshold.judge(facts)
    }
}

/// Asks a module's function on a fresh instance, with the fuel that the module declares.
fn ask<P, R>(
    module: &Module,
    stats: &mut CallStats,
    rows: usize,
    arguments: P,
) -> Result<R, RuleError>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let started = Instant::now();
    let per_rows = module.description.fuel_per_item.saturating_mul(rows as u64);
    let fuel = module.description.fuel_base.saturating_add(per_rows);
    let mut store = module::store(&module.shared, fuel)?;
    let answer = module::call(&mut store, &module.pre, &module.function, arguments);
    stats.calls += 1;
    stats.rows += rows as u64;
    stats.fuel += fuel - store.get_fuel().unwrap_or(0);
    stats.memory_bytes = stats.memory_bytes.max(store.data().memory_bytes as u64);
    drop(store);
    stats.ns += u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    answer
}
