//! Hints from Redis: the cached price and the spend counter of campaigns. Read only, bounded in time, and never
//! needed: whatever goes wrong, the answer is "absent" and the database decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use metrics::{counter, gauge};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tollgate_domain::batch::Resolved;
use tollgate_domain::book::Campaign;
use tollgate_domain::day::Day;
use tollgate_domain::decide::Hint;
use tollgate_domain::money::Micros;
use tollgate_domain::rule::Rules;

use super::breaker::Breaker;
use crate::config;
use crate::metrics::Metric;

/// Campaigns remembered at most; beyond that the memory starts anew.
const REMEMBERED_MAX: usize = 200_000;

/// How long a connection may take, and the pause between attempts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Which hints the active rules asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub cached_price: bool,
    pub counter: bool,
}

impl Wanted {
    /// What these rules asked for.
    pub fn by(rules: &dyn Rules) -> Self {
        let (pricing, threshold) = (rules.pricing().needs, rules.threshold().needs);
        Self {
            cached_price: pricing.cached_price || threshold.cached_price,
            counter: pricing.counter || threshold.counter,
        }
    }
}

/// Looks hints up, remembering them for a short while.
pub struct Hints {
    link: Option<Arc<Link>>,
    breaker: Breaker,
    remembered: HashMap<Arc<str>, (Instant, Hint)>,
    settings: config::Redis,
    charge_max: Micros,
}

/// The connection, kept up by a task of its own so that nobody waits for connecting.
struct Link {
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
}

impl Hints {
    /// Starts connecting in the background; an empty URL means that there is no Redis. A price above `charge_max`
    /// is absurd.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn new(settings: &config::Redis, charge_max: Micros) -> Result<Self, redis::RedisError> {
        let link = if settings.url.is_empty() {
            None
        } else {
            let client = redis::Client::open(settings.url.as_str())?;
            let link = Arc::new(Link { connection: ArcSwapOption::empty(), lost: Notify::new() });
            tokio::spawn(Arc::clone(&link).keep_up(client));
            Some(link)
        };
        let pause = Duration::from_millis(settings.breaker_pause_ms.into());
        Ok(Self {
            link,
            breaker: Breaker::new(settings.breaker_failures, pause),
            remembered: HashMap::new(),
            settings: settings.clone(),
            charge_max,
        })
    }

    /// One hint per campaign of the batch; empty when the rules want none or there is no Redis.
    pub async fn look_up(
        &mut self,
        resolved: &Resolved<'_>,
        wanted: Wanted,
        now_us: i64,
    ) -> Vec<Hint> {
        if self.link.is_none() || !(wanted.cached_price || wanted.counter) {
            return Vec::new();
        }
        let now = Instant::now();
        let unknown: Vec<&Campaign> = resolved
            .campaigns
            .iter()
            .map(|resolved| resolved.campaign)
            .filter(|campaign| !self.remembers(&campaign.id, now))
            .collect();
        if !unknown.is_empty() {
            self.fetch(&unknown, now, now_us).await;
        }
        let hint = |id| self.remembered.get(id).map_or_else(Hint::default, |(_, hint)| *hint);
        resolved.campaigns.iter().map(|resolved| hint(&resolved.campaign.id)).collect()
    }

    fn remembers(&self, campaign: &str, now: Instant) -> bool {
        let age_max = Duration::from_millis(self.settings.cache_ms.into());
        self.remembered.get(campaign).is_some_and(|(at, _)| now.duration_since(*at) < age_max)
    }

    /// Asks Redis once for all campaigns, and remembers what it says. Without an answer they are forgotten.
    async fn fetch(&mut self, campaigns: &[&Campaign], now: Instant, now_us: i64) {
        let answer = self.ask(campaigns, now, now_us).await;
        gauge!(Metric::RedisBreakerOpen.name()).set(f64::from(u8::from(self.breaker.is_open())));
        if self.remembered.len() + campaigns.len() > REMEMBERED_MAX {
            self.remembered.clear();
        }
        let Some(values) = answer else {
            for campaign in campaigns {
                self.remembered.remove(&campaign.id);
            }
            return;
        };
        for (campaign, pair) in campaigns.iter().zip(values.chunks_exact(2)) {
            let hint = Hint {
                cached_price: read_value(pair[0].as_deref(), |price| {
                    price > Micros::ZERO && price <= self.charge_max
                }),
                counter: read_value(pair[1].as_deref(), |_| true),
            };
            self.remembered.insert(Arc::clone(&campaign.id), (now, hint));
        }
    }

    async fn ask(
        &mut self,
        campaigns: &[&Campaign],
        now: Instant,
        now_us: i64,
    ) -> Option<Vec<Option<Vec<u8>>>> {
        let link = self.link.as_ref()?;
        let skipped = || count("skipped", campaigns.len());
        if !self.breaker.allows(now) {
            skipped();
            return None;
        }
        let Some(connection) = link.connection.load_full() else {
            self.breaker.failed(now);
            skipped();
            return None;
        };
        let mut keys = Vec::with_capacity(campaigns.len() * 2);
        for campaign in campaigns {
            let day = || campaign.zone.day(now_us);
            keys.push(key(&self.settings.cpc_key, &campaign.id, day));
            keys.push(key(&self.settings.budget_key, &campaign.id, day));
        }
        let deadline = Duration::from_millis(self.settings.deadline_ms.into());
        let mut connection = MultiplexedConnection::clone(&connection);
        let answer = tokio::time::timeout(deadline, connection.mget(&keys)).await;
        match answer {
            Ok(Ok(values)) => {
                self.breaker.succeeded();
                Some(values)
            }
            failed => {
                // A late answer leaves the connection usable; an error does not.
                if failed.is_ok() {
                    link.connection.store(None);
                    link.lost.notify_one();
                }
                self.breaker.failed(now);
                count("failed", campaigns.len());
                None
            }
        }
    }
}

