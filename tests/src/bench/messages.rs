//! How soon somebody is told, and whether receivers that never answer slow the charges down.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ADVERTISERS, CAMPAIGNS, WARM_UP_SECONDS, clicks_only, ledger};
use crate::generator::Generator;
use crate::generator::campaigns::{Campaign, campaigns, limit};
use crate::harness::host::{Host, Setup};
use crate::harness::now_us;
use crate::harness::status::Latency;
use crate::harness::topic::Sender;
use crate::pace::{Tally, produce};
use crate::servers::Servers;
use crate::servers::kafka::create_topic;
use crate::servers::mail::Mail;
use crate::servers::slack::{Mode, Slack};
use crate::wait::wait_until;

/// Clicks a second beside those that pause a campaign.
const RATE: u32 = 1_000;

/// Slack channels; each gets a message every `ROUTES * GAP`, so that none waits for its channel's pace.
const ROUTES: usize = 10;
const GAP: Duration = Duration::from_millis(130);

const LIMIT: Duration = Duration::from_secs(60);

/// What one run found.
struct Run {
    charge: Latency,
    /// From a click to the acceptance of the message about its pause, in microseconds, ascending.
    told_us: Vec<i64>,
}

struct Stage<'s> {
    servers: &'s Servers,
    slack: Slack,
    mail: Mail,
    setup: Setup,
    known: Vec<Campaign>,
    /// Campaigns that their first click pauses, and that nobody has clicked yet.
    fresh: std::vec::IntoIter<Campaign>,
}

const TOPIC: &str = "bench-messages";

/// Measures with receivers that answer and with receivers that hang, in turn.
pub(super) fn messages(servers: &Servers, seconds: u32) -> Result<Value> {
    println!("messages: {RATE} clicks/s, a pause every {} ms, {seconds} s a run", GAP.as_millis());
    let mut stage = Stage::new(servers, pauses_in(WARM_UP_SECONDS + 4 * seconds))?;
    stage.run(WARM_UP_SECONDS, Mode::Taking)?;
    let (mut answering, mut hanging) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        answering.push(stage.run(seconds, Mode::Taking)?);
        hanging.push(stage.run(seconds, Mode::Hanging)?);
    }
    stage.setup.run(&["audit"]).context("the audit after the measurement")?;
    let mut told_us: Vec<_> = answering.iter().flat_map(|run| run.told_us.clone()).collect();
    told_us.sort_unstable();
    let mean =
        |runs: &[Run]| runs.iter().map(|run| run.charge.p99).sum::<f64>() / runs.len() as f64;
    let (with_answers, without) = (mean(&answering), mean(&hanging));
    Ok(json!({
        "messages": told_us.len(),
        "click_to_slack_p50_ms": ms(quantile(&told_us, 50)),
        "click_to_slack_p99_ms": ms(quantile(&told_us, 99)),
        "click_to_slack_max_ms": ms(quantile(&told_us, 100)),
        "charge_p99_ms_answering": answering.iter().map(|run| run.charge.p99).collect::<Vec<_>>(),
        "charge_p99_ms_hanging": hanging.iter().map(|run| run.charge.p99).collect::<Vec<_>>(),
        "charge_p99_ratio": without / with_answers,
    }))
}

impl<'s> Stage<'s> {
    fn new(servers: &'s Servers, pauses: usize) -> Result<Self> {
        let (slack, mail) = (Slack::start()?, Mail::start()?);
        create_topic(&servers.brokers, TOPIC, 8, 7)?;
        let known = campaigns(8, CAMPAIGNS, ADVERTISERS);
        let (setup, mut ledger) = ledger(servers, TOPIC, &known)?;
        let fresh: Vec<_> = (0..pauses).map(one_click).collect();
        ledger.load(&fresh, 0)?;
        let routes: Vec<_> =
            (0..ROUTES).map(|at| (format!("r{at}"), slack.url(&format!("r{at}")))).collect();
        let routes: Vec<_> =
            routes.iter().map(|(name, url)| (name.as_str(), url.clone())).collect();
        let by_advertiser: Vec<_> =
            (0..ROUTES).map(|at| format!("told_{at}=slack:r{at}+email:ops")).collect();
        let setup = setup
            .slack(&routes)
            .email(&mail, &[("ops", &["ops@example.com"])])
            .campaign_events("")
            // What piled up while nobody answered shall be gone before the next run.
            .key("notify.retry_ms_max", "500")
            .key("notify.deadline_ms", "2000")
            .key("rules.notification.advertiser_routes", format!("{:?}", by_advertiser.join(", ")));
        Ok(Self { servers, slack, mail, setup, known, fresh: fresh.into_iter() })
    }

