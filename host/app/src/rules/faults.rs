//! How often a generation fails, and leaving it when that is too often.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tollgate_ledger::{FallBack, FellBack, Ledger, LedgerError};

use crate::config;

/// Counts what rules of one generation have failed on: clicks, compensations, happenings, looks. Safe to share.
#[derive(Debug)]
pub struct FaultWindow {
    /// 0: nothing is counted.
    faults_max: u64,
    window: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    generation: u64,
    failed: VecDeque<(Instant, u64)>,
    sum: u64,
    /// A generation that there is no way back from.
    last_resort: Option<u64>,
}

impl FaultWindow {
    #[must_use]
    pub fn new(rules: &config::Rules) -> Self {
        let window = Duration::from_secs(rules.faults_window_s.into());
        Self { faults_max: rules.faults_max.into(), window, inner: Mutex::default() }
    }

    /// Counts `failed` more. Gives their number when the generation has failed too often.
    pub fn note(&self, generation: u64, failed: u64) -> Option<u64> {
        self.note_at(generation, failed, Instant::now())
    }

    /// As `note`, without counting them: what would become of it.
    #[must_use]
    pub fn would_pass(&self, generation: u64, failed: u64) -> Option<u64> {
        if failed == 0 || self.faults_max == 0 {
            return None;
        }
        let mut inner = self.lock();
        inner.turn_to(generation, Instant::now(), self.window);
        self.verdict(&inner, inner.sum + failed)
    }

    /// There is no good generation before this one, so it is not to be left again.
    pub fn keep(&self, generation: u64) {
        self.lock().last_resort = Some(generation);
    }

    fn note_at(&self, generation: u64, failed: u64, now: Instant) -> Option<u64> {
        if failed == 0 || self.faults_max == 0 {
            return None;
        }
        let mut inner = self.lock();
        inner.turn_to(generation, now, self.window);
        inner.failed.push_back((now, failed));
        inner.sum += failed;
        self.verdict(&inner, inner.sum)
    }

    fn verdict(&self, inner: &Inner, sum: u64) -> Option<u64> {
        let is_left = sum >= self.faults_max && inner.last_resort != Some(inner.generation);
        is_left.then_some(sum)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets other generations, and what the window has passed.
    fn turn_to(&mut self, generation: u64, now: Instant, window: Duration) {
        if self.generation != generation {
            let last_resort = self.last_resort;
            *self = Self { generation, last_resort, ..Self::default() };
        }
        while let Some((at, failed)) = self.failed.front() {
            if now.duration_since(*at) <= window {
                break;
            }
            self.sum -= failed;
            self.failed.pop_front();
        }
    }
}

/// A wish to leave a generation, from whoever noticed.
pub struct Leave<'a> {
    pub generation: u64,
    pub faults: u64,
    /// The last fault, in a sentence.
    pub fault: &'a str,
    /// Name of this host.
    pub actor: &'a str,
}

/// Leaves a generation for the last good one, unless another host was faster. What is in force then has to be loaded by
/// whoever holds the old rules.
///
/// # Errors
/// The ledger cannot be written.
pub async fn leave(
    window: &FaultWindow,
    ledger: &mut Ledger,
    leave: &Leave<'_>,
) -> Result<FellBack, LedgerError> {
    let Leave { generation, faults, fault, actor } = *leave;
    let reason =
        format!("it failed {faults} times within {} s, at last: {fault}", window.window.as_secs());
    let wish = FallBack { from: generation, actor, reason: &reason, faults };
    let outcome = ledger.fall_back(&wish).await?;
    match outcome {
        FellBack::To { number, good } => {
            tracing::error!(
                generation,
                number,
                good,
                reason,
                "the rules are left for the last good ones"
            );
        }
        FellBack::Elsewhere { active } => {
            tracing::info!(generation, active, "the rules were left already");
        }
        FellBack::NoneGood => {
            window.keep(generation);
            tracing::error!(
                generation,
                reason,
                "the rules fail, and there are no good ones before them"
            );
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(faults_max: u64) -> FaultWindow {
        FaultWindow { faults_max, window: Duration::from_secs(10), inner: Mutex::default() }
    }

    #[test]
    fn faults_of_one_generation_within_the_window_count() {
        let (window, start) = (window(5), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (generation, failed, second, expected) in [
            (1, 3, 0, None),
            (1, 0, 1, None),
            // The first ones are too long ago.
            (1, 3, 11, None),
            (1, 2, 12, Some(5)),
            // Another generation begins anew.
            (2, 4, 13, None),
            (2, 1, 23, Some(5)),
        ] {
            let found = window.note_at(generation, failed, at(second));
            assert_eq!(found, expected, "{generation} {failed} at {second}");
        }
    }

    #[test]
    fn a_generation_without_a_way_back_is_kept() {
        let window = window(2);
        assert_eq!(window.would_pass(1, 2), Some(2));
        assert_eq!(window.note(1, 2), Some(2));
        window.keep(1);
        assert_eq!(window.note(1, 2), None);
        assert_eq!(window.note(2, 2), Some(2), "another one is not");
    }

    #[test]
    fn nothing_is_counted_when_that_is_off() {
        let window = window(0);
        assert_eq!((window.note(1, 1_000), window.would_pass(1, 1_000)), (None, None));
    }
}
