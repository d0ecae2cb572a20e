//! The command line.

pub mod rule;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Make the topics as designed, or compare those that are there. Exit code 2 when something is not as designed.
    #[command(subcommand)]
    Topics(Topics),
    /// Prove that the ledger adds up. Exit code 2 when it does not.
    Audit(Audit),
    /// Look at partitions, and let a halted one go on.
    #[command(subcommand)]
    Partition(Partition),
    /// Look at messages, send them again, or drop them.
    #[command(subcommand)]
    Outbox(Outbox),
    /// Look at dead letters, try them again, or drop them: what could not be charged or paid.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Explain a charge, a dead letter or a refund: what rules were given, what they answered, and what followed. Decides
    /// it again; exit code 2 when that gives anything else.
    Explain(Explain),
    /// Print an advertiser's account on a budget day, checked against the ledger. Exit code 2 when it does not add up.
    Statement(StatementOf),
    /// Show how many of the charged clicks were duplicates, by advertiser and campaign, the highest rates first. A
    /// duplicate is a charge that a refund gave back; like a click it counts at the click's own timestamp.
    Duplicates(Duplicates),
    /// Write, prove, price, ship, watch and roll back rules.
    #[command(subcommand)]
    Rule(rule::Rule),
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
    /// Folder with pricing.wasm, threshold.wasm, refund.wasm and notification.wasm, instead of `rules.dir`.
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
    /// Folder with pricing.wasm, threshold.wasm, refund.wasm and notification.wasm, instead of `rules.dir`.
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
    /// Only budget days from this one on (YYYY-MM-DD); what earlier days spent is taken from their sums.
    #[arg(long, value_name = "DAY")]
    pub since: Option<jiff::civil::Date>,
    /// Only this advertiser's money.
    #[arg(long, value_name = "ID")]
    pub advertiser: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Make the topics that are missing, then compare all of them. What is there already is never changed.
    Create(TopicsOf),
    /// Compare the topics with the design: partitions, copies, retention. More than designed is fine, and said.
    Check(TopicsOf),
}

#[derive(Debug, Args)]
pub struct TopicsOf {
    #[command(flatten)]
    pub common: Common,
    /// Copies of each partition, instead of `topics.replication`; -1 for the brokers' default.
    #[arg(long, value_name = "COPIES", allow_negative_numbers = true)]
    pub replication: Option<i32>,
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

#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List messages, the newest first, and what waits to be worded.
    List(OutboxList),
    /// Send messages again, at once: those that were given up, dropped, or wait for their turn.
    Retry(OutboxChange),
    /// Drop messages that wait or were given up; they are kept in the ledger and not sent.
    Drop(OutboxChange),
}

#[derive(Debug, Args)]
pub struct OutboxList {
    #[command(flatten)]
    pub common: Common,
    /// Only messages in this state.
    #[arg(long, value_enum, default_value = "all")]
    pub state: MessageState,
    /// Only messages about this campaign.
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// Most messages to list.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// Print JSON, with the bodies.
    #[arg(long)]
    pub json: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MessageState {
    All,
    /// Not sent yet.
    Waiting,
    /// Accepted by its receiver.
    Sent,
    /// Given up.
    Dead,
    /// Dropped by an operator.
    Dropped,
    /// Its channel is not configured.
    Off,
}

#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List dead letters, the newest first.
    List(DlqList),
    /// Show one dead letter: what is wrong, what to do, its key, headers and bytes.
    Show(DlqShow),
    /// Try dead letters again, after their cause is gone: each is charged or taken in once, whatever is killed or run
    /// twice. What fails again stays. Running hosts go on.
    Replay(DlqChange),
    /// Give dead letters up. They are kept in the ledger and are not replayed any more.
    Drop(DlqChange),
}

/// Which dead letters are meant; all of these must hold.
#[derive(Debug, Args)]
pub struct DlqFilter {
    /// Only of this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only of this partition.
    #[arg(long, requires = "topic")]
    pub partition: Option<i32>,
    /// Only at this offset.
    #[arg(long, requires = "partition")]
    pub offset: Option<i64>,
    /// Only with this code, such as UNKNOWN_CAMPAIGN.
    #[arg(long)]
    pub code: Option<String>,
    /// Only of events that name this campaign.
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// Only those that became dead letters at this time or later, such as 2026-01-15T10:30:00Z.
    #[arg(long, value_name = "RFC3339")]
    pub since: Option<jiff::Timestamp>,
    /// Only those that became dead letters before this time.
    #[arg(long, value_name = "RFC3339")]
    pub until: Option<jiff::Timestamp>,
}

