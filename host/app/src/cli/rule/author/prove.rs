//! Arguments of the commands that prove a rule: check, test, run, bench.

use std::path::PathBuf;

use clap::Args;

use super::Kind;
use crate::cli::Common;

/// Parameters of a rule.
#[derive(Debug, Args)]
pub struct Params {
    /// A parameter of the rule, as configuration has it; several values with commas. May be repeated.
    #[arg(long = "params", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CheckRule {
    #[command(flatten)]
    pub common: Common,
    /// The module, a WASM component.
    #[arg(value_name = "MODULE")]
    pub module: PathBuf,
    /// What it has to be; the module says so itself otherwise.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TestRule {
    #[command(flatten)]
    pub common: Common,
    /// A module with cases inside, or the folder of a project, which is built first.
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// More cases: a TOML file, or a folder of them. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub cases: Vec<PathBuf>,
    /// Only cases whose names contain this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Run again whenever something changes, until stopped by Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunRule {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub params: Params,
    /// The module, a WASM component.
    #[arg(value_name = "MODULE")]
    pub module: PathBuf,
    /// Lines of JSON, `-` for standard input: events of `ad-events` for a pricing rule; for the others what a case has
    /// under `given`.
    #[arg(long = "in", value_name = "FILE")]
    pub input: PathBuf,
    /// Lines of JSON with campaigns, such as {"id": "campaign_1", "advertiser": "advertiser_1", "stored_price": "1.20",
    /// "zone": "Asia/Seoul"}; without them every campaign costs 1 and belongs to whom the event says.
    #[arg(long, value_name = "FILE")]
    pub campaigns: Option<PathBuf>,
    /// Only the sums.
    #[arg(long)]
    pub totals: bool,
    /// Print a line of JSON for each answer, and one with the sums.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchRule {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub params: Params,
    /// The module, a WASM component.
    #[arg(value_name = "MODULE")]
    pub module: PathBuf,
    /// Another module of the same kind, measured in turns with the first one.
    #[arg(long, value_name = "MODULE")]
    pub against: Option<PathBuf>,
    /// Rows of the calls that are measured; may be repeated. Otherwise 1, 16, 64, 256, 1024 and 4096.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: Vec<u32>,
    /// Write a flame graph of the fuel of a call, an SVG.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
