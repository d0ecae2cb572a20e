//! Clicks as they were really decided. What the rules of then were given stands in the records of decisions, who was
//! charged what in history; a click is replayed when both are there and hold what the candidate asks for. All others are
//! counted and named, and nothing is guessed.

mod portions;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tollgate_domain::book::{Campaign, DayKey};
use tollgate_domain::day::Day;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::plan::CrossingKind;
use tollgate_domain::rule::{Needs, Rules};
use tollgate_domain::transcript::{ClickTranscript, Transcript};
use tollgate_ledger::{
    Ledger, LedgerConfig, LedgerError, PastCharge, PastClicks, PastRecord, PastSpan,
};
use tollgate_workbench::replay::{
    AnsweredCrossing, LeftOut, Portion, Portions, Progress, ReplayError,
};

use super::beginning::{runtime, usable};
use crate::records;

/// Records that are read at once.
const RECORDS_MAX: usize = 128;

/// A budget day begins somewhere on earth so long before it begins in UTC, and clicks may come an hour early.
const AHEAD_US: i64 = 15 * 3_600_000_000;

/// Charges by topic, incarnation, partition and offset.
type Charges = HashMap<(String, i32, i32, i64), PastCharge>;

/// Reads the past in the order in which it was decided.
pub struct History {
    runtime: Runtime,
    ledger: Ledger,
    since: Day,
    records: Vec<PastRecord>,
    at: usize,
    ready: VecDeque<Portion>,
    past: Past,
}

/// What is remembered from record to record.
#[derive(Default)]
struct Past {
    needs: Needs,
    /// What days have spent by the clicks and records so far.
    spent: HashMap<DayKey, i64>,
    campaigns: HashMap<Arc<str>, Option<Campaign>>,
    /// Campaigns and advertisers that have come already.
    begun: HashSet<Arc<str>>,
    paid: HashSet<Arc<str>>,
    reasons: Arc<Vec<(String, String)>>,
    crossings: Vec<AnsweredCrossing>,
    clicks: PastClicks,
    replayed: u64,
    left_out: BTreeMap<String, u64>,
    next_offset: i64,
}

impl History {
    /// Clicks of a budget day and all later ones, for candidates that ask for what `rules` do.
    ///
    /// # Errors
    /// The ledger cannot be asked.
    pub fn open(config: &LedgerConfig, since: Day, rules: &dyn Rules) -> Result<Self, LedgerError> {
        let runtime = runtime().map_err(|error| LedgerError::Unexpected(error.to_string()))?;
        let mut ledger = runtime.block_on(Ledger::open(config))?;
        let since_us = i64::from(since.0) * 86_400_000_000 - AHEAD_US;
        let (clicks, crossings, records) = runtime.block_on(async {
            // Sums first: what is charged meanwhile has records and is in no sum.
            let clicks = ledger.past_clicks(since).await?;
            let crossings = ledger.past_crossings(since).await?;
            Ok::<_, LedgerError>((clicks, crossings, ledger.past_records(since_us).await?))
        })?;
        let past = Past {
            needs: needs(rules),
            clicks,
            crossings: crossings.iter().filter_map(crossing).collect(),
            ..Past::default()
        };
        Ok(Self { runtime, ledger, since, records, at: 0, ready: VecDeque::new(), past })
    }

    /// Reads the next records and makes portions of them.
    fn fetch(&mut self) -> Result<(), ReplayError> {
        let end = self.records.len().min(self.at + RECORDS_MAX);
        let records = self.records[self.at..end].to_vec();
        self.at = end;
        let ledger = &mut self.ledger;
        let bodies = self.runtime.block_on(ledger.past_bodies(&records)).map_err(unread)?;
        let mut transcripts = Vec::with_capacity(bodies.len());
        for (at, body) in bodies {
            match records::decode(&body) {
                Ok(Transcript::Clicks(transcript)) => transcripts.push((&records[at], transcript)),
                // Compensations are no clicks.
                Ok(Transcript::Refund(_)) => {}
                Err(error) => {
                    let place = &records[at].lead;
                    let (topic, partition, offset) = (&place.topic, place.partition, place.offset);
                    tracing::warn!(%error, topic, partition, offset, "a record cannot be replayed");
                }
            }
        }
        let mut charges = Charges::new();
        for span in spans(transcripts.iter().map(|(_, transcript)| &**transcript)) {
            let found = self.runtime.block_on(ledger.past_charges(&span, self.since));
            let PastSpan { topic, incarnation, partition, .. } = span;
            charges.extend(
                found
                    .map_err(unread)?
                    .into_iter()
                    .map(|charge| ((topic.clone(), incarnation, partition, charge.offset), charge)),
            );
        }
        self.meet(&charges)?;
        for (record, transcript) in transcripts {
            self.ready.extend(self.past.portion(record, &transcript, &charges)?);
        }
        Ok(())
    }

