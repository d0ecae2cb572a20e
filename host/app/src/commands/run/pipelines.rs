//! The ways of clicks and of compensations: for each its lanes, and a writer with its own connection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tollgate_ledger::{Ledger, LedgerConfig};
use tollgate_stream::{Lanes, StreamConfig};

use super::settings::{
    compensation_stream, fence_limits, owner, recorder, stream_config, valve_limits,
};
use super::side::Shared;
use super::{Host, ledger_config, unavailable};
use crate::admin::Streams;
use crate::pipeline::gather::Gather;
use crate::pipeline::hints::Hints;
use crate::pipeline::spend::SpendPublisher;
use crate::pipeline::stats::Stats;
use crate::pipeline::trial::TrialFeed;
use crate::pipeline::writer::{Writer, WriterParts};
use crate::positions::LedgerPositions;

/// What the writer may take to end after it was told to give up.
const ABANDON_WAIT: Duration = Duration::from_millis(500);

/// Every way that records take through this process.
pub(super) struct Pipelines {
    clicks: Pipeline,
    compensations: Option<Pipeline>,
    /// Set when the host gives up waiting for a drain.
    abandon: Arc<AtomicBool>,
}

struct Pipeline {
    lanes: Arc<Lanes>,
    /// Hears of the writer's end, also of a panic's.
    writer: oneshot::Receiver<()>,
}

impl Pipelines {
    pub(super) async fn start(host: &Host, shared: &Shared) -> anyhow::Result<Self> {
        let abandon = Arc::new(AtomicBool::new(false));
        let config = &host.config;
        let clicks = Way {
            stream: stream_config(config),
            ledger: ledger_config(config),
            stats: Arc::clone(&shared.stats),
        };
        let clicks = clicks.start(host, shared, &abandon).await?;
        let mut pipelines = Self { clicks, compensations: None, abandon };
        if config.compensation.enabled {
            let group = config.compensation.group.clone();
            let compensations = Way {
                stream: compensation_stream(config),
                ledger: LedgerConfig { group, ..ledger_config(config) },
                // Clicks are what `/status` counts; refunds are counted where they are settled.
                stats: Arc::new(Stats::new()?),
            };
            let started = compensations.start(host, shared, &pipelines.abandon).await?;
            pipelines.compensations = Some(started);
        }
        Ok(pipelines)
    }

    pub(super) fn lanes(&self) -> Streams {
        let compensations = self.compensations.as_ref();
        Streams {
            clicks: Arc::clone(&self.clicks.lanes),
            compensations: compensations.map(|pipeline| Arc::clone(&pipeline.lanes)),
        }
    }

    pub(super) fn abandon(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.abandon)
    }

    /// Waits until a writer has ended, which it does on its own only when something is very wrong.
    pub(super) async fn ended(&mut self) {
        let compensations = async {
            match &mut self.compensations {
                Some(pipeline) => drop((&mut pipeline.writer).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.clicks.writer => {}
            () = compensations => {}
        }
    }

    /// Reads no more, writes what was read, leaves the groups. False: it was not done in time.
    pub(super) async fn drain(self, deadline: Duration) -> bool {
        let compensations = async {
            match self.compensations {
                Some(pipeline) => pipeline.drain(deadline).await,
                None => true,
            }
        };
        let (clicks, compensations) = tokio::join!(self.clicks.drain(deadline), compensations);
        clicks && compensations
    }
}

impl Pipeline {
    async fn drain(self, deadline: Duration) -> bool {
        let lanes = self.lanes;
        let report = tokio::task::spawn_blocking(move || lanes.stop(deadline)).await;
        let writer = tokio::time::timeout(ABANDON_WAIT, self.writer).await;
        report.is_ok_and(|report| report.unfinished.is_empty()) && writer.is_ok()
    }
}

/// What one pipeline differs in from another.
struct Way {
    stream: StreamConfig,
    ledger: LedgerConfig,
    stats: Arc<Stats>,
}

impl Way {
    async fn start(
        self,
        host: &Host,
        shared: &Shared,
        abandon: &Arc<AtomicBool>,
    ) -> anyhow::Result<Pipeline> {
        let config = &host.config;
        let mut ledger = Ledger::open(&self.ledger).await.map_err(|error| unavailable(&error))?;
        let loader = &host.loader;
        let rules = loader.patiently(&mut ledger, async |ledger| loader.load_active(ledger).await);
        let rules = rules.await;
        let positions = LedgerPositions::new(ledger, tokio::runtime::Handle::current(), owner());
        let (out, deliveries) =
            crossbeam_channel::bounded(config.batch.slices_waiting_max as usize);
        let lanes = Arc::new(Lanes::start(self.stream, Arc::new(positions), out)?);
        let fence = fence_limits(config)?;
        let writer = start_writer(WriterParts {
            ledger: self.ledger,
            owner: owner(),
            gather: Gather::new(deliveries, config.batch.clicks_max as usize),
            lanes: Arc::clone(&lanes),
            hints: Hints::new(&config.redis, fence.charge_max).context("redis.url")?,
            loader: Arc::clone(&host.loader),
            rules,
            fence,
            valve: valve_limits(config),
            rule_rows_max: config.rules.rows_max as usize,
            recorder: recorder(config)?,
            trials: TrialFeed::new(&shared.trials),
            clock: shared.clock.clone(),
            stats: self.stats,
            outbox: Arc::clone(&shared.outbox),
            compensations: Arc::clone(&shared.compensations),
            dead_letters: Arc::clone(&shared.dead_letters),
            spend: SpendPublisher::start(&config.redis).context("redis.url")?,
            abandon: Arc::clone(abandon),
        })?;
        Ok(Pipeline { lanes, writer })
    }
}

/// Starts the writer's thread.
fn start_writer(parts: WriterParts) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let body = move || {
        let _ended = ended;
        Writer::run(parts);
    };
    std::thread::Builder::new().name("writer".into()).spawn(body)?;
    Ok(end)
}
