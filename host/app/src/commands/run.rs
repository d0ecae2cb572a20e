//! `tollgate run`: wiring, in the order in which things start, and the drain, in the order in which they end.

mod pipelines;
pub(super) mod settings;
mod side;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tollgate_ledger::{Ledger, LedgerError};

use super::{ledger_config, load, unavailable};
use crate::admin::{self, Admin, Streams};
use crate::cli::Run;
use crate::config::{Config, RuleSource};
use crate::exit::{Exit, ExitError};
use crate::metrics::{BATCH_BUCKETS, LATENCY_BUCKETS, Metric, describe_all};
use crate::pipeline::stats::Stats;
use crate::rules::folder::Folder;
use crate::rules::watch::RuleWatch;
use crate::rules::{LoadError, RuleLoader};
use crate::telemetry;
use crate::trials::Trials;
use crate::watch::Board;

use pipelines::Pipelines;
use settings::owner;
use side::{Shared, SideTasks};

/// Pause between attempts to reach a ledger that is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What threads may take to end after everything was stopped.
const ABANDON_WAIT: Duration = Duration::from_millis(500);

pub(super) fn execute(arguments: &Run) -> anyhow::Result<Exit> {
    let mut config = load(&arguments.common, arguments.rules.as_deref())?;
    if arguments.rules.is_some() {
        config.rules.source = RuleSource::Folder;
    }
    telemetry::start(&config.log);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "tollgate starts");
    let loader = Arc::new(RuleLoader::new(&config)?);
    let mut folder = Folder::new(&config, owner());
    if config.rules.source == RuleSource::Folder {
        folder.read(&loader).map_err(wrong)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tollgate")
        .enable_all()
        .build()?;
    let exit = runtime.block_on(Host { config, loader, migrate: arguments.migrate }.run(folder));
    // Threads that did not end in time hold nothing that the ledger needs.
    runtime.shutdown_timeout(ABANDON_WAIT);
    exit
}

struct Host {
    config: Config,
    loader: Arc<RuleLoader>,
    migrate: bool,
}

impl Host {
    async fn run(self, folder: Folder) -> anyhow::Result<Exit> {
        let mut stop = StopSignals::new()?;
        let (stats, board) = (Arc::new(Stats::new()?), Arc::new(Board::default()));
        let trials = Arc::new(Trials::default());
        let (lanes_known, lanes_seen) = watch::channel(None);
        self.serve_admin(&stats, &board, &trials, lanes_seen).await?;
        let Some(mut ledger) = stop.or(self.reach_ledger()).await.transpose()? else {
            return Ok(Exit::Ok);
        };
        let mut side = SideTasks::new(self.watch_rules(&mut ledger, folder).await?);
        let shared = Shared::new(stats, board, trials);
        let started = async {
            // Rules that this host cannot load are waited out; the admin listener says which.
            self.loader.board.loaded().wait_for(|number| *number > 0).await?;
            side.start(&self, &mut ledger, &shared).await?;
            Pipelines::start(&self, &shared).await
        };
        let Some(mut pipelines) = stop.or(started).await.transpose()? else {
            side.stop().await;
            return Ok(Exit::Ok);
        };
        drop(ledger);
        lanes_known.send_replace(Some(pipelines.lanes()));
        tokio::select! {
            () = stop.first() => tracing::info!("stopping"),
            () = pipelines.ended() => return Err(anyhow!("a writer ended unexpectedly; see the log above")),
        }
        let exit = self.drain(stop, pipelines).await;
        side.stop().await;
        Ok(exit)
    }

    /// What watches the rules. The folder counts as configured; when it does not, it still helps a new ledger out.
    async fn watch_rules(
        &self,
        ledger: &mut Ledger,
        mut folder: Folder,
    ) -> anyhow::Result<RuleWatch> {
        let follows = self.config.rules.source == RuleSource::Folder;
        let is_new = ledger.active_number().await.map_err(|error| unavailable(&error))? == 0;
        if !follows && is_new {
            folder.read(&self.loader).map_err(wrong)?;
        }
        if follows || is_new {
            let activated = folder.activate(&self.loader, ledger).await;
            activated.map_err(|error| match &error {
                LoadError::Ledger(error) => unavailable(error),
                error => ExitError::new(Exit::Usage, format!("{error} ({})", error.code())),
            })?;
        }
        let (config, loader) = (ledger_config(&self.config), Arc::clone(&self.loader));
        Ok(RuleWatch::new(config, loader, &self.config, follows.then_some(folder)))
    }

    async fn serve_admin(
        &self,
        stats: &Arc<Stats>,
        board: &Arc<Board>,
        trials: &Arc<Trials>,
        lanes: watch::Receiver<Option<Streams>>,
    ) -> anyhow::Result<()> {
        let prometheus = install_recorder()?;
        let admin = Arc::new(Admin {
            prometheus,
            stats: Arc::clone(stats),
            board: Arc::clone(board),
            loader: Arc::clone(&self.loader),
            trials: Arc::clone(trials),
            lanes,
        });
        let listen = self.config.admin.listen.parse().context("admin.listen")?;
        admin::serve(listen, admin).await
    }

    /// Opens the ledger, waiting for a server that is away.
    async fn reach_ledger(&self) -> anyhow::Result<Ledger> {
        loop {
            let error = match self.open_ledger().await {
                Ok(ledger) => return Ok(ledger),
                Err(error) => error,
            };
            if !error.is_outage() {
                return Err(unavailable(&error).into());
            }
            tracing::warn!(%error, "the ledger cannot be reached; trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn open_ledger(&self) -> Result<Ledger, LedgerError> {
        let mut ledger = Ledger::open(&ledger_config(&self.config)).await?;
        if self.migrate {
            ledger.migrate().await?;
        }
        // Any operation finds out whether the tables fit.
        ledger.clock_us().await?;
        Ok(ledger)
    }

    /// Reads no more, charges what was read, leaves the groups.
    async fn drain(&self, mut stop: StopSignals, pipelines: Pipelines) -> Exit {
        let deadline = Duration::from_millis(self.config.shutdown.drain_ms.into());
        let abandon = pipelines.abandon();
        let in_time = tokio::select! {
            in_time = pipelines.drain(deadline) => in_time,
            () = stop.first() => {
                tracing::warn!("stopped at once");
                false
            }
        };
        if in_time {
            tracing::info!("stopped; everything that was read is charged");
            return Exit::Ok;
        }
        abandon.store(true, Ordering::Release);
        tracing::warn!("the drain was cut off; the next start goes on where the ledger is");
        Exit::DrainCut
    }
}

fn install_recorder() -> anyhow::Result<PrometheusHandle> {
    let latency = |metric: Metric| Matcher::Full(metric.name().to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(latency(Metric::ChargeLatency), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::CommitSeconds), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::DeliveryLatency), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::RefundLatency), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::BatchClicks), &BATCH_BUCKETS)?
        .install_recorder()?;
    describe_all();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// A configuration that only its use shows to be wrong.
fn wrong(error: anyhow::Error) -> ExitError {
    ExitError::new(Exit::Usage, format!("{error:#}"))
}

/// SIGTERM and Ctrl-C.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The outcome of `work`, or nothing when a signal comes first.
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = work => Some(outcome),
            () = self.first() => None,
        }
    }
}
