//! `tollgate run`: wiring, in the order in which things start, and the drain, in the order in which they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::{self, Micros};
use tollgate_ledger::{Ledger, LedgerConfig, LedgerError};
use tollgate_stream::{Delivery, FirstSight, Lanes, StreamConfig};

use super::{ledger_config, load, unavailable};
use crate::admin::{self, Admin};
use crate::cli::Run;
use crate::config::{self, Config};
use crate::exit::{Exit, ExitError};
use crate::looks::{self, LookParts};
use crate::metrics::{BATCH_BUCKETS, LATENCY_BUCKETS, Metric, describe_all};
use crate::pipeline::clock::Clock;
use crate::pipeline::gather::Gather;
use crate::pipeline::hints::Hints;
use crate::pipeline::spend::SpendPublisher;
use crate::pipeline::stats::Stats;
use crate::pipeline::writer::{Writer, WriterParts};
use crate::positions::LedgerPositions;
use crate::relay::{self, RelayParts, Routes};
use crate::rules::{ActiveRules, FolderRule, RuleLoader};
use crate::telemetry;

/// Pause between attempts to reach a ledger that is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the writer may take to end after it was told to give up.
const ABANDON_WAIT: Duration = Duration::from_millis(500);

pub(super) fn execute(arguments: &Run) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, arguments.rules.as_deref())?;
    telemetry::start(&config.log);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "tollgate starts");
    let loader = Arc::new(RuleLoader::new(&config)?);
    let rules = loader
        .read_folder(&config)
        .map_err(|error| ExitError::new(Exit::Usage, format!("{error:#}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tollgate")
        .enable_all()
        .build()?;
    let exit = runtime.block_on(Host { config, loader, migrate: arguments.migrate }.run(rules));
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
    async fn run(self, rules: Vec<FolderRule>) -> anyhow::Result<Exit> {
        let mut stop = StopSignals::new()?;
        let stats = Arc::new(Stats::new()?);
        let (lanes_known, lanes_seen) = watch::channel(None);
        self.serve_admin(&stats, lanes_seen).await?;
        let Some(mut ledger) = stop.or(self.reach_ledger()).await.transpose()? else {
            return Ok(Exit::Ok);
        };
        self.loader
            .activate(&mut ledger, &rules, &owner())
            .await
            .map_err(|error| unavailable(&error))?;
        let active = self.loader.load_active(&mut ledger).await?;
        let shared = Shared { stats, clock: Clock::default(), wake: Arc::default() };
        let side = SideTasks::start(&self, &mut ledger, &shared).await?;
        drop(rules);
        let (lanes, deliveries) = self.start_lanes(ledger)?;
        lanes_known.send_replace(Some(Arc::clone(&lanes)));
        let abandon = Arc::new(AtomicBool::new(false));
        let gather = Gather::new(deliveries, self.config.batch.clicks_max as usize);
        let writer = self.writer_parts(active, gather, &lanes, &shared, &abandon)?;
        let mut writer = start_writer(writer)?;
        tokio::select! {
            () = stop.first() => tracing::info!("stopping"),
            _ = &mut writer => return Err(anyhow!("the writer ended unexpectedly; see the log above")),
        }
        let exit = self.drain(stop, lanes, writer, &abandon).await;
        side.stop().await;
        Ok(exit)
    }

    async fn serve_admin(
        &self,
        stats: &Arc<Stats>,
        lanes: watch::Receiver<Option<Arc<Lanes>>>,
    ) -> anyhow::Result<()> {
        let prometheus = install_recorder()?;
        let admin = Arc::new(Admin { prometheus, stats: Arc::clone(stats), lanes });
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

    fn routes(&self) -> Result<Routes, ExitError> {
        Routes::new(&self.config).map_err(|error| ExitError::new(Exit::Usage, format!("{error:#}")))
    }

    fn start_lanes(
        &self,
        ledger: Ledger,
    ) -> anyhow::Result<(Arc<Lanes>, crossbeam_channel::Receiver<Delivery>)> {
        let runtime = tokio::runtime::Handle::current();
        let positions = LedgerPositions::new(ledger, runtime, owner());
        let (out, deliveries) =
            crossbeam_channel::bounded(self.config.batch.slices_waiting_max as usize);
        let lanes = Lanes::start(stream_config(&self.config), Arc::new(positions), out)?;
        Ok((Arc::new(lanes), deliveries))
    }

    fn writer_parts(
        &self,
        rules: ActiveRules,
        gather: Gather,
        lanes: &Arc<Lanes>,
        shared: &Shared,
        abandon: &Arc<AtomicBool>,
    ) -> anyhow::Result<WriterParts> {
        let fence = fence_limits(&self.config)?;
        Ok(WriterParts {
            ledger: ledger_config(&self.config),
            gather,
            lanes: Arc::clone(lanes),
            hints: Hints::new(&self.config.redis, fence.charge_max).context("redis.url")?,
            loader: Arc::clone(&self.loader),
            rules,
            fence,
            rule_rows_max: self.config.rules.rows_max as usize,
            clock: shared.clock.clone(),
            stats: Arc::clone(&shared.stats),
            wake: Arc::clone(&shared.wake),
            spend: SpendPublisher::start(&self.config.redis).context("redis.url")?,
            abandon: Arc::clone(abandon),
        })
    }

    /// Reads no more, charges what was read, leaves the group.
    async fn drain(
        &self,
        mut stop: StopSignals,
        lanes: Arc<Lanes>,
        writer: oneshot::Receiver<()>,
        abandon: &AtomicBool,
    ) -> Exit {
        let deadline = Duration::from_millis(self.config.shutdown.drain_ms.into());
        let drained = tokio::task::spawn_blocking(move || lanes.stop(deadline));
        let ended = async {
            let report = drained.await;
            let writer = tokio::time::timeout(ABANDON_WAIT, writer).await;
            report.is_ok_and(|report| report.unfinished.is_empty()) && writer.is_ok()
        };
        let in_time = tokio::select! {
            in_time = ended => in_time,
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

/// What the parts of the host have in common.
struct Shared {
    stats: Arc<Stats>,
    clock: Clock,
    /// Rings when something was written to the outbox.
    wake: Arc<Notify>,
}

/// What goes on beside the charging: messages, and looks at budgets.
struct SideTasks {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl SideTasks {
    async fn start(host: &Host, ledger: &mut Ledger, shared: &Shared) -> anyhow::Result<Self> {
        let (config, stop) = (&host.config, CancellationToken::new());
        let fence = fence_limits(config)?;
        let look = LookParts {
            ledger: ledger_config(config),
            loader: Arc::clone(&host.loader),
            rules: host.loader.load_active(ledger).await?,
            hints: Hints::new(&config.redis, fence.charge_max).context("redis.url")?,
            fence,
            rule_rows_max: config.rules.rows_max as usize,
            stats: Arc::clone(&shared.stats),
            wake: Arc::clone(&shared.wake),
            period: Duration::from_millis(config.budget.look_ms.into()),
        };
        // What looks at budgets stays on one thread, as the writer does.
        let (runtime, ended) = (tokio::runtime::Handle::current(), stop.clone());
        let look = move || runtime.block_on(looks::run(look, ended));
        let mut tasks = vec![tokio::task::spawn_blocking(look)];
        if config.notify.enabled {
            // A message may be sent twice, and a charge must not wait for the disk because of one.
            let ledger = LedgerConfig { early_commits: true, ..ledger_config(config) };
            let relay = RelayParts {
                ledger,
                loader: Arc::clone(&host.loader),
                settings: config.notify.clone(),
                routes: Arc::new(host.routes()?),
                owner: owner(),
                stats: Arc::clone(&shared.stats),
                wake: Arc::clone(&shared.wake),
            };
            tasks.push(tokio::spawn(relay::run(relay, stop.clone())));
        }
        Ok(Self { stop, tasks })
    }

    /// Lets them end what they are at; one request takes `notify.deadline_ms` at most.
    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended unexpectedly");
            }
        }
    }
}

/// Starts the writer's thread. The receiver hears of its end, also of a panic's.
fn start_writer(parts: WriterParts) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let body = move || {
        let _ended = ended;
        Writer::run(parts);
    };
    std::thread::Builder::new().name("writer".into()).spawn(body)?;
    Ok(end)
}

fn stream_config(config: &Config) -> StreamConfig {
    let (kafka, decode) = (&config.kafka, &config.decode);
    StreamConfig {
        brokers: kafka.brokers.clone(),
        group: kafka.group.clone(),
        topic: kafka.topic.clone(),
        client_id: kafka.client_id.clone(),
        lanes: kafka.lanes as usize,
        poll_records_max: kafka.poll_records_max as usize,
        poll_records_behind_max: kafka.poll_records_behind_max as usize,
        session_timeout_ms: kafka.session_timeout_ms,
        first_sight: match kafka.first_sight {
            config::FirstSight::Latest => FirstSight::Latest,
            config::FirstSight::Earliest => FirstSight::Earliest,
        },
        topic_ids: kafka.topic_ids,
        properties: kafka.properties.clone(),
        decode: DecodeLimits {
            payload_bytes_max: decode.payload_bytes_max as usize,
            text_bytes_max: decode.text_bytes_max as usize,
            age_ms_max: i64::from(decode.age_hours_max) * 3_600_000,
            ahead_ms_max: i64::from(decode.ahead_minutes_max) * 60_000,
        },
        ..StreamConfig::default()
    }
}

fn fence_limits(config: &Config) -> anyhow::Result<FenceLimits> {
    let fence = &config.fence;
    let floor = money::parse_scaled(&fence.pause_floor).context("fence.pause_floor")?;
    Ok(FenceLimits {
        charge_max: Micros(money::parse_scaled(&fence.charge_max).context("fence.charge_max")?),
        pause_floor_ppm: u32::try_from(floor).context("fence.pause_floor")?,
    })
}

fn install_recorder() -> anyhow::Result<PrometheusHandle> {
    let latency = |metric: Metric| Matcher::Full(metric.name().to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(latency(Metric::ChargeLatency), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::CommitSeconds), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(latency(Metric::DeliveryLatency), &LATENCY_BUCKETS)?
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

/// Name of this process for people who look at the ledger.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
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
