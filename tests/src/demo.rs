//! The demo: embedded Kafka, SQLite and the real host, with a live view and an audit at the end.

mod complaints;
mod story;
mod view;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::mocking::MockCluster;
use serde_json::Value;

use crate::generator::campaigns::{Campaign, campaigns, limit};
use crate::generator::{Generator, Mix};
use crate::harness::host::{Host, Setup};
use crate::harness::now_us;
use crate::harness::status::{DuplicateRate, Status};
use crate::harness::topic::Sender;
use crate::interrupt::on_interrupt;
use crate::pace::{Tally, produce_with};
use crate::servers::folder::Folder;
use complaints::Complaints;
use story::Story;
use view::View;

/// How the demo runs.
#[derive(Clone, Debug)]
pub struct Options {
    pub seconds: u32,
    /// Events a second.
    pub rate: u32,
    pub json: Option<PathBuf>,
    /// Lines instead of a live view.
    pub plain: bool,
}

const TOPIC: &str = "ad-events";
const PARTITIONS: i32 = 8;
/// Topic and partitions of the records that tell the ranking about paused campaigns.
const CAMPAIGN_TOPIC: (&str, i32) = ("campaign-events", 4);
/// Topic and partitions of the compensations for duplicate clicks.
const COMPENSATION_TOPIC: (&str, i32) = ("compensation-events", 4);
/// Topics of the dead letters.
const DEAD_LETTER_TOPICS: [(&str, i32); 2] = [("ad-events.dlq", 1), ("compensation-events.dlq", 1)];
/// The embedded Kafka keeps 5 MB a partition and drops what is older, so nobody may fall far behind.
const RATE_MAX: u32 = 2_000;
/// Seconds after which a click that a compensation counts is taken to be lost.
const SETTLE_S: &str = "5";
/// Window of the duplicate rate that is shown.
const RATE_WINDOW: &str = "1h";
const CAMPAIGNS: usize = 40;
const ADVERTISERS: usize = 12;
const OPENING_MICROS: i64 = 50_000_000_000_000;

/// More clicks than in life, so that there is something to see.
fn mix() -> Mix {
    Mix {
        impressions_ppm: 650_000,
        clicks_ppm: 320_000,
        poison_ppm: 2_000,
        repeats_ppm: 30_000,
        devices: 5_000,
        ..Mix::default()
    }
}

/// Share of the clicks that the first of `CAMPAIGNS` campaigns gets by Zipf's law, in ppm.
const FIRST_SHARE_PPM: u64 = 230_000;

/// Runs the demo; `true` when every event had its fate and the audit is exact.
///
/// # Errors
/// The host does not start, or ends on its own.
pub fn run(options: &Options) -> Result<bool> {
    if options.rate == 0 || options.rate > RATE_MAX {
        bail!("--rate is {}, the embedded Kafka is good for 1 to {RATE_MAX}", options.rate);
    }
    let folder = Folder::new("demo")?;
    let cluster = MockCluster::new(1).context("start the embedded Kafka")?;
    let topics = [(TOPIC, PARTITIONS), CAMPAIGN_TOPIC, COMPENSATION_TOPIC];
    for (topic, partitions) in topics.into_iter().chain(DEAD_LETTER_TOPICS) {
        cluster.create_topic(topic, partitions, 1).context("create an embedded topic")?;
    }
    let brokers = cluster.bootstrap_servers();
    let ledger_url = format!("sqlite://{}", folder.file("ledger.db").display());
    // The embedded Kafka gives its topics no ids, and answers a fetch that finds nothing only after its time is up.
    let setup = Setup::new(&brokers, TOPIC, &ledger_url)
        .key("kafka.topic_ids", "false")
        .key("kafka.properties.\"fetch.wait.max.ms\"", "\"2\"")
        .compensations(COMPENSATION_TOPIC.0)
        .key("compensation.settle_s", SETTLE_S)
        .key("audit.every_ms", "500")
        .dead_letter_topics();
    setup.migrate()?;
    let known = table(options);
    let (parts, pause) =
        ((0, EXHAUSTED_YESTERDAY), Duration::from_secs(options.seconds.into()) / 10);
    let mut story = Story::begin(&ledger_url, &known, OPENING_MICROS, parts, pause)?;
    let mut host = Host::start(&setup)?;

    let tally = Arc::new(Tally::default());
    let last = watch(&host, &brokers, &known, options, &tally, &mut story)?;
    let (messages, crossings, refunds) = story.end(Duration::from_secs(30))?;
    let duplicates = duplicates(&host, &setup, last.charged)?;
    let status = host.terminate(Duration::from_secs(20))?;
    if !status.success() {
        bail!("the host ended with {status}");
    }
    let audit = setup.run(&["audit"]);
    let summary = view::Summary {
        tally: &tally,
        status: &last,
        audit: &audit,
        messages: &messages,
        crossings,
        refunds,
        duplicates,
    };
    summary.print();
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", summary.json()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(summary.exact())
}

