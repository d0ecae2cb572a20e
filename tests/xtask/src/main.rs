//! The task runner: prepares what a task needs, then hands over to the suite.
#![forbid(unsafe_code)]

mod build;
mod fuzz;
mod rules;
mod setup;
mod steps;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use setup::Need;
use steps::Steps;

/// What can be done with tollgate in its source folder.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// What `up` starts besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum With {
    Flink,
}

#[derive(Subcommand)]
enum Task {
    /// Show clicks becoming exact money: everything embedded, nothing to install but a compiler for rules
    Demo {
        /// How long clicks come
        #[arg(long, default_value_t = 30)]
        seconds: u32,
        /// Events a second; the embedded Kafka is good for 2,000
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// Write the final figures to this file
        #[arg(long)]
        json: Option<PathBuf>,
        /// A line now and then instead of a live view
        #[arg(long)]
        plain: bool,
    },
    /// Run all tests against real Kafka, Postgres, Redis and mail servers, which are started and stopped
    Test {
        /// Only tests whose names contain one of these
        filter: Vec<String>,
    },
    /// Start real Kafka, Postgres and Redis in the foreground, with campaigns, and a page that shows the messages
    Up {
        /// The whole system: Flink with its statements, the host, and a shop that is open until Ctrl-C
        #[arg(long, value_enum)]
        with: Option<With>,
        /// Events of `ad-events` a second, with Flink
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Length of the windows of duplicates and performance, with Flink; the design's are 300
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=500))]
        window_s: u32,
    },
    /// Send a shop's events to the servers of `up`: campaigns, impressions, clicks, duplicates, conversions
    Produce {
        /// Events of `ad-events` a second; the design's rate is 1,000
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// Events of `campaign-events` a second; otherwise a twentieth of the rate
        #[arg(long)]
        campaign_rate: Option<u32>,
        /// Events of `conversion-events` a second; otherwise a tenth of the rate
        #[arg(long)]
        conversion_rate: Option<u32>,
        /// Send the compensations for duplicates, too, which Flink finds when it runs
        #[arg(long)]
        compensations: bool,
        #[arg(long, default_value_t = 30)]
        seconds: u32,
        /// Address of Kafka when it is not the one of `up`
        #[arg(long)]
        brokers: Option<String>,
    },
    /// Run the whole system with Flink for some minutes: duplicates are found and refunded, a budget is used up, the
    /// ranking hears of it; then everything is audited against what the generator knows
    Loop {
        /// How long the shop has visitors
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
        /// Events of `ad-events` a second; other topics in the design's proportions
        #[arg(long, default_value_t = 1_000)]
        rate: u32,
        /// Length of the windows of duplicates and performance; the design's are 300
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..=500))]
        window_s: u32,
        /// Kill Flink, the host and Redis meanwhile
        #[arg(long)]
        chaos: bool,
        /// Another seed makes another story
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Write the figures to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Build the rules into WASM modules
    Rules,
    /// Measure rules, throughput and latency
    Bench {
        /// Write the figures to this file
        #[arg(long)]
        json: Option<PathBuf>,
        /// A tenth of the work, for a first look
        #[arg(long)]
        quick: bool,
        /// Measure only this part: rules, latency, refunds, messages or throughput; may be given several times.
        #[arg(long, value_name = "PART")]
        only: Vec<String>,
    },
    /// Formatting and lints, as CI demands them
    Check,
    /// Fuzz what strangers can give to the host: modules, and their answers
    Fuzz {
        /// Only this one, otherwise all of them one after the other
        target: Option<fuzz::Target>,
        /// How long each is fuzzed
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// How many inputs each is given, instead of a time
        #[arg(long, conflicts_with = "seconds")]
        runs: Option<u32>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let steps = Steps::new();
    match task {
        Task::Rules => build_rules(&root, &steps),
        Task::Check => build::check(&root, &steps),
        Task::Fuzz { target, seconds, runs } => {
            build_rules(&root, &steps)?;
            let targets = target.map_or(fuzz::Target::ALL.to_vec(), |target| vec![target]);
            let until = runs.map_or(fuzz::Until::Seconds(*seconds), fuzz::Until::Runs);
            fuzz::fuzz(&root, &steps, &targets, until)
        }
        Task::Produce { .. } => {
            build::host_and_suite(&root, &steps)?;
            suite(&root, task)
        }
        Task::Demo { .. } => {
            prepare(&root, &steps, &[])?;
            suite(&root, task)
        }
        Task::Test { .. } | Task::Up { .. } | Task::Loop { .. } | Task::Bench { .. } => {
            let mut needs = vec![Need::Kafka, Need::Postgres, Need::Redis, Need::Mail];
            let tests = matches!(task, Task::Test { filter } if wants_flink(filter));
            if tests || matches!(task, Task::Loop { .. } | Task::Up { with: Some(With::Flink), .. })
            {
                needs.push(Need::Flink);
            }
            prepare(&root, &steps, &needs)?;
            suite(&root, task)
        }
    }
}

