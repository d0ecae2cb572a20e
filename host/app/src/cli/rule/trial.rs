//! Candidates beside the rules in force.

use clap::{Args, Subcommand};

use super::registry::{ParamArgs, Why};
use crate::cli::Common;

/// Candidates beside the rules in force.
#[derive(Debug, Subcommand)]
pub enum Trial {
    /// Ask a candidate about clicks that are charged already; its answers are compared and dropped.
    #[command(subcommand)]
    Shadow(Shadow),
    /// Let a candidate answer for some campaigns, and take it back when it differs too much or fails.
    #[command(subcommand)]
    Canary(Canary),
}

#[derive(Debug, Subcommand)]
pub enum Shadow {
    /// Start a shadow. Every running host takes part within a second or two.
    Start(ShadowStart),
    /// Show the newest shadow: what all hosts have seen of it.
    Status(TrialStatus),
    /// End the shadow that runs.
    Stop(TrialEnd),
}

#[derive(Debug, Subcommand)]
pub enum Canary {
    /// Put a canary in force, as a generation of its own.
    Start(CanaryStart),
    /// Show the newest canary: what all hosts have seen of it.
    Status(CanaryStatus),
    /// Put the candidate of the canary that runs in force for all campaigns.
    Promote(TrialEnd),
    /// Take the candidate of the canary that runs back.
    Abort(TrialEnd),
}

/// The candidate.
#[derive(Debug, Args)]
pub struct CandidateArgs {
    #[command(flatten)]
    pub common: Common,
    /// A pricing rule, a threshold rule, or one of each.
    #[arg(value_name = "DIGEST|NAME@VERSION|FILE", required = true)]
    pub modules: Vec<String>,
    #[command(flatten)]
    pub params: ParamArgs,
    /// Chooses other campaigns for the same share; by default no two trials have the same.
    #[arg(long)]
    pub salt: Option<String>,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, Args)]
pub struct ShadowStart {
    #[command(flatten)]
    pub candidate: CandidateArgs,
    /// Share of all campaigns to ask the candidate about, such as 10%.
    #[arg(long, value_name = "PERCENT", default_value = "100%")]
    pub share: String,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).multiple(true).args(["share", "campaign"]))]
pub struct CanaryStart {
    #[command(flatten)]
    pub candidate: CandidateArgs,
    /// Share of all campaigns, such as 5%. Which ones follows from the salt and their ids, and stays.
    #[arg(long, value_name = "PERCENT")]
    pub share: Option<String>,
    /// A campaign by its id; may be given more than once.
    #[arg(long, value_name = "ID")]
    pub campaign: Vec<String>,
    /// Most of the differences, each taken as positive, in percent of what the rules in force would have charged.
    #[arg(long, value_name = "PERCENT")]
    pub drift_max: String,
    /// Clicks from which drift and fuel count.
    #[arg(long, default_value_t = 100)]
    pub clicks_min: u32,
    /// Most clicks that the candidate fails on or the money fence refuses its answer about.
    #[arg(long, default_value_t = 10)]
    pub faults_max: u32,
    /// Most fuel a row, on average; by default only what the module declares.
    #[arg(long)]
    pub fuel_max: Option<u32>,
}

#[derive(Debug, Args)]
pub struct TrialStatus {
    #[command(flatten)]
    pub common: Common,
    /// Most campaigns to show, those that differ most first.
    #[arg(long, default_value_t = 20)]
    pub top: u32,
    /// Print JSON, with amounts in micros.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CanaryStatus {
    #[command(flatten)]
    pub status: TrialStatus,
    /// Show every campaign that it has charged, by history.
    #[arg(long)]
    pub touched: bool,
}

#[derive(Debug, Args)]
pub struct TrialEnd {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub why: Why,
}
