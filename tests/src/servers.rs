//! Real servers on free ports in temporary folders, gone when this process is gone.

pub mod flink;
pub mod folder;
pub mod http;
pub mod kafka;
pub mod mail;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod slack;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use kafka::Kafka;
use postgres::Postgres;

/// Address of a running Kafka that tests may use instead of starting one.
pub const BROKERS_ENV: &str = "TOLLGATE_TEST_BROKERS";
/// URL of a running Postgres in which tests may create databases.
pub const POSTGRES_ENV: &str = "TOLLGATE_TEST_POSTGRES_URL";

/// Kafka and Postgres for a run of tests, started here or named by the environment.
pub struct Servers {
    pub brokers: String,
    /// URL of the maintenance database.
    pub postgres_url: String,
    _owned: Option<(Kafka, Postgres)>,
}

impl Servers {
    /// # Errors
    /// A server is not installed or does not come up.
    pub fn start() -> Result<Self> {
        let (kafka, postgres) = (Kafka::start()?, Postgres::start()?);
        Ok(Self {
            brokers: kafka.brokers(),
            postgres_url: postgres.url("postgres"),
            _owned: Some((kafka, postgres)),
        })
    }

    /// The servers of this process, started at the first call.
    ///
    /// # Errors
    /// As `start`; every later call repeats the first error.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Servers, String>> = OnceLock::new();
        let servers = SHARED.get_or_init(|| {
            Self::of_environment()
                .map_or_else(Self::start, Ok)
                .map_err(|error| format!("{error:#}"))
        });
        servers.as_ref().map_err(|error| anyhow!("the servers of the suite: {error}"))
    }

    fn of_environment() -> Option<Self> {
        let brokers = std::env::var(BROKERS_ENV).ok()?;
        let postgres_url = std::env::var(POSTGRES_ENV).ok()?;
        Some(Self { brokers, postgres_url, _owned: None })
    }
}

/// A TCP port of this machine that nobody listens on.
///
/// # Errors
/// The system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
