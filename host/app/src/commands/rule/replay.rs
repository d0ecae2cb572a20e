//! `tollgate rule replay`

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tollgate_domain::day::Day;
use tollgate_domain::money;
use tollgate_ledger::LedgerConfig;
use tollgate_stream::{Bound, Range};
use tollgate_workbench::replay::{
    About, Against, Beginning, CampaignFile, FileRecords, PORTION_RECORDS, Portions, Progress,
    RecordPortions, Replay, Report, Settings, html, replay, table,
};

use super::super::run::settings::{fence_limits, stream_config};
use super::super::{ledger_config, load, open_ledger, runtime, unavailable};
use crate::candidates::{Asked, History, LedgerBeginning, Sides, TopicRecords};
use crate::cli::rule::replay::{Replay as Command, ReplayRule, Spent};
use crate::config::Config;
use crate::exit::{Exit, ExitError};
use crate::rules::RuleLoader;
use crate::rules::folder::read_folder;

pub(super) fn execute(command: &Command) -> anyhow::Result<Exit> {
    let Command::Replay(arguments) = command;
    let limit = arguments.max_delta.as_deref().map(max_delta).transpose()?;
    let config = load(&arguments.common, None)?;
    let loader = RuleLoader::new(&config)?;
    let sides = sides(&config, &loader, arguments)?;
    let report = compare(&config, &sides, arguments)?;
    if let Some(path) = &arguments.html {
        std::fs::write(path, html(&report))
            .with_context(|| format!("--html {}", path.display()))?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report, arguments.top));
    }
    Ok(verdict(&report, limit, arguments))
}

/// The rules of both sides.
fn sides(config: &Config, loader: &RuleLoader, arguments: &ReplayRule) -> anyhow::Result<Sides> {
    let asked = Asked {
        candidates: &arguments.candidate,
        params: &arguments.params,
        against: &arguments.against,
    };
    let engine = loader.engine();
    runtime()?.block_on(async {
        let sides = if arguments.campaigns.is_some() && arguments.file.is_some() {
            Sides::of_folder(engine, read_folder(loader, config)?, asked).await
        } else {
            let mut ledger = open_ledger(config).await?;
            Sides::of_ledger(engine, &mut ledger, asked).await
        };
        sides.map_err(|error| match error.downcast_ref() {
            Some(error) => unavailable(error).into(),
            None => usage(format!("{error:#}")),
        })
    })
}

fn compare(config: &Config, sides: &Sides, arguments: &ReplayRule) -> anyhow::Result<Report> {
    let decode = stream_config(config).decode;
    let settings = Settings {
        fence: fence_limits(config)?,
        decode,
        rule_rows_max: config.rules.rows_max as usize,
    };
    let ledger = ledger_config(config);
    let (about, bar) = (about(sides, arguments), progress_bar(arguments)?);
    let after = sides.after()?;
    let (portions, before) = match &arguments.since {
        Some(since) if arguments.history => {
            let history = History::open(&ledger, Day::from_date(*since), &after);
            let history = history.map_err(|error| unavailable(&error))?;
            (Box::new(history) as Box<dyn Portions>, Against::Answers)
        }
        _ => (records(config, &settings, arguments)?, Against::Rules(Box::new(sides.before()?))),
    };
    let replayed = Replay {
        settings,
        before,
        after: Box::new(after),
        portions,
        beginning: beginning(&ledger, arguments)?,
        about,
    };
    let report = replay(replayed, &mut |progress| show(&bar, progress))
        .map_err(|error| anyhow::anyhow!("{error} ({})", error.code()))?;
    bar.finish_and_clear();
    Ok(report)
}

/// Clicks of a file or a topic.
fn records(
    config: &Config,
    settings: &Settings,
    arguments: &ReplayRule,
) -> anyhow::Result<Box<dyn Portions>> {
    let limits = settings.decode.clone();
    if let Some(path) = &arguments.file {
        let records = FileRecords::open(path).map_err(|error| usage(error.to_string()))?;
        return Ok(Box::new(RecordPortions::new(records, PORTION_RECORDS, limits)));
    }
    let range = Range {
        topic: arguments.topic.clone().unwrap_or_default(),
        from: arguments.from.as_deref().map(|text| bound("--from", text)).transpose()?,
        until: arguments.until.as_deref().map(|text| bound("--until", text)).transpose()?,
        partition: arguments.partition,
    };
    let records = TopicRecords::open(&stream_config(config), &range).map_err(|error| {
        ExitError::new(Exit::Unavailable, format!("{error} ({})", error.code()))
    })?;
    Ok(Box::new(RecordPortions::new(records, PORTION_RECORDS, limits)))
}

