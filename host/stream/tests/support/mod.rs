//! What the tests stand on: a broker, a producer, a ledger in memory, and a writer.

pub(crate) mod book;
pub(crate) mod kafka;
pub(crate) mod member;
pub(crate) mod topics;

use std::time::{Duration, Instant};

/// Waits for a condition. The limit is no claim about speed: it ends a test that would hang.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(120), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
