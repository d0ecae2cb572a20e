//! Parameters as a person writes them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use tollgate_domain::rule::{Description, World};

use super::super::usage;
use super::Picked;
use crate::cli::rule::registry::ParamArgs;
use crate::config::ParamText;
use crate::exit::ExitError;

/// Parameters by world and name.
#[derive(Debug, Default)]
pub(in crate::commands::rule) struct Params {
    given: BTreeMap<World, BTreeMap<String, Vec<String>>>,
}

impl Params {
    /// From `[world.]name=value` and from a file; what is written on the command line counts.
    ///
    /// # Errors
    /// They cannot be read, or it is not clear which world is meant.
    pub(in crate::commands::rule) fn read(
        arguments: &ParamArgs,
        picked: &BTreeMap<World, Picked>,
    ) -> anyhow::Result<Self> {
        let only = match picked.keys().collect::<Vec<_>>()[..] {
            [world] => Some(*world),
            _ => None,
        };
        let mut params = Self::default();
        if let Some(file) = &arguments.params_file {
            params.read_file(file, only)?;
        }
        for text in &arguments.params {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| usage(format!("--params {text}: expected NAME=VALUE")))?;
            let (world, name) = match name.split_once('.') {
                Some((world, name)) => (world_named(world)?, name),
                None => (only.ok_or_else(|| ambiguous(name))?, name),
            };
            params.set(world, name, vec![value.to_owned()]);
        }
        Ok(params)
    }

    /// Whether anything was given for a world.
    pub(in crate::commands::rule) fn has(&self, world: World) -> bool {
        self.given.contains_key(&world)
    }

    /// Puts what was given over what is in force.
    pub(in crate::commands::rule) fn apply(
        &self,
        world: World,
        description: &Description,
        values: &mut BTreeMap<String, Vec<String>>,
    ) {
        for (name, given) in self.given.get(&world).into_iter().flatten() {
            let is_many = description.params.iter().any(|param| param.name == *name && param.many);
            match &given[..] {
                [text] if text.is_empty() => drop(values.remove(name)),
                [text] if is_many => {
                    let texts = text.split(',').map(|text| text.trim().to_owned()).collect();
                    values.insert(name.clone(), texts);
                }
                _ => drop(values.insert(name.clone(), given.clone())),
            }
        }
    }

    fn read_file(&mut self, file: &Path, only: Option<World>) -> anyhow::Result<()> {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| shown.clone())?;
        let table: toml::Table = toml::from_str(&text).with_context(|| shown.clone())?;
        for (name, value) in table {
            if let (toml::Value::Table(inner), Ok(world)) = (&value, world_named(&name)) {
                for (name, value) in inner {
                    self.set(
                        world,
                        name,
                        texts(value).with_context(|| format!("{shown}: {name}"))?,
                    );
                }
            } else {
                let world = only.ok_or_else(|| ambiguous(&name))?;
                self.set(world, &name, texts(&value).with_context(|| format!("{shown}: {name}"))?);
            }
        }
        Ok(())
    }

    fn set(&mut self, world: World, name: &str, texts: Vec<String>) {
        self.given.entry(world).or_default().insert(name.to_owned(), texts);
    }
}

/// Parameters as the ledger keeps them, for people.
pub(super) fn shown(params: &str) -> String {
    let values: BTreeMap<String, Vec<String>> = serde_json::from_str(params).unwrap_or_default();
    let values: Vec<_> =
        values.iter().map(|(name, texts)| format!("{name}={}", texts.join(","))).collect();
    if values.is_empty() { "(defaults)".to_owned() } else { values.join("\n") }
}

fn texts(value: &toml::Value) -> anyhow::Result<Vec<String>> {
    Ok(value.clone().try_into::<ParamText>()?.0)
}

fn world_named(name: &str) -> Result<World, ExitError> {
    let known = World::ALL.map(World::as_str).join(", ");
    World::named(name).ok_or_else(|| usage(format!("{name} is none of {known}")))
}

fn ambiguous(name: &str) -> ExitError {
    usage(format!("which world's {name} is meant? Write WORLD.{name}=VALUE, or name one module"))
}
