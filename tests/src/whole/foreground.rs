//! The whole system in the foreground, with a shop that is open until Ctrl-C.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::system::{Shape, System};
use super::traffic::{self, Senders};
use crate::generator::campaigns::{campaigns, limit};
use crate::generator::market::{Market, Rates, Stream};
use crate::harness::now_us;
use crate::interrupt::on_interrupt;
use crate::servers::mail::Mail;
use crate::servers::slack::Slack;
use crate::up::{address_file, page};

/// Campaigns whose budgets are used up while one looks, and how many clicks they last.
const STARS: [(usize, i64); 3] = [(2, 500), (3, 1_000), (5, 2_000)];

/// Starts everything, says where to look, and waits for Ctrl-C.
///
/// # Errors
/// A server does not come up.
pub fn run(rate: u32, window_s: u32) -> Result<()> {
    let rates = Rates::of_ads(rate);
    let shape = Shape { rates, window_s, late_s: 2, out_of_order_s: 4 };
    let mut known = campaigns(17, 200, 40);
    STARS.iter().for_each(|(at, clicks)| limit(&mut known[*at], *clicks));
    let (slack, mail) = (Slack::start()?, Mail::start()?);
    let slack_url = slack.url("default");
    let mut system = System::start(&shape, &known, |setup| {
        setup.slack(&[("default", slack_url)]).email(&mail, &[("default", &["ops@example.com"])])
    })?;
    let page = page::serve(slack, mail.mailbox())?;
    let left_alone = STARS.iter().map(|(at, _)| *at).collect();
    let mut market = Market::new(shape.plan(1, left_alone), &known, now_us());
    system.describe(&market)?;
    fs::write(address_file(), &system.servers.brokers)?;
    print(&system, &shape, &page.url("/"));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    on_interrupt(move || stopped.store(true, Ordering::Relaxed));
    let senders = Senders::new(&system.servers.brokers)?;
    let sent = traffic::run(&senders, &mut market, i64::MAX, &stop);
    drop(fs::remove_file(address_file()));
    sent?;
    for stream in Stream::ALL {
        println!("{}: {} events", stream.topic(), market.diary().total(stream));
    }
    println!("{} duplicate clicks; stopping", market.diary().duplicates().count());
    Ok(())
}

fn print(system: &System, shape: &Shape, page: &str) {
    let Shape { rates, window_s, .. } = shape;
    let (redis, host) = (system.redis.url(), system.host.url());
    let [campaigns, ads, conversions] = [rates.campaigns, rates.ads, rates.conversions];
    println!(
        "\nThe shop is open: {campaigns} campaign, {ads} ad and {conversions} conversion events a second."
    );
    println!("Windows last {window_s} s, so the first figures and refunds come after that.\n");
    println!("Kafka      {}", system.servers.brokers);
    println!("Flink      {}/#/job/running", system.flink.url());
    println!("host       {host}/status, {host}/metrics");
    println!("messages   {page}");
    println!("Redis      {redis}");
    println!("Postgres   {}\n", system.ledger_url);
    println!(
        "ranking    redis-cli -u {redis} --no-raw zrevrange 'rtb:HOME:전자제품/컴퓨터' 0 -1 withscores"
    );
    println!("figures    redis-cli -u {redis} hgetall metrics:campaign_100");
    println!(
        "orders     psql {} -c 'select * from conversion_attribution limit 5'",
        system.ledger_url
    );
    println!(
        "refunds    psql {} -c 'select * from duplicate_click_logs limit 5'",
        system.ledger_url
    );
    println!(
        "audit      TOLLGATE__LEDGER__URL={} target/release/tollgate audit\n",
        system.ledger_url
    );
    println!("Ctrl-C closes the shop, stops the servers and removes their files.");
}
