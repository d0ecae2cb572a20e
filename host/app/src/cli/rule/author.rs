//! The author's own commands: offline, no server.

use clap::{Args, Subcommand};

/// The author's own commands: offline, no server.
#[derive(Debug, Subcommand)]
pub enum Author {
    /// Say everything that admission would say.
    Check(CheckRule),
}

#[derive(Debug, Args)]
pub struct CheckRule {
    #[command(flatten)]
    pub common: crate::cli::Common,
}
