//! Configuration: the defaults that are compiled in, a file, the environment, in this order. All errors are
//! reported at once.

mod layers;
mod notify;
mod rules;
mod schema;
mod secret;
mod topics;
mod validate;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use layers::ConfigErrors;
pub use notify::{
    Budget, CampaignEvents, Compensation, DeadLetters, Email, EmailRoute, Notify, Slack, SlackRoute,
};
pub use rules::{InterpretedWorld, RuleSource, Rules, Signatures};
pub use schema::json_schema;
pub use secret::{masked_path, masked_property, masked_url};
pub use topics::{Topic, Topics};
pub use watch::{Audit, Duplicates};

/// The file of defaults, which documents every key.
pub const DEFAULTS: &str = include_str!("../../../../config/default.toml");

/// The whole configuration. `config/default.toml` documents the keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub kafka: Kafka,
    pub topics: Topics,
    pub decode: Decode,
    pub ledger: Ledger,
    pub history: History,
    pub batch: Batch,
    pub redis: Redis,
    pub rules: Rules,
    pub fence: Fence,
    pub budget: Budget,
    pub compensation: Compensation,
    pub dead_letters: DeadLetters,
    pub audit: Audit,
    pub duplicates: Duplicates,
    pub decisions: Decisions,
    pub notify: Notify,
    pub slack: Slack,
    pub email: Email,
    pub campaign_events: CampaignEvents,
    pub admin: Admin,
    pub log: Log,
    pub shutdown: Shutdown,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub topic: String,
    pub group: String,
    pub lanes: u32,
    pub poll_records_max: u32,
    pub poll_records_behind_max: u32,
    pub session_timeout_ms: u32,
    pub first_sight: FirstSight,
    pub topic_ids: bool,
    pub client_id: String,
    pub properties: BTreeMap<String, String>,
    pub property_files: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirstSight {
    Latest,
    Earliest,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    pub payload_bytes_max: u32,
    pub text_bytes_max: u32,
    pub age_hours_max: u32,
    pub ahead_minutes_max: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub url: String,
    pub url_file: String,
    pub statement_timeout_ms: u32,
    pub lock_timeout_ms: u32,
    pub copy_rows_min: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    pub days_ahead: u32,
    pub retention_days: u32,
    pub expired: Expired,
}

/// What becomes of the rows of a day that is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expired {
    Detach,
    Drop,
}

impl Config {
    /// Days before today that a record may still bring clicks or compensations for.
    #[must_use]
    pub fn history_days_back(&self) -> u32 {
        self.decode.age_hours_max.div_ceil(24) + 1
    }

    /// Fewest days that history can be kept: a compensation must find its clicks until it expires.
    #[must_use]
    pub fn retention_days_min(&self) -> u32 {
        self.history_days_back() + self.compensation.expire_s.div_ceil(86_400) + 1
    }

    /// The consumer group whose progress in this topic the ledger keeps; `None` for a topic that is not read.
    #[must_use]
    pub fn group_of(&self, topic: &str) -> Option<&str> {
        let read = [
            (&self.kafka.topic, &self.kafka.group),
            (&self.compensation.topic, &self.compensation.group),
        ];
        read.into_iter().find(|(known, _)| *known == topic).map(|(_, group)| group.as_str())
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub clicks_max: u32,
    pub slices_waiting_max: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: String,
    pub url_file: String,
    pub cpc_key: String,
    pub budget_key: String,
    pub deadline_ms: u32,
    pub cache_ms: u32,
    pub breaker_failures: u32,
    pub breaker_pause_ms: u32,
    pub publish_spend: bool,
}

/// A parameter as written: one text, or a list of texts. The rule's description says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamText(pub Vec<String>);

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    pub charge_max: String,
    pub pause_floor: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    pub retention_days: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub listen: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Pretty,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    pub drain_ms: u32,
}

impl Config {
    /// Reads defaults, `file` and the process environment.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and where the value came from.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::from_environment(file, std::env::vars_os())
    }

    /// As `load`, with the environment given.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_layers(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let environment = environment.into_iter();
        Self::from_environment(file, environment.map(|(name, value)| (name.into(), value.into())))
    }

    /// With names and values as the system has them, which need not be texts.
    fn from_environment(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigErrors> {
        let mut layers = layers::Layers::new(DEFAULTS);
        if let Some(file) = file {
            layers.add_file(file);
        }
        layers.add_environment(environment);
        let (mut config, mut errors) = layers.finish()?;
        secret::read_files(&mut config, &mut errors);
        validate::validate(&config, &mut errors);
        errors.into_result(config)
    }

    /// The configuration as TOML, with secrets masked.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = self.clone();
        shown.ledger.url = masked_url(&self.ledger.url);
        shown.redis.url = masked_url(&self.redis.url);
        shown.email.url = masked_url(&self.email.url);
        // A webhook's path is its secret.
        for route in shown.slack.routes.values_mut() {
            route.url = masked_path(&route.url);
        }
        for (name, value) in &mut shown.kafka.properties {
            *value = masked_property(name, value).to_owned();
        }
        toml::to_string(&shown).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
