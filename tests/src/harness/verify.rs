//! Holds the ledger against the model, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::{Result, bail};

use super::ledger::Ledger;
use super::topic::Log;
use crate::model::{Charge, Fate, Model, Outcome};

mod refunds;

pub use refunds::verify_refunds;

/// Most differences that are printed.
const SHOWN_MAX: usize = 20;

/// Judges a log and compares everything that the model knows with the ledger.
///
/// # Errors
/// A list of the first differences.
pub fn verify(log: &Log, ledger: &mut Ledger, model: &Model) -> Result<Outcome> {
    let outcome = model.judge(&log.records);
    let mut differences = Differences::default();
    compare_clicks(log, ledger, &outcome, &mut differences)?;
    differences.into_result()?;
    Ok(outcome)
}

fn compare_clicks(
    log: &Log,
    ledger: &mut Ledger,
    outcome: &Outcome,
    differences: &mut Differences,
) -> Result<()> {
    compare_fates(&log.topic, ledger, outcome, differences)?;
    compare_progress(log, ledger, outcome, differences)?;
    compare_sums(ledger, outcome, differences)?;
    compare_crossings(ledger, outcome, differences)
}

#[derive(Default)]
struct Differences {
    shown: Vec<String>,
    count: usize,
}

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, what: &dyn Debug, expected: T, found: T) {
        if expected == found {
            return;
        }
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{what:?}: expected {expected:?}, found {found:?}"));
        }
    }

    /// Compares two tables key by key.
    fn tables<K: Ord + Debug, V: PartialEq + Debug>(
        &mut self,
        what: &str,
        expected: &BTreeMap<K, V>,
        found: &BTreeMap<K, V>,
    ) {
        let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            self.compare(&(what, key), expected.get(key), found.get(key));
        }
    }

    fn into_result(self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        bail!("{} differences from the model:\n{}", self.count, self.shown.join("\n"))
    }
}

/// Every row of history and every dead letter, and nothing else.
fn compare_fates(
    topic: &str,
    ledger: &mut Ledger,
    outcome: &Outcome,
    differences: &mut Differences,
) -> Result<()> {
    let charges = outcome.fates.iter().filter_map(|(at, fate)| match fate {
        Fate::Charged(charge) => Some((*at, charge.clone())),
        _ => None,
    });
    let history = ledger.history(topic)?;
    let count = history.len();
    let rows = history.into_iter().map(|row| {
        let charge = Charge {
            advertiser: row.advertiser_id,
            campaign: row.campaign_id,
            ad: row.ad_id,
            device: row.device_id,
            amount_micros: -row.amount_micros,
            occurred_at_us: row.occurred_at_us,
            day: row.budget_day,
            price_source: source(&row.price_source),
        };
        ((row.kafka_partition as i32, row.kafka_offset), charge)
    });
    let rows: BTreeMap<_, _> = rows.collect();
    differences.compare(&"history rows of different offsets", count, rows.len());
    differences.tables("history", &charges.collect(), &rows);
    let dead = outcome.fates.iter().filter_map(|(at, fate)| match fate {
        Fate::Dead(code) => Some((*at, (*code).to_owned())),
        _ => None,
    });
    let letters = ledger.dead_letters(topic)?;
    let letters =
        letters.into_iter().map(|row| ((row.kafka_partition as i32, row.kafka_offset), row.code));
    differences.tables("dead letter", &dead.collect(), &letters.collect());
    Ok(())
}

/// Each partition's counters say what became of its offsets, and add up.
fn compare_progress(
    log: &Log,
    ledger: &mut Ledger,
    outcome: &Outcome,
    differences: &mut Differences,
) -> Result<()> {
    let mut expected = BTreeMap::new();
    for &(partition, (low, high)) in &log.ends {
        let fates = outcome.fates.range((partition, 0)..(partition + 1, 0)).map(|(_, fate)| fate);
        let (mut charged, mut skipped, mut dead) = (0, 0, 0);
        for fate in fates {
            match fate {
                Fate::Charged(_) => charged += 1,
                Fate::Skipped => skipped += 1,
                Fate::Dead(_) => dead += 1,
            }
        }
        let absent = high - low - charged - skipped - dead;
        expected.insert(partition, [low, high, charged, skipped, dead, absent]);
    }
    let found = ledger.progress(&log.topic)?.into_iter().map(|row| {
        let counters =
            [row.first_offset, row.next_offset, row.charged, row.skipped, row.dead, row.absent];
        (row.kafka_partition as i32, counters)
    });
    differences.tables("first, next, charged, skipped, dead, absent", &expected, &found.collect());
    Ok(())
}

/// Spend of every campaign-day, and balance of every advertiser.
fn compare_sums(
    ledger: &mut Ledger,
    outcome: &Outcome,
    differences: &mut Differences,
) -> Result<()> {
    let spend = ledger.spend()?.into_iter().filter(|row| row.spent_micros != 0);
    let spend = spend.map(|row| ((row.campaign_id, row.day), row.spent_micros));
    differences.tables("spend", &outcome.spent, &spend.collect());
    let taken = ledger
        .balances()?
        .into_iter()
        .map(|row| (row.advertiser_id, row.opening_micros - row.balance_micros));
    let taken = taken.filter(|(_, taken)| *taken != 0);
    differences.tables("opening less balance", &outcome.charged, &taken.collect());
    Ok(())
}

/// Each warning and pause once, and each told about once. Days that are over are not paused, which the model
/// cannot know; so every pause must have been due, and every due pause of a paused campaign must be there.
fn compare_crossings(
    ledger: &mut Ledger,
    outcome: &Outcome,
    differences: &mut Differences,
) -> Result<()> {
    let crossings = ledger.crossings()?;
    let of = |kind: &str| -> BTreeMap<(String, String), usize> {
        let mut days = BTreeMap::new();
        for row in crossings.iter().filter(|row| row.kind == kind) {
            *days.entry((row.campaign_id.clone(), row.day.clone())).or_default() += 1;
        }
        days
    };
    let once =
        |days: &BTreeSet<(String, String)>| days.iter().map(|day| (day.clone(), 1)).collect();
    differences.tables("warning", &once(&outcome.warned), &of("WARN"));
    differences.tables("pause", &once(&outcome.exhausted), &of("PAUSE"));
    let paused: BTreeMap<String, String> = ledger
        .campaigns()?
        .into_iter()
        .filter(|row| row.status == "PAUSED")
        .map(|row| (row.campaign_id, row.paused_reason.unwrap_or_default()))
        .collect();
    let exhausted = outcome.exhausted.iter();
    let exhausted =
        exhausted.map(|(campaign, _)| (campaign.clone(), "BUDGET_EXHAUSTED".to_owned()));
    differences.tables("paused campaign", &exhausted.collect(), &paused);
    let outbox = ledger.outbox()?;
    let told = |kind: &str| outbox.iter().filter(|(found, _)| found == kind).count();
    differences.compare(&"warnings told", outcome.warned.len(), told("BUDGET_WARNING"));
    differences.compare(&"pauses told", outcome.exhausted.len(), told("CAMPAIGN_PAUSED"));
    Ok(())
}

fn source(name: &str) -> &'static str {
    match name {
        "DATABASE" => "DATABASE",
        "REDIS" => "REDIS",
        "RULE" => "RULE",
        _ => "OTHER",
    }
}
