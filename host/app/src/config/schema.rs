//! The JSON Schema of the configuration, for editors and for checks outside of tollgate.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Config, DEFAULTS, ParamText};

/// The schema of a configuration file: every key is optional, because the defaults fill in.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    make_optional(&mut schema);
    if let (Some(root), Ok(defaults)) = (schema.as_object_mut(), DEFAULTS.parse::<toml::Table>()) {
        root.insert("title".into(), "tollgate configuration".into());
        root.insert("default".into(), serde_json::to_value(defaults).unwrap_or_default());
    }
    schema
}

fn make_optional(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(fields) => {
            fields.remove("required");
            fields.values_mut().for_each(make_optional);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(make_optional),
        _ => {}
    }
}

impl JsonSchema for ParamText {
    fn schema_name() -> Cow<'static, str> {
        "ParamText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer", "boolean", "array"],
            "items": { "type": "string" },
            "description": "A parameter of a rule; the rule's description says what it means."
        })
    }
}
