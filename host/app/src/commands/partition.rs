//! `tollgate partition`

use comfy_table::{Table, presets};
use tollgate_ledger::{Ledger, LedgerConfig, Repoint};

use super::{ledger_config, load, open_ledger, runtime, unavailable};
use crate::cli::{Common, GoOn, Partition};
use crate::config::Config;
use crate::exit::{Exit, ExitError};

pub(super) fn execute(command: &Partition) -> anyhow::Result<Exit> {
    match command {
        Partition::List(common) => list(common),
        Partition::GoOn(arguments) => go_on(arguments),
    }
}

fn list(common: &Common) -> anyhow::Result<Exit> {
    let config = load(common, None)?;
    let overview = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        ledger.overview().await.map_err(|error| unavailable(&error))
    })?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "group",
        "topic",
        "partition",
        "next offset",
        "charged",
        "skipped",
        "dead",
        "absent",
        "epoch",
        "held by",
        "halted",
    ]);
    for row in overview.progress {
        table.add_row([
            row.group,
            row.topic,
            row.partition.to_string(),
            row.next_offset.to_string(),
            row.charged.to_string(),
            row.skipped.to_string(),
            row.dead.to_string(),
            row.absent.to_string(),
            row.epoch.to_string(),
            row.owner,
            row.halted_reason.unwrap_or_default(),
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

fn go_on(arguments: &GoOn) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let GoOn { topic, partition, offset, accept_topic_id, note, .. } = arguments;
    let group = config.group_of(topic).ok_or_else(|| no_such_topic(&config, topic))?.to_owned();
    let of_group = LedgerConfig { group, ..ledger_config(&config) };
    runtime()?.block_on(async {
        let ledger = Ledger::open(&of_group).await;
        let mut ledger = ledger.map_err(|error| unavailable(&error))?;
        let repoint = Repoint {
            topic,
            partition: *partition,
            offset: *offset,
            topic_id: accept_topic_id.as_deref(),
            note,
        };
        ledger.repoint(repoint).await.map_err(|error| unavailable(&error))
    })?;
    println!(
        "{topic} partition {partition} goes on at offset {offset}; running hosts notice within seconds"
    );
    Ok(Exit::Ok)
}

fn no_such_topic(config: &Config, topic: &str) -> ExitError {
    let (clicks, compensations) = (&config.kafka.topic, &config.compensation.topic);
    let sentence = format!(
        "{topic} is no topic that this configuration reads: kafka.topic is {clicks}, compensation.topic is \
         {compensations}; correct the name, or give the configuration of the host that reads it"
    );
    ExitError::new(Exit::Usage, sentence)
}
