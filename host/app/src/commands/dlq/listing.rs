//! `tollgate dlq list` and `tollgate dlq show`

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use tollgate_domain::dead::Code;
use tollgate_ledger::{LetterFilter, LetterState, StoredDeadLetter};

use super::super::{load, open_ledger, runtime, unavailable};
use super::letter_filter;
use crate::channels::rfc3339;
use crate::cli::{Common, DlqList, DlqShow, DlqState};
use crate::exit::{Exit, ExitError};

pub(super) fn list(arguments: &DlqList) -> anyhow::Result<Exit> {
    let filter = LetterFilter {
        state: match arguments.state {
            DlqState::All => LetterState::Any,
            DlqState::Open => LetterState::Open,
            DlqState::Replayed => LetterState::Replayed,
            DlqState::Dropped => LetterState::Dropped,
        },
        limit: arguments.limit as usize,
        ..letter_filter(&arguments.filter)
    };
    let letters = read(&arguments.common, &filter)?;
    if arguments.json {
        let letters: Vec<_> = letters.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&letters)?);
        return Ok(Exit::Ok);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "since",
        "topic",
        "partition",
        "offset",
        "state",
        "tries",
        "code",
        "what is wrong",
    ]);
    for letter in &letters {
        table.add_row([
            rfc3339(letter.created_at_us),
            letter.topic.clone(),
            letter.partition.to_string(),
            letter.offset.to_string(),
            state(letter).to_owned(),
            letter.attempts.to_string(),
            letter.code.clone(),
            letter.sentence.clone(),
        ]);
    }
    println!("{table}");
    println!("{} dead letters listed; `tollgate dlq show` tells more about one.", letters.len());
    Ok(Exit::Ok)
}

pub(super) fn show(arguments: &DlqShow) -> anyhow::Result<Exit> {
    let DlqShow { common, topic, partition, offset } = arguments;
    let filter = LetterFilter {
        topic: Some(topic.clone()),
        partition: Some(*partition),
        offset: Some(*offset),
        limit: usize::MAX,
        ..LetterFilter::default()
    };
    let letters = read(common, &filter)?;
    if letters.is_empty() {
        let sentence = format!("{topic} partition {partition} offset {offset} is no dead letter");
        return Err(ExitError::new(Exit::Findings, sentence).into());
    }
    // A topic that was created again can have the same offset twice.
    letters.iter().for_each(print);
    Ok(Exit::Ok)
}

fn read(common: &Common, filter: &LetterFilter) -> anyhow::Result<Vec<StoredDeadLetter>> {
    let config = load(common, None)?;
    runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        Ok(ledger.dead_letters(filter).await.map_err(|error| unavailable(&error))?)
    })
}

fn print(letter: &StoredDeadLetter) {
    let (topic, partition, offset) = (&letter.topic, letter.partition, letter.offset);
    println!("{topic} partition {partition} offset {offset} (incarnation {})", letter.incarnation);
    println!("  what is wrong  {} at {}: {}", letter.code, letter.stage, letter.sentence);
    if let Some(code) = Code::from_name(&letter.code) {
        println!("  what to do     {}", code.hint());
    }
    println!("  since          {}", rfc3339(letter.created_at_us));
    println!("  state          {}", state(letter));
    println!("  failed tries   {}", letter.attempts);
    if let Some(campaign) = &letter.campaign {
        println!("  campaign       {campaign}");
    }
    println!("  record's time  {}", record_time(letter));
    if letter.generation > 0 {
        println!("  rules          generation {}", letter.generation);
    }
    if let Some(key) = &letter.message_key {
        println!("  key            {}", shown(key));
    }
    for (name, value) in &letter.headers {
        let value = value.as_deref().map_or_else(|| "(none)".to_owned(), shown);
        println!("  header         {name}: {value}");
    }
    println!("  value          {}\n", letter.payload.as_deref().map_or("(none)".into(), shown));
}

fn to_json(letter: &StoredDeadLetter) -> serde_json::Value {
    let headers =
        letter.headers.iter().map(|(name, value)| json!([name, value.as_deref().map(shown)]));
    json!({
        "topic": letter.topic,
        "incarnation": letter.incarnation,
        "partition": letter.partition,
        "offset": letter.offset,
        "code": letter.code,
        "stage": letter.stage,
        "sentence": letter.sentence,
        "record_at": record_time(letter),
        "created_at": rfc3339(letter.created_at_us),
        "state": state(letter),
        "attempts": letter.attempts,
        "replayed_at": letter.replayed_at_us.map(rfc3339),
        "dropped_at": letter.dropped_at_us.map(rfc3339),
        "campaign_id": letter.campaign,
        "generation": letter.generation,
        "key": letter.message_key.as_deref().map(shown),
        "headers": headers.collect::<Vec<_>>(),
        "value": letter.payload.as_deref().map(shown),
    })
}

fn state(letter: &StoredDeadLetter) -> &'static str {
    match letter.state() {
        LetterState::Replayed => "REPLAYED",
        LetterState::Dropped => "DROPPED",
        LetterState::Open | LetterState::Any => "OPEN",
    }
}

fn record_time(letter: &StoredDeadLetter) -> String {
    match letter.record_at_ms {
        ..0 => "(none)".to_owned(),
        at_ms => rfc3339(at_ms.saturating_mul(1_000)),
    }
}

/// Bytes as text; what is no text is shown as escapes.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
