//! What a rule says about itself, in constants, and the parameters it is given.

use super::UNIT_MICROS;

/// What a rule says about itself. The host reads it once, when it admits the module.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    pub name: &'static str,
    pub version: &'static str,
    pub needs: Needs,
    pub params: &'static [Param],
    pub reasons: &'static [Reason],
    pub fuel_base: u64,
    pub fuel_per_item: u64,
}

impl Description {
    /// `name` in lower-kebab-case, `version` as semantic versioning writes it.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            needs: Needs::NONE,
            params: &[],
            reasons: &[],
            fuel_base: 200_000,
            fuel_per_item: 2_000,
        }
    }

    /// Facts that the rule reads; it gets no others.
    #[must_use]
    pub const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    #[must_use]
    pub const fn params(self, params: &'static [Param]) -> Self {
        Self { params, ..self }
    }

    /// Reasons that answers may carry.
    #[must_use]
    pub const fn reasons(self, reasons: &'static [Reason]) -> Self {
        Self { reasons, ..self }
    }

    /// Fuel that one call may use: `base` + `per_item` × rows.
    #[must_use]
    pub const fn fuel(self, base: u64, per_item: u64) -> Self {
        Self { fuel_base: base, fuel_per_item: per_item, ..self }
    }
}

/// Facts that cost the host something to fetch or to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs(pub u8);

impl Needs {
    pub const NONE: Self = Self(0);
    /// Price in Redis (`cpc:{campaign_id}`).
    pub const CACHED_PRICE: Self = Self(1);
    /// Spend counter in Redis (`daily_budget:{campaign_id}`).
    pub const COUNTER: Self = Self(2);
    /// The advertiser's balance before the batch.
    pub const BALANCE: Self = Self(4);
    /// Minute of the day and weekday in the campaign's zone.
    pub const LOCAL_TIME: Self = Self(8);
    /// Ids, category and search term.
    pub const TEXTS: Self = Self(16);
    /// Charges that a compensation refers to.
    pub const MATCHED_CHARGES: Self = Self(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A reason for an answer, declared once and named in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: u16,
    pub name: &'static str,
    pub source: Source,
    pub help: &'static str,
}

/// Where a price came from; the host holds the rule to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The charge is exactly the database's price.
    Stored,
    /// The charge is exactly the price cached in Redis.
    Cached,
    /// The rule's own computation.
    Computed,
    /// The answer is not about a price.
    None,
}

impl Reason {
    /// `code` is unique within the rule, `name` is UPPER_SNAKE_CASE, `help` one line for finance and support.
    #[must_use]
    pub const fn new(code: u16, name: &'static str, source: Source, help: &'static str) -> Self {
        Self { code, name, source, help }
    }

    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }
}

/// A setting that operators may change without a new module.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub many: bool,
    pub default: Default,
    pub lowest: Option<i64>,
    pub highest: Option<i64>,
    pub help: &'static str,
}

/// What a parameter's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Micros,
    RatioPpm,
    Count,
    Minutes,
    Toggle,
    Text,
}

