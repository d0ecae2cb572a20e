//! The relay: has happenings worded and sends the messages.
//!
//! One host at a time does it, by a lease in the ledger. What happened stands in the outbox since the transaction that
//! made it happen; `wording` makes messages of it, `sending` delivers them, each at least once under its stable key.
//! A host that cannot load the notification rule sends what has its words, and leaves the lease to others for a while.
//! Nothing here can slow a charge: the relay has its own connection, and every channel its own task.

mod routes;
mod sending;
mod wording;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig};

use crate::config;
use crate::metrics::Metric;
use crate::pipeline::stats::Stats;
use crate::reach;
use crate::rules::{LoadError, RuleLoader};

pub use routes::Routes;

use sending::Sender;
use wording::Wording;

/// How often the outbox's depth is measured, and the dead letters counted.
const HOUSEKEEPING: Duration = Duration::from_secs(2);

/// Longest pause after failures of the ledger.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Everything the relay is made of.
pub struct RelayParts {
    pub ledger: LedgerConfig,
    pub loader: Arc<RuleLoader>,
    pub settings: config::Notify,
    pub routes: Arc<Routes>,
    /// Name of this host in the lease.
    pub owner: String,
    pub stats: Arc<Stats>,
    /// Rings when this host has written to the outbox.
    pub wake: Arc<Notify>,
}

struct Relay {
    parts: RelayParts,
    ledger: Ledger,
    wording: Wording,
    sender: Sender,
    /// When the lease was last renewed; `None` while another host has it.
    led: Option<Instant>,
    /// Since when this host has been about to leave the lease to others, because it cannot load the notification rule.
    yields: Option<Instant>,
    /// While it does so.
    away: Option<Away>,
    tidied: Option<Instant>,
}

/// How long this host leaves the lease alone: until then, or until it has loaded other rules than these.
struct Away {
    until: Instant,
    loaded: u64,
}

/// Relays until it is stopped; then what is on its way is waited for, and the lease given back.
pub async fn run(parts: RelayParts, stop: CancellationToken) {
    let opened = reach::ledger(&parts.ledger, PAUSE_MAX, "relay");
    let Some(ledger) = stop.run_until_cancelled(opened).await else { return };
    let wording = Wording::new(
        Arc::clone(&parts.routes),
        Arc::clone(&parts.loader),
        &parts.owner,
        &parts.settings,
    );
    let sender = Sender::new(Arc::clone(&parts.routes), Arc::clone(&parts.stats), &parts.settings);
    let mut relay =
        Relay { parts, ledger, wording, sender, led: None, yields: None, away: None, tidied: None };
    relay.relay(&stop).await;
    if let Err(error) = relay.finish().await {
        tracing::warn!(%error, "the relay stopped in the middle; another host goes on after its lease");
    }
}

impl Relay {
    /// A turn is never cut short, because an operation that is dropped halfway costs the connection.
    async fn relay(&mut self, stop: &CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            if let Err(error) = self.turn(stop).await {
                tracing::warn!(error = format!("{error:#}"), "the relay failed; trying again");
                self.led = None;
                self.parts.stats.set_relay(false);
                stop.run_until_cancelled(tokio::time::sleep(pause_after(failures))).await;
                failures += 1;
                if let Err(error) = self.ledger.reopen().await {
                    tracing::warn!(%error, "the ledger cannot be opened");
                }
                continue;
            }
            failures = 0;
            let poll = Duration::from_millis(self.parts.settings.poll_ms.into());
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.parts.wake.notified() => {}
                () = self.sender.finished() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        // Even without the lease: what was sent has to be written down.
        self.sender.settle(&mut self.ledger).await?;
        if self.is_away() || !self.leads().await? {
            self.yields = None;
            return Ok(());
        }
        if let Some(since) = self.yields {
            return self.yield_lease(since).await;
        }
        if self.tidied.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
            self.tidied = Some(Instant::now());
            self.tidy().await?;
        }
        let worded = self.word(stop).await;
        // What has its words goes out, whatever the rule says to the rest.
        if !stop.is_cancelled() {
            self.sender.send(&mut self.ledger).await?;
        }
        worded
    }

    async fn word(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match self.wording.word(&mut self.ledger).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    // Another host may be able to load what this one cannot.
                    let unloaded = error.downcast_ref::<LoadError>();
                    let is_unfit = unloaded.is_some_and(LoadError::is_about_rules);
                    self.yields = is_unfit.then(Instant::now);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Sends what has its words for as long as a lease lasts. Then gives the lease back and leaves it alone for longer than
    /// that, so that any other host can take it. What is on its way is written down before, so that nobody else sends it.
    async fn yield_lease(&mut self, since: Instant) -> anyhow::Result<()> {
        let lease = self.lease();
        if since.elapsed() < lease {
            return self.sender.send(&mut self.ledger).await;
        }
        if !self.sender.is_idle() {
            return Ok(());
        }
        self.ledger.resign(&self.parts.owner).await?;
        let loaded = *self.parts.loader.board.loaded().borrow();
        self.away = Some(Away { until: Instant::now() + lease * 2, loaded });
        (self.yields, self.led) = (None, None);
        self.parts.stats.set_relay(false);
        Ok(())
    }

    fn is_away(&mut self) -> bool {
        let loaded = *self.parts.loader.board.loaded().borrow();
        let is_over = |away: &Away| away.loaded != loaded || away.until <= Instant::now();
        if self.away.as_ref().is_some_and(is_over) {
            self.away = None;
        }
        self.away.is_some()
    }

    /// Renews the lease well before it ends, and tries for it while another host has it.
    async fn leads(&mut self) -> anyhow::Result<bool> {
        let lease = self.lease();
        if self.led.is_some_and(|at| at.elapsed() < lease / 4) {
            return Ok(true);
        }
        let asked = Instant::now();
        let leads = self.ledger.lead(&self.parts.owner, lease).await?;
        self.led = leads.then_some(asked);
        self.parts.stats.set_relay(leads);
        Ok(leads)
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.parts.settings.lease_ms.into())
    }

    async fn tidy(&mut self) -> anyhow::Result<()> {
        let every = Duration::from_secs(self.parts.settings.dead_letters_every_s.into());
        self.ledger.alert_dead_letters(every).await?;
        let depth = self.ledger.outbox_depth().await?;
        gauge!(Metric::OutboxWaiting.name()).set((depth.unworded + depth.waiting) as f64);
        gauge!(Metric::OutboxOldestSeconds.name()).set(depth.oldest_due_s as f64);
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        self.sender.finish(&mut self.ledger).await?;
        self.parts.stats.set_relay(false);
        self.ledger.resign(&self.parts.owner).await?;
        Ok(())
    }
}

fn pause_after(failures: u32) -> Duration {
    Duration::from_millis(50).saturating_mul(1 << failures.min(10)).min(PAUSE_MAX)
}
