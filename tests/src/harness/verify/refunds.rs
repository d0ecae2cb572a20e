//! Holds what compensations have left in the ledger against the model.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Differences, compare_clicks};
use crate::harness::ledger::Ledger;
use crate::harness::topic::Log;
use crate::model::refunds::{Place, Refunds, Settled, State};
use crate::model::{Model, Outcome};

/// As `verify`, for a ledger with refunds: their rows, and balances and spends less what they gave back.
///
/// # Errors
/// A list of the first differences.
pub fn verify_refunds(
    clicks: &Log,
    compensations: &Log,
    ledger: &mut Ledger,
    model: &Model,
) -> Result<(Outcome, Refunds)> {
    let mut outcome = model.judge(&clicks.records);
    let refunds = Refunds::judge(model, &outcome, &compensations.records);
    let mut differences = Differences::default();
    compare_within_charges(&outcome, &refunds, &mut differences);
    refunds.subtract_from(&mut outcome);
    compare_clicks(clicks, ledger, &outcome, &mut differences)?;
    compare_settled(&compensations.topic, ledger, &refunds, &mut differences)?;
    compare_history(&compensations.topic, ledger, &refunds, &mut differences)?;
    compare_duplicates(&clicks.topic, &compensations.topic, ledger, &refunds, &mut differences)?;
    compare_dead(&compensations.topic, ledger, &refunds, &mut differences)?;
    compare_progress(compensations, ledger, &refunds, &mut differences)?;
    differences.into_result()?;
    Ok((outcome, refunds))
}

fn place(partition: i64, offset: i64) -> Place {
    (partition as i32, offset)
}

fn state(settled: &Settled) -> &'static str {
    match settled.state {
        State::Refunded => "REFUNDED",
        State::Repeated => "REPEATED",
        State::Rejected(_) => "REJECTED",
        State::Expired(_) => "EXPIRED",
    }
}

fn refunded(refunds: &Refunds) -> impl Iterator<Item = (Place, &Settled)> {
    let settled = refunds.settled.iter().map(|(place, settled)| (*place, settled));
    settled.filter(|(_, settled)| settled.state == State::Refunded)
}

/// The model keeps within what was charged, too.
fn compare_within_charges(outcome: &Outcome, refunds: &Refunds, differences: &mut Differences) {
    for (key, refund) in &refunds.by_day {
        let charged = outcome.spent.get(key).copied().unwrap_or_default();
        differences.compare(&("refunds above charges", key), 0, (refund - charged).max(0));
    }
}

fn compare_settled(
    topic: &str,
    ledger: &mut Ledger,
    refunds: &Refunds,
    differences: &mut Differences,
) -> Result<()> {
    let expected = refunds.settled.iter().map(|(place, settled)| {
        let claim = &settled.claim;
        let ids = [&claim.advertiser, &claim.campaign, &claim.ad, &claim.device].map(Clone::clone);
        let numbers = [claim.count, claim.claimed_micros, settled.refund_micros];
        (*place, (state(settled).to_owned(), ids, numbers))
    });
    let found = ledger.compensations(topic)?.into_iter().map(|row| {
        let ids = [row.advertiser_id, row.campaign_id, row.ad_id, row.device_id];
        let numbers = [row.duplicate_count, row.claimed_micros, row.refund_micros];
        (place(row.kafka_partition, row.kafka_offset), (row.state, ids, numbers))
    });
    differences.tables("compensation", &expected.collect(), &found.collect());
    Ok(())
}

/// One row of history for each refund, on the day of its clicks.
fn compare_history(
    topic: &str,
    ledger: &mut Ledger,
    refunds: &Refunds,
    differences: &mut Differences,
) -> Result<()> {
    let expected = refunded(refunds).map(|(place, settled)| {
        let claim = &settled.claim;
        let ids = [&claim.advertiser, &claim.campaign, &claim.ad, &claim.device].map(Clone::clone);
        (place, (ids, settled.refund_micros, settled.day.clone(), "NONE".to_owned()))
    });
    let rows = ledger.refunds(topic)?;
    let count = rows.len();
    let found = rows.into_iter().map(|row| {
        let ids = [row.advertiser_id, row.campaign_id, row.ad_id, row.device_id];
        let rest = (ids, row.amount_micros, row.budget_day, row.price_source);
        (place(row.kafka_partition, row.kafka_offset), rest)
    });
    let found: BTreeMap<_, _> = found.collect();
    differences.compare(&"refund rows of different compensations", count, found.len());
    differences.tables("refund", &expected.collect(), &found);
    Ok(())
}

