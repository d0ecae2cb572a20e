//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Charges clicks: Kafka in, rules in WASM, exact money out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Charge clicks until stopped by SIGTERM or Ctrl-C.
    Run(Run),
    /// Check configuration and modules, and show what would be used. Talks to no server.
    Check(Check),
    /// Create the ledger's tables or bring them up to date.
    Migrate(Common),
    /// Prove that the ledger adds up. Exit code 2 when it does not.
    Audit(Audit),
    /// Look at partitions, and let a halted one go on.
    #[command(subcommand)]
    Partition(Partition),
}

#[derive(Debug, Args)]
pub struct Common {
    /// Configuration file; defaults and TOLLGATE__SECTION__KEY variables apply without one, too.
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub common: Common,
    /// Folder with pricing.wasm and threshold.wasm, instead of `rules.dir`.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Bring the ledger's tables up to date first.
    #[arg(long)]
    pub migrate: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub common: Common,
    /// Folder with pricing.wasm and threshold.wasm, instead of `rules.dir`.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Print the JSON Schema of the configuration and end.
    #[arg(long)]
    pub schema: bool,
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    pub common: Common,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Partition {
    /// List the partitions and their progress.
    List(Common),
    /// Let a halted partition go on at an offset. What lies before it is not charged; the decision is written down.
    GoOn(GoOn),
}

#[derive(Debug, Args)]
pub struct GoOn {
    #[command(flatten)]
    pub common: Common,
    #[arg(long)]
    pub topic: String,
    #[arg(long)]
    pub partition: i32,
    /// The next offset to charge.
    #[arg(long)]
    pub offset: i64,
    /// Id of a topic that was created again, when its records are to be charged.
    #[arg(long, value_name = "ID")]
    pub accept_topic_id: Option<String>,
    /// Why, for those who ask later.
    #[arg(long)]
    pub note: String,
}
