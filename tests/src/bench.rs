//! Measures rules, latency, refunds, messages and throughput on real servers.

mod messages;
mod refunds;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use crate::generator::campaigns::{Campaign, campaigns};
use crate::generator::{Generator, Mix};
use crate::harness::host::{Host, Setup, workspace};
use crate::harness::ledger::Ledger;
use crate::harness::now_us;
use crate::harness::topic::Sender;
use crate::pace::{Tally, produce};
use crate::servers::Servers;
use crate::servers::kafka::create_topic;
use crate::servers::postgres::create_database;
use crate::wait::wait_until;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Options {
    pub json: Option<PathBuf>,
    /// A tenth of the clicks and a third of the time.
    pub quick: bool,
    /// The parts to measure; all when it is empty.
    pub only: Vec<Part>,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Rules,
    Latency,
    Refunds,
    Messages,
    /// Last, because its checkpoints go on after it.
    Throughput,
}

const CAMPAIGNS: usize = 5_000;
const ADVERTISERS: usize = 1_000;
const CLICKS: i64 = 1_000_000;
const LATENCY_RATE: u32 = 1_000;
const LATENCY_SECONDS: u32 = 30;
const WARM_UP_SECONDS: u32 = 10;

/// # Errors
/// A server or the host does not come up, or the host does not finish.
pub fn run(options: &Options) -> Result<()> {
    let scale = if options.quick { 10 } else { 1 };
    let seconds = if options.quick { LATENCY_SECONDS / 3 } else { LATENCY_SECONDS };
    let mut report = serde_json::Map::new();
    let mut servers = None;
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let measured = match part {
            Part::Rules => rules()?,
            Part::Latency => latency(started(&mut servers)?, seconds)?,
            Part::Refunds => refunds::refunds(started(&mut servers)?, seconds)?,
            Part::Messages => messages::messages(started(&mut servers)?, seconds)?,
            Part::Throughput => throughput(started(&mut servers)?, CLICKS / scale)?,
        };
        println!("{measured:#}\n");
        let name = part.to_possible_value().context("a part has a name")?;
        report.insert(name.get_name().to_owned(), measured);
    }
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", Value::Object(report)))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The servers, which start once.
fn started(servers: &mut Option<Servers>) -> Result<&Servers> {
    if servers.is_none() {
        *servers = Some(Servers::start()?);
    }
    servers.as_ref().context("servers were started")
}

