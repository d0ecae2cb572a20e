//! Dead letters on their way to topics of their own: original key, bytes and headers, and headers that say what is
//! wrong. A letter is in the ledger since the transaction that gave its offset a fate; here it is published at least
//! once. One host at a time does it, by a lease of its own, because a host may publish dead letters and send no messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tollgate_ledger::{Ledger, LedgerConfig, StoredDeadLetter};
use tollgate_stream::{PublishError, Publisher};

use crate::channels::rfc3339;
use crate::metrics::Metric;

/// Letters of one turn at most.
const LETTERS_MAX: usize = 200;

/// Room for a record's key and headers, and for those that are added.
const HEADERS_BYTES_MAX: u64 = 65_536;

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

/// How much of its record a letter takes along. The ledger keeps all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Whole,
    WithoutValue,
    /// Without key, value and headers of the record.
    Bare,
}

/// Topics that have not taken a record lately, and until when they are left alone.
#[derive(Default)]
struct Resting {
    topics: BTreeMap<String, (u32, Instant)>,
}

/// The properties of the producer: a record that was not too large to be read is not too large to be written.
#[must_use]
pub fn producer_properties(
    kafka: &BTreeMap<String, String>,
    payload_bytes_max: u32,
) -> BTreeMap<String, String> {
    let mut properties = kafka.clone();
    let bytes_max = u64::from(payload_bytes_max) + HEADERS_BYTES_MAX;
    properties.entry("message.max.bytes".to_owned()).or_insert_with(|| bytes_max.to_string());
    properties
}

/// Publishes until it is stopped, the letter under way included, and gives the lease back. What fails, and what is left at
/// the end, stays in the ledger and is tried again.
pub async fn run(parts: DeadLetterParts, stop: CancellationToken) {
    let (mut ledger, mut resting) = (None, Resting::default());
    let mut failures = 0;
    while !stop.is_cancelled() {
        let pause = match turn(&parts, &mut ledger, &mut resting, &stop).await {
            Ok(()) => {
                failures = 0;
                POLL
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "dead letters cannot be published; trying again");
                ledger = None;
                failures += 1;
                pause_after(failures)
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = parts.wake.notified(), if failures == 0 => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Some(mut ledger) = ledger
        && let Err(error) = ledger.resign_dead_letters(&parts.owner).await
    {
        tracing::warn!(%error, "another host publishes dead letters after this one's lease");
    }
}

async fn turn(
    parts: &DeadLetterParts,
    ledger: &mut Option<Ledger>,
    resting: &mut Resting,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => ledger.insert(Ledger::open(&parts.ledger).await?),
    };
    while !stop.is_cancelled() && ledger.lead_dead_letters(&parts.owner, parts.lease).await? {
        let letters = ledger.unpublished_dead_letters(LETTERS_MAX, &resting.now()).await?;
        if letters.is_empty() {
            return Ok(());
        }
        let mut published = Vec::with_capacity(letters.len());
        let mut failed = BTreeSet::new();
        for letter in letters.iter().take_while(|_| !stop.is_cancelled()) {
            // What one topic does not take holds up that topic only.
            if failed.contains(&letter.topic) {
                continue;
            }
            match publish(parts, letter).await {
                Ok(()) => {
                    resting.topics.remove(&letter.topic);
                    published.push(letter.key());
                }
                Err(error) => {
                    resting.rest(&letter.topic, &error);
                    failed.insert(&letter.topic);
                }
            }
        }
        // What is out is out, also when the next one is not.
        ledger.mark_published(&published).await?;
        counter!(Metric::DeadLettersPublished.name()).increment(published.len() as u64);
        if !failed.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

impl Resting {
    /// Topics that are left alone now.
    fn now(&self) -> Vec<String> {
        let now = Instant::now();
        let resting = self.topics.iter().filter(|(_, (_, until))| *until > now);
        resting.map(|(topic, _)| topic.clone()).collect()
    }

    /// Doubles with each failure in a row.
    fn rest(&mut self, topic: &str, error: &PublishError) {
        let code = error.code();
        tracing::warn!(%error, code, topic, "dead letters of a topic cannot be published; trying again");
        let (failures, until) = self.topics.entry(topic.to_owned()).or_insert((0, Instant::now()));
        *failures += 1;
        *until = Instant::now() + pause_after(*failures);
    }
}

fn pause_after(failures: u32) -> Duration {
    POLL.saturating_mul(1 << failures.min(5)).min(PAUSE_MAX)
}

/// A letter that is refused for what it is goes out with less of its record, so that it holds up no other.
async fn publish(parts: &DeadLetterParts, letter: &StoredDeadLetter) -> Result<(), PublishError> {
    let mut outcome = send(parts, letter, Form::Whole).await;
    for form in [Form::WithoutValue, Form::Bare] {
        let Err(error) = &outcome else { break };
        if error.may_pass_later() {
            break;
        }
        let StoredDeadLetter { topic, partition, offset, .. } = letter;
        tracing::warn!(%error, topic, partition, offset, ?form, "a dead letter is refused; publishing less of it");
        outcome = send(parts, letter, form).await;
    }
    outcome
}

async fn send(
    parts: &DeadLetterParts,
    letter: &StoredDeadLetter,
    form: Form,
) -> Result<(), PublishError> {
    let topic = format!("{}{}", letter.topic, parts.suffix);
    let group = parts.groups.get(&letter.topic).map_or("", String::as_str);
    let (added, omitted) = (added_headers(letter, group), omitted_headers(letter, form));
    let original: &[_] = if form < Form::Bare { &letter.headers } else { &[] };
    let original = original.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    let added = added.iter().chain(&omitted).map(|(name, value)| (*name, Some(value.as_bytes())));
    let headers: Vec<_> = original.chain(added).collect();
    let key = letter.message_key.as_deref().filter(|_| form < Form::Bare);
    let payload = letter.payload.as_deref().filter(|_| form == Form::Whole);
    parts.publisher.send(&topic, key, payload, &headers).await
}

/// How many bytes of the record are left out, where it has had any.
fn omitted_headers(letter: &StoredDeadLetter, form: Form) -> Vec<(&'static str, String)> {
    let value = letter.payload.as_ref().map_or(0, Vec::len);
    let key = letter.message_key.as_ref().map_or(0, Vec::len);
    let header =
        |(name, value): &(String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len);
    let headers: usize = letter.headers.iter().map(header).sum();
    let all = [
        (Form::WithoutValue, "tollgate-value-omitted", value),
        (Form::Bare, "tollgate-key-omitted", key),
        (Form::Bare, "tollgate-headers-omitted", headers),
    ];
    let omitted = all.into_iter().filter(|(from, _, bytes)| form >= *from && *bytes > 0);
    omitted.map(|(_, name, bytes)| (name, bytes.to_string())).collect()
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
