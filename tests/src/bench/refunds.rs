//! How soon a duplicate is paid back while clicks are charged.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ADVERTISERS, CAMPAIGNS, WARM_UP_SECONDS, clicks_only, ledger};
use crate::generator::campaigns::campaigns;
use crate::generator::compensations::Compensation;
use crate::generator::{Generator, Mix, Repeat};
use crate::harness::host::{Host, Setup};
use crate::harness::status::Status;
use crate::harness::topic::Sender;
use crate::pace::{Tally, produce_with};
use crate::servers::Servers;
use crate::servers::kafka::create_topic;

const TOPIC: &str = "bench-refunds";
const COMPENSATION_TOPIC: &str = "bench-refunds-compensations";

/// Clicks and compensations a second.
const RATE: u32 = 1_000;
const COMPENSATION_RATE: i64 = 20;

/// Clicks in a million that repeat an earlier one.
const REPEATS_PPM: u32 = 60_000;

/// A device that has been quiet for so long is complained about, so that its clicks are charged.
const QUIET_US: i64 = 2_000_000;

const LIMIT: Duration = Duration::from_secs(60);

/// Compensations at a steady rate for what the generator repeats.
struct Complaints {
    sender: Sender,
    ripe: VecDeque<Repeat>,
    due_us: i64,
    sent: u64,
}

/// Time from a compensation's timestamp to the commit of its refund.
pub(super) fn refunds(servers: &Servers, seconds: u32) -> Result<Value> {
    println!("refunds: {COMPENSATION_RATE} compensations/s beside {RATE} clicks/s for {seconds} s");
    let known = campaigns(9, CAMPAIGNS, ADVERTISERS);
    create_topic(&servers.brokers, TOPIC, 8, 7)?;
    create_topic(&servers.brokers, COMPENSATION_TOPIC, 4, 7)?;
    let (setup, _ledger) = ledger(servers, TOPIC, &known)?;
    let setup = setup.compensations(COMPENSATION_TOPIC);
    let mut generator =
        Generator::new(Mix { repeats_ppm: REPEATS_PPM, ..clicks_only(true) }, &known);
    run(servers, &setup, &mut generator, WARM_UP_SECONDS)?;
    let (found, sent) = run(servers, &setup, &mut generator, seconds)?;
    setup.run(&["audit"]).context("the audit after the measurement")?;
    let refund = found.refund_latency_ms;
    Ok(json!({
        "compensations": sent,
        "p50_ms": refund.p50,
        "p99_ms": refund.p99,
        "max_ms": refund.max,
        "charge_p99_ms": found.latency_ms.p99,
    }))
}

fn run(
    servers: &Servers,
    setup: &Setup,
    generator: &mut Generator,
    seconds: u32,
) -> Result<(Status, u64)> {
    let clicks = Sender::new(&servers.brokers, TOPIC)?;
    let sender = Sender::new(&servers.brokers, COMPENSATION_TOPIC)?;
    let mut complaints = Complaints { sender, ripe: VecDeque::new(), due_us: 0, sent: 0 };
    let (mut host, tally) = (Host::start(setup)?, Tally::default());
    host.wait_settled(8)?;
    produce_with(&clicks, generator, RATE, seconds, &tally, |generator, now_us| {
        complaints.go_on(generator, now_us)
    })?;
    complaints.sender.flush()?;
    let (produced, sent) = (tally.produced(), complaints.sent);
    let status = host.wait_status("the host to charge and refund", LIMIT, |status| {
        status.charged >= produced && status.refund_latency_ms.count >= sent
    })?;
    host.terminate(LIMIT)?;
    Ok((status, sent))
}

impl Complaints {
    fn go_on(&mut self, generator: &mut Generator, now_us: i64) -> Result<()> {
        if now_us < self.due_us {
            return Ok(());
        }
        self.due_us = now_us + 1_000_000 / COMPENSATION_RATE;
        if self.ripe.is_empty() {
            self.ripe.extend(generator.take_repeats(now_us - QUIET_US));
        }
        if let Some(repeat) = self.ripe.pop_front() {
            let honest = Compensation::new(&repeat, generator.campaigns(), now_us);
            self.sender.send(&honest.event(), now_us)?;
            self.sent += 1;
        }
        Ok(())
    }
}