/// The duplicate rate of the last hour, once the host's running audit has seen every click.
fn duplicates(host: &Host, setup: &Setup, charged: i64) -> Result<DuplicateRate> {
    let seen = |status: &Status| {
        let clicks = status.watch.duplicates.get(RATE_WINDOW).map(|rate| rate.clicks);
        status.watch.behind == Some(0) && clicks == Some(charged)
    };
    host.wait_status("the running audit", Duration::from_secs(30), seen)?;
    // What the host shows may be older than the last refund.
    let page = setup.run(&["duplicates", "--json", "--window", RATE_WINDOW])?;
    let mut page: Value = serde_json::from_str(&page).context("read the duplicate rate")?;
    serde_json::from_value(page["totals"][0].take()).context("read the duplicate rate")
}

/// The campaign that comes into the demo exhausted, as if a day had passed.
const EXHAUSTED_YESTERDAY: usize = 8;

/// Campaigns of which the first uses up its budget when a bit more than half of the clicks have come.
fn table(options: &Options) -> Vec<Campaign> {
    let mut known = campaigns(4, CAMPAIGNS, ADVERTISERS);
    let events = u64::from(options.rate) * u64::from(options.seconds);
    let clicks = events * u64::from(mix().clicks_ppm) / 1_000_000 * FIRST_SHARE_PPM / 1_000_000;
    limit(&mut known[0], i64::try_from(clicks * 6 / 10).unwrap_or(i64::MAX).max(10));
    // Others come near theirs and stay there.
    for (at, campaign) in known.iter_mut().enumerate().skip(1).take(4) {
        let share = clicks / (at as u64 + 1);
        limit(campaign, i64::try_from(share * 13 / 10).unwrap_or(i64::MAX).max(20));
    }
    known
}

enum Happening {
    Produced(Result<()>),
    Interrupted,
}

/// Produces and shows what becomes of it, until every event has its fate.
fn watch(
    host: &Host,
    brokers: &str,
    known: &[Campaign],
    options: &Options,
    tally: &Arc<Tally>,
    story: &mut Story,
) -> Result<Status> {
    let (happening, happenings) = mpsc::channel();
    let interrupted = happening.clone();
    on_interrupt(move || drop(interrupted.send(Happening::Interrupted)));
    let (sender, mut generator) = (Sender::new(brokers, TOPIC)?, Generator::new(mix(), known));
    let mut complaints = Complaints::new(brokers, COMPENSATION_TOPIC.0, tally)?;
    let (rate, seconds, counting) = (options.rate, options.seconds, Arc::clone(tally));
    thread::spawn(move || {
        let look = |generator: &mut Generator, at_us| complaints.go_on(generator, at_us);
        let result = produce_with(&sender, &mut generator, rate, seconds, &counting, look)
            .and_then(|()| complaints.end(&mut generator, now_us()));
        drop(happening.send(Happening::Produced(result)));
    });
    let mut view = View::new(options);
    let resting = &known[EXHAUSTED_YESTERDAY].id;
    view.tell_deed(&format!("the ledger was told that {resting} was exhausted yesterday"));
    let mut ended: Option<Instant> = None;
    loop {
        match happenings.recv_timeout(view.pause()) {
            Ok(Happening::Produced(result)) => {
                result.context("produce events")?;
                ended = Some(Instant::now());
            }
            Ok(Happening::Interrupted) => tally.stop.store(true, Ordering::Relaxed),
            Err(RecvTimeoutError::Timeout) => {}
            // Both senders are gone only when the producing thread has panicked.
            Err(RecvTimeoutError::Disconnected) if ended.is_none() => {
                bail!("the producer has ended without a word")
            }
            Err(RecvTimeoutError::Disconnected) => {}
        }
        let status = host.status().context("the host does not answer")?;
        let news = story.go_on()?;
        news.deeds.iter().for_each(|deed| view.tell_deed(deed));
        news.messages.iter().for_each(|message| view.tell(message));
        view.show(tally, &status, news.refunds);
        let fates = status.charged + status.skipped + status.dead_letters;
        let overdue = ended.is_some_and(|ended| ended.elapsed() > Duration::from_secs(30));
        if ended.is_some() && (fates >= tally.produced() || overdue) {
            view.end();
            return Ok(status);
        }
    }
}
