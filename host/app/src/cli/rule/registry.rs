//! The registry of rules in the ledger.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Common;

/// The registry of rules in the ledger.
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// Keep modules in the ledger under their digests. They are admitted first; publishing one twice is harmless.
    Publish(Publish),
    /// Put rules in force: modules, parameters, or both, in one or several worlds at once. Other worlds keep theirs.
    Activate(Activate),
    /// Put the rules of an older generation in force again, under a new number.
    Rollback(Rollback),
    /// List modules and generations.
    List(ListRules),
    /// Show a module or a generation: parameters, reasons, who, when and why.
    Show(ShowRule),
    /// Kill switch: replace the rule of one world by its last good one. Other worlds keep theirs.
    PauseRule(PauseRule),
    /// Take the bytes of modules away that nothing needs any more which can be explained.
    Prune(Prune),
    /// Make a key that signs modules.
    Keygen(Keygen),
    /// Sign a module, without a ledger.
    Sign(Sign),
}

/// Who makes a change, and why.
#[derive(Debug, Args)]
pub struct Why {
    /// Why, for those who ask later.
    #[arg(long)]
    pub note: String,
    /// Who; by default the user of this machine.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Parameters for the modules that are named.
#[derive(Debug, Args)]
pub struct ParamArgs {
    /// Parameters, as `name=value` for the only module or `world.name=value`; a list is written with commas. What is not
    /// named is as in force; an empty value goes back to the module's default.
    #[arg(long, value_name = "[WORLD.]NAME=VALUE", num_args = 1..)]
    pub params: Vec<String>,
    /// TOML file with parameters: `name = "value"` for the only module, or a table for each world.
    #[arg(long, value_name = "FILE")]
    pub params_file: Option<PathBuf>,
    /// Forget parameters that are in force for the worlds that are named.
    #[arg(long)]
    pub fresh_params: bool,
}

#[derive(Debug, Args)]
pub struct Publish {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
    /// Modules. A signature beside one (FILE.sig) is taken along.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Sign them with this private key.
    #[arg(long, value_name = "KEYFILE")]
    pub key: Option<PathBuf>,
    /// The signature of the only module.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub signature: Option<PathBuf>,
    /// Let this key take over a name that another key has signed so far.
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Debug, Args)]
pub struct Activate {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
    /// Digests (or how they begin), NAME@VERSION, or files, which are published first. None: only parameters change.
    #[arg(value_name = "MODULE")]
    pub modules: Vec<String>,
    #[command(flatten)]
    pub params: ParamArgs,
    /// Only if this generation is in force still.
    #[arg(long, value_name = "NUMBER")]
    pub if_active: Option<u64>,
    /// Change nothing; show what would be in force.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
    /// The generation whose rules are wanted; by default the last good one.
    #[arg(long, value_name = "NUMBER")]
    pub to: Option<u64>,
}

#[derive(Debug, Args)]
pub struct ListRules {
    #[command(flatten)]
    pub common: Common,
    /// Most generations and most changes to list.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ShowRule {
    #[command(flatten)]
    pub common: Common,
    /// Number of a generation, a digest (or how it begins), or NAME@VERSION.
    pub what: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PauseRule {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
    /// The world whose rule is replaced.
    pub kind: RuleKind,
}

/// The four kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleKind {
    Pricing,
    Threshold,
    Refund,
    Notification,
}

#[derive(Debug, Args)]
pub struct Prune {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
    /// Generations that are kept for their age, besides all that anything refers to which can be explained.
    #[arg(long, default_value_t = 100)]
    pub generations: u64,
    /// Keep modules that were published within so many days.
    #[arg(long, default_value_t = 30)]
    pub unused_days: u32,
    /// Change nothing; say what would go.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Keygen {
    /// Where to write the private key; there must be no such file yet.
    #[arg(value_name = "KEYFILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Sign {
    #[command(flatten)]
    pub common: Common,
    /// The module; its signature is written beside it (FILE.sig).
    pub file: PathBuf,
    /// Private key.
    #[arg(long, value_name = "KEYFILE")]
    pub key: PathBuf,
}
