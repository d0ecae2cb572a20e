//! The suite's commands; `cargo xtask` prepares what they need and calls them.
#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use tollgate_tests::generator::market::Rates;
use tollgate_tests::harness::host::workspace;
use tollgate_tests::servers::{BROKERS_ENV, POSTGRES_ENV, Servers};
use tollgate_tests::whole::{closed_loop, foreground};
use tollgate_tests::{bench, demo, up};

/// Runs tollgate from outside.
#[derive(Parser)]
enum Task {
    /// Embedded servers and a live view
    Demo {
        #[arg(long, default_value_t = 30)]
        seconds: u32,
        #[arg(long, default_value_t = 500)]
        rate: u32,
        #[arg(long)]
        json: Option<PathBuf>,
        #[arg(long)]
        plain: bool,
    },
    /// All tests against real servers
    Test { filter: Vec<String> },
    /// Real servers in the foreground
    Up {
        #[arg(long)]
        with_flink: bool,
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        window_s: u32,
    },
    /// Events for the servers of `up`
    Produce {
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        campaign_rate: Option<u32>,
        #[arg(long)]
        conversion_rate: Option<u32>,
        #[arg(long)]
        compensations: bool,
        #[arg(long)]
        seconds: u32,
        #[arg(long)]
        brokers: Option<String>,
    },
    /// The whole system, audited
    Loop {
        #[arg(long)]
        minutes: u32,
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        window_s: u32,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        chaos: bool,
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Figures
    Bench {
        #[arg(long)]
        json: Option<PathBuf>,
        #[arg(long)]
        quick: bool,
        /// Measure only this part; may be given several times.
        #[arg(long, value_enum, value_name = "PART")]
        only: Vec<bench::Part>,
    },
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task has found everything good.
fn run(task: Task) -> Result<bool> {
    match task {
        Task::Demo { seconds, rate, json, plain } => {
            demo::run(&demo::Options { seconds, rate, json, plain })
        }
        Task::Test { filter } => test(&filter),
        Task::Up { with_flink: true, rate, window_s } => {
            foreground::run(rate, window_s).map(|()| true)
        }
        Task::Up { .. } => up::up().map(|()| true),
        Task::Produce { rate, campaign_rate, conversion_rate, compensations, seconds, brokers } => {
            let mut rates = Rates::of_ads(rate);
            rates.campaigns = campaign_rate.unwrap_or(rates.campaigns);
            rates.conversions = conversion_rate.unwrap_or(rates.conversions);
            let production = up::Production { rates, seconds, compensations };
            up::produce_events(production, brokers).map(|()| true)
        }
        Task::Loop { minutes, rate, window_s, seed, chaos, json } => {
            closed_loop::run(&closed_loop::Options { minutes, rate, window_s, chaos, seed, json })
        }
        Task::Bench { json, quick, only } => {
            bench::run(&bench::Options { json, quick, only }).map(|()| true)
        }
    }
}

/// Runs the tests of every crate against one set of servers.
fn test(filter: &[String]) -> Result<bool> {
    println!("starting Kafka and Postgres …");
    let servers = Servers::start()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--release", "--workspace", "--no-fail-fast", "--"])
        .args(filter)
        .env(BROKERS_ENV, &servers.brokers)
        .env(POSTGRES_ENV, &servers.postgres_url)
        .current_dir(workspace())
        .status()
        .context("start cargo")?;
    Ok(status.success())
}
