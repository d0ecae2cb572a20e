//! Events at a steady rate, whatever the receiver does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::generator::{Generator, Kind};
use crate::harness::now_us;
use crate::harness::topic::Sender;

/// What was produced so far, to be watched from other threads.
#[derive(Debug, Default)]
pub struct Tally {
    pub produced: AtomicU64,
    /// Clicks that can be charged.
    pub clicks: AtomicU64,
    pub poison: AtomicU64,
    /// Sum of the prices of those clicks.
    pub price_micros: AtomicU64,
    pub compensations: AtomicU64,
    /// Sum of what they claim.
    pub claimed_micros: AtomicU64,
    /// Set from outside to end early.
    pub stop: AtomicBool,
}

/// Sends `rate` events a second for `seconds`, each stamped with the instant of its sending, then flushes.
///
/// # Errors
/// The broker does not take an event.
pub fn produce(
    sender: &Sender,
    generator: &mut Generator,
    rate: u32,
    seconds: u32,
    tally: &Tally,
) -> Result<()> {
    produce_with(sender, generator, rate, seconds, tally, |_, _| Ok(()))
}

/// As `produce`; calls `between` after each event with its instant.
///
/// # Errors
/// As `produce`, and what `between` fails with.
pub fn produce_with(
    sender: &Sender,
    generator: &mut Generator,
    rate: u32,
    seconds: u32,
    tally: &Tally,
    mut between: impl FnMut(&mut Generator, i64) -> Result<()>,
) -> Result<()> {
    let begin = Instant::now();
    let events = u64::from(rate) * u64::from(seconds);
    for at in 0..events {
        let due = begin + Duration::from_nanos(at * 1_000_000_000 / u64::from(rate.max(1)));
        sender.serve_until(due);
        if tally.stop.load(Ordering::Relaxed) {
            break;
        }
        let at_us = now_us();
        let event = generator.next(at_us);
        sender.send(&event, at_us)?;
        tally.count(event.kind, generator);
        between(generator, at_us)?;
    }
    sender.flush()
}

impl Tally {
    pub fn count(&self, kind: Kind, generator: &Generator) {
        match kind {
            Kind::Click(at) => {
                let price = generator.campaigns()[at].cpc_micros.unsigned_abs();
                self.clicks.fetch_add(1, Ordering::Relaxed);
                self.price_micros.fetch_add(price, Ordering::Relaxed);
            }
            Kind::Poison(_) => {
                self.poison.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Impression | Kind::Conversion | Kind::Compensation | Kind::Campaign => {}
        }
        self.produced.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn produced(&self) -> i64 {
        signed(&self.produced)
    }

    #[must_use]
    pub fn clicks(&self) -> i64 {
        signed(&self.clicks)
    }

    #[must_use]
    pub fn poison(&self) -> i64 {
        signed(&self.poison)
    }

    #[must_use]
    pub fn price_micros(&self) -> i64 {
        signed(&self.price_micros)
    }

    #[must_use]
    pub fn compensations(&self) -> i64 {
        signed(&self.compensations)
    }

    #[must_use]
    pub fn claimed_micros(&self) -> i64 {
        signed(&self.claimed_micros)
    }
}

fn signed(counter: &AtomicU64) -> i64 {
    i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}
