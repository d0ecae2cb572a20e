//! The full audit, now and then, on a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Finding, Ledger, LedgerConfig, LedgerError, WatchState};

use crate::config;
use crate::pipeline::clock::host_us;

/// While findings of the last full audit are open, it is made again as soon as this, to see whether they were mended.
const AGAIN_S: i64 = 60;

/// A finding of the watch that is open for as long is looked at by a full audit: when that finds nothing, somebody has
/// mended what the watch had read before, and the watch begins anew.
const DOUBT_S: i64 = 600;

/// A full audit is followed by a rest of so many times its duration.
const REST_TIMES: u32 = 20;

pub(super) struct FullAudit {
    ledger: LedgerConfig,
    every_s: i64,
    running: Option<JoinHandle<()>>,
    stop: CancellationToken,
    /// None is begun before.
    rests_until: Arc<Mutex<Instant>>,
}

impl FullAudit {
    pub(super) fn new(ledger: &LedgerConfig, settings: &config::Audit) -> Self {
        Self {
            ledger: ledger.clone(),
            every_s: i64::from(settings.full_every_h) * 3_600,
            running: None,
            stop: CancellationToken::new(),
            rests_until: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Begins one unless one is under way.
    pub(super) fn begin_when_due(&mut self, findings: &[Finding], state: &WatchState) {
        let is_running = self.running.as_ref().is_some_and(|running| !running.is_finished());
        let rests_until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let due_s = due_after_s(self.every_s, findings, host_us());
        if is_running
            || Instant::now() < rests_until
            || due_s.is_none_or(|due| state.audited_s < due)
        {
            return;
        }
        let (config, rests_until) = (self.ledger.clone(), Arc::clone(&self.rests_until));
        let (stop, runtime) = (self.stop.clone(), Handle::current());
        self.running = Some(tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            let audited = runtime.block_on(stop.run_until_cancelled(audit(&config)));
            if let Some(Err(error)) = audited {
                tracing::warn!(%error, "the full audit failed; trying again");
            }
            let rest = (begin.elapsed() * REST_TIMES).max(Duration::from_secs(1));
            *rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + rest;
        }));
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Age of the last full audit at which the next is due; `None`: never.
fn due_after_s(every_s: i64, findings: &[Finding], now_us: i64) -> Option<i64> {
    if every_s == 0 {
        return None;
    }
    let is_doubtful = |finding: &Finding| now_us - finding.found_at_us > DOUBT_S * 1_000_000;
    Some(if findings.iter().any(|finding| finding.source == "AUDIT") {
        every_s.min(AGAIN_S)
    } else if findings.iter().any(is_doubtful) {
        every_s.min(DOUBT_S)
    } else {
        every_s
    })
}

async fn audit(config: &LedgerConfig) -> Result<(), LedgerError> {
    let mut ledger = Ledger::open(config).await?;
    let report = ledger.audit(&mut |_| ()).await?;
    for check in report.checks.iter().filter(|check| !check.ok) {
        tracing::error!(check = check.name, detail = check.detail, "the ledger does not add up");
    }
    ledger.record_audit(&report).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(every_s: i64, sources: &[(&str, i64)], expected: Option<i64>) {
        let now_us = 1_795_219_200_000_000;
        let finding = |(source, age_s): &(&str, i64)| Finding {
            source: (*source).to_owned(),
            claim: String::new(),
            subject: String::new(),
            advertiser: String::new(),
            campaign: String::new(),
            day: None,
            expected: 0,
            found: None,
            detail: String::new(),
            found_at_us: now_us - age_s * 1_000_000,
        };
        let findings: Vec<_> = sources.iter().map(finding).collect();
        assert_eq!(due_after_s(every_s, &findings, now_us), expected, "{every_s} {sources:?}");
    }

    #[test]
    fn full_audits_follow_what_is_open() {
        check(86_400, &[], Some(86_400));
        check(86_400, &[("WATCH", 599)], Some(86_400));
        check(86_400, &[("WATCH", 601)], Some(600));
        check(86_400, &[("AUDIT", 1)], Some(60));
        check(86_400, &[("WATCH", 601), ("AUDIT", 1)], Some(60));
        check(0, &[("AUDIT", 1)], None);
    }
}
