//! Everything on its own ports: Kafka, Postgres, a Redis that remembers, Flink with its statements, and a host.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::generator::campaigns::Campaign;
use crate::generator::market::{Market, Plan, Rates};
use crate::harness::host::{Host, Setup};
use crate::harness::ledger::Ledger;
use crate::servers::Servers;
use crate::servers::flink::statements::{Parameters, Statement, attribution_table};
use crate::servers::flink::{Flink, Size};
use crate::servers::postgres::create_database;
use crate::servers::redis::Redis;

/// How fast things are and how long windows last.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rates: Rates,
    /// Length of the windows of duplicates and of performance.
    pub window_s: u32,
    /// How late events come at most, and how long the statements wait for them.
    pub late_s: u32,
    pub out_of_order_s: u32,
}

/// Topics as designed.
pub const ADS: &str = "ad-events";
pub const CAMPAIGNS: &str = "campaign-events";
pub const CONVERSIONS: &str = "conversion-events";
pub const COMPENSATIONS: &str = "compensation-events";

const OPENING_MICROS: i64 = 100_000_000_000_000;
const CHECKPOINT_MS: u32 = 2_000;

/// The running system.
pub struct System {
    pub servers: Servers,
    pub redis: Redis,
    pub flink: Flink,
    pub host: Host,
    pub setup: Setup,
    pub ledger: Ledger,
    pub ledger_url: String,
}

impl Shape {
    /// The plan of the shop's traffic; only tollgate pauses and resumes the campaigns of `left_alone`.
    #[must_use]
    pub fn plan(&self, seed: u64, left_alone: Vec<usize>) -> Plan {
        Plan {
            seed,
            rates: self.rates,
            duplicate_window_us: self.window_us(),
            late_us_max: i64::from(self.late_s) * 1_000_000,
            left_alone,
            ..Plan::default()
        }
    }

    #[must_use]
    pub fn window_us(&self) -> i64 {
        i64::from(self.window_s) * 1_000_000
    }

    /// The statements' parameters.
    fn parameters(&self, brokers: &str, redis: &str, ledger: &str) -> Result<Parameters> {
        let window = clock(self.window_s);
        let (minutes, rest) = (self.window_s / 60, self.window_s % 60);
        let name = match (minutes, rest) {
            (minutes, 0) => format!("{minutes}_MINUTES"),
            _ => format!("{}_SECONDS", self.window_s),
        };
        Parameters::of_servers(brokers, redis, ledger)?
            .with("METRICS_WINDOW", &window)?
            .with("DUPLICATES_WINDOW", &window)?
            // Both ends of a range count, and time is counted in milliseconds.
            .with("DUPLICATE_RANGE", format!("{}.999", clock(self.window_s - 1)))?
            .with("DETECTION_WINDOW", name)?
            .with("OUT_OF_ORDER_S", self.out_of_order_s.to_string())?
            .with("IDLE_TIMEOUT_S", "15")?
            .with("CHECKPOINT_INTERVAL_MS", CHECKPOINT_MS.to_string())
    }
}

fn clock(seconds: u32) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

impl System {
    /// Starts everything and waits until it is at work. `adjust` may change how the host is configured.
    ///
    /// # Errors
    /// A server is not installed or does not come up.
    pub fn start(
        shape: &Shape,
        campaigns: &[Campaign],
        adjust: impl FnOnce(Setup) -> Setup,
    ) -> Result<Self> {
        println!("starting Kafka, Postgres and Redis …");
        let (servers, redis) = (Servers::start()?, Redis::durable()?);
        let ledger_url = create_database(&servers.postgres_url, "tollgate")?;
        let setup = adjust(host_setup(&servers.brokers, &ledger_url, &redis.url()));
        setup.run(&["topics", "create"])?;
        setup.migrate()?;
        let mut ledger = Ledger::open(&ledger_url)?;
        ledger.load(campaigns, OPENING_MICROS)?;
        ledger.execute(&attribution_table()?)?;
        tell_prices(&redis, campaigns)?;
        println!("starting the host and Flink, with {} statements …", Statement::ALL.len());
        let host = Host::start(&setup)?;
        let parameters = shape.parameters(&servers.brokers, &redis.url(), &ledger_url)?;
        let flink = Flink::start(Size { is_lasting: true, ..Size::default() }, parameters)?;
        flink.submit(&Statement::ALL)?;
        Ok(Self { servers, redis, flink, host, setup, ledger, ledger_url })
    }

    /// Writes what campaign events say about campaigns that only tollgate changes into their rows, as an administrator's
    /// server would have done, so that tollgate's own events say it, too.
    ///
    /// # Errors
    /// The database refuses.
    pub fn describe(&mut self, market: &Market) -> Result<()> {
        for at in &market.plan().left_alone {
            let (campaign, advertised) = (&market.campaigns()[*at], market.advertised(*at));
            self.ledger.execute(&format!(
                "UPDATE campaigns SET placement = '{}', category = '{}', bid_micros = {}, approval_status = '{}' \
                 WHERE campaign_id = '{}'",
                advertised.placement,
                advertised.category,
                advertised.bid_micros,
                advertised.approval,
                campaign.id
            ))?;
        }
        Ok(())
    }

    /// Kills Flink and lets all statements go on at their newest checkpoints.
    ///
    /// # Errors
    /// It does not come up again.
    pub fn restart_flink(&mut self) -> Result<()> {
        self.flink.restart()?;
        self.flink.submit(&Statement::ALL)
    }

    /// Kills the host and starts another one.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart_host(&mut self) -> Result<()> {
        self.host.kill();
        self.host = Host::start(&self.setup)?;
        Ok(())
    }

    /// Kills Redis and starts it again with what it had.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart_redis(&mut self) -> Result<()> {
        self.redis.kill();
        self.redis.restart()
    }

    /// Whether the ledger adds up, and what `tollgate audit` said.
    ///
    /// # Errors
    /// The audit cannot be run.
    pub fn audit(&self) -> Result<(bool, String)> {
        let mut audit = self.setup.launch(&["audit"])?;
        let (code, said) = audit.finish(Duration::from_secs(300)).context("tollgate audit")?;
        Ok((code == 0, said))
    }
}

fn host_setup(brokers: &str, ledger_url: &str, redis_url: &str) -> Setup {
    let mut setup = Setup::new(brokers, ADS, ledger_url)
        .compensations(COMPENSATIONS)
        .campaign_events(CAMPAIGNS)
        .dead_letter_topics()
        .redis(redis_url)
        .key("compensation.group", "\"compensation-processor\"");
    "click-balance-processor".clone_into(&mut setup.group);
    setup
}

fn tell_prices(redis: &Redis, campaigns: &[Campaign]) -> Result<()> {
    let prices = campaigns.iter().map(|campaign| {
        let price = campaign.cpc_micros;
        let text = format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        (format!("cpc:{}", campaign.id), text)
    });
    redis.set_all(&prices.collect::<Vec<_>>())
}
