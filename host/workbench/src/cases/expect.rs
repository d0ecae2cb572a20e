//! What a case expects: fields of answers as texts in one notation, so that they compare and print alike.

use tollgate_domain::dead::Code;
use tollgate_domain::money::Micros;
use tollgate_domain::rule::World;
use toml::de::DeValue;

use super::reading::{Layers, Reader, Row};

/// How a field of an answer is written.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Of money, or a ratio: a decimal.
    Decimal,
    Whole,
    Text,
    /// Texts that have to be part of the field with this name.
    PartOf(&'static str),
    Choice(&'static [&'static str]),
    Reason,
}

/// A field that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) text: String,
    /// Whether the text may be any part of the answer's.
    pub(super) is_part: bool,
    pub(super) line: usize,
}

/// What one row of the answer has to be; fields that are not named may be anything.
pub(super) type Fields = Vec<Field>;

#[derive(Clone, Debug)]
pub(super) enum Expect {
    Rows(Vec<Fields>),
    /// The call fails with this code.
    Fault(&'static str),
}

/// Names of an answer's rows, and its fields.
pub(super) struct Answer {
    pub(super) rows: &'static str,
    pub(super) fields: &'static [(&'static str, Kind)],
}

/// Actions of verdicts and decisions by their numbers.
pub(super) const ACTIONS: &[&str] = &["keep", "warn", "pause", "resume"];
pub(super) const REFUND_ACTIONS: &[&str] = &["reject", "approve", "park"];

pub(super) fn answer(world: World) -> Answer {
    match world {
        World::Pricing => Answer {
            rows: "quotes",
            fields: &[("charge", Kind::Decimal), ("reason", Kind::Reason)],
        },
        World::Threshold => Answer {
            rows: "verdicts",
            fields: &[
                ("action", Kind::Choice(ACTIONS)),
                ("level", Kind::Decimal),
                ("usage", Kind::Decimal),
                ("allowed", Kind::Decimal),
                ("reason", Kind::Reason),
            ],
        },
        World::Refund => Answer {
            rows: "decisions",
            fields: &[
                ("action", Kind::Choice(REFUND_ACTIONS)),
                ("refund", Kind::Decimal),
                ("reason", Kind::Reason),
            ],
        },
        World::Notification => Answer {
            rows: "messages",
            fields: &[
                ("happening", Kind::Whole),
                ("channel", Kind::Choice(&["slack", "email"])),
                ("route", Kind::Text),
                ("severity", Kind::Choice(&["info", "warning", "critical"])),
                ("title", Kind::Text),
                ("title_has", Kind::PartOf("title")),
                ("body", Kind::Text),
                ("body_has", Kind::PartOf("body")),
                ("delay_minutes", Kind::Whole),
            ],
        },
    }
}

/// Reads `expect`: the fields of the one row, or a list of rows, or a fault.
pub(super) fn read(reader: &Reader<'_>, layers: Layers<'_>, world: World) -> Expect {
    let answer = answer(world);
    reader.table(layers, |row| {
        let several = row.value(answer.rows);
        let fault = row.value("fault").map(|_| fault(row));
        let fields = fields(row, &answer);
        let is_plain = answer.fields.iter().any(|(name, _)| row.value(name).is_some());
        match (several, fault, !is_plain) {
            (Some((value, line)), None, true) => {
                let rows = row.tables(answer.rows, value, line).into_iter();
                let layers = rows.map(|(table, line)| Layers::of(table, line));
                Expect::Rows(layers.map(|layers| one(reader, layers, &answer)).collect())
            }
            (None, Some(fault), true) => Expect::Fault(fault),
            (None, None, false) => Expect::Rows(vec![fields]),
            (None, None, true) => {
                let (rows, one) = (answer.rows, answer.fields[0].0);
                let sentence = format!(
                    "nothing is expected; name fields such as `{one}`, a list `{rows}`, or a `fault`"
                );
                reader.problem(row.line(), sentence);
                Expect::Rows(Vec::new())
            }
            _ => {
                let rows = answer.rows;
                let sentence = format!("expect fields, or `{rows}`, or a `fault`, not several");
                reader.problem(row.line(), sentence);
                Expect::Rows(Vec::new())
            }
        }
    })
}

fn one(reader: &Reader<'_>, layers: Layers<'_>, answer: &Answer) -> Fields {
    reader.table(layers, |row| fields(row, answer))
}

fn fields(row: &Row<'_, '_>, answer: &Answer) -> Fields {
    let mut fields = Vec::new();
    for (name, kind) in answer.fields {
        let Some((value, line)) = row.value(name) else { continue };
        let parts = matches!(kind, Kind::PartOf(_)).then(|| value.as_array()).flatten();
        let values = parts.map_or_else(
            || vec![value],
            |parts| parts.iter().map(|part| part.get_ref()).collect::<Vec<_>>(),
        );
        for value in values {
            match text(value, *kind) {
                Ok(text) => {
                    let (name, is_part) = match kind {
                        Kind::PartOf(whole) => (*whole, true),
                        _ => (*name, false),
                    };
                    fields.push(Field { name, text, is_part, line });
                }
                Err(expected) => {
                    row.reader().problem(line, format!("`{name}` is not {expected}"));
                }
            }
        }
    }
    fields
}

/// The value in the notation of answers.
fn text(value: &DeValue<'_>, kind: Kind) -> Result<String, String> {
    let text = || value.as_str().map(str::to_owned);
    match kind {
        Kind::Decimal => super::reading::scaled(value).map(decimal).map_err(|why| {
            let why = why.map_or_else(String::new, |error| format!(": {error}"));
            format!("a decimal as text, such as \"0.90\"{why}")
        }),
        Kind::Whole => {
            let number = value.as_integer().and_then(|number| number.as_str().parse::<u64>().ok());
            number.map(|number| number.to_string()).ok_or_else(|| "a whole number".to_owned())
        }
        Kind::Text | Kind::PartOf(_) | Kind::Reason => text().ok_or_else(|| "a text".to_owned()),
        Kind::Choice(names) => text()
            .filter(|text| names.contains(&text.as_str()))
            .ok_or_else(|| format!("one of \"{}\"", names.join("\", \""))),
    }
}

/// Codes with which a call can fail.
fn fault(row: &Row<'_, '_>) -> &'static str {
    const CODES: [Code; 5] = [
        Code::RuleTrap,
        Code::RuleOutOfFuel,
        Code::RuleOutOfMemory,
        Code::RuleWrongAnswers,
        Code::FenceBreach,
    ];
    let names = CODES.map(Code::as_str);
    row.choice("fault", &names).map_or("", |at| names[at])
}

/// Millionths as a decimal.
pub(super) fn decimal(millionths: i64) -> String {
    Micros(millionths).to_string()
}
