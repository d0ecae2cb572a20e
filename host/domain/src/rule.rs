//! What a rule says about itself, its parameters, and how it is asked. The engine implements `Rules` with WASM,
//! tests with plain functions.

use std::collections::BTreeMap;
use std::fmt;

use crate::dead::Code;
use crate::facts::{PricingFacts, Quotes, ThresholdFacts, Verdicts};
use crate::money::{self, AmountError};

/// The four kinds of rules; one module is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum World {
    Pricing,
    Threshold,
    Refund,
    Notification,
}

impl World {
    pub const ALL: [Self; 4] = [Self::Pricing, Self::Threshold, Self::Refund, Self::Notification];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pricing => "pricing",
            Self::Threshold => "threshold",
            Self::Refund => "refund",
            Self::Notification => "notification",
        }
    }

    /// The world of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.as_str() == name)
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Facts that a module asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub cached_price: bool,
    pub counter: bool,
    pub balance: bool,
    pub local_time: bool,
    pub texts: bool,
    pub matched_charges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    Micros,
    RatioPpm,
    Count,
    Minutes,
    Toggle,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(String),
    Numbers(Vec<i64>),
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    pub kind: ParamKind,
    pub many: bool,
    pub default: Value,
    pub lowest: Option<i64>,
    pub highest: Option<i64>,
    pub help: String,
}

/// Where a price came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriceSource {
    Stored,
    Cached,
    Computed,
    None,
}

impl PriceSource {
    /// As the ledger writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "DATABASE",
            Self::Cached => "REDIS",
            Self::Computed => "RULE",
            Self::None => "NONE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: u16,
    pub name: String,
    pub source: PriceSource,
    pub help: String,
}

/// What a module says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub needs: Needs,
    pub params: Vec<Param>,
    pub reasons: Vec<Reason>,
    pub fuel_base: u64,
    pub fuel_per_item: u64,
}

impl Description {
    #[must_use]
    pub fn reason(&self, code: u16) -> Option<&Reason> {
        self.reasons.iter().find(|reason| reason.code == code)
    }

    /// Values for every declared parameter, in order: what is configured, else the default.
    ///
    /// # Errors
    /// Every parameter that is unknown, unreadable or out of bounds, not only the first.
    pub fn bind(
        &self,
        given: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<Value>, Vec<ParamError>> {
        let mut errors = Vec::new();
        let names: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
        for name in given.keys().filter(|name| !names.contains(&name.as_str())) {
            errors.push(ParamError::Unknown { name: name.clone(), known: names.join(", ") });
        }
        let mut values = Vec::with_capacity(self.params.len());
        for param in &self.params {
            match given.get(&param.name) {
                None => values.push(param.default.clone()),
                Some(texts) => match param.read(texts) {
                    Ok(value) => values.push(value),
                    Err(error) => errors.push(error),
                },
            }
        }
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }
}

impl Param {
    /// Reads a configured value; a parameter that is not `many` takes exactly one text.
    ///
    /// # Errors
    /// The text is unreadable or out of bounds.
    pub fn read(&self, texts: &[String]) -> Result<Value, ParamError> {
        if self.many {
            let mut numbers =
                texts.iter().map(|text| self.number(text)).collect::<Result<Vec<_>, _>>()?;
            numbers.sort_unstable();
            numbers.dedup();
            return Ok(Value::Numbers(numbers));
        }
        if self.kind == ParamKind::Text {
            // A variable of the environment that has commas arrives as a list.
            let text = texts.join(", ");
            let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
            if self.highest.is_some_and(|highest| length > highest) {
                return Err(self.out_of_bounds(&text));
            }
            return Ok(Value::Text(text));
        }
        let [text] = texts else {
            return Err(self.unreadable(&texts.join(", "), "one value, not a list"));
        };
        self.number(text).map(Value::Number)
    }

