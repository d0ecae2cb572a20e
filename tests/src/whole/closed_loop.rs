//! The closed loop: traffic with known duplicates, charges, Flink, compensations, refunds; a budget that is used up, the
//! ranking that hears of it, and an audit of everything against the generator's own knowledge.

mod report;
mod story;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{mem, thread};

use anyhow::{Context, Result, anyhow};

use super::found;
use super::judge::{Claim, Ends, Logs, judge};
use super::system::{ADS, CONVERSIONS, Shape, System};
use super::traffic::{self, Senders};
use crate::generator::campaigns::{Campaign, campaigns, limit};
use crate::generator::market::{Market, Rates, Stream};
use crate::harness::now_us;
use crate::harness::topic::{Sender, watermarks};
use crate::wait::wait_until;
use report::{Delays, Report};
use story::Story;

/// How the loop is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the shop has visitors.
    pub minutes: u32,
    /// Ad events a second; other topics in the design's proportions.
    pub rate: u32,
    /// Length of the windows of duplicates and performance.
    pub window_s: u32,
    /// Kills Flink, the host and Redis meanwhile.
    pub chaos: bool,
    pub seed: u64,
    pub json: Option<PathBuf>,
}

/// Campaign whose budget is used up. It gets about 9 of 1,000 events as clicks.
const STAR: usize = 3;
const STAR_SECONDS: u32 = 15;
const CAMPAIGNS: usize = 200;
const ADVERTISERS: usize = 40;
const LATE_S: u32 = 2;
const OUT_OF_ORDER_S: u32 = 4;
/// How long statements and host may take after the traffic until all is as it has to be.
const SETTLE: Duration = Duration::from_secs(240);

/// Runs the loop; tells whether all claims hold.
///
/// # Errors
/// A server does not come up or goes away for good.
pub fn run(options: &Options) -> Result<bool> {
    let shape = Shape {
        rates: Rates::of_ads(options.rate),
        window_s: options.window_s,
        late_s: LATE_S,
        out_of_order_s: OUT_OF_ORDER_S,
    };
    let known = table(options.rate);
    let mut system = System::start(&shape, &known, |setup| setup)?;
    let market = Market::new(shape.plan(options.seed, vec![STAR]), &known, now_us());
    system.describe(&market)?;
    println!("{} minutes of traffic, {} ad events/s …", options.minutes, options.rate);
    let played = play(&mut system, market, options)?;
    println!("the shop is closed; waiting for Flink and the host …");
    let logs = close(&system, &shape, &played)?;
    let begin = Instant::now();
    let claims = settle(&mut system, &played.market, &logs)?;
    let settled = begin.elapsed();
    let (is_exact, audit) = system.audit()?;
    let report = Report {
        options: options.clone(),
        claims,
        is_exact,
        audit,
        delays: delays(&mut system, &logs)?,
        story: played.story,
        lag: played.lag,
        memory: report::memory(&system)?,
        settled_ms: u64::try_from(settled.as_millis())?,
        counts: Stream::ALL.map(|stream| (stream.topic(), played.market.diary().total(stream))),
    };
    report.print();
    if let Some(path) = &options.json {
        std::fs::write(path, report.json()?).with_context(|| path.display().to_string())?;
    }
    Ok(report.is_good())
}

/// What has happened while the shop was open.
struct Played {
    market: Market,
    end_us: i64,
    story: Story,
    lag: Vec<report::Lag>,
}

fn table(rate: u32) -> Vec<Campaign> {
    let mut known = campaigns(17, CAMPAIGNS, ADVERTISERS);
    let clicks = i64::from(rate) * 9 * i64::from(STAR_SECONDS) / 1_000;
    limit(&mut known[STAR], clicks.max(5));
    known
}

/// Opens the shop, and meanwhile lets a budget be used up and things go wrong.
fn play(system: &mut System, mut market: Market, options: &Options) -> Result<Played> {
    let (senders, stop) = (Senders::new(&system.servers.brokers)?, &AtomicBool::new(false));
    let star = story::Star::of(&market, STAR);
    let end_us = now_us() + i64::from(options.minutes) * 60_000_000;
    thread::scope(|scope| {
        let shop = scope.spawn(move || {
            let end_us = traffic::run(&senders, &mut market, end_us, stop)?;
            anyhow::Ok((market, end_us))
        });
        let told = story::tell(system, &star, options.chaos, end_us);
        // Without its end the traffic would go on for nothing.
        stop.store(told.is_err(), Ordering::Relaxed);
        let lag = told.as_ref().map(|_| report::watch_lag(system, end_us));
        let (market, end_us) = shop.join().map_err(|_| anyhow!("the traffic has panicked"))??;
        Ok(Played { market, end_us, lag: lag.unwrap_or_default(), story: told? })
    })
}

/// Lets time go on in every partition, so that all windows of the story end, and reads what was written.
fn close(system: &System, shape: &Shape, played: &Played) -> Result<Logs> {
    let brokers = &system.servers.brokers;
    let wait_us = i64::from(shape.out_of_order_s) * 1_000_000;
    let closer_us = played.end_us + shape.window_us() + wait_us + 1_000_000;
    let at = jiff::Timestamp::from_microsecond(closer_us)?;
    let mut closers = [(Stream::Ads, 0), (Stream::Conversions, 0)];
    for (topic, (_, count)) in [ADS, CONVERSIONS].into_iter().zip(&mut closers) {
        let sender = Sender::new(brokers, topic)?;
        // An impression nobody asks for, and a conversion nothing has led to.
        let event = format!(
            r#"{{"event_type":"IMPRESSION","timestamp":"{at}","device_id":"device_after","campaign_id":"campaign_after","advertiser_id":"advertiser_after","conversion_type":"SIGNUP"}}"#
        );
        for (partition, _) in watermarks(brokers, topic)? {
            // Time goes by records, too.
            sender.send_to(partition, Some(event.as_bytes()), closer_us)?;
            *count += 1;
        }
        sender.flush()?;
    }
    let closed_us = closer_us - wait_us;
    Logs::read(brokers, &Ends { closed_us, window_us: shape.window_us(), closers })
}

/// Looks until all claims hold; gives up after a while and tells those that do not.
fn settle(system: &mut System, market: &Market, logs: &Logs) -> Result<Vec<Claim>> {
    let mut last = Vec::new();
    let looked = wait_until("the system to settle", SETTLE, || match judge(system, market, logs) {
        Ok(claims) => {
            let hold = claims.iter().all(Claim::holds);
            last = claims;
            hold.then_some(Ok(()))
        }
        Err(error) => Some(Err(error)),
    });
    match looked {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(mem::take(&mut last)),
    }
}

/// Time from each duplicate's record to its refund.
fn delays(system: &mut System, logs: &Logs) -> Result<Delays> {
    let refunds = found::refunds(&mut system.ledger)?;
    let delay = |refund: &found::Refunded| {
        Some((refund.refunded_at_us - logs.written_us.get(&refund.place)?) / 1_000)
    };
    Ok(Delays::of(refunds.iter().filter_map(delay).collect()))
}