/// Asks the engine's own measurement.
fn rules() -> Result<Value> {
    println!(
        "rules: nanoseconds a click of pricing and threshold together, fresh instances included"
    );
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--release", "--quiet", "--package", "tollgate-engine", "--example"])
        .args(["rule_cost", "--", "--json"])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("the measurement of the rules failed ({})", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let start = text.find('{').context("the measurement of the rules printed no JSON")?;
    let report: Value =
        serde_json::from_str(&text[start..]).context("read the measurement of the rules")?;
    Ok(report["rules"].clone())
}

/// Clicks a second from a full topic to committed rows, and the same rows by one bare COPY.
fn throughput(servers: &Servers, clicks: i64) -> Result<Value> {
    const TOPIC: &str = "bench-throughput";
    println!("throughput: {clicks} clicks over 8 partitions, {CAMPAIGNS} campaigns drawn evenly");
    let known = campaigns(5, CAMPAIGNS, ADVERTISERS);
    create_topic(&servers.brokers, TOPIC, 8, 7)?;
    preload(servers, TOPIC, &known, clicks)?;
    let (setup, mut ledger) = ledger(servers, TOPIC, &known)?;
    let mut host = Host::start(&setup)?;
    let charged = "SELECT CAST(coalesce(sum(charged), 0) AS bigint) FROM consumer_progress";
    wait_until("the host to charge", Duration::from_secs(600), || {
        ledger.number(charged).ok().filter(|charged| *charged >= clicks)
    })?;
    let end_us = now_us();
    // The start of the first transaction; everything before it is the start of the host.
    let begin_us = ledger.number(
        "SELECT CAST(extract(epoch FROM min(created_at)) * 1000000 AS bigint) FROM ad_balance_histories",
    )?;
    let elapsed = Duration::from_micros(end_us.abs_diff(begin_us));
    let per_s = rate(clicks, elapsed);
    host.terminate(Duration::from_secs(20))?;
    let copied_per_s = copy(&mut ledger, clicks)?;
    setup.run(&["audit"]).context("the audit after the measurement")?;
    Ok(json!({
        "clicks_per_s": per_s,
        "copy_rows_per_s": copied_per_s,
        "ratio": f64::from(u32::try_from(per_s)?) / f64::from(u32::try_from(copied_per_s.max(1))?),
    }))
}

/// One COPY of all history from a file of the server into an empty table with the same index: the least that
/// storing these rows can cost.
fn copy(ledger: &mut Ledger, rows: i64) -> Result<i64> {
    ledger.execute(
        "CREATE TABLE bench_copy (LIKE ad_balance_histories INCLUDING ALL);
         COPY (SELECT * FROM ad_balance_histories) TO PROGRAM 'cat > bench.copy' (FORMAT binary);
         CHECKPOINT",
    )?;
    let begin = Instant::now();
    ledger.execute("COPY bench_copy FROM PROGRAM 'cat bench.copy' (FORMAT binary)")?;
    Ok(rate(rows, begin.elapsed()))
}

/// Time from an event's timestamp to its commit at a steady rate.
fn latency(servers: &Servers, seconds: u32) -> Result<Value> {
    const TOPIC: &str = "bench-latency";
    println!("latency: {LATENCY_RATE} clicks/s for {seconds} s");
    let known = campaigns(6, CAMPAIGNS, ADVERTISERS);
    create_topic(&servers.brokers, TOPIC, 8, 7)?;
    let (setup, _ledger) = ledger(servers, TOPIC, &known)?;
    let sender = Sender::new(&servers.brokers, TOPIC)?;
    let mut generator = Generator::new(clicks_only(true), &known);
    let mut run = |seconds| -> Result<_> {
        let (mut host, tally) = (Host::start(&setup)?, Tally::default());
        host.wait_settled(8)?;
        produce(&sender, &mut generator, LATENCY_RATE, seconds, &tally)?;
        let produced = tally.produced();
        let status = host.wait_status("the host to charge", Duration::from_secs(60), |status| {
            status.charged >= produced
        })?;
        host.terminate(Duration::from_secs(20))?;
        Ok(status.latency_ms)
    };
    // A broker that has just started compiles itself for a while; its start is not what is measured.
    run(WARM_UP_SECONDS)?;
    let found = run(seconds)?;
    Ok(json!({
        "rate": LATENCY_RATE,
        "p50_ms": found.p50,
        "p99_ms": found.p99,
        "max_ms": found.max,
    }))
}

fn ledger(servers: &Servers, topic: &str, known: &[Campaign]) -> Result<(Setup, Ledger)> {
    let url = create_database(&servers.postgres_url, &topic.replace('-', "_"))?;
    let setup = Setup::new(&servers.brokers, topic, &url);
    setup.migrate()?;
    let mut ledger = Ledger::open(&url)?;
    ledger.load(known, 1_000_000_000_000_000)?;
    Ok((setup, ledger))
}

fn preload(servers: &Servers, topic: &str, known: &[Campaign], clicks: i64) -> Result<()> {
    let sender = Sender::bulk(&servers.brokers, topic)?;
    let mut generator = Generator::new(clicks_only(false), known);
    for _ in 0..clicks {
        let at_us = now_us();
        sender.send(&generator.next(at_us), at_us)?;
    }
    sender.flush()
}

fn clicks_only(zipf: bool) -> Mix {
    Mix { impressions_ppm: 0, clicks_ppm: 1_000_000, poison_ppm: 0, zipf, ..Mix::default() }
}

/// Whole units a second.
fn rate(count: i64, elapsed: Duration) -> i64 {
    let micros = i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX).max(1);
    i64::try_from(i128::from(count) * 1_000_000 / micros).unwrap_or(i64::MAX)
}
