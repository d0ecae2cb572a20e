//! What goes on beside the charging: upkeep of tables, looks at budgets, refunds, messages, dead letters on their way to
//! their topics, the running audit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
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
    tasks: JoinSet<()>,
    /// What the tasks that run do.
    names: HashMap<Id, &'static str>,
}

impl SideTasks {
    /// Only the watching of rules, which everything else waits for.
    pub(super) fn new(watch: RuleWatch) -> Self {
        let mut side = Self::empty();
        let stop = side.stop.clone();
        side.on_one_thread("rules", move || rules::watch::run(watch, stop));
        side
    }

    fn empty() -> Self {
        Self { stop: CancellationToken::new(), tasks: JoinSet::new(), names: HashMap::new() }
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
        side.spawn("upkeep", upkeep::run(upkeep, side.stop.clone()));
        side.look(host, ledger, shared).await?;
        side.follow_trials(host, shared)?;
        if config.compensation.enabled {
            side.refund(host, ledger, shared).await?;
        }
        if config.notify.enabled {
            let routes = Routes::new(config).map_err(super::usage_error)?;
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
            side.spawn("relay", relay::run(relay, side.stop.clone()));
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
        self.on_one_thread("looks", move || looks::run(look, stop));
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
        self.on_one_thread("refunds", move || refunds::run(refund, stop));
        let finding = LedgerConfig { early_commits: true, ..ledger_config(&host.config) };
        self.spawn("finding charges", finding::run(finding, self.stop.clone()));
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
        self.spawn("trials", trials::run(trials, self.stop.clone()));
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
        self.spawn("dead letters", dead_letters::run(parts, self.stop.clone()));
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
        self.spawn("watch", watch::run(parts, self.stop.clone()));
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.know(name, &task);
    }

    /// What remembers rows of the ledger stays on one thread, as the writer does.
    fn on_one_thread<F: Future<Output = ()>>(
        &mut self,
        name: &'static str,
        task: impl FnOnce() -> F + Send + 'static,
    ) {
        let runtime = tokio::runtime::Handle::current();
        let task = self.tasks.spawn_blocking(move || runtime.block_on(task()));
        self.know(name, &task);
    }

    fn know(&mut self, name: &'static str, task: &AbortHandle) {
        self.names.insert(task.id(), name);
    }

    /// Waits until a task has ended, which none does on its own unless something is very wrong; says which.
    pub(super) async fn ended(&mut self) -> String {
        match self.next_end().await {
            Some((name, Ok(()))) => format!("the task {name:?} ended unexpectedly"),
            Some((name, Err(error))) => format!("the task {name:?} ended unexpectedly: {error}"),
            None => std::future::pending().await,
        }
    }

    async fn next_end(&mut self) -> Option<(&'static str, Result<(), JoinError>)> {
        let ended = self.tasks.join_next_with_id().await?;
        let (id, ended) = match ended {
            Ok((id, ())) => (id, Ok(())),
            Err(error) => (error.id(), Err(error)),
        };
        Some((self.names.remove(&id).unwrap_or_default(), ended))
    }

    /// Lets them end what they are at, which takes `notify.deadline_ms` at most when a neighbour hangs. Once `patience`
    /// is over they are cut off, which loses nothing: what they have not done stands in the ledger. False: they were.
    pub(super) async fn stop(mut self, patience: impl Future<Output = ()>) -> bool {
        self.stop.cancel();
        let all = async {
            while let Some((name, ended)) = self.next_end().await {
                if let Err(error) = ended {
                    tracing::error!(name, %error, "a task ended unexpectedly");
                }
            }
        };
        let in_time = tokio::select! {
            () = all => true,
            () = patience => false,
        };
        if !in_time {
            let left: Vec<_> = self.names.values().collect();
            tracing::warn!(
                ?left,
                "tasks were cut off; what they have not done stands in the ledger"
            );
            self.tasks.abort_all();
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_on_its_own_is_named() {
        let mut side = SideTasks::empty();
        side.spawn("lasting", side.stop.clone().cancelled_owned());
        side.spawn("short", async {});
        assert_eq!(side.ended().await, "the task \"short\" ended unexpectedly");
        side.on_one_thread("broken", || async { panic!("for the test") });
        let said = side.ended().await;
        assert!(said.starts_with("the task \"broken\" ended unexpectedly: "), "{said}");
        assert!(said.contains("for the test"), "{said}");
        assert!(side.stop(std::future::pending()).await);
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_cut_off() {
        struct Guard(CancellationToken);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let (mut side, dropped) = (SideTasks::empty(), CancellationToken::new());
        let guard = Guard(dropped.clone());
        side.spawn("lasting", async {
            let _guard = guard;
            std::future::pending().await
        });
        assert!(!side.stop(async {}).await);
        dropped.cancelled().await;
    }

    #[tokio::test]
    async fn without_tasks_nothing_has_ended_and_a_stop_is_quick() {
        let mut side = SideTasks::empty();
        tokio::select! {
            biased;
            said = side.ended() => panic!("{said}"),
            () = std::future::ready(()) => {}
        }
        assert!(side.stop(std::future::pending()).await);
    }
}
