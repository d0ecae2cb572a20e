//! Sections about the running audit and the duplicate rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub watch: bool,
    pub every_ms: u32,
    pub full_every_h: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    pub top: u32,
    pub alert_ppm: u32,
    pub clicks_min: u32,
}