/// Whether tests of statements are among those with one of these in their names.
fn wants_flink(filter: &[String]) -> bool {
    filter.is_empty()
        || filter.iter().any(|part| "statements".contains(part) || part.contains("statements"))
}

fn prepare(root: &Path, steps: &Steps, needs: &[Need]) -> Result<()> {
    setup::ensure(root, steps, needs)?;
    build_rules(root, steps)?;
    build::host_and_suite(root, steps)
}

fn build_rules(root: &Path, steps: &Steps) -> Result<()> {
    let step =
        steps.begin("rules to WASM modules", "the first time compiles Rust's standard library");
    let built = rules::build_rules(root)?;
    let shown = built.iter().map(|rule| format!("{} {} kB", rule.name, rule.bytes / 1_000));
    let folder = built.first().and_then(|rule| rule.path.parent()).unwrap_or(root);
    let folder = folder.strip_prefix(root).unwrap_or(folder).display();
    step.done(&format!("{folder}: {}", shown.collect::<Vec<_>>().join(", ")));
    Ok(())
}

/// Becomes the suite, so that signals and the exit code are its own.
fn suite(root: &Path, task: &Task) -> Result<()> {
    let mut command = Command::new(root.join("target/release/suite"));
    build::forget_package(&mut command);
    match task {
        Task::Demo { seconds, rate, json, plain } => {
            command.args(["demo", "--seconds", &seconds.to_string(), "--rate", &rate.to_string()]);
            command.args(json.iter().flat_map(|path| [Path::new("--json"), path]));
            command.args(plain.then_some("--plain"));
        }
        Task::Test { filter } => {
            command.arg("test").args(filter);
        }
        Task::Produce { rate, campaign_rate, conversion_rate, compensations, seconds, brokers } => {
            let (rate, seconds) = (rate.to_string(), seconds.to_string());
            command.args(["produce", "--rate", &rate, "--seconds", &seconds]);
            let rates =
                [("--campaign-rate", campaign_rate), ("--conversion-rate", conversion_rate)];
            for (name, rate) in rates {
                command.args(rate.iter().flat_map(|rate| [name.to_owned(), rate.to_string()]));
            }
            command.args(compensations.then_some("--compensations"));
            command.args(brokers.iter().flat_map(|address| ["--brokers", address]));
        }
        Task::Bench { json, quick, only } => {
            command.arg("bench").args(json.iter().flat_map(|path| [Path::new("--json"), path]));
            command.args(quick.then_some("--quick"));
            command.args(only.iter().flat_map(|part| ["--only", part]));
        }
        Task::Up { with, rate, window_s } => {
            command.args(["up", "--rate", &rate.to_string(), "--window-s", &window_s.to_string()]);
            command.args((*with == Some(With::Flink)).then_some("--with-flink"));
        }
        Task::Loop { minutes, rate, window_s, chaos, seed, json } => {
            command.args(["loop", "--minutes", &minutes.to_string(), "--rate", &rate.to_string()]);
            command.args(["--window-s", &window_s.to_string(), "--seed", &seed.to_string()]);
            command.args(chaos.then_some("--chaos"));
            command.args(json.iter().flat_map(|path| [Path::new("--json"), path]));
        }
        Task::Rules | Task::Check | Task::Fuzz { .. } => return Ok(()),
    }
    Err(command.exec()).context("start the suite")
}
