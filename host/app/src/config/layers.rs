//! Merges the layers, remembering where each value came from. The file of defaults holds every key, so it is also
//! what the other layers are checked against.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use toml::{Table, Value};

use super::{Config, ParamText};

const PREFIX: &str = "TOLLGATE__";

/// Tables in which any name may stand, and whether a name's underscores in the environment mean dots.
const OPEN_TABLES: [(&str, bool); 9] = [
    ("kafka.properties", true),
    ("kafka.property_files", true),
    ("rules.trusted_keys", false),
    ("rules.pricing", false),
    ("rules.threshold", false),
    ("rules.refund", false),
    ("rules.notification", false),
    ("slack.routes", false),
    ("email.routes", false),
];

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Dotted path, `kafka.lanes`; empty when a whole file is unreadable.
    pub key: String,
    /// File, environment variable or `default`.
    pub source: String,
    /// What is wrong and what is allowed.
    pub sentence: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, source, sentence } = self;
        if key.is_empty() {
            write!(f, "{source}: {sentence}")
        } else {
            write!(f, "{key} (from {source}): {sentence}")
        }
    }
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigErrors {
    pub errors: Vec<ConfigError>,
    sources: BTreeMap<String, String>,
}

impl ConfigErrors {
    /// Adds an error about `key`, with the place its value came from.
    pub fn add(&mut self, key: &str, sentence: impl Into<String>) {
        // A table that came as a whole is the source of everything in it.
        let mut known = Some(key);
        let source = loop {
            let Some(key) = known else { break "default".to_owned() };
            if let Some(source) = self.sources.get(key) {
                break source.clone();
            }
            known = key.rsplit_once('.').map(|(table, _)| table);
        };
        self.errors.push(ConfigError { key: key.to_owned(), source, sentence: sentence.into() });
    }

    pub(super) fn into_result(self, config: Config) -> Result<Config, Self> {
        if self.errors.is_empty() { Ok(config) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.errors.len() == 1 { "error" } else { "errors" };
        write!(f, "{} configuration {noun}", self.errors.len())?;
        self.errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

pub(super) struct Layers {
    merged: Table,
    errors: ConfigErrors,
}

impl Layers {
    pub(super) fn new(defaults: &str) -> Self {
        let mut errors = ConfigErrors::default();
        let merged = read_table(defaults, "defaults", &mut errors);
        Self { merged, errors }
    }

    pub(super) fn add_file(&mut self, file: &Path) {
        let source = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let table = read_table(&text, &source, &mut self.errors);
                merge(&mut self.merged, table, "", &source, &mut self.errors);
            }
            Err(error) => self.errors.errors.push(ConfigError {
                key: String::new(),
                source,
                sentence: format!("cannot be read: {error}"),
            }),
        }
    }

    pub(super) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) {
        let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let mut variables: Vec<_> =
            variables.into_iter().filter(|(name, _)| is_ours(name)).collect();
        variables.sort();
        for (name, value) in variables {
            let (Some(name), Some(text)) = (name.to_str(), value.to_str()) else {
                self.refuse_variable(&name.to_string_lossy());
                continue;
            };
            if text.is_empty() {
                tracing::warn!(variable = name, "empty variable is ignored");
                continue;
            }
            let path = environment_path(name);
            let value = if is_list(&path, text) {
                list(text)
            } else {
                read_as(text, lookup(&self.merged, &path))
            };
            let mut table = Table::new();
            nest(&mut table, &path, value);
            merge(&mut self.merged, table, "", name, &mut self.errors);
        }
    }

    fn refuse_variable(&mut self, name: &str) {
        self.errors.errors.push(ConfigError {
            key: environment_path(name).join("."),
            source: name.to_owned(),
            sentence: "is not UTF-8; set the variable to a text in UTF-8".to_owned(),
        });
    }

    /// The configuration, with the errors found so far; an error when there is no configuration to speak of.
    pub(super) fn finish(self) -> Result<(Config, ConfigErrors), ConfigErrors> {
        let Self { merged, mut errors } = self;
        let read = serde_path_to_error::deserialize::<_, Config>(Value::Table(merged));
        match read {
            Ok(config) => Ok((config, errors)),
            Err(error) => {
                let key = error.path().to_string();
                errors.add(&key, error.into_inner().to_string().trim().replace('\n', " "));
                Err(errors)
            }
        }
    }
}

