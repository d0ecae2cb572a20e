//! The real host as a child, and independent readers of what it read and what it wrote.

pub mod host;
pub mod ledger;
pub mod scenario;
pub mod status;
pub mod topic;
pub mod verify;

use std::time::{SystemTime, UNIX_EPOCH};

/// The present in microseconds since 1970.
#[must_use]
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
