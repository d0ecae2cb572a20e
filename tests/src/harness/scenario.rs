//! What every scenario begins with: a topic, a ledger with campaigns, and a host's configuration for them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::host::{Host, Setup};
use super::ledger::Ledger;
use super::now_us;
use super::topic::{self, Log, Sender};
use super::verify::{verify, verify_refunds};
use crate::generator::campaigns::{Campaign, campaigns, limit};
use crate::generator::{Generator, Mix};
use crate::model::refunds::Refunds;
use crate::model::{Model, Outcome};
use crate::servers::Servers;
use crate::servers::folder::Folder;
use crate::servers::kafka::{create_topic, delete_topic};
use crate::servers::postgres::create_database;
use crate::wait::wait_until;

/// How long a host may take to charge everything; a limit for hanging, not a measure of speed.
const CHARGE_LIMIT: Duration = Duration::from_secs(240);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const OPENING_MICROS: i64 = 1_000_000_000_000_000;

/// A topic, a ledger and the campaigns in it.
pub struct Scenario {
    pub brokers: String,
    pub topic: String,
    pub setup: Setup,
    pub campaigns: Vec<Campaign>,
    pub ledger: Ledger,
    _folder: Folder,
}

/// Which database keeps the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Postgres,
    Sqlite,
}

impl Scenario {
    /// A fresh topic of 8 partitions and a fresh ledger, both named after the scenario.
    ///
    /// # Errors
    /// A server refuses.
    pub fn new(name: &str, database: Database, campaigns: Vec<Campaign>) -> Result<Self> {
        let servers = Servers::shared()?;
        let (topic, folder) = (format!("suite-{name}"), Folder::new(name)?);
        // A topic that an earlier run has left behind; usually there is none.
        drop(delete_topic(&servers.brokers, &topic));
        create_topic(&servers.brokers, &topic, 8, 7)?;
        let url = match database {
            Database::Postgres => create_database(&servers.postgres_url, &topic.replace('-', "_"))?,
            Database::Sqlite => format!("sqlite://{}", folder.file("ledger.db").display()),
        };
        // Killed members leave the group after their session only, and tests should not wait for that.
        let setup = Setup::new(&servers.brokers, &topic, &url)
            .key("kafka.session_timeout_ms", "6000")
            // Hosts are asked whether they can end well, not how fast.
            .key("shutdown.drain_ms", "100000")
            .campaign_events("");
        setup.migrate()?;
        let mut ledger = Ledger::open(&url)?;
        ledger.load(&campaigns, OPENING_MICROS)?;
        let brokers = servers.brokers.clone();
        Ok(Self { brokers, topic, setup, campaigns, ledger, _folder: folder })
    }

