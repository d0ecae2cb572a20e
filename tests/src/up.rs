//! The servers in the foreground, filled as the specification says, for running the host by hand.

pub(crate) mod page;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::generator::campaigns::{Campaign, campaigns, limit};
use crate::generator::market::{Market, Plan, Rates, Stream};
use crate::harness::host::{Setup, workspace};
use crate::harness::ledger::Ledger;
use crate::harness::now_us;
use crate::interrupt::on_interrupt;
use crate::servers::Servers;
use crate::servers::mail::Mail;
use crate::servers::postgres::create_database;
use crate::servers::redis::Redis;
use crate::servers::slack::Slack;
use crate::whole::traffic::{self, Senders};

const CLICK_TOPIC: &str = "ad-events";
const OPENING_MICROS: i64 = 100_000_000_000_000;

/// Budgets, in clicks, of the campaigns that are clicked most. At 500 events a second the first is used up after about
/// five seconds, the last before half a minute is over.
const BUDGETS_CLICKS: [i64; 8] = [100, 80, 80, 70, 70, 60, 60, 50];

/// Where everything that was started is found.
struct Addresses {
    brokers: String,
    ledger_url: String,
    redis_url: String,
    slack_url: String,
    mail_url: String,
    mail_ca_file: PathBuf,
    page_url: String,
}

/// Starts Kafka, Postgres, Redis, a mail server and a stand-in for Slack, fills them, says how to use them and waits for Ctrl-C.
///
/// # Errors
/// A server does not come up.
pub fn up() -> Result<()> {
    println!("starting Kafka, Postgres, Redis, mail and Slack …");
    let (servers, redis) = (Servers::start()?, Redis::start()?);
    let ledger_url = create_database(&servers.postgres_url, "tollgate")?;
    let setup = Setup::new(&servers.brokers, CLICK_TOPIC, &ledger_url).dead_letter_topics();
    print!("{}", setup.run(&["topics", "create"])?);
    setup.migrate()?;
    let known = table();
    Ledger::open(&ledger_url)?.load(&known, OPENING_MICROS)?;
    let prices = known.iter().map(|campaign| {
        let price = campaign.cpc_micros;
        let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        (format!("cpc:{}", campaign.id), text)
    });
    redis.set_all(&prices.collect::<Vec<_>>())?;
    let (slack, mail) = (Slack::start()?, Mail::start()?);
    let slack_url = slack.url("default");
    let page = page::serve(slack, mail.mailbox())?;
    fs::write(address_file(), &servers.brokers)?;
    let addresses = Addresses {
        brokers: servers.brokers.clone(),
        ledger_url,
        redis_url: redis.url(),
        slack_url,
        mail_url: mail.url(),
        mail_ca_file: mail.ca_file(),
        page_url: page.url("/"),
    };
    addresses.print(known.len());
    let (interrupted, wait) = mpsc::channel::<()>();
    on_interrupt(move || drop(interrupted));
    // The channel closes with the first Ctrl-C.
    while wait.recv().is_ok() {}
    println!("\nstopping");
    drop(fs::remove_file(address_file()));
    Ok(())
}

/// What `produce` sends.
#[derive(Clone, Copy, Debug)]
pub struct Production {
    pub rates: Rates,
    pub seconds: u32,
    /// Whether duplicates are told as compensations, too, which is otherwise Flink's part.
    pub compensations: bool,
}

/// Sends events to the servers of `up`, or to `brokers`.
///
/// # Errors
/// There are no such servers.
pub fn produce_events(production: Production, brokers: Option<String>) -> Result<()> {
    let brokers = match brokers {
        Some(brokers) => brokers,
        None => fs::read_to_string(address_file())
            .context("`cargo xtask up` is not running; start it, or give --brokers")?,
    };
    let Production { rates, seconds, compensations } = production;
    let mut senders = Senders::new(&brokers)?;
    if compensations {
        senders = senders.with_compensations(&brokers)?;
    }
    println!(
        "{} campaign, {} ad and {} conversion events/s to {brokers} for {seconds} s",
        rates.campaigns, rates.ads, rates.conversions
    );
    let left_alone = (0..BUDGETS_CLICKS.len()).collect();
    let plan = Plan { rates, left_alone, ..Plan::default() };
    let begin_us = now_us();
    let mut market = Market::new(plan, &table(), begin_us);
    let end_us = begin_us + i64::from(seconds) * 1_000_000;
    traffic::run(&senders, &mut market, end_us, &AtomicBool::new(false))?;
    let diary = market.diary();
    for stream in Stream::ALL {
        let (topic, total, bad) = (stream.topic(), diary.total(stream), diary.count(stream, "bad"));
        println!("{topic}: {total} events, {bad} of them cannot be read");
    }
    let price_micros: i64 = diary.clicks().iter().map(|click| click.price_micros).sum();
    println!(
        "{} clicks worth {price_micros} micros, {} of them duplicates",
        diary.clicks().len(),
        diary.duplicates().count()
    );
    Ok(())
}

/// The campaigns that both commands know.
fn table() -> Vec<Campaign> {
    let mut known = campaigns(11, 500, 100);
    for (campaign, clicks) in known.iter_mut().zip(BUDGETS_CLICKS) {
        limit(campaign, clicks);
    }
    known
}

/// Where `produce` finds the brokers of what runs in the foreground.
pub(crate) fn address_file() -> PathBuf {
    workspace().join("target/up.brokers")
}

impl Addresses {
    fn print(&self, campaigns: usize) {
        let Self { brokers, ledger_url, redis_url, slack_url, mail_url, .. } = self;
        println!("\nKafka {brokers}, with the topics above");
        println!("Postgres {ledger_url}, with {campaigns} campaigns");
        println!("Redis {redis_url}, with their prices");
        println!("Messages {}, a page to look at\n", self.page_url);
        println!("Run the host in another terminal:\n");
        println!("export TOLLGATE__KAFKA__BROKERS={brokers}");
        println!("export TOLLGATE__LEDGER__URL={ledger_url}");
        println!("export TOLLGATE__REDIS__URL={redis_url}");
        println!("export TOLLGATE__SLACK__ROUTES__DEFAULT__URL={slack_url}");
        println!("export TOLLGATE__EMAIL__URL='{mail_url}'");
        println!("export TOLLGATE__EMAIL__CA_FILE={}", self.mail_ca_file.display());
        println!("export TOLLGATE__EMAIL__FROM='tollgate <billing@example.com>'");
        println!("export TOLLGATE__EMAIL__ROUTES__DEFAULT__TO=ops@example.com");
        println!("target/release/tollgate run\n");
        println!("Send events and look at the result in a third one:\n");
        println!("cargo xtask produce --rate 500 --seconds 30 --compensations");
        println!("curl -s localhost:9464/status");
        println!("TOLLGATE__LEDGER__URL={ledger_url} target/release/tollgate audit\n");
        println!("{} campaigns use up their budgets within half a minute.", BUDGETS_CLICKS.len());
        println!("Ctrl-C stops the servers and removes their files.");
    }
}
