//! What the site's detection of duplicate clicks would find in the demo, a few seconds after the clicks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;

use crate::generator::Generator;
use crate::generator::compensations::{Compensation, Sort};
use crate::harness::topic::Sender;
use crate::pace::Tally;

/// How long a device has to be quiet until its clicks are complained about, and the pause between two looks.
const QUIET_US: i64 = 2_000_000;
const LOOK_US: i64 = 500_000;
/// Every so many compensations count a click that never comes, and are parked until it is taken to be lost.
const OVERCOUNTED_EVERY: u64 = 8;

/// Sends compensations for repeated clicks.
pub(super) struct Complaints {
    sender: Sender,
    tally: Arc<Tally>,
    looked_us: i64,
}

impl Complaints {
    /// # Errors
    /// The broker does not answer.
    pub(super) fn new(brokers: &str, topic: &str, tally: &Arc<Tally>) -> Result<Self> {
        let sender = Sender::new(brokers, topic)?;
        Ok(Self { sender, tally: Arc::clone(tally), looked_us: 0 })
    }

    /// Complains, now and then, about devices that are quiet again.
    ///
    /// # Errors
    /// The broker does not take a compensation.
    pub(super) fn go_on(&mut self, generator: &mut Generator, now_us: i64) -> Result<()> {
        if now_us < self.looked_us + LOOK_US {
            return Ok(());
        }
        self.looked_us = now_us;
        self.complain(generator, now_us - QUIET_US, now_us)
    }

    /// Complains about everything that is left.
    ///
    /// # Errors
    /// As `go_on`.
    pub(super) fn end(&mut self, generator: &mut Generator, now_us: i64) -> Result<()> {
        self.complain(generator, i64::MAX, now_us)?;
        self.sender.flush()
    }

    fn complain(&mut self, generator: &mut Generator, before_us: i64, now_us: i64) -> Result<()> {
        for repeat in generator.take_repeats(before_us) {
            let count = self.tally.compensations.fetch_add(1, Ordering::Relaxed) + 1;
            let overcounted = count.is_multiple_of(OVERCOUNTED_EVERY);
            let sort = if overcounted { Sort::Overcounted } else { Sort::Honest };
            let found = Compensation::new(&repeat, generator.campaigns(), now_us).sort(sort);
            let claimed = found.refund_micros.unsigned_abs();
            self.tally.claimed_micros.fetch_add(claimed, Ordering::Relaxed);
            self.sender.send(&found.event(), now_us)?;
        }
        Ok(())
    }
}
