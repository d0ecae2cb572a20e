//! From nothing to a module.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tollgate_domain::rule::World;
use tollgate_workbench::project::Language;

#[derive(Debug, Args)]
pub struct NewRule {
    /// Name of the rule and of the folder that is made, in lower-kebab-case.
    pub name: String,
    /// What the rule decides.
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// What it is written in; JavaScript and Python only for threshold and notification rules.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    pub lang: Lang,
}

#[derive(Debug, Args)]
pub struct BuildRule {
    /// Folder of the project.
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The module to write, instead of NAME.wasm in the folder.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The four kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What a click costs
    Pricing,
    /// When a campaign is warned about, paused and resumed
    Threshold,
    /// Whether a compensation is paid
    Refund,
    /// Who is told what
    Notification,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    Rust,
    Js,
    Python,
}

impl From<Kind> for World {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Pricing => Self::Pricing,
            Kind::Threshold => Self::Threshold,
            Kind::Refund => Self::Refund,
            Kind::Notification => Self::Notification,
        }
    }
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::Js => Self::JavaScript,
            Lang::Python => Self::Python,
        }
    }
}
