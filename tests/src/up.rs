//! The servers in the foreground, filled as the specification says, for running the host by hand.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::generator::campaigns::{Campaign, campaigns};
use crate::generator::{Generator, Mix};
use crate::harness::host::{Setup, workspace};
use crate::harness::ledger::Ledger;
use crate::harness::topic::Sender;
use crate::interrupt::on_interrupt;
use crate::pace::{Tally, produce};
use crate::servers::Servers;
use crate::servers::kafka::{TOPICS, create_topics};
use crate::servers::postgres::create_database;
use crate::servers::redis::Redis;

const CLICK_TOPIC: &str = "ad-events";
const OPENING_MICROS: i64 = 100_000_000_000_000;

/// Starts Kafka, Postgres and Redis, fills them, says how to use them and waits for Ctrl-C.
///
/// # Errors
/// A server does not come up.
pub fn up() -> Result<()> {
    println!("starting Kafka, Postgres and Redis …");
    let (servers, redis) = (Servers::start()?, Redis::start()?);
    create_topics(&servers.brokers)?;
    let ledger_url = create_database(&servers.postgres_url, "tollgate")?;
    Setup::new(&servers.brokers, CLICK_TOPIC, &ledger_url).migrate()?;
    let known = table();
    Ledger::open(&ledger_url)?.load(&known, OPENING_MICROS)?;
    let prices = known.iter().map(|campaign| {
        let price = campaign.cpc_micros;
        let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        (format!("cpc:{}", campaign.id), text)
    });
    redis.set_all(&prices.collect::<Vec<_>>())?;
    fs::write(address_file(), &servers.brokers)?;
    print_lines(&servers.brokers, &ledger_url, &redis.url(), known.len());
    let (interrupted, wait) = mpsc::channel::<()>();
    on_interrupt(move || drop(interrupted));
    // The channel closes with the first Ctrl-C.
    while wait.recv().is_ok() {}
    println!("\nstopping");
    drop(fs::remove_file(address_file()));
    Ok(())
}

/// Sends events to the servers of `up`, or to `brokers`.
///
/// # Errors
/// There are no such servers.
pub fn produce_events(rate: u32, seconds: u32, brokers: Option<String>) -> Result<()> {
    let brokers = match brokers {
        Some(brokers) => brokers,
        None => fs::read_to_string(address_file())
            .context("`cargo xtask up` is not running; start it, or give --brokers")?,
    };
    let (sender, tally) = (Sender::new(&brokers, CLICK_TOPIC)?, Tally::default());
    let mut generator = Generator::new(Mix::default(), &table());
    println!(
        "{rate} events/s to {CLICK_TOPIC} at {brokers} for {} s",
        Duration::from_secs(seconds.into()).as_secs()
    );
    produce(&sender, &mut generator, rate, seconds, &tally)?;
    println!(
        "produced {} events: {} clicks worth {} micros, {} poison",
        tally.produced(),
        tally.clicks(),
        tally.price_micros(),
        tally.poison()
    );
    Ok(())
}

/// The campaigns that both commands know.
fn table() -> Vec<Campaign> {
    campaigns(11, 500, 100)
}

fn address_file() -> PathBuf {
    workspace().join("target/up.brokers")
}

fn print_lines(brokers: &str, ledger_url: &str, redis_url: &str, campaigns: usize) {
    println!("\nKafka {brokers}, with topics");
    for topic in TOPICS {
        let (name, partitions, days) = (topic.name, topic.partitions, topic.retention_days);
        println!("  {name:<20} {partitions} partitions, {days} days");
    }
    println!("Postgres {ledger_url}, with {campaigns} campaigns");
    println!("Redis {redis_url}, with their prices\n");
    println!("Run the host in another terminal:\n");
    println!("export TOLLGATE__KAFKA__BROKERS={brokers}");
    println!("export TOLLGATE__LEDGER__URL={ledger_url}");
    println!("export TOLLGATE__REDIS__URL={redis_url}");
    println!("target/release/tollgate run\n");
    println!("Send events and look at the result in a third one:\n");
    println!("cargo xtask produce --rate 500 --seconds 30");
    println!("curl -s localhost:9464/status");
    println!("TOLLGATE__LEDGER__URL={ledger_url} target/release/tollgate audit\n");
    println!("Ctrl-C stops the servers and removes their files.");
}
