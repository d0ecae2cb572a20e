//! `tollgate outbox`

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use tollgate_ledger::{Delivery, DeliveryFilter, Outcome, State, Which};

use super::{load, open_ledger, runtime, unavailable};
use crate::channels::rfc3339;
use crate::cli::{MessageState, Outbox, OutboxChange, OutboxList};
use crate::exit::Exit;

pub(super) fn execute(command: &Outbox) -> anyhow::Result<Exit> {
    match command {
        Outbox::List(arguments) => list(arguments),
        Outbox::Retry(arguments) => change(arguments, Change::Retry),
        Outbox::Drop(arguments) => change(arguments, Change::Drop),
    }
}

fn list(arguments: &OutboxList) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let filter = DeliveryFilter {
        state: match arguments.state {
            MessageState::All => State::Any,
            MessageState::Waiting => State::Waiting,
            MessageState::Sent => State::Settled(Outcome::Sent),
            MessageState::Dead => State::Settled(Outcome::Dead),
            MessageState::Dropped => State::Settled(Outcome::Dropped),
            MessageState::Off => State::Settled(Outcome::Off),
        },
        campaign: arguments.campaign.clone(),
        limit: arguments.limit as usize,
        ..DeliveryFilter::default()
    };
    let (deliveries, depth) = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        let deliveries = ledger.deliveries(&filter).await.map_err(|error| unavailable(&error))?;
        let depth = ledger.outbox_depth().await.map_err(|error| unavailable(&error))?;
        Ok::<_, anyhow::Error>((deliveries, depth))
    })?;
    if arguments.json {
        let deliveries: Vec<_> = deliveries.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&deliveries)?);
        return Ok(Exit::Ok);
    }
    print_table(&deliveries);
    println!(
        "{} messages listed; in all {} wait, {} were given up, and {} happenings wait to be worded.",
        deliveries.len(),
        depth.waiting,
        depth.dead,
        depth.unworded,
    );
    Ok(Exit::Ok)
}

fn print_table(deliveries: &[Delivery]) {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["created", "to", "title", "state", "tries", "last error", "key"]);
    for delivery in deliveries {
        table.add_row([
            rfc3339(delivery.created_at_us),
            format!("{} {}", delivery.channel, delivery.route),
            delivery.title.clone(),
            state(delivery).to_owned(),
            delivery.attempts.to_string(),
            delivery.last_error.clone().unwrap_or_default(),
            delivery.key.clone(),
        ]);
    }
    println!("{table}");
}

fn to_json(delivery: &Delivery) -> serde_json::Value {
    json!({
        "key": delivery.key,
        "kind": delivery.kind,
        "channel": delivery.channel,
        "route": delivery.route,
        "severity": delivery.severity,
        "title": delivery.title,
        "body": delivery.body,
        "campaign_id": delivery.campaign,
        "advertiser_id": delivery.advertiser,
        "day": delivery.day,
        "state": state(delivery),
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "occurred_at": rfc3339(delivery.occurred_at_us),
        "created_at": rfc3339(delivery.created_at_us),
        "not_before": rfc3339(delivery.next_attempt_at_us),
        "settled_at": delivery.settled_at_us.map(rfc3339),
    })
}

fn state(delivery: &Delivery) -> &'static str {
    delivery.outcome.map_or("WAITING", Outcome::as_str)
}

enum Change {
    Retry,
    Drop,
}

fn change(arguments: &OutboxChange, change: Change) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let OutboxChange { keys, all_dead, note, .. } = arguments;
    let which = if *all_dead { Which::AllDead } else { Which::Keys(keys.clone()) };
    let (changed, done) = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        let outcome = match change {
            Change::Retry => (ledger.retry_deliveries(&which, note).await, "sent again"),
            Change::Drop => (ledger.drop_deliveries(&which, note).await, "not sent any more"),
        };
        let (changed, done) = outcome;
        Ok::<_, anyhow::Error>((changed.map_err(|error| unavailable(&error))?, done))
    })?;
    let noun = if changed == 1 { "message is" } else { "messages are" };
    println!("{changed} {noun} {done}.");
    let all_found = *all_dead || usize::try_from(changed) == Ok(keys.len());
    if !all_found {
        eprintln!(
            "Some keys name no message that this can be done to; `tollgate outbox list` shows them."
        );
    }
    Ok(if all_found { Exit::Ok } else { Exit::Findings })
}