fn beginning(ledger: &LedgerConfig, arguments: &ReplayRule) -> anyhow::Result<Box<dyn Beginning>> {
    if let Some(path) = &arguments.campaigns {
        return Ok(Box::new(campaigns(path)?));
    }
    let with_spends = arguments.spent == Spent::Ledger;
    let beginning =
        LedgerBeginning::open(ledger, with_spends).map_err(|error| unavailable(&error))?;
    Ok(Box::new(beginning))
}

fn campaigns(path: &Path) -> anyhow::Result<CampaignFile> {
    CampaignFile::open(path).map_err(|error| usage(error.to_string()))
}

/// What is compared, in words.
fn about(sides: &Sides, arguments: &ReplayRule) -> About {
    let (before, after) = sides.about();
    let ReplayRule { topic, file, from, until, since, .. } = arguments;
    let source = match (topic, file, since) {
        (Some(topic), ..) => {
            let from = from.as_deref().unwrap_or("its beginning");
            let until = until.as_deref().unwrap_or("its end");
            format!("topic {topic} from {from} to {until}")
        }
        (_, Some(file), _) => format!("events of {}", file.display()),
        (.., since) => {
            let since = since.map(|since| since.to_string()).unwrap_or_default();
            format!("clicks charged on {since} and later, against what was really answered")
        }
    };
    let beginning = match (arguments.history, &arguments.campaigns, arguments.spent) {
        (true, ..) => {
            "The candidate's ledger begins with the balances and spends that the first records name."
        }
        (_, Some(_), _) => {
            "Both ledgers begin with the campaigns of the file, and nothing is spent."
        }
        (_, None, Spent::Nothing) => {
            "Both ledgers begin with the campaigns of the ledger as they are now; nothing is spent, and none is paused by its budget."
        }
        (_, None, Spent::Ledger) => {
            "Both ledgers begin with what the ledger says now: campaigns, balances, spends."
        }
    };
    let (notes, before) = if arguments.history {
        let notes = vec![
            "Clicks that became dead letters were not charged, and are not replayed.".to_owned(),
        ];
        (notes, Vec::new())
    } else {
        (sides.notes(), before)
    };
    About { source, beginning: beginning.to_owned(), before, after, notes }
}

fn bound(option: &str, text: &str) -> anyhow::Result<Bound> {
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(Bound::Offset(offset));
    }
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        usage(format!("{option} is {text:?}, expected an offset or an instant such as 2026-11-20T09:30:00+09:00"))
    })?;
    Ok(Bound::AtMs(at.as_millisecond()))
}

/// A share in percent, as ppm.
fn max_delta(text: &str) -> anyhow::Result<i64> {
    let wrong = || usage(format!("--max-delta is {text:?}, expected a share such as 0.05%"));
    let percent = text.trim().trim_end_matches('%').trim_end();
    // Percent with 4 decimals are whole ppm; parsed as millionths of a percent.
    let scaled = money::parse_scaled(percent).map_err(|_| wrong())?;
    if scaled < 0 || scaled % 100 != 0 {
        return Err(wrong());
    }
    Ok(scaled / 100)
}

fn verdict(report: &Report, limit: Option<i64>, arguments: &ReplayRule) -> Exit {
    let Some(limit) = limit else { return Exit::Ok };
    if !report.exceeds(limit) {
        return Exit::Ok;
    }
    let text = arguments.max_delta.as_deref().unwrap_or_default();
    eprintln!("The sum of all charges changes by more than --max-delta {text}.");
    Exit::Findings
}

fn progress_bar(arguments: &ReplayRule) -> anyhow::Result<ProgressBar> {
    if arguments.json || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let template = if arguments.file.is_some() {
        "{bar:30} {bytes}/{total_bytes} {elapsed:>4} eta {eta}"
    } else {
        "{bar:30} {human_pos}/{human_len} {elapsed:>4} eta {eta}"
    };
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(template)?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

fn usage(sentence: String) -> anyhow::Error {
    ExitError::new(Exit::Usage, sentence).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_bounds_are_read() {
        fn check(text: &str, expected: Option<i64>) {
            assert_eq!(max_delta(text).ok(), expected, "{text:?}");
        }
        check("0.05%", Some(500));
        check("0.05 %", Some(500));
        check("5", Some(50_000));
        check("0", Some(0));
        check("0.0001%", Some(1));
        check("0.00001%", None);
        check("-1%", None);
        check("much", None);
        assert_eq!(bound("--from", "17").ok(), Some(Bound::Offset(17)));
        let at = bound("--from", "2026-01-15T10:30:00+09:00").ok();
        assert_eq!(at, Some(Bound::AtMs(1_768_440_600_000)));
        assert!(bound("--from", "yesterday").is_err());
    }
}