    fn number(&self, text: &str) -> Result<i64, ParamError> {
        let scaled = |text: &str| {
            money::parse_scaled(text).map_err(|error| match error {
                AmountError::TooManyDecimals => self.unreadable(text, "at most 6 decimals"),
                _ => self.unreadable(text, "a decimal number such as 0.90"),
            })
        };
        let whole =
            |text: &str| text.parse::<i64>().map_err(|_| self.unreadable(text, "a whole number"));
        let number = match self.kind {
            ParamKind::Micros | ParamKind::RatioPpm => scaled(text)?,
            ParamKind::Count => whole(text)?,
            ParamKind::Minutes => match text.split_once(':') {
                Some((hours, minutes)) => {
                    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
                    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
                        return Err(self.unreadable(text, "a time of day such as 22:30"));
                    }
                    hours * 60 + minutes
                }
                None => whole(text)?,
            },
            ParamKind::Toggle => match text {
                "true" => 1,
                "false" => 0,
                _ => return Err(self.unreadable(text, "true or false")),
            },
            ParamKind::Text => return Err(self.unreadable(text, "no list of texts")),
        };
        let too_low = self.lowest.is_some_and(|lowest| number < lowest);
        let too_high = self.highest.is_some_and(|highest| number > highest);
        if too_low || too_high { Err(self.out_of_bounds(text)) } else { Ok(number) }
    }

    fn unreadable(&self, text: &str, expected: &'static str) -> ParamError {
        ParamError::Unreadable { name: self.name.clone(), text: text.to_owned(), expected }
    }

    fn out_of_bounds(&self, text: &str) -> ParamError {
        ParamError::OutOfBounds {
            name: self.name.clone(),
            text: text.to_owned(),
            lowest: self.lowest.map_or("any".to_owned(), |bound| self.shown(bound)),
            highest: self.highest.map_or("any".to_owned(), |bound| self.shown(bound)),
        }
    }

    /// A number as an operator writes it; for a text, a length.
    #[must_use]
    pub fn shown(&self, number: i64) -> String {
        match self.kind {
            ParamKind::Micros | ParamKind::RatioPpm => money::Micros(number).to_string(),
            ParamKind::Minutes => format!("{:02}:{:02}", number / 60, number % 60),
            ParamKind::Toggle => (number != 0).to_string(),
            ParamKind::Count => number.to_string(),
            ParamKind::Text => format!("{number} bytes"),
        }
    }
}

/// Why a configured parameter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("the rule has no parameter `{name}`; it has: {known}")]
    Unknown { name: String, known: String },
    #[error("parameter `{name}` is {text:?}, expected {expected}")]
    Unreadable { name: String, text: String, expected: &'static str },
    #[error("parameter `{name}` is {text:?}, allowed is {lowest} to {highest}")]
    OutOfBounds { name: String, text: String, lowest: String, highest: String },
}

/// A failed call of a rule. The batch is then cut in halves until the one click is found that makes it fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Fault {
    /// One of the rule's codes, or `FenceBreach`.
    pub code: Code,
    pub sentence: String,
}

/// Why a rule gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The rule's doing, and the same on every machine.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The host's doing (no instance free, the wall clock's backstop): the batch is tried again and nothing is
    /// held against the rule.
    #[error("the host could not run the rule: {0}")]
    Host(String),
}

/// The active rules of a batch.
pub trait Rules {
    fn pricing(&self) -> &Description;
    fn threshold(&self) -> &Description;

    /// Whether the ids of campaigns are to be among the facts also when no rule asked for texts.
    fn wants_ids(&self) -> bool {
        false
    }

    /// Whether the last call failed because of a candidate. That costs no click: asked about its rows one by one, the
    /// rules in force answer instead.
    fn candidate_failed(&self) -> bool {
        false
    }

    /// # Errors
    /// The rule trapped, ran out of fuel or memory, or the host could not run it.
    fn price(&mut self, facts: &PricingFacts) -> Result<Quotes, RuleError>;

    /// Judges clicks.
    ///
    /// # Errors
    /// As `price`.
    fn judge(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError>;

    /// Judges fresh looks and refunds. Rules are asked in the same way; whoever checks their answers tells a look from a
    /// click that costs nothing.
    ///
    /// # Errors
    /// As `price`.
    fn look(&mut self, facts: &ThresholdFacts) -> Result<Verdicts, RuleError> {
        self.judge(facts)
    }
}
