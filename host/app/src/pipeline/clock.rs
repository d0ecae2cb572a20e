//! The present, as the ledger's database sees it: a host whose clock is wrong pauses nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below this difference the two clocks are the same; above it the database is right.
const SKEW_US_MIN: i64 = 1_000_000;

/// The present in microseconds since 1970. Copies share the correction.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    skew_us: Arc<AtomicI64>,
}

impl Clock {
    #[must_use]
    pub fn now_us(&self) -> i64 {
        host_us() + self.skew_us.load(Ordering::Relaxed)
    }

    /// Compares with the database's present.
    pub fn correct(&self, database_us: i64) {
        let skew_us = database_us - host_us();
        let skew_us = if skew_us.abs() < SKEW_US_MIN { 0 } else { skew_us };
        if self.skew_us.swap(skew_us, Ordering::Relaxed) != skew_us && skew_us != 0 {
            tracing::warn!(skew_us, "this host's clock differs from the database's, which is used");
        }
    }
}

/// The present by this host's own clock, for measuring how long something took.
#[must_use]
pub fn host_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
