//! `tollgate dlq replay` and `tollgate dlq drop`

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use tollgate_domain::slice::Reading;
use tollgate_ledger::{Ledger, LedgerConfig, LedgerError, LetterFilter, LetterState, Place};

use super::super::run::settings::{
    compensation_stream, fence_limits, owner, recorder, refund_limits, stream_config,
};
use super::super::{ledger_config, load, open_ledger, runtime, unavailable};
use super::letter_filter;
use crate::cli::{DlqChange, DlqFilter};
use crate::config::Config;
use crate::exit::Exit;
use crate::pipeline::stats::Stats;
use crate::refunds::{RefundParts, Settler};
use crate::replays::{ReplayParts, ReplayWay, Replayer, Tally};
use crate::rules::RuleLoader;

/// Letters of one transaction at most; it holds up the owners of their partitions.
const LETTERS_MAX: usize = 200;

pub(super) fn replay(arguments: &DlqChange) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let tally = runtime()?.block_on(replay_all(&config, arguments))?;
    print_table(&tally, arguments.dry_run);
    Ok(if tally.left() == 0 { Exit::Ok } else { Exit::Findings })
}

pub(super) fn drop_them(arguments: &DlqChange) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let filter = open_letters(&arguments.filter);
    let counts = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        let counts = ledger.count_dead_letters(&filter).await.map_err(|e| unavailable(&e))?;
        if !arguments.dry_run {
            let meant = meant(&arguments.filter);
            let dropped = ledger.drop_dead_letters(&filter, &meant, &arguments.note).await;
            let dropped = dropped.map_err(|error| unavailable(&error))?;
            return Ok(vec![("dropped".to_owned(), dropped)]);
        }
        let would = |(code, count): (String, i64)| (code, u64::try_from(count).unwrap_or(0));
        Ok::<_, anyhow::Error>(counts.into_iter().map(would).collect())
    })?;
    print_rows(if arguments.dry_run { "would be dropped" } else { "dead letters" }, &counts);
    Ok(Exit::Ok)
}

async fn replay_all(config: &Config, arguments: &DlqChange) -> anyhow::Result<Tally> {
    let mut ledger = open_ledger(config).await?;
    let mut filter = open_letters(&arguments.filter);
    // What arrives meanwhile is not meant, so that the command ends.
    let now_us = ledger.clock_us().await.map_err(|error| unavailable(&error))?;
    filter.until_us = Some(filter.until_us.unwrap_or(i64::MAX).min(now_us + 1));
    let counts = ledger.count_dead_letters(&filter).await.map_err(|error| unavailable(&error))?;
    let all = counts.iter().map(|(_, count)| u64::try_from(*count).unwrap_or(0)).sum();
    let mut replayer = replayer(config, arguments, &mut ledger).await?;
    let bar = progress_bar(all);
    let mut after = Place::default();
    loop {
        let letters = ledger.dead_letters_after(&filter, &after).await;
        let letters = letters.map_err(|error| unavailable(&error))?;
        let Some(last) = letters.last() else { break };
        after = last.key();
        replayer.replay(&letters).await.map_err(stopped)?;
        bar.inc(letters.len() as u64);
    }
    bar.finish_and_clear();
    Ok(replayer.tally)
}

/// Replays end at any point without harm.
fn stopped(error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<LedgerError>() {
        Ok(error) => unavailable(&error).into(),
        Err(error) => error,
    };
    error.context("stopped; what was replayed stays, and the same command goes on with the rest")
}

async fn replayer(
    config: &Config,
    arguments: &DlqChange,
    ledger: &mut Ledger,
) -> anyhow::Result<Replayer> {
    let loader = Arc::new(RuleLoader::new(config)?);
    let fence = fence_limits(config)?;
    let compensations =
        LedgerConfig { group: config.compensation.group.clone(), ..ledger_config(config) };
    let mut ways = Vec::new();
    for (stream, ledger, reading) in [
        (stream_config(config), ledger_config(config), Reading::Clicks),
        (compensation_stream(config), compensations, Reading::Compensations),
    ] {
        let ledger = Ledger::open(&ledger).await.map_err(|error| unavailable(&error))?;
        ways.push(ReplayWay { topic: stream.topic, reading, ledger });
    }
    Ok(Replayer::new(ReplayParts {
        rules: loader.load_active(ledger).await?,
        settler: settler(config, &loader, ledger).await?,
        loader,
        ways,
        decode: stream_config(config).decode,
        fence,
        rule_rows_max: config.rules.rows_max as usize,
        meant: meant(&arguments.filter),
        note: arguments.note.clone(),
        dry_run: arguments.dry_run,
    }))
}

/// Settles as the host does; there is nobody here to be woken.
async fn settler(
    config: &Config,
    loader: &Arc<RuleLoader>,
    ledger: &mut Ledger,
) -> anyhow::Result<Settler> {
    let parts = RefundParts {
        ledger: ledger_config(config),
        owner: owner(),
        loader: Arc::clone(loader),
        rule: loader.load_refunder(ledger).await?,
        limits: refund_limits(config),
        fence: fence_limits(config)?,
        recorder: recorder(config)?,
        stats: Arc::new(Stats::new()?),
        arrived: Arc::default(),
        outbox: Arc::default(),
        dead_letters: Arc::default(),
        period: Duration::from_millis(config.compensation.look_ms.into()),
        trials: Arc::default(),
    };
    let own = Ledger::open(&parts.ledger).await.map_err(|error| unavailable(&error))?;
    Ok(Settler::new(parts, own))
}

fn open_letters(given: &DlqFilter) -> LetterFilter {
    LetterFilter { state: LetterState::Open, limit: LETTERS_MAX, ..letter_filter(given) }
}

/// The filter in words, for the record.
fn meant(given: &DlqFilter) -> String {
    let word = |name: &str, value: Option<&dyn Display>| value.map(|v| format!("{name} {v}"));
    let words = [
        word("topic", given.topic.as_ref().map(|v| v as _)),
        word("partition", given.partition.as_ref().map(|v| v as _)),
        word("offset", given.offset.as_ref().map(|v| v as _)),
        word("code", given.code.as_ref().map(|v| v as _)),
        word("campaign", given.campaign.as_ref().map(|v| v as _)),
        word("since", given.since.as_ref().map(|v| v as _)),
        word("until", given.until.as_ref().map(|v| v as _)),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "all open dead letters".to_owned() } else { words.join(", ") }
}

/// On a terminal only.
fn progress_bar(letters: u64) -> ProgressBar {
    let bar = ProgressBar::new(letters);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} dead letters, {eta} to go");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print_table(tally: &Tally, dry_run: bool) {
    print_rows(
        if dry_run { "what would become of them" } else { "what became of them" },
        &tally.rows(),
    );
    let left = tally.left();
    if left > 0 {
        println!("{left} stay dead letters; `tollgate dlq list` says what is wrong with them.");
    }
}

fn print_rows(title: &str, rows: &[(String, u64)]) {
    if rows.is_empty() {
        println!("No open dead letter matches.");
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header([title, "letters"]);
    for (what, count) in rows {
        table.add_row([what.clone(), count.to_string()]);
    }
    println!("{table}");
}
