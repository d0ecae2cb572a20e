//! What goes on beside the charging: upkeep of tables, looks at budgets, refunds, messages, dead letters on their way to
//! their topics, the running audit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig};
use tollgate_stream::Publisher;

use super::settings::{fence_limits, owner, recorder, refund_limits};
use super::{Host, ledger_config};
use crate::config::Config;
use crate::dead_letters::{self, DeadLetterParts};
use crate::looks::{self, LookParts};
use crate::pipeline::clock::Clock;
use crate::pipeline::hints::Hints;
use crate::pipeline::stats::Stats;
use crate::refunds::{self, RefundParts, finding};
use crate::relay::{self, RelayParts, Routes};
use crate::rules::{self, watch::RuleWatch};
use crate::trials::{self, TrialParts, Trials};
use crate::upkeep::{self, UpkeepParts, history_settings};
use crate::watch::{self, Board, WatchParts};

/// What the parts of the host have in common.
pub(super) struct Shared {
    pub(super) stats: Arc<Stats>,
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    /// Rings when something was written to the outbox.
    pub(super) outbox: Arc<Notify>,
    /// Rings when a compensation has come in.
    pub(super) compensations: Arc<Notify>,
    /// Rings when a dead letter was written.
    pub(super) dead_letters: Arc<Notify>,
    pub(super) trials: Arc<Trials>,
}

impl Shared {
    pub(super) fn new(stats: Arc<Stats>, board: Arc<Board>, trials: Arc<Trials>) -> Self {
        Self {
            stats,
            board,
            clock: Clock::default(),
            outbox: Arc::default(),
            compensations: Arc::default(),
            dead_letters: Arc::default(),
            trials,
        }
    }
}

pub(super) struct SideTasks {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl SideTasks {
    /// Only the watching of rules, which everything else waits for.
    pub(super) fn new(watch: RuleWatch) -> Self {
        let mut side = Self { stop: CancellationToken::new(), tasks: Vec::new() };
        let stop = side.stop.clone();
        side.on_one_thread(move || rules::watch::run(watch, stop));
        side
    }

    pub(super) async fn start(
        &mut self,
        host: &Host,
        ledger: &mut Ledger,
        shared: &Shared,
    ) -> anyhow::Result<()> {
        let (config, side) = (&host.config, self);
        let upkeep = UpkeepParts {
            ledger: ledger_config(config),
            history: history_settings(config),
            record_days: config.decisions.retention_days,
        };
        // Before the first charge of this host, so that its rows find the tables of their days.
        upkeep::turn(ledger, &upkeep).await;
        side.tasks.push(tokio::spawn(upkeep::run(upkeep, side.stop.clone())));
        side.look(host, ledger, shared).await?;
        side.follow_trials(host, shared)?;
        if config.compensation.enabled {
            side.refund(host, ledger, shared).await?;
        }
        if config.notify.enabled {
            let routes = Routes::new(config).map_err(super::wrong)?;
            // A message may be sent twice, and a charge must not wait for the disk because of one.
            let ledger = LedgerConfig { early_commits: true, ..ledger_config(config) };
            let relay = RelayParts {
                ledger,
                loader: Arc::clone(&host.loader),
                settings: config.notify.clone(),
                routes: Arc::new(routes),
                owner: owner(),
                stats: Arc::clone(&shared.stats),
                wake: Arc::clone(&shared.outbox),
            };
            side.tasks.push(tokio::spawn(relay::run(relay, side.stop.clone())));
        }
        if config.dead_letters.publish {
            side.publish_dead_letters(host, shared)?;
        }
        if config.audit.watch {
            side.watch(config, shared);
        }
        Ok(())
    }

    async fn look(
        &mut self,
        host: &Host,
        ledger: &mut Ledger,
        shared: &Shared,
    ) -> anyhow::Result<()> {
        let (config, fence, loader) = (&host.config, fence_limits(&host.config)?, &host.loader);
        let rules = loader.patiently(ledger, async |ledger| loader.load_active(ledger).await);
        let rules = rules.await;
        let look = LookParts {
            ledger: ledger_config(config),
            owner: owner(),
            loader: Arc::clone(&host.loader),
            rules,
            hints: Hints::new(&config.redis, fence.charge_max).context("redis.url")?,
            fence,
            rule_rows_max: config.rules.rows_max as usize,
            stats: Arc::clone(&shared.stats),
            wake: Arc::clone(&shared.outbox),
            period: Duration::from_millis(config.budget.look_ms.into()),
            trials: Arc::clone(&shared.trials),
        };
        let stop = self.stop.clone();
        self.on_one_thread(move || looks::run(look, stop));
        Ok(())
    }

