//! `tollgate explain`

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;

use super::{load, open_ledger, runtime};
use crate::cli::Explain;
use crate::exit::{Exit, ExitError};
use crate::explain::{Explainer, Explanation, Fate, text};
use crate::rules::RuleLoader;

pub(super) fn execute(arguments: &Explain) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let loader = RuleLoader::new(&config)?;
    runtime()?.block_on(async {
        let mut explainer = Explainer::new(open_ledger(&config).await?, loader);
        if arguments.stdin {
            return explain_lines(&mut explainer).await;
        }
        let explanations = explain(&mut explainer, arguments).await?;
        print(&explanations, arguments.json)?;
        Ok(exit(&explanations))
    })
}

async fn explain(
    explainer: &mut Explainer,
    arguments: &Explain,
) -> anyhow::Result<Vec<Explanation>> {
    if let Some(device) = &arguments.device {
        let at = arguments.at.as_deref().unwrap_or_default();
        let at: jiff::Timestamp = at.parse().map_err(|_| {
            usage(format!("--at is {at:?}, expected an instant such as 2026-11-20T09:30:00+09:00"))
        })?;
        let campaign = arguments.campaign.as_deref();
        return explainer.explain_device(device, campaign, at.as_microsecond()).await;
    }
    let (topic, incarnation, partition, offset) = match &arguments.history {
        Some(key) => history_key(key).ok_or_else(|| {
            usage(format!("--history is {key:?}, expected TOPIC:0:PARTITION:OFFSET"))
        })?,
        None => {
            let Explain { topic, partition, offset, .. } = arguments;
            let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) else {
                return Err(usage("name a record: --topic, --partition and --offset".into()).into());
            };
            (topic.as_str(), None, *partition, *offset)
        }
    };
    Ok(vec![explainer.explain(topic, incarnation, partition, offset).await?])
}

/// A line of JSON for each line of `topic partition offset`.
async fn explain_lines(explainer: &mut Explainer) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    let mut worst = Exit::Ok;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        if line.trim().is_empty() {
            continue;
        }
        let (topic, partition, offset) = place(&line)
            .ok_or_else(|| usage(format!("the line {line:?} is not `topic partition offset`")))?;
        let explanation = explainer.explain(topic, None, partition, offset).await?;
        serde_json::to_writer(&mut out, &explanation)?;
        out.write_all(b"\n")?;
        if explanation.again.is_finding() {
            worst = Exit::Findings;
        }
    }
    Ok(worst)
}

fn place(line: &str) -> Option<(&str, i32, i64)> {
    let mut words = line.split_whitespace();
    let place = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(place)
}

fn history_key(key: &str) -> Option<(&str, Option<i32>, i32, i64)> {
    let mut parts = key.rsplitn(4, ':');
    let offset = parts.next()?.parse().ok()?;
    let partition = parts.next()?.parse().ok()?;
    let incarnation = parts.next()?.parse().ok()?;
    Some((parts.next()?, Some(incarnation), partition, offset))
}

fn print(explanations: &[Explanation], json: bool) -> anyhow::Result<()> {
    if json {
        match explanations {
            [one] => println!("{}", serde_json::to_string_pretty(one)?),
            many => println!("{}", serde_json::to_string_pretty(many)?),
        }
        return Ok(());
    }
    let texts: Vec<_> = explanations.iter().map(text).collect();
    print!("{}", texts.join("\n"));
    if explanations.is_empty() {
        println!("The ledger has no charge of this device in that second.");
    }
    Ok(())
}

fn exit(explanations: &[Explanation]) -> Exit {
    let is_known = |one: &Explanation| !matches!(one.fate, Fate::NotRead | Fate::Unknown);
    if explanations.iter().any(|one| one.again.is_finding()) {
        Exit::Findings
    } else if explanations.iter().any(is_known) {
        Exit::Ok
    } else {
        Exit::Failed
    }
}

fn usage(sentence: String) -> ExitError {
    ExitError::new(Exit::Usage, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_lines_and_keys() {
        fn check(line: &str, expected: Option<(&str, i32, i64)>) {
            assert_eq!(place(line), expected, "{line}");
        }
        check("ad-events 2 17", Some(("ad-events", 2, 17)));
        check("  ad-events\t2   17 ", Some(("ad-events", 2, 17)));
        check("ad-events 2", None);
        check("ad-events 2 17 0", None);
        check("ad-events two 17", None);
        assert_eq!(history_key("ad-events:1:2:17"), Some(("ad-events", Some(1), 2, 17)));
        assert_eq!(history_key("ad-events:2:17"), None);
    }
}
