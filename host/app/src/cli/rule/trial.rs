//! Candidates beside the rules in force.

use clap::{Args, Subcommand};

/// Candidates beside the rules in force.
#[derive(Debug, Subcommand)]
pub enum Trial {
    /// Ask a candidate beside the rules in force; its answers are compared and dropped.
    Shadow(ShadowRule),
}

#[derive(Debug, Args)]
pub struct ShadowRule {
    #[command(flatten)]
    pub common: crate::cli::Common,
}