    /// With a fresh topic of 4 partitions for compensations.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn with_compensations(mut self) -> Result<Self> {
        let topic = self.compensation_topic();
        drop(delete_topic(&self.brokers, &topic));
        create_topic(&self.brokers, &topic, 4, 3)?;
        self.setup = self.setup.compensations(&topic);
        Ok(self)
    }

    #[must_use]
    pub fn compensation_topic(&self) -> String {
        format!("{}-compensations", self.topic)
    }

    /// # Errors
    /// The address is unusable.
    pub fn compensation_sender(&self) -> Result<Sender> {
        Sender::bulk(&self.brokers, &self.compensation_topic())
    }

    /// # Errors
    /// The address is unusable.
    pub fn sender(&self) -> Result<Sender> {
        Sender::bulk(&self.brokers, &self.topic)
    }

    /// Produces `count` events at once.
    ///
    /// # Errors
    /// The broker does not take them.
    pub fn produce(&self, mix: Mix, count: usize) -> Result<()> {
        let (sender, mut generator) = (self.sender()?, Generator::new(mix, &self.campaigns));
        for _ in 0..count {
            let at_us = now_us();
            sender.send(&generator.next(at_us), at_us)?;
        }
        sender.flush()
    }

    /// Offsets that the ledger is done with.
    ///
    /// # Errors
    /// The database does not answer.
    pub fn done(&mut self) -> Result<i64> {
        let topic = self.topic.clone();
        self.done_of(&topic)
    }

    fn done_of(&mut self, topic: &str) -> Result<i64> {
        Ok(self.ledger.progress(topic)?.iter().map(|row| row.next_offset).sum())
    }

    /// Waits until the ledger is done with everything that is in the topic now.
    ///
    /// # Errors
    /// It is not in time; the sentence says how far it came, and ends with the host's log.
    pub fn wait_charged(&mut self, host: &Host) -> Result<()> {
        let topic = self.topic.clone();
        self.wait_taken(host, &topic)
    }

    /// Waits until every compensation that is in their topic now was taken in, and all but some are settled.
    ///
    /// # Errors
    /// As `wait_charged`.
    pub fn wait_settled(&mut self, host: &Host, but: i64) -> Result<()> {
        self.wait_taken(host, &self.compensation_topic())?;
        let waiting = "SELECT count(*) FROM compensations WHERE state = 'WAITING'";
        let settled = wait_until("the compensations to be settled", CHARGE_LIMIT, || {
            self.ledger.number(waiting).ok().filter(|waiting| *waiting <= but)
        });
        if settled.is_err() {
            let waiting = self.ledger.number(waiting)?;
            bail!("{waiting} compensations are waiting instead of {but}:\n{}", tail(host));
        }
        Ok(())
    }

    fn wait_taken(&mut self, host: &Host, topic: &str) -> Result<()> {
        let ends = topic::watermarks(&self.brokers, topic)?;
        let end: i64 = ends.iter().map(|(_, (_, high))| high).sum();
        let taken = wait_until("the ledger to reach the end", CHARGE_LIMIT, || {
            self.done_of(topic).ok().filter(|done| *done >= end)
        });
        if taken.is_err() {
            let done = self.done_of(topic)?;
            bail!("{done} of {end} offsets of {topic} are done:\n{}", tail(host));
        }
        Ok(())
    }

    /// Holds the ledger against the model and runs the host's own audit.
    ///
    /// # Errors
    /// They differ.
    pub fn verify(&mut self, model: &Model) -> Result<Outcome> {
        let log = Log::read(&self.brokers, &self.topic)?;
        let outcome = verify(&log, &mut self.ledger, model)?;
        self.setup.run(&["audit"]).context("the audit")?;
        Ok(outcome)
    }

    /// As `verify`, with compensations.
    ///
    /// # Errors
    /// They differ.
    pub fn verify_refunds(&mut self, model: &Model) -> Result<(Outcome, Refunds)> {
        let clicks = Log::read(&self.brokers, &self.topic)?;
        let compensations = Log::read(&self.brokers, &self.compensation_topic())?;
        let judged = verify_refunds(&clicks, &compensations, &mut self.ledger, model)?;
        self.setup.run(&["audit"]).context("the audit")?;
        Ok(judged)
    }

    /// Runs one host over what is in the topic, stops it, and verifies.
    ///
    /// # Errors
    /// The host fails, or the ledger is wrong.
    pub fn charge_and_verify(&mut self, model: &Model) -> Result<Outcome> {
        let mut host = Host::start(&self.setup)?;
        self.wait_charged(&host)?;
        let status = host.terminate(STOP_LIMIT)?;
        if !status.success() {
            bail!("the host ended with {status}:\n{}", host.log());
        }
        self.verify(model)
    }
}

/// The end of a host's log.
fn tail(host: &Host) -> String {
    let log = host.log();
    log[log.ceil_char_boundary(log.len().saturating_sub(4_000))..].to_owned()
}

/// Campaigns of which the first three have small budgets and it is about noon, so that no midnight comes between
/// a click and the pause it causes.
#[must_use]
pub fn limited_campaigns(count: usize, advertisers: usize) -> Vec<Campaign> {
    let mut known = campaigns(3, count, advertisers);
    for (campaign, clicks) in known.iter_mut().zip([40, 300, 1_000]) {
        limit(campaign, clicks);
        campaign.time_zone = noon_zone();
    }
    known
}

/// A time zone in which it is about noon.
#[must_use]
pub fn noon_zone() -> String {
    zone_at(12)
}

/// A time zone in which it is about this hour.
#[must_use]
pub fn zone_at(hour: i8) -> String {
    let ahead = hour - Timestamp::now().to_zoned(TimeZone::UTC).hour();
    let ahead = if ahead < -12 { ahead + 24 } else { ahead };
    // The names of these zones count westward.
    if ahead >= 0 { format!("Etc/GMT-{ahead}") } else { format!("Etc/GMT+{}", -ahead) }
}