/// `TOLLGATE__KAFKA__PROPERTIES__SASL_PASSWORD` is kafka.properties."sasl.password".
fn environment_path(name: &str) -> Vec<String> {
    let parts = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect::<Vec<_>>();
    let open =
        OPEN_TABLES.iter().find(|(table, _)| parts.len() == 3 && *table == parts[..2].join("."));
    match open {
        Some((_, true)) => vec![parts[0].clone(), parts[1].clone(), parts[2].replace('_', ".")],
        _ => parts,
    }
}

/// Whether a variable in an open table, whose kind no default tells, is a list.
fn is_list(path: &[String], text: &str) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(path[..], ["email", "routes", _, "to"])
        || matches!(path[..], ["rules", _, _] if text.contains(','))
}

fn read_table(text: &str, source: &str, errors: &mut ConfigErrors) -> Table {
    text.parse::<Table>().unwrap_or_else(|error| {
        errors.errors.push(ConfigError {
            key: String::new(),
            source: source.to_owned(),
            sentence: format!("is not TOML: {}", error.to_string().trim().replace('\n', " ")),
        });
        Table::new()
    })
}

fn merge(into: &mut Table, from: Table, path: &str, source: &str, errors: &mut ConfigErrors) {
    let within = |table: &str| {
        path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let open = OPEN_TABLES.iter().any(|(table, _)| within(table));
    for (name, value) in from {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let refuse = |errors: &mut ConfigErrors, sentence: String| {
            errors.errors.push(ConfigError {
                key: key.clone(),
                source: source.to_owned(),
                sentence,
            });
        };
        match (into.get_mut(&name), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new, &key, source, errors),
            (None, _) if !open => refuse(errors, unknown_key(&name, into)),
            (Some(old), new) if !open && old.type_str() != new.type_str() => {
                let sentence = format!("must be {}, not {}", old.type_str(), new.type_str());
                refuse(errors, sentence);
            }
            (_, new) => {
                errors.sources.insert(key, source.to_owned());
                into.insert(name, new);
            }
        }
    }
}

fn unknown_key(name: &str, known: &Table) -> String {
    let nearest = known.keys().max_by_key(|key| (strsim::jaro_winkler(key, name) * 1e6) as u64);
    match nearest {
        Some(key) => format!("there is no such key; did you mean `{key}`?"),
        None => "there is no such key".to_owned(),
    }
}

fn lookup<'t>(table: &'t Table, path: &[String]) -> Option<&'t Value> {
    let (last, parents) = path.split_last()?;
    let mut table = table;
    for name in parents {
        table = table.get(name)?.as_table()?;
    }
    table.get(last)
}

fn nest(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let mut inner = Table::new();
            nest(&mut inner, rest, value);
            table.insert(name.clone(), Value::Table(inner));
        }
    }
}

/// Reads a variable as the kind of value that the key has; a text that cannot be read so stays a text, which the merge
/// then refuses.
fn read_as(text: &str, known: Option<&Value>) -> Value {
    let read = match known {
        Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
        Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
        Some(Value::Array(_)) => Some(list(text)),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn list(text: &str) -> Value {
    Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect())
}

impl<'de> Deserialize<'de> for ParamText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = ParamText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text such as \"0.90\" or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<ParamText, E> {
                Ok(ParamText(vec![text.to_owned()]))
            }

            fn visit_bool<E>(self, value: bool) -> Result<ParamText, E> {
                Ok(ParamText(vec![value.to_string()]))
            }

            fn visit_i64<E>(self, value: i64) -> Result<ParamText, E> {
                Ok(ParamText(vec![value.to_string()]))
            }

            fn visit_seq<A>(self, mut items: A) -> Result<ParamText, A::Error>
            where
                A: serde::de::SeqAccess<'de>,
            {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    texts.push(text);
                }
                Ok(ParamText(texts))
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

impl Serialize for ParamText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [text] => text.serialize(serializer),
            texts => texts.serialize(serializer),
        }
    }
}
