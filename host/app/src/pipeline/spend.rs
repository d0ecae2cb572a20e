//! The day's spend of campaigns, written to Redis after the commit for whoever serves ads. A hint: absolute values,
//! written by a task of its own, and given up without regret when Redis does not take them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tollgate_domain::book::{Book, DayKey};
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;

use super::hints::key;
use crate::config;
use crate::metrics::Metric;

/// Values that may wait at most; others are dropped.
const WAITING_MAX: usize = 100_000;

/// Values of one pipeline.
const PIPELINE_MAX: usize = 1_000;

/// How long connecting, or a pipeline, may take, and the pause after a failure.
const TIMEOUT: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Takes spends from the writer and has them written. The writer waits for nothing but a short lock.
#[derive(Debug)]
pub struct SpendPublisher {
    waiting: Arc<Waiting>,
    task: JoinHandle<()>,
}

/// The latest spend of each day that is not written yet.
#[derive(Debug, Default)]
struct Waiting {
    spends: Mutex<HashMap<DayKey, Spend>>,
    arrived: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spend {
    spent: Micros,
    /// Unix second in which the day ends, and the value with it.
    end_s: i64,
}

impl SpendPublisher {
    /// Starts connecting in the background. `None`: it is not wanted, or there is no Redis.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn start(settings: &config::Redis) -> Result<Option<Self>, redis::RedisError> {
        if !settings.publish_spend || settings.url.is_empty() {
            return Ok(None);
        }
        let client = redis::Client::open(settings.url.as_str())?;
        let waiting = Arc::new(Waiting::default());
        let pattern = settings.budget_key.clone();
        let task = Task { waiting: Arc::clone(&waiting), client, pattern };
        Ok(Some(Self { waiting, task: tokio::spawn(task.run()) }))
    }

    /// Hands over what a plan has just written of today; days that are over, or have not begun, are nobody's budget
    /// now.
    pub fn publish(&self, plan: &Plan<'_>, book: &Book, now_us: i64) {
        let mut dropped = 0;
        let mut spends = self.waiting.lock();
        for moved in &plan.days {
            let Some(campaign) = book.campaigns.get(&moved.key.campaign) else { continue };
            if campaign.zone.day(now_us) != moved.key.day {
                continue;
            }
            if let Some(spend) = spends.get_mut(&moved.key) {
                spend.spent = moved.new.spent;
                continue;
            }
            let Some(end_us) = campaign.zone.end_us(moved.key.day) else { continue };
            if spends.len() >= WAITING_MAX {
                dropped += 1;
                continue;
            }
            let spend = Spend { spent: moved.new.spent, end_s: end_us.div_euclid(1_000_000) };
            spends.insert(moved.key.clone(), spend);
        }
        let is_empty = spends.is_empty();
        drop(spends);
        count("dropped", dropped);
        if !is_empty {
            self.waiting.arrived.notify_one();
        }
    }
}

impl Drop for SpendPublisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DayKey, Spend>> {
        self.spends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<(DayKey, Spend)> {
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }
}

struct Task {
    waiting: Arc<Waiting>,
    client: redis::Client,
    pattern: String,
}

impl Task {
    /// Connects, and writes until the connection fails; then begins anew.
    async fn run(self) {
        loop {
            match within(self.client.get_multiplexed_async_connection()).await {
                Ok(mut connection) => {
                    let cause = self.write_all(&mut connection).await;
                    tracing::warn!(%cause, "spends cannot be written to Redis; trying again");
                }
                Err(cause) => tracing::debug!(%cause, "cannot connect to Redis to write spends"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Returns why it ended. What was being written is lost, until the campaign's next click.
    async fn write_all(&self, connection: &mut MultiplexedConnection) -> String {
        loop {
            self.waiting.arrived.notified().await;
            let spends = self.waiting.take();
            let mut written = 0;
            for chunk in spends.chunks(PIPELINE_MAX) {
                if let Err(cause) = within(self.pipeline(chunk).exec_async(connection)).await {
                    count("failed", spends.len() - written);
                    return cause;
                }
                count("written", chunk.len());
                written += chunk.len();
            }
        }
    }

    /// A day that has ended meanwhile leaves no key: Redis takes one that has expired away.
    fn pipeline(&self, spends: &[(DayKey, Spend)]) -> redis::Pipeline {
        let mut pipeline = redis::Pipeline::with_capacity(spends.len());
        for (day, spend) in spends {
            let key = key(&self.pattern, &day.campaign, || day.day);
            let value = spend.spent.to_string();
            pipeline.cmd("SET").arg(key).arg(value).arg("EXAT").arg(spend.end_s).ignore();
        }
        pipeline
    }
}

async fn within<T>(asking: impl Future<Output = redis::RedisResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(TIMEOUT, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn count(result: &'static str, spends: usize) {
    if spends > 0 {
        counter!(Metric::SpendPublished.name(), "result" => result).increment(spends as u64);
    }
}

#[cfg(test)]
mod tests;
