//! The shop's servers: they send what happens when it happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::generator::Generated;
use crate::generator::compensations::Compensation;
use crate::generator::market::{Market, Sent, Stream};
use crate::harness::now_us;
use crate::harness::topic::Sender;

/// How often what is due is sent.
const TURN: Duration = Duration::from_millis(2);

/// A producer for each topic of the shop.
pub struct Senders {
    campaigns: Sender,
    ads: Sender,
    conversions: Sender,
    /// Where Flink would write; only when the traffic has to do without it.
    compensations: Option<Sender>,
}

impl Senders {
    /// # Errors
    /// The broker does not answer.
    pub fn new(brokers: &str) -> Result<Self> {
        let sender = |stream: Stream| Sender::new(brokers, stream.topic());
        Ok(Self {
            campaigns: sender(Stream::Campaigns)?,
            ads: sender(Stream::Ads)?,
            conversions: sender(Stream::Conversions)?,
            compensations: None,
        })
    }

    /// Tells the compensations for duplicates, too, as Flink does when it runs.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_compensations(mut self, brokers: &str) -> Result<Self> {
        self.compensations = Some(Sender::new(brokers, "compensation-events")?);
        Ok(self)
    }

    fn of(&self, stream: Stream) -> &Sender {
        match stream {
            Stream::Campaigns => &self.campaigns,
            Stream::Ads => &self.ads,
            Stream::Conversions => &self.conversions,
        }
    }

    fn send(&self, sent: &Sent) -> Result<()> {
        self.of(sent.stream).send(&sent.event, now_us())
    }

    fn compensate(&self, market: &mut Market, before_us: i64) -> Result<()> {
        let Some(sender) = &self.compensations else { return Ok(()) };
        for repeat in market.diary_mut().take_repeats(before_us) {
            let found_at_us = now_us();
            let event: Generated =
                Compensation::new(&repeat, market.campaigns(), found_at_us).event();
            sender.send(&event, found_at_us)?;
        }
        Ok(())
    }

    /// Waits until the broker has everything.
    ///
    /// # Errors
    /// It does not take it.
    pub fn flush(&self) -> Result<()> {
        Stream::ALL.into_iter().try_for_each(|stream| self.of(stream).flush())?;
        self.compensations.as_ref().map_or(Ok(()), Sender::flush)
    }
}

/// Sends what happens from now on until `end_us`, or until it is told to stop; gives the end.
///
/// # Errors
/// A broker does not take an event.
pub fn run(senders: &Senders, market: &mut Market, end_us: i64, stop: &AtomicBool) -> Result<i64> {
    // Nothing of a chain of duplicates is on its way any more when it is this old.
    let settled_us = market.plan().duplicate_window_us + market.plan().late_us_max;
    let mut next_look = Instant::now();
    loop {
        let now_us = now_us();
        let is_over = now_us >= end_us || stop.load(Ordering::Relaxed);
        if is_over {
            break;
        }
        for sent in market.take_until(now_us) {
            senders.send(&sent)?;
        }
        if Instant::now() >= next_look {
            next_look = Instant::now() + Duration::from_secs(1);
            senders.compensate(market, now_us - settled_us)?;
        }
        senders.ads.serve_until(Instant::now() + TURN);
    }
    let end_us = end_us.min(now_us());
    for sent in market.finish(end_us) {
        senders.send(&sent)?;
    }
    senders.compensate(market, i64::MAX)?;
    senders.flush()?;
    Ok(end_us)
}
