//! The registry of rules in the ledger.

use clap::{Args, Subcommand};

/// The registry of rules in the ledger.
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// List modules and generations.
    List(ListRules),
}

#[derive(Debug, Args)]
pub struct ListRules {
    #[command(flatten)]
    pub common: crate::cli::Common,
}
