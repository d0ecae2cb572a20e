//! A circuit breaker: after failures in a row a neighbour is left alone for a while, then tried once.

use std::time::{Duration, Instant};

/// Decides whether to ask. Time is handed in.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause: Duration,
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    #[must_use]
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, failures: 0, open_until: None }
    }

    /// Whether the neighbour may be asked now. After a pause one question is let through; its outcome decides
    /// whether the next pause begins.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + self.pause);
                true
            }
            None => true,
        }
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.open_until = None;
    }

    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.failures_max {
            self.open_until = Some(now + self.pause);
        }
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a step: `f` failure, `s` success, `a` asks and is allowed, `d` asks and is denied, `.` one pause
    /// goes by.
    fn check(steps: &str) {
        let pause = Duration::from_secs(1);
        let mut breaker = Breaker::new(3, pause);
        let mut now = Instant::now();
        for (at, step) in steps.chars().enumerate() {
            match step {
                'f' => breaker.failed(now),
                's' => breaker.succeeded(),
                'a' => assert!(breaker.allows(now), "{steps} at {at}"),
                'd' => assert!(!breaker.allows(now), "{steps} at {at}"),
                '.' => now += pause,
                other => panic!("no step {other:?}"),
            }
        }
    }

    #[test]
    fn opens_after_failures_in_a_row_and_probes_once_a_pause() {
        check("afafafd");
        check("afafasafafa");
        check("fffd.ad");
        check("fff.asaaa");
        check("fff.afd.afd");
    }
}
