//! Cases: what a rule is given and what it has to answer, as TOML. They lie beside a rule's sources, travel inside its
//! module, and are run by the engine that charges.

mod expect;
mod facts;
mod notification;
mod pricing;
mod reading;
mod refund;
mod running;
mod shown;
mod tables;
mod threshold;

use std::collections::{BTreeMap, BTreeSet};

use tollgate_domain::rule::{Description, World};
use toml::de::{DeTable, DeValue};

use expect::Expect;
use reading::{Asked, Layers, Reader, Row};

pub(crate) use facts::ask_facts;
pub use facts::{Campaign, Campaigns, Facts};
pub use reading::Problem;
pub use running::{
    Checks, Difference, FieldDifference, Missed, Outcome, ReasonUse, Report, Verdict,
    default_fence, run,
};
pub use shown::{Paint, shown};

/// Cases of one world, of one or several files.
#[derive(Clone, Debug)]
pub struct Cases {
    world: World,
    cases: Vec<Case>,
}

/// Why cases cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasesError {
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unreadable { problems: Vec<Problem> },
    /// The section of the module is not what it should be.
    #[error("{0}")]
    Module(String),
}

impl CasesError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "CASES_UNREADABLE",
            Self::Module(_) => "BAD_MODULE",
        }
    }
}

/// What is given, what is expected.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    file: String,
    line: usize,
    /// As an operator writes them.
    params: BTreeMap<String, Vec<String>>,
    given: Given,
    /// Facts that are given and that a rule has to ask for.
    asked: Vec<Asked>,
    expect: Expect,
}

/// Facts of one call.
#[derive(Clone, Debug)]
enum Given {
    Pricing(pricing::Given),
    Threshold(threshold::Given),
    Refund(refund::Given),
    Notification(notification::Given),
}

/// Fields of one row of an answer, as texts.
pub(crate) type AnswerRow = Vec<(&'static str, String)>;

impl Cases {
    /// Cases of nothing, to be extended.
    #[must_use]
    pub fn none(world: World) -> Self {
        Self { world, cases: Vec::new() }
    }

    /// Reads a file of cases; `file` is the name that problems carry.
    ///
    /// # Errors
    /// Everything that cannot be read and every key that is not known, each with its line.
    pub fn parse(world: World, file: &str, text: &str) -> Result<Self, CasesError> {
        let reader = Reader::new(file, text);
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let line = error.span().map_or(1, |span| reader.line(span.start));
                reader.problem(line, error.message().replace('\n', ", "));
                return Err(CasesError::Unreadable { problems: reader.into_problems() });
            }
        };
        let layers = Layers::of(document.get_ref(), 1);
        let cases = reader.table(layers, |row| read_cases(row, world, file));
        let problems = reader.into_problems();
        if problems.is_empty() {
            return Ok(Self { world, cases });
        }
        Err(CasesError::Unreadable { problems })
    }

    /// Takes in cases of the same world.
    pub fn extend(&mut self, more: Self) {
        debug_assert_eq!(self.world, more.world, "cases of two worlds");
        self.cases.extend(more.cases);
    }

    /// Keeps the cases whose names contain this text.
    pub fn keep(&mut self, text: &str) {
        self.cases.retain(|case| case.name.contains(text));
    }

    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }
}

/// The module with these texts of cases inside, one for each file; those it had are replaced. The digest becomes
/// another one.
///
/// # Errors
/// The bytes are not those of a module.
pub fn embed(module: &[u8], cases: &[&str]) -> Result<Vec<u8>, CasesError> {
    tollgate_builder::cases::embed(module, cases)
        .map_err(|error| CasesError::Module(format!("{error:#}")))
}

