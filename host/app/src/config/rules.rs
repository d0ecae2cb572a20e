//! The section about rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParamText;

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub source: RuleSource,
    pub dir: String,
    pub cache_dir: String,
    pub look_ms: u32,
    pub signatures: Signatures,
    pub faults_max: u32,
    pub faults_window_s: u32,
    pub module_bytes_max: u32,
    pub memory_bytes_max: u32,
    pub fuel_base_max: u64,
    pub fuel_per_row_max: u64,
    pub rows_max: u32,
    pub backstop_ms: u32,
    pub interpreted: Vec<InterpretedWorld>,
    pub trusted_keys: BTreeMap<String, String>,
    pub pricing: BTreeMap<String, ParamText>,
    pub threshold: BTreeMap<String, ParamText>,
    pub refund: BTreeMap<String, ParamText>,
    pub notification: BTreeMap<String, ParamText>,
}

/// A world whose modules may bring an interpreter along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterpretedWorld {
    Threshold,
    Notification,
}

impl From<InterpretedWorld> for tollgate_domain::rule::World {
    fn from(world: InterpretedWorld) -> Self {
        match world {
            InterpretedWorld::Threshold => Self::Threshold,
            InterpretedWorld::Notification => Self::Notification,
        }
    }
}

/// Who says which rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleSource {
    /// The ledger; the folder only when nothing is in force yet.
    Ledger,
    /// The folder, whenever it has changed.
    Folder,
}

/// Whether modules have to be signed with a trusted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    Off,
    Required,
}

impl Rules {
    /// Parameters of a world, as modules take them.
    #[must_use]
    pub fn params(&self, world: tollgate_domain::rule::World) -> BTreeMap<String, Vec<String>> {
        use tollgate_domain::rule::World;
        let given = match world {
            World::Pricing => &self.pricing,
            World::Threshold => &self.threshold,
            World::Notification => &self.notification,
            World::Refund => &self.refund,
        };
        given.iter().map(|(name, text)| (name.clone(), text.0.clone())).collect()
    }
}