    fn run(&mut self, seconds: u32, mode: Mode) -> Result<Run> {
        let paused: Vec<_> = self.fresh.by_ref().take(pauses_in(seconds)).collect();
        self.behave(mode)?;
        let mut host = Host::start(&self.setup)?;
        host.wait_settled(8)?;
        let sent_us = self.click(seconds, &paused)?;
        let charged = i64::from(RATE) * i64::from(seconds) + sent_us.len() as i64;
        let status =
            host.wait_status("the host to charge", LIMIT, |status| status.charged >= charged)?;
        let told_us = if mode == Mode::Taking { self.told(&sent_us)? } else { Vec::new() };
        self.behave(Mode::Taking)?;
        host.terminate(LIMIT)?;
        Ok(Run { charge: status.latency_ms, told_us })
    }

    fn behave(&self, mode: Mode) -> Result<()> {
        (0..ROUTES).for_each(|at| self.slack.set(&format!("r{at}"), mode));
        if mode == Mode::Hanging { self.mail.freeze() } else { self.mail.thaw() }
    }

    /// Sends clicks at the rate, and between them one click of each campaign that it pauses. Gives when.
    fn click(&self, seconds: u32, paused: &[Campaign]) -> Result<HashMap<String, i64>> {
        let background = Sender::new(&self.servers.brokers, TOPIC)?;
        let mut generator = Generator::new(clicks_only(true), &self.known);
        let sender = Sender::new(&self.servers.brokers, TOPIC)?;
        thread::scope(|scope| {
            let producing = scope.spawn(move || {
                produce(&background, &mut generator, RATE, seconds, &Tally::default())
            });
            let begin = Instant::now();
            let mut sent_us = HashMap::new();
            for (at, campaign) in paused.iter().enumerate() {
                sender.serve_until(begin + GAP * at as u32);
                let now_us = now_us();
                sender.send_to(at as i32 % 8, Some(click(campaign, now_us).as_bytes()), now_us)?;
                sent_us.insert(campaign.id.clone(), now_us);
            }
            sender.flush()?;
            match producing.join() {
                Ok(produced) => produced?,
                Err(_) => anyhow::bail!("the producer has panicked"),
            }
            Ok(sent_us)
        })
    }

    /// Waits until every pause was told, and gives the times from click to acceptance.
    fn told(&self, sent_us: &HashMap<String, i64>) -> Result<Vec<i64>> {
        let mut told = wait_until("the messages to arrive", LIMIT, || {
            let told = told(&self.slack, sent_us);
            (told.len() >= sent_us.len()).then(|| told.into_values().collect::<Vec<_>>())
        })?;
        told.sort_unstable();
        Ok(told)
    }
}

/// By campaign, the time from its click to the first message that names it.
fn told(slack: &Slack, sent_us: &HashMap<String, i64>) -> HashMap<String, i64> {
    let mut told = HashMap::new();
    for asked in slack.taken() {
        for key in asked.keys() {
            let campaign = key.split(':').nth(1).unwrap_or_default();
            if let Some(sent_us) = sent_us.get(campaign) {
                told.entry(campaign.to_owned()).or_insert(asked.at_us - sent_us);
            }
        }
    }
    told
}

fn pauses_in(seconds: u32) -> usize {
    let pauses = Duration::from_secs(seconds.into()).as_millis() / GAP.as_millis();
    usize::try_from(pauses).unwrap_or(usize::MAX)
}

/// A campaign that its first click pauses.
fn one_click(at: usize) -> Campaign {
    let mut campaign = Campaign {
        id: format!("paused_{at}"),
        advertiser: format!("told_{}", at % ROUTES),
        daily_budget_micros: None,
        cpc_micros: 100_000_000,
        time_zone: "Asia/Seoul".to_owned(),
        status: "ACTIVE",
    };
    limit(&mut campaign, 1);
    campaign
}

fn click(campaign: &Campaign, at_us: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let Campaign { id, advertiser, .. } = campaign;
    json!({
        "event_type": "CLICK", "timestamp": at.to_string(), "campaign_id": id, "advertiser_id": advertiser,
        "device_id": "device_1", "ad_id": "ad_1",
    })
    .to_string()
}

fn quantile(ascending: &[i64], percent: usize) -> i64 {
    let last = ascending.len().saturating_sub(1);
    ascending.get(last * percent / 100).copied().unwrap_or(0)
}

fn ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}