/// What holds when nothing is configured.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    Number(i64),
    Numbers(&'static [i64]),
    Text(&'static str),
}

impl Param {
    /// An amount, whose default is given in whole units of currency.
    #[must_use]
    pub const fn units(name: &'static str, default_units: i64) -> Self {
        Self::new(name, Kind::Micros, Default::Number(default_units * UNIT_MICROS))
    }

    /// A ratio, whose default is given in ppm.
    #[must_use]
    pub const fn ratio(name: &'static str, default_ppm: i64) -> Self {
        Self::new(name, Kind::RatioPpm, Default::Number(default_ppm))
    }

    /// Several ratios in ppm, ascending.
    #[must_use]
    pub const fn ratios(name: &'static str, default_ppm: &'static [i64]) -> Self {
        let param = Self::new(name, Kind::RatioPpm, Default::Numbers(default_ppm));
        Self { many: true, ..param }
    }

    /// A whole number.
    #[must_use]
    pub const fn count(name: &'static str, default: i64) -> Self {
        Self::new(name, Kind::Count, Default::Number(default))
    }

    /// A time of day or a length of time.
    #[must_use]
    pub const fn minutes(name: &'static str, default_minutes: i64) -> Self {
        Self::new(name, Kind::Minutes, Default::Number(default_minutes))
    }

    #[must_use]
    pub const fn toggle(name: &'static str, default: bool) -> Self {
        Self::new(name, Kind::Toggle, Default::Number(default as i64)).between(0, 1)
    }

    /// A text of at most `bytes_max` bytes.
    #[must_use]
    pub const fn text(name: &'static str, default: &'static str, bytes_max: i64) -> Self {
        let param = Self::new(name, Kind::Text, Default::Text(default));
        Self { highest: Some(bytes_max), ..param }
    }

    /// Inclusive bounds, in the same unit as the number is passed: micros, ppm, minutes.
    #[must_use]
    pub const fn between(self, lowest: i64, highest: i64) -> Self {
        Self { lowest: Some(lowest), highest: Some(highest), ..self }
    }

    /// One line for the operator.
    #[must_use]
    pub const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    const fn new(name: &'static str, kind: Kind, default: Default) -> Self {
        Self { name, kind, many: false, default, lowest: None, highest: None, help: "" }
    }
}

/// The values of a rule's parameters, in the order of their declaration.
#[derive(Clone, Debug)]
pub struct Given {
    params: &'static [Param],
    values: Vec<Value>,
}

/// The value of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Numbers(Vec<i64>),
    Text(String),
}

impl Given {
    /// Values as the host passes them.
    #[must_use]
    pub fn new(params: &'static [Param], values: Vec<Value>) -> Self {
        Self { params, values }
    }

    /// The defaults, for tests.
    #[must_use]
    pub fn defaults(params: &'static [Param]) -> Self {
        let value = |param: &Param| match param.default {
            Default::Number(number) => Value::Number(number),
            Default::Numbers(numbers) => Value::Numbers(numbers.to_vec()),
            Default::Text(text) => Value::Text(text.to_owned()),
        };
        Self { params, values: params.iter().map(value).collect() }
    }

    /// The same with one value changed, for tests.
    ///
    /// # Panics
    /// The rule has no such parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let at = self.params.iter().position(|param| param.name == name);
        let at = at.unwrap_or_else(|| panic!("the rule declares no parameter `{name}`"));
        self.values[at] = value.into();
        self
    }

    /// # Panics
    /// The rule has no such parameter or it is not one number.
    #[must_use]
    pub fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Number(number)) => *number,
            _ => panic!("the rule declares no number parameter `{name}`"),
        }
    }

    /// A count or minutes; a number that does not fit is the nearest that does.
    ///
    /// # Panics
    /// As `number`.
    #[must_use]
    pub fn whole(&self, name: &str) -> u32 {
        clamp(self.number(name))
    }

    /// # Panics
    /// As `number`.
    #[must_use]
    pub fn toggle(&self, name: &str) -> bool {
        self.number(name) != 0
    }

    /// A ratio in ppm; one that does not fit is the greatest that does.
    ///
    /// # Panics
    /// As `number`.
    #[must_use]
    pub fn ratio_ppm(&self, name: &str) -> u32 {
        clamp(self.number(name))
    }

    /// Ascending ratios in ppm.
    ///
    /// # Panics
    /// The rule has no such parameter or it is not a list of numbers.
    #[must_use]
    pub fn ratios_ppm(&self, name: &str) -> Vec<u32> {
        match self.value(name) {
            Some(Value::Numbers(numbers)) => numbers.iter().copied().map(clamp).collect(),
            _ => panic!("the rule declares no list parameter `{name}`"),
        }
    }

    /// # Panics
    /// The rule has no such parameter or it is not a text.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Value::Text(text)) => text,
            _ => panic!("the rule declares no text parameter `{name}`"),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let at = self.params.iter().position(|param| param.name == name)?;
        self.values.get(at)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(toggle: bool) -> Self {
        Self::Number(toggle.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[i64]> for Value {
    fn from(numbers: &[i64]) -> Self {
        Self::Numbers(numbers.to_vec())
    }
}

fn clamp(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