    async fn refund(
        &mut self,
        host: &Host,
        ledger: &mut Ledger,
        shared: &Shared,
    ) -> anyhow::Result<()> {
        let (settings, loader) = (&host.config.compensation, &host.loader);
        let rule = loader.patiently(ledger, async |ledger| loader.load_refunder(ledger).await);
        let rule = rule.await;
        let refund = RefundParts {
            ledger: ledger_config(&host.config),
            owner: owner(),
            loader: Arc::clone(&host.loader),
            rule,
            limits: refund_limits(&host.config),
            fence: fence_limits(&host.config)?,
            stats: Arc::clone(&shared.stats),
            arrived: Arc::clone(&shared.compensations),
            outbox: Arc::clone(&shared.outbox),
            dead_letters: Arc::clone(&shared.dead_letters),
            period: Duration::from_millis(settings.look_ms.into()),
            recorder: recorder(&host.config)?,
            trials: Arc::clone(&shared.trials),
        };
        let stop = self.stop.clone();
        self.on_one_thread(move || refunds::run(refund, stop));
        let finding = LedgerConfig { early_commits: true, ..ledger_config(&host.config) };
        self.tasks.push(tokio::spawn(finding::run(finding, self.stop.clone())));
        Ok(())
    }

    fn follow_trials(&mut self, host: &Host, shared: &Shared) -> anyhow::Result<()> {
        let trials = TrialParts {
            // Sums that are lost are only sums of a trial, and a charge must not wait for the disk because of them.
            ledger: LedgerConfig { early_commits: true, ..ledger_config(&host.config) },
            loader: Arc::clone(&host.loader),
            fence: fence_limits(&host.config)?,
            rule_rows_max: host.config.rules.rows_max as usize,
            owner: owner(),
            trials: Arc::clone(&shared.trials),
            outbox: Arc::clone(&shared.outbox),
        };
        self.tasks.push(tokio::spawn(trials::run(trials, self.stop.clone())));
        Ok(())
    }

    fn publish_dead_letters(&mut self, host: &Host, shared: &Shared) -> anyhow::Result<()> {
        let (config, kafka) = (&host.config, &host.config.kafka);
        let deadline = Duration::from_millis(config.notify.deadline_ms.into());
        let payload_bytes_max = config.decode.payload_bytes_max;
        let properties = dead_letters::producer_properties(&kafka.properties, payload_bytes_max);
        let publisher = Publisher::start(&kafka.brokers, &kafka.client_id, &properties, deadline)
            .context("the producer of dead letters cannot start")?;
        let topics = [&kafka.topic, &config.compensation.topic];
        let group = |topic: &str| config.group_of(topic).unwrap_or_default().to_owned();
        let parts = DeadLetterParts {
            // A letter may be published twice, with the same headers.
            ledger: LedgerConfig { early_commits: true, ..ledger_config(config) },
            publisher,
            suffix: config.dead_letters.topic_suffix.clone(),
            groups: topics.into_iter().map(|topic| (topic.clone(), group(topic))).collect(),
            owner: owner(),
            lease: Duration::from_millis(config.notify.lease_ms.into()),
            wake: Arc::clone(&shared.dead_letters),
        };
        self.tasks.push(tokio::spawn(dead_letters::run(parts, self.stop.clone())));
        Ok(())
    }

    fn watch(&mut self, config: &Config, shared: &Shared) {
        let parts = WatchParts {
            // A lap that is lost is made again, and a charge must not wait for the disk because of one.
            ledger: LedgerConfig { early_commits: true, ..ledger_config(config) },
            audit: config.audit.clone(),
            duplicates: config.duplicates.clone(),
            owner: owner(),
            board: Arc::clone(&shared.board),
        };
        self.tasks.push(tokio::spawn(watch::run(parts, self.stop.clone())));
    }

    /// What remembers rows of the ledger stays on one thread, as the writer does.
    fn on_one_thread<F: Future<Output = ()>>(&mut self, task: impl FnOnce() -> F + Send + 'static) {
        let runtime = tokio::runtime::Handle::current();
        self.tasks.push(tokio::task::spawn_blocking(move || runtime.block_on(task())));
    }

    /// Lets them end what they are at; one request takes `notify.deadline_ms` at most.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended unexpectedly");
            }
        }
    }
}