    /// Reads campaigns that come for the first time.
    fn meet(&mut self, charges: &Charges) -> Result<(), ReplayError> {
        let known = &mut self.past.campaigns;
        let mut unmet: Vec<Arc<str>> = charges
            .values()
            .filter(|charge| !known.contains_key(charge.campaign.as_str()))
            .map(|charge| charge.campaign.as_str().into())
            .collect();
        unmet.sort_unstable();
        unmet.dedup();
        if unmet.is_empty() {
            return Ok(());
        }
        let found = self.runtime.block_on(usable(&mut self.ledger, &unmet)).map_err(unread)?;
        known.extend(unmet.into_iter().map(|id| (id, None)));
        known.extend(found.into_iter().map(|campaign| (Arc::clone(&campaign.id), Some(campaign))));
        Ok(())
    }
}

impl Portions for History {
    fn next(&mut self) -> Result<Option<Portion>, ReplayError> {
        while self.ready.is_empty() && self.at < self.records.len() {
            self.fetch()?;
        }
        Ok(self.ready.pop_front())
    }

    fn progress(&self) -> Progress {
        let done = self.past.replayed + self.past.left_out.values().sum::<u64>();
        Progress { done, total: self.past.clicks.charged.unsigned_abs() }
    }

    fn left_out(&self) -> Vec<LeftOut> {
        let Past { clicks, replayed, left_out, .. } = &self.past;
        let mut all: Vec<_> = left_out
            .iter()
            .map(|(why, clicks)| LeftOut { clicks: *clicks, why: why.clone() })
            .collect();
        let retired = clicks.retired.unsigned_abs();
        let named: u64 = left_out.values().sum();
        let unrecorded = clicks.charged.unsigned_abs().saturating_sub(retired + replayed + named);
        for (clicks, why) in [
            (retired, "their days of history were retired"),
            (
                unrecorded,
                "what their rules were given is not recorded, no longer, or not readable (decisions.retention_days)",
            ),
        ] {
            if clicks > 0 {
                all.push(LeftOut { clicks, why: why.to_owned() });
            }
        }
        all
    }
}

fn needs(rules: &dyn Rules) -> Needs {
    let (pricing, threshold) = (rules.pricing().needs, rules.threshold().needs);
    Needs {
        cached_price: pricing.cached_price || threshold.cached_price,
        counter: threshold.counter,
        // Ids are in history; only clicks have other texts.
        texts: pricing.texts,
        ..Needs::default()
    }
}

/// One span for each partition, around all clicks of these records.
fn spans<'t>(transcripts: impl Iterator<Item = &'t ClickTranscript>) -> Vec<PastSpan> {
    let mut spans: BTreeMap<(String, i32, i32), (i64, i64)> = BTreeMap::new();
    for transcript in transcripts {
        let mut offsets = transcript.offsets.iter();
        for span in &transcript.spans {
            let own: Vec<i64> = offsets.by_ref().take(span.clicks as usize).copied().collect();
            let (Some(first), Some(last)) = (own.iter().min(), own.iter().max()) else { continue };
            let key = (span.topic.clone(), span.incarnation, span.partition);
            let around = spans.entry(key).or_insert((*first, last + 1));
            *around = (around.0.min(*first), around.1.max(last + 1));
        }
    }
    let span = |((topic, incarnation, partition), (first_offset, next_offset))| PastSpan {
        topic,
        incarnation,
        partition,
        first_offset,
        next_offset,
    };
    spans.into_iter().map(span).collect()
}

fn crossing((kind, facts): &(HappeningKind, HappeningFacts)) -> Option<AnsweredCrossing> {
    use tollgate_domain::money::Micros;
    let kind = match kind {
        HappeningKind::Warning => CrossingKind::Warn,
        HappeningKind::Paused => CrossingKind::Pause,
        HappeningKind::Resumed => CrossingKind::Resume,
        _ => return None,
    };
    let day = Day::from_date(facts.day.parse().ok()?);
    Some(AnsweredCrossing {
        key: DayKey { campaign: facts.campaign_id.as_str().into(), day },
        advertiser: facts.advertiser_id.as_str().into(),
        kind,
        level_ppm: facts.level_ppm,
        at_us: facts.occurred_at_us,
        spent: Micros(facts.spent_micros.unwrap_or(0)),
        budget: facts.daily_budget_micros.map(Micros),
    })
}

fn unread(error: LedgerError) -> ReplayError {
    ReplayError::Source(format!("{error} ({})", error.code()))
}