impl Link {
    async fn keep_up(self: Arc<Self>, client: redis::Client) {
        loop {
            let connecting = client.get_multiplexed_async_connection();
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => {
                    self.connection.store(Some(Arc::new(connection)));
                    tracing::info!("connected to Redis");
                    self.lost.notified().await;
                    tracing::warn!("lost Redis; prices come from the database");
                }
                Ok(Err(error)) => tracing::debug!(%error, "cannot connect to Redis"),
                Err(_) => tracing::debug!("connecting to Redis took too long"),
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// The key of a campaign; `day` is its local date.
pub(super) fn key(pattern: &str, campaign_id: &str, day: impl FnOnce() -> Day) -> String {
    // The date first, because an id may contain anything.
    if pattern.contains("{day}") {
        let pattern = pattern.replace("{day}", &day().to_string());
        return pattern.replace("{campaign_id}", campaign_id);
    }
    pattern.replace("{campaign_id}", campaign_id)
}

/// A decimal amount that makes sense, or nothing; both are counted.
fn read_value(bytes: Option<&[u8]>, is_sane: impl Fn(Micros) -> bool) -> Option<Micros> {
    let Some(bytes) = bytes else {
        count("miss", 1);
        return None;
    };
    let amount = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Micros::parse_non_negative(text.trim()).ok())
        .filter(|amount| is_sane(*amount));
    count(if amount.is_some() { "hit" } else { "absurd" }, 1);
    amount
}

fn count(result: &'static str, lookups: usize) {
    counter!(Metric::RedisLookups.name(), "result" => result).increment(lookups as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: Option<&str>, expected: Option<i64>) {
        let highest = Micros(1_000_000_000);
        let sane = |price| price > Micros::ZERO && price <= highest;
        assert_eq!(read_value(text.map(str::as_bytes), sane).map(|m| m.0), expected, "{text:?}");
    }

    #[test]
    fn absurd_values_are_absent() {
        check(None, None);
        check(Some("12.5"), Some(12_500_000));
        check(Some(" 7 "), Some(7_000_000));
        check(Some("1000"), Some(1_000_000_000));
        for text in
            ["0", "-1", "1001", "abc", "", "1e3", "NaN", "0.0000001", "99999999999999999999"]
        {
            check(Some(text), None);
        }
        assert_eq!(read_value(Some(b"\xff\xfe"), |_| true), None);
    }
}