#[derive(Debug, Args)]
pub struct DlqList {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub filter: DlqFilter,
    /// Only letters in this state.
    #[arg(long, value_enum, default_value = "open")]
    pub state: DlqState,
    /// Most letters to list.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// Print JSON, with the bytes as text.
    #[arg(long)]
    pub json: bool,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DlqState {
    All,
    /// Neither replayed nor dropped.
    Open,
    /// Charged, taken in or skipped after all.
    Replayed,
    /// Given up by a person.
    Dropped,
}

#[derive(Debug, Args)]
pub struct DlqChange {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub filter: DlqFilter,
    /// All open letters, when nothing else says which.
    #[arg(long, required_unless_present_any = ["topic", "code", "campaign", "since", "until"])]
    pub all: bool,
    /// Change nothing; say what would become of them.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for those who ask later.
    #[arg(long)]
    pub note: String,
}

#[derive(Debug, Args)]
pub struct DlqShow {
    #[command(flatten)]
    pub common: Common,
    #[arg(long)]
    pub topic: String,
    #[arg(long)]
    pub partition: i32,
    #[arg(long)]
    pub offset: i64,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["topic", "device", "history", "stdin"]))]
pub struct Explain {
    #[command(flatten)]
    pub common: Common,
    #[arg(long, requires = "partition", requires = "offset")]
    pub topic: Option<String>,
    #[arg(long, requires = "topic")]
    pub partition: Option<i32>,
    #[arg(long, requires = "topic")]
    pub offset: Option<i64>,
    /// Charges of this device, in the second that begins at `--at`.
    #[arg(long, requires = "at", value_name = "ID")]
    pub device: Option<String>,
    /// When the click occurred, such as 2026-11-20T09:30:00+09:00.
    #[arg(long, requires = "device", value_name = "RFC3339")]
    pub at: Option<String>,
    /// Only charges of this campaign.
    #[arg(long, requires = "device", value_name = "ID")]
    pub campaign: Option<String>,
    /// A history row by its key, for topics that were created again.
    #[arg(long, value_name = "TOPIC:INCARNATION:PARTITION:OFFSET")]
    pub history: Option<String>,
    /// Explain each line `topic partition offset` of standard input in a line of JSON.
    #[arg(long)]
    pub stdin: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct StatementOf {
    #[command(flatten)]
    pub common: Common,
    #[arg(long, value_name = "ID")]
    pub advertiser: String,
    /// The budget day, in each campaign's own time zone.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub day: String,
    /// Time zone in which top-ups are dated.
    #[arg(long, default_value = "Asia/Seoul")]
    pub zone: String,
    /// Print CSV with amounts in micros.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Duplicates {
    #[command(flatten)]
    pub common: Common,
    /// Only of this advertiser.
    #[arg(long, value_name = "ID")]
    pub advertiser: Option<String>,
    /// Only of this campaign.
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// Only this window; it ends when the ledger was last watched completely.
    #[arg(long, value_enum)]
    pub window: Option<WindowChoice>,
    /// Most advertisers, and most campaigns, of each window.
    #[arg(long, default_value_t = 20)]
    pub top: u32,
    /// Leave out whoever has fewer clicks in a window.
    #[arg(long, default_value_t = 1)]
    pub clicks_min: u32,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WindowChoice {
    #[value(name = "5m")]
    FiveMinutes,
    #[value(name = "1h")]
    Hour,
    #[value(name = "1d")]
    Day,
}

#[derive(Debug, Args)]
pub struct OutboxChange {
    #[command(flatten)]
    pub common: Common,
    /// Keys of messages, as `tollgate outbox list` shows them.
    #[arg(value_name = "KEY", required_unless_present = "all_dead", conflicts_with = "all_dead")]
    pub keys: Vec<String>,
    /// All messages that were given up.
    #[arg(long)]
    pub all_dead: bool,
    /// Why, for those who ask later.
    #[arg(long)]
    pub note: String,
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
