//! What a candidate would have charged.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// What a candidate would have charged.
#[derive(Debug, Subcommand)]
pub enum Replay {
    /// Replay clicks under a candidate and under the rules in force, and show the difference in money: totals,
    /// advertisers, campaigns, pauses, warnings. Changes nothing. Exit code 2 when `--max-delta` is passed.
    Replay(ReplayRule),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("clicks").required(true).args(["topic", "file", "history"]))]
pub struct ReplayRule {
    #[command(flatten)]
    pub common: crate::cli::Common,
    /// A pricing or threshold module: its file, or the digest of one that is in the ledger. Once for each kind.
    #[arg(long, required = true, value_name = "FILE|DIGEST")]
    pub candidate: Vec<String>,
    /// A parameter of a candidate, as `NAME=VALUE` or `pricing.NAME=VALUE`; lists with commas. Otherwise a candidate keeps
    /// what the rule that it replaces was given, as far as it has parameters of these names.
    #[arg(long, value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// What to compare with instead of the generation in force: another generation by its number, or modules.
    #[arg(long, value_name = "GENERATION|FILE|DIGEST", conflicts_with = "history")]
    pub against: Vec<String>,

    /// Clicks of this topic, read without joining a group.
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Where to begin in the topic: an instant (RFC 3339) or an offset. Default: the first record.
    #[arg(long, value_name = "INSTANT|OFFSET", requires = "topic")]
    pub from: Option<String>,
    /// Where to end in the topic; this record is not included. Default: the end of now.
    #[arg(long, value_name = "INSTANT|OFFSET", requires = "topic")]
    pub until: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, requires = "topic")]
    pub partition: Option<i32>,

    /// Events of a file, one JSON object a line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Campaigns from a file (.toml, .json, .csv) instead of the ledger, which is then not asked at all: the rules to
    /// compare with come from the rules folder.
    #[arg(long, value_name = "FILE", conflicts_with = "history")]
    pub campaigns: Option<PathBuf>,

    /// Clicks as they were really decided, from the records that the ledger keeps; needs `--since`.
    #[arg(long, requires = "since")]
    pub history: bool,
    /// The first budget day (YYYY-MM-DD).
    #[arg(long, value_name = "DAY", requires = "history")]
    pub since: Option<jiff::civil::Date>,

    /// What has been spent where the replay begins.
    #[arg(long, value_enum, default_value = "nothing", conflicts_with_all = ["campaigns", "history"])]
    pub spent: Spent,
    /// The most by which the sum of all charges may change, such as 0.05%; beyond it the exit code is 2.
    #[arg(long, value_name = "PERCENT")]
    pub max_delta: Option<String>,
    /// Rows of each table.
    #[arg(long, default_value_t = 10)]
    pub top: usize,
    /// Print everything as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write a page with plots that needs no network.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// The spend and the statuses with which a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spent {
    /// No campaign has spent anything, and none is paused by its budget: for clicks that were charged before.
    Nothing,
    /// What the ledger says now: for clicks that are still to be charged.
    Ledger,
}