/// The log of duplicates names the instants and the charges that were given back, and so does the list of those.
fn compare_duplicates(
    clicks: &str,
    topic: &str,
    ledger: &mut Ledger,
    refunds: &Refunds,
    differences: &mut Differences,
) -> Result<()> {
    let mut charges: BTreeMap<Place, BTreeSet<Place>> = BTreeMap::new();
    for (charge, by) in &refunds.given_back {
        charges.entry(*by).or_default().insert(*charge);
    }
    let expected = refunded(refunds).map(|(place, settled)| {
        let claim = &settled.claim;
        let ids = [&claim.advertiser, &claim.campaign, &claim.ad, &claim.device].map(Clone::clone);
        let numbers = [claim.count, claim.claimed_micros, settled.refund_micros];
        let named = charges.get(&place).cloned().unwrap_or_default();
        (place, (ids, numbers, claim.at_us.clone(), settled.is_contradictory, named))
    });
    let mut found = BTreeMap::new();
    for row in ledger.duplicates(topic)? {
        let ids = [row.advertiser_id, row.campaign_id, row.ad_id, row.device_id];
        let numbers = [row.duplicate_count, row.claimed_micros, row.refund_micros];
        let times: Vec<i64> = serde_json::from_str(&row.timestamps)?;
        let named = named_charges(clicks, &row.refunded)?;
        let rest = (ids, numbers, times, row.mismatch.is_some(), named);
        found.insert(place(row.kafka_partition, row.kafka_offset), rest);
    }
    differences.tables("duplicates", &expected.collect(), &found);
    let found = ledger.given_back(clicks)?.into_iter().map(|row| {
        let by = place(row.by_partition, row.by_offset);
        (place(row.kafka_partition, row.kafka_offset), by)
    });
    differences.tables("charge given back", &refunds.given_back, &found.collect());
    Ok(())
}

fn named_charges(topic: &str, refunded: &str) -> Result<BTreeSet<Place>> {
    let charges: Vec<Value> = serde_json::from_str(refunded)?;
    let named = charges.iter().map(|charge| {
        let number = |name: &str| charge[name].as_i64().context("a charge without its place");
        let at = place(number("partition")?, number("offset")?);
        anyhow::ensure!(charge["topic"] == topic && number("incarnation")? == 0, "{charge}");
        Ok(at)
    });
    named.collect()
}

fn compare_dead(
    topic: &str,
    ledger: &mut Ledger,
    refunds: &Refunds,
    differences: &mut Differences,
) -> Result<()> {
    let found = ledger.dead_letters(topic)?.into_iter();
    let found = found.map(|row| (place(row.kafka_partition, row.kafka_offset), row.code));
    differences.tables("dead compensation", &refunds.dead(), &found.collect());
    Ok(())
}

/// What was taken in counts as charged, whatever became of it later.
fn compare_progress(
    log: &Log,
    ledger: &mut Ledger,
    refunds: &Refunds,
    differences: &mut Differences,
) -> Result<()> {
    let expected = log.ends.iter().map(|&(partition, (low, high))| {
        let range = (partition, 0)..(partition + 1, 0);
        let taken = refunds.settled.range(range.clone()).count() as i64;
        let dead = refunds.malformed.range(range).count() as i64;
        (partition, [low, high, taken, 0, dead, high - low - taken - dead])
    });
    let found = ledger.progress(&log.topic)?.into_iter().map(|row| {
        let counters =
            [row.first_offset, row.next_offset, row.charged, row.skipped, row.dead, row.absent];
        (row.kafka_partition as i32, counters)
    });
    differences.tables(
        "first, next, taken, skipped, dead, absent of compensations",
        &expected.collect(),
        &found.collect(),
    );
    Ok(())
}
