//! Sections about refunds, dead letters, and telling people and neighbours.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub look_ms: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    pub enabled: bool,
    pub topic: String,
    pub group: String,
    pub lanes: u32,
    pub first_sight: super::FirstSight,
    pub settle_s: u32,
    pub expire_s: u32,
    pub look_ms: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    pub publish: bool,
    pub topic_suffix: String,
    pub halt_window: u32,
    pub halt_percent: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    pub enabled: bool,
    pub poll_ms: u32,
    pub lease_ms: u32,
    pub attempts_max: u32,
    pub retry_ms_min: u32,
    pub retry_ms_max: u32,
    pub deadline_ms: u32,
    pub zone: String,
    pub dead_letters_every_s: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    pub gap_ms: u32,
    pub digest_max: u32,
    pub routes: BTreeMap<String, SlackRoute>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlackRoute {
    /// Incoming webhook, which is a secret.
    pub url: String,
    /// File that holds the URL.
    pub url_file: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub url: String,
    pub url_file: String,
    pub from: String,
    pub ca_file: String,
    pub routes: BTreeMap<String, EmailRoute>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmailRoute {
    pub to: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignEvents {
    pub topic: String,
}
