//! The author's own commands: offline, no server.

mod make;

use clap::{Args, Subcommand};

pub use make::{BuildRule, Kind, Lang, NewRule};

/// The author's own commands: offline, no server.
#[derive(Debug, Subcommand)]
pub enum Author {
    /// Make a project: a rule that builds at once, its cases, and all that is needed to build it offline.
    New(NewRule),
    /// Build a project into a module, and say whether a host would admit it. Exit code 2 when it would not.
    Build(BuildRule),
    /// Say everything that admission would say.
    Check(CheckRule),
}

#[derive(Debug, Args)]
pub struct CheckRule {
    #[command(flatten)]
    pub common: crate::cli::Common,
}
