//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Looks again and again, with growing pauses, until `probe` finds something.
///
/// # Errors
/// Nothing was found within `limit`; the sentence names `what` was waited for.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if begin.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
