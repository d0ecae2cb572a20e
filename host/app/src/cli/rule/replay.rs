//! What a candidate would have charged.

use clap::{Args, Subcommand};

/// What a candidate would have charged.
#[derive(Debug, Subcommand)]
pub enum Replay {
    /// Replay clicks under a candidate and show the difference in money.
    Replay(ReplayRule),
}

#[derive(Debug, Args)]
pub struct ReplayRule {
    #[command(flatten)]
    pub common: crate::cli::Common,
}