/// The cases inside a module; `None` when it has none.
///
/// # Errors
/// The bytes are not those of a module, or its cases cannot be read.
pub fn embedded(world: World, module: &[u8]) -> Result<Option<Cases>, CasesError> {
    let texts = tollgate_builder::cases::embedded(module)
        .map_err(|error| CasesError::Module(format!("{error:#}")))?;
    let mut cases: Option<Cases> = None;
    for (at, text) in texts.iter().enumerate() {
        let file = format!("(module) cases {}", at + 1);
        let more = Cases::parse(world, &file, text)?;
        cases.get_or_insert_with(|| Cases::none(world)).extend(more);
    }
    Ok(cases)
}

fn read_cases(document: &Row<'_, '_>, world: World, file: &str) -> Vec<Case> {
    let reader = document.reader();
    let defaults =
        reader.table(document.inner("defaults"), |row| (row.inner("given"), row.inner("params")));
    let Some((list, line)) = document.value("case") else {
        reader.problem(1, "there is no case; begin one with [[case]]");
        return Vec::new();
    };
    let mut names = BTreeSet::new();
    let mut cases = Vec::new();
    for (table, line) in document.tables("case", list, line) {
        let case =
            reader.table(Layers::of(table, line), |row| read_case(row, defaults, world, file));
        if !names.insert(case.name.clone()) {
            reader.problem(line, format!("there are two cases named {:?}", case.name));
        }
        cases.push(case);
    }
    cases
}

fn read_case(
    row: &Row<'_, '_>,
    (given_defaults, param_defaults): (Layers<'_>, Layers<'_>),
    world: World,
    file: &str,
) -> Case {
    let reader = row.reader();
    let name = row.text("name");
    if row.value("name").is_none() || name.as_deref() == Some("") {
        reader.problem(row.line(), "this case has no `name`; say in a few words what it shows");
    }
    let mut params = BTreeMap::new();
    for layers in [param_defaults, row.inner("params")] {
        read_params(reader, layers, &mut params);
    }
    let given = row.inner("given").over(given_defaults);
    let given = reader.table(given, |row| read_given(row, world));
    let asked = reader.take_asked();
    let expect = expect::read(reader, row.inner("expect"), world);
    if let Expect::Rows(rows) = &expect
        && world != World::Notification
        && !rows.is_empty()
        && rows.len() != given.rows()
    {
        let (expected, given) = (rows.len(), given.rows());
        let sentence = format!("{expected} rows are expected and {given} are given");
        reader.problem(row.line(), sentence);
    }
    let (name, file) = (name.unwrap_or_default(), file.to_owned());
    Case { name, file, line: row.line(), params, given, asked, expect }
}

fn read_given(row: &Row<'_, '_>, world: World) -> Given {
    match world {
        World::Pricing => Given::Pricing(pricing::read(row)),
        World::Threshold => Given::Threshold(threshold::read(row)),
        World::Refund => Given::Refund(refund::read(row)),
        World::Notification => Given::Notification(notification::read(row)),
    }
}

/// Parameters as configuration has them: a text, a number, true or false, or a list of those.
fn read_params(
    reader: &Reader<'_>,
    layers: Layers<'_>,
    params: &mut BTreeMap<String, Vec<String>>,
) {
    for (key, value) in layers.table().into_iter().flatten() {
        let one = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Boolean(toggle) => Some(toggle.to_string()),
            _ => None,
        };
        let texts = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| one(item.get_ref())).collect(),
            value => one(value).map(|text| vec![text]),
        };
        let name = key.get_ref();
        match texts {
            Some(texts) => drop(params.insert(name.to_string(), texts)),
            None => reader.problem(
                reader.line(value.span().start),
                format!("parameter `{name}` is not a text, a whole number, true, false or a list"),
            ),
        }
    }
}

impl Given {
    fn rows(&self) -> usize {
        match self {
            Self::Pricing(given) => given.rows(),
            Self::Threshold(given) => given.rows(),
            Self::Refund(given) => given.rows(),
            Self::Notification(given) => given.happenings.len(),
        }
    }
}

/// Name of a reason; its number when the rule declares none.
fn reason(rule: &Description, code: u16) -> String {
    rule.reason(code).map_or_else(|| format!("(undeclared {code})"), |reason| reason.name.clone())
}

#[cfg(test)]
mod tests;
