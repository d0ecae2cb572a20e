//! Lines of librdkafka's log in ours, and a brake for lines that repeat.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;

use crate::shared::lock;

/// Passes a line of librdkafka on. Its errors mostly heal on their own, so they are warnings here.
pub(crate) fn librdkafka(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Whether librdkafka says that a topic has another id than before. Its first sight of an id does not count.
pub(crate) fn is_recreation(line: &str) -> bool {
    const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    line.split_once(" changed id from ")
        .is_some_and(|(_, ids)| ids.split_once(" to ").is_some_and(|(old, _)| old != NO_ID))
}

/// Lets a line through at most once in a while.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<Option<Instant>>);

impl Brake {
    const PAUSE: Duration = Duration::from_secs(5);

    /// Whether the line may be written now.
    pub(crate) fn lets(&self) -> bool {
        let mut last = lock(&self.0);
        let lets = last.is_none_or(|last| last.elapsed() >= Self::PAUSE);
        if lets {
            *last = Some(Instant::now());
        }
        lets
    }
}
