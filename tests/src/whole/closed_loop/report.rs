//! What the loop has shown, as a table and as JSON.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use super::story::Story;
use crate::harness::now_us;
use crate::servers::flink::statements::Statement;
use crate::whole::judge::Claim;
use crate::whole::system::System;

/// Everything that was found out.
pub(super) struct Report {
    pub(super) options: Options,
    pub(super) claims: Vec<Claim>,
    pub(super) is_exact: bool,
    /// What `tollgate audit` said.
    pub(super) audit: String,
    pub(super) delays: Delays,
    pub(super) story: Story,
    pub(super) lag: Vec<Lag>,
    pub(super) memory: Vec<(&'static str, u64)>,
    /// From the end of the traffic until all claims held.
    pub(super) settled_ms: u64,
    pub(super) counts: [(&'static str, u64); 3],
}

/// Time from a duplicate click to its refund.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Delays {
    count: usize,
    p50_ms: i64,
    p99_ms: i64,
    max_ms: i64,
}

/// What statements and host had not read yet, some time after the beginning.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Lag {
    after_s: u64,
    /// Records by statement.
    statements: Vec<(&'static str, i64)>,
    host: i64,
}

/// Between two looks at the lag.
const LOOK: Duration = Duration::from_secs(5);

impl Delays {
    pub(super) fn of(mut delays_ms: Vec<i64>) -> Self {
        delays_ms.sort_unstable();
        let share = |percent: usize| {
            let at = (delays_ms.len() * percent / 100).min(delays_ms.len().saturating_sub(1));
            delays_ms.get(at).copied().unwrap_or_default()
        };
        Self { count: delays_ms.len(), p50_ms: share(50), p99_ms: share(99), max_ms: share(100) }
    }
}

/// Looks at the lag until the shop closes.
pub(super) fn watch_lag(system: &System, end_us: i64) -> Vec<Lag> {
    let begin = Instant::now();
    let mut seen = Vec::new();
    while now_us() < end_us {
        thread::sleep(LOOK);
        let pending =
            |one: Statement| Some((one.name(), system.flink.metric(one, "pendingRecords").ok()?));
        let statements = Statement::ALL.into_iter().filter_map(pending).collect();
        let host = system.host.status().map(|status| status.lag).unwrap_or_default();
        seen.push(Lag { after_s: begin.elapsed().as_secs(), statements, host });
    }
    seen
}

/// Resident memory in bytes.
///
/// # Errors
/// A process is gone.
pub(super) fn memory(system: &System) -> Result<Vec<(&'static str, u64)>> {
    let (job_manager, task_manager) = system.flink.memory()?;
    let host = system.host.resident_kib()? * 1_024;
    Ok(vec![
        ("Flink's job manager", job_manager),
        ("its task manager", task_manager),
        ("host", host),
    ])
}

impl Report {
    pub(super) fn is_good(&self) -> bool {
        self.is_exact && self.claims.iter().all(Claim::holds)
    }

    pub(super) fn print(&self) {
        println!("\n{:<58} {:>12} {:>12}", "what has to be equal", "expected", "found");
        for claim in &self.claims {
            let mark = if claim.holds() { "ok   " } else { "WRONG" };
            println!("{mark} {:<52} {:>12} {:>12}", claim.name, claim.expected, claim.found);
            claim.differences.iter().for_each(|line| println!("        {line}"));
        }
        println!("{} tollgate audit", if self.is_exact { "ok   " } else { "WRONG" });
        if !self.is_exact {
            println!("{}", self.audit);
        }
        self.print_times();
        println!(
            "{}",
            if self.is_good() { "The loop is closed." } else { "The loop is NOT closed." }
        );
    }

    fn print_times(&self) {
        let Delays { count, p50_ms, p99_ms, max_ms } = self.delays;
        let window_s = self.options.window_s;
        println!(
            "\nduplicate click to refund: p50 {p50_ms} ms, p99 {p99_ms} ms, max {max_ms} ms of {count}"
        );
        println!(
            "  of it up to {window_s} s until its window ends, {} s for late events,",
            super::OUT_OF_ORDER_S
        );
        println!("  and up to a checkpoint until the compensation can be read");
        let Story { campaign, pause_to_unranked_ms, budget_to_ranked_ms, killed } = &self.story;
        println!(
            "{campaign}: paused by its budget, out of the ranking {pause_to_unranked_ms} ms later;"
        );
        println!("  with a new budget ranked again after {budget_to_ranked_ms} ms");
        for (what, took_ms) in killed {
            println!("{what} killed, at work again after {took_ms} ms");
        }
        for (topic, events) in self.counts {
            println!("{topic}: {events} events");
        }
        println!("settled {} ms after the last event", self.settled_ms);
        if let (Some(first), Some(last)) = (self.lag.first(), self.lag.last()) {
            let sum = |lag: &Lag| lag.statements.iter().map(|(_, pending)| pending).sum::<i64>();
            let most = self.lag.iter().map(sum).max().unwrap_or_default();
            println!(
                "records not read yet: statements {} at first, {} at the end, {most} at most; host {} and {}",
                sum(first),
                sum(last),
                first.host,
                last.host
            );
        }
        for (who, bytes) in &self.memory {
            println!("{who}: {} MB", bytes / 1_000_000);
        }
    }

    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn json(&self) -> Result<String> {
        let claim = |claim: &Claim| {
            json!({
                "name": claim.name,
                "holds": claim.holds(),
                "expected": claim.expected,
                "found": claim.found,
                "differences": claim.differences,
            })
        };
        let Options { minutes, rate, window_s, chaos, seed, .. } = &self.options;
        let memory: Value =
            self.memory.iter().map(|(who, bytes)| ((*who).to_owned(), json!(bytes))).collect();
        let counts: Value =
            self.counts.iter().map(|(topic, count)| ((*topic).to_owned(), json!(count))).collect();
        Ok(serde_json::to_string_pretty(&json!({
            "good": self.is_good(),
            "minutes": minutes,
            "rate": rate,
            "window_s": window_s,
            "chaos": chaos,
            "seed": seed,
            "audit_exact": self.is_exact,
            "claims": self.claims.iter().map(claim).collect::<Vec<_>>(),
            "duplicate_to_refund": self.delays,
            "story": self.story,
            "lag": self.lag,
            "events": counts,
            "memory_bytes": memory,
            "settled_ms": self.settled_ms,
        }))?)
    }
}
