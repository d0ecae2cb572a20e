//! Dead letters on their way to topics of their own: original key, bytes and headers, and headers that say what is
//! wrong. A letter is in the ledger since the transaction that gave its offset a fate; here it is published at least
//! once. One host at a time does it, the one that also sends messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig, StoredDeadLetter};
use tollgate_stream::{PublishError, Publisher};

use crate::channels::rfc3339;
use crate::metrics::Metric;

/// Letters of one turn at most.
const LETTERS_MAX: usize = 200;

/// How often to look for letters of other hosts, and the longest pause after failures.
const POLL: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Everything that publishing needs.
pub struct DeadLetterParts {
    pub ledger: LedgerConfig,
    pub publisher: Publisher,
    /// What a topic's name ends with when it holds the dead letters of the topic before the suffix.
    pub suffix: String,
    /// Consumer group of each topic, for the header.
    pub groups: BTreeMap<String, String>,
    /// Name of this host in the lease.
    pub owner: String,
    pub lease: Duration,
    /// Rings when this host has written a dead letter.
    pub wake: Arc<Notify>,
}

/// Publishes until it is stopped, the letter under way included. What fails, and what is left at the end, stays in the
/// ledger and is tried again.
pub async fn run(parts: DeadLetterParts, stop: CancellationToken) {
    let mut ledger = None;
    let mut failures = 0;
    while !stop.is_cancelled() {
        let pause = match turn(&parts, &mut ledger, &stop).await {
            Ok(()) => {
                failures = 0;
                POLL
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "dead letters cannot be published; trying again");
                ledger = None;
                failures += 1;
                POLL.saturating_mul(1 << failures.min(5)).min(PAUSE_MAX)
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = parts.wake.notified(), if failures == 0 => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn turn(
    parts: &DeadLetterParts,
    ledger: &mut Option<Ledger>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => ledger.insert(Ledger::open(&parts.ledger).await?),
    };
    while !stop.is_cancelled() && ledger.lead(&parts.owner, parts.lease).await? {
        let letters = ledger.unpublished_dead_letters(LETTERS_MAX).await?;
        if letters.is_empty() {
            return Ok(());
        }
        let mut published = Vec::with_capacity(letters.len());
        let mut failed = None;
        for letter in letters.iter().take_while(|_| !stop.is_cancelled()) {
            match publish(parts, letter).await {
                Ok(()) => published.push(letter.key()),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // What is out is out, also when the next one is not.
        ledger.mark_published(&published).await?;
        counter!(Metric::DeadLettersPublished.name()).increment(published.len() as u64);
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    Ok(())
}

async fn publish(parts: &DeadLetterParts, letter: &StoredDeadLetter) -> Result<(), PublishError> {
    let topic = format!("{}{}", letter.topic, parts.suffix);
    let added = added_headers(letter, parts.groups.get(&letter.topic).map_or("", String::as_str));
    let original = letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    let added = added.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
    let headers: Vec<_> = original.chain(added).collect();
    let (key, payload) = (letter.message_key.as_deref(), letter.payload.as_deref());
    parts.publisher.send(&topic, key, payload, &headers).await
}

/// What a dead letter says about itself, as texts. Documented in `config/README.md`.
fn added_headers(letter: &StoredDeadLetter, group: &str) -> [(&'static str, String); 11] {
    [
        ("tollgate-code", letter.code.clone()),
        ("tollgate-sentence", letter.sentence.clone()),
        ("tollgate-stage", letter.stage.clone()),
        ("tollgate-topic", letter.topic.clone()),
        ("tollgate-partition", letter.partition.to_string()),
        ("tollgate-offset", letter.offset.to_string()),
        ("tollgate-incarnation", letter.incarnation.to_string()),
        ("tollgate-group", group.to_owned()),
        ("tollgate-generation", letter.generation.to_string()),
        ("tollgate-attempt", letter.attempts.to_string()),
        ("tollgate-time", rfc3339(letter.created_at_us)),
    ]
}
