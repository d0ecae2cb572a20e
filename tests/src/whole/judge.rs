//! Holds what there is against what has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::Result;
use serde_json::Value;

use super::expected::{self, Duplicate};
use super::found;
use super::system::{ADS, CAMPAIGNS, CONVERSIONS, System};
use crate::generator::market::diary::Diary;
use crate::generator::market::{Market, Stream};
use crate::harness::now_us;
use crate::harness::topic::{read_all, read_keyed};

/// Something that has to hold.
#[derive(Clone, Debug)]
pub struct Claim {
    pub name: &'static str,
    /// Things that were looked at.
    pub expected: usize,
    pub found: usize,
    /// The first things that are missing (-) or too many (+).
    pub differences: Vec<String>,
}

/// How far time went on after the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Windows that ended by then are closed.
    pub closed_us: i64,
    pub window_us: i64,
    /// Events that only let time go on.
    pub closers: [(Stream, usize); 2],
}

/// What has to come of the shop's traffic, which is over.
pub struct Logs {
    /// When each ad event was written, by its place in the log.
    pub written_us: BTreeMap<(i32, i64), i64>,
    /// Records of the shop.
    records: [(Stream, usize); 2],
    duplicates: Vec<String>,
    metrics: Vec<String>,
    attributions: Vec<String>,
}

/// Differences that are kept of a claim.
const SHOWN_MAX: usize = 10;
/// Header of the host's own campaign events.
const HOSTS: &str = "tollgate-key";

impl Claim {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }

    /// Two bags of lines that have to be equal.
    fn equal(name: &'static str, expected: Vec<String>, found: Vec<String>) -> Self {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        expected.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
        found.iter().for_each(|line| *counts.entry(line).or_default() += 1);
        let differing = counts.into_iter().filter(|(_, count)| *count != 0);
        let shown =
            differing.map(|(line, count)| format!("{} {line}", if count < 0 { "-" } else { "+" }));
        let differences = shown.take(SHOWN_MAX).collect();
        Self { name, expected: expected.len(), found: found.len(), differences }
    }

    fn number(name: &'static str, expected: usize, found: usize) -> Self {
        let differs = expected != found;
        let differences =
            differs.then(|| format!("expected {expected}, found {found}")).into_iter().collect();
        Self { name, expected, found, differences }
    }
}

impl Logs {
    /// # Errors
    /// Kafka does not answer.
    pub fn read(brokers: &str, ends: &Ends) -> Result<Self> {
        let (ads, conversions) = (read_all(brokers, ADS)?, read_all(brokers, CONVERSIONS)?);
        let mut records = [(Stream::Ads, ads.len()), (Stream::Conversions, conversions.len())];
        for ((_, records), (_, closers)) in records.iter_mut().zip(ends.closers) {
            *records -= closers;
        }
        let (ads, conversions) = (expected::events(&ads), expected::events(&conversions));
        Ok(Self {
            written_us: ads.iter().map(|event| (event.place, event.record_at_us)).collect(),
            records,
            duplicates: shown(&expected::duplicates(&ads, ends.window_us)),
            metrics: lines(&expected::metrics(&ads, ends.window_us, ends.closed_us)),
            attributions: shown(&expected::attributions(&conversions, &ads)),
        })
    }
}

/// All claims at this moment.
///
/// # Errors
/// A server does not answer.
pub fn judge(system: &mut System, market: &Market, logs: &Logs) -> Result<Vec<Claim>> {
    let mut claims = log_claims(system, market.diary(), logs)?;
    claims.extend(charge_claims(system, market.diary())?);
    claims.extend(refund_claims(system, market, logs)?);
    claims.push(ranking_claim(system)?);
    claims.push(Claim::equal(
        "figures of the last window of each campaign",
        logs.metrics.clone(),
        lines(&found::metrics(&system.redis)?),
    ));
    claims.push(Claim::equal(
        "orders and the clicks that led to them",
        logs.attributions.clone(),
        shown(&found::attributions(&mut system.ledger)?),
    ));
    Ok(claims)
}

/// What was sent is in the topics, and what cannot be read was told by Flink.
fn log_claims(system: &System, diary: &Diary, logs: &Logs) -> Result<Vec<Claim>> {
    let brokers = &system.servers.brokers;
    let of_host = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name == HOSTS);
    let changes = read_keyed(brokers, CAMPAIGNS)?;
    let shops = changes.iter().filter(|change| !of_host(&change.headers)).count();
    let records = logs.records.into_iter().chain([(Stream::Campaigns, shops)]);
    let name = |stream| match stream {
        Stream::Ads => "ad events that were sent",
        Stream::Conversions => "conversion events that were sent",
        Stream::Campaigns => "campaign events that were sent",
    };
    let claim = |(stream, found)| {
        let sent = usize::try_from(diary.total(stream))?;
        anyhow::Ok(Claim::number(name(stream), sent, found))
    };
    let mut claims = records.map(claim).collect::<Result<Vec<_>>>()?;
    let bad: u64 = Stream::ALL.iter().map(|stream| diary.count(*stream, "bad")).sum();
    let told = Stream::ALL.iter().map(|stream| unusable(brokers, *stream));
    let told: usize = told.sum::<Result<_>>()?;
    let bad = usize::try_from(bad)?;
    claims.push(Claim::number("unusable events that Flink told of", bad, told));
    Ok(claims)
}

/// Records of a topic that Flink has told of on its side topic, however often.
fn unusable(brokers: &str, stream: Stream) -> Result<usize> {
    let told = read_all(brokers, &format!("{}.unusable", stream.topic()))?;
    let places = told.iter().filter_map(|record| {
        let event: Value = serde_json::from_slice(record.payload.as_deref()?).ok()?;
        Some((event["partition"].as_i64()?, event["offset"].as_i64()?))
    });
    Ok(places.collect::<BTreeSet<_>>().len())
}

fn charge_claims(system: &mut System, diary: &Diary) -> Result<Vec<Claim>> {
    let ledger = &mut system.ledger;
    let mut number = |what: &str| -> Result<usize> {
        Ok(usize::try_from(ledger.number(&format!("SELECT CAST(coalesce({what}, 0) AS bigint)"))?)?)
    };
    let charged = "FROM ad_balance_histories WHERE type = 'DEDUCT')";
    let price: i64 = diary.clicks().iter().map(|click| click.price_micros).sum();
    let letters = "(SELECT count(*) FROM dead_letters WHERE topic = 'ad-events')";
    let bad = usize::try_from(diary.count(Stream::Ads, "bad"))?;
    Ok(vec![
        Claim::number(
            "clicks charged",
            diary.clicks().len(),
            number(&format!("(SELECT count(*) {charged}"))?,
        ),
        Claim::number(
            "micros charged",
            usize::try_from(price)?,
            number(&format!("(SELECT -sum(amount_micros) {charged}"))?,
        ),
        Claim::number("dead letters", bad, number(letters)?),
    ])
}

/// Every injected duplicate was given back once, and no other click.
fn refund_claims(system: &mut System, market: &Market, logs: &Logs) -> Result<Vec<Claim>> {
    let (diary, campaigns) = (market.diary(), market.campaigns());
    let injected = diary.duplicates().map(|note| Duplicate {
        device: note.device.clone(),
        ad: note.ad.clone(),
        campaign: campaigns[note.campaign].id.clone(),
        at_us: note.at_us,
    });
    let injected: Vec<_> = injected.collect();
    let refunds = found::refunds(&mut system.ledger)?;
    let given_back: Vec<_> = refunds
        .iter()
        .map(|refund| Duplicate {
            device: refund.device.clone(),
            ad: refund.ad.clone(),
            campaign: refund.campaign.clone(),
            at_us: refund.at_us,
        })
        .collect();
    let cost: i64 = diary.duplicates().map(|note| note.price_micros).sum();
    let paid = system.ledger.number(
        "SELECT CAST(coalesce(sum(amount_micros), 0) AS bigint) FROM ad_balance_histories WHERE type = 'REFUND'",
    )?;
    let unpaid = system
        .ledger
        .number("SELECT count(*) FROM compensations WHERE state NOT IN ('REFUNDED', 'REPEATED')")?;
    Ok(vec![
        Claim::equal(
            "injected duplicates found in the log",
            shown(&injected),
            logs.duplicates.clone(),
        ),
        Claim::equal("duplicates refunded, and nothing else", shown(&injected), shown(&given_back)),
        Claim::number("micros refunded", usize::try_from(cost)?, usize::try_from(paid)?),
        Claim::number("compensations not paid", 0, usize::try_from(unpaid)?),
    ])
}

fn ranking_claim(system: &System) -> Result<Claim> {
    let records = read_all(&system.servers.brokers, CAMPAIGNS)?;
    let events = expected::events(&records);
    let expected = expected::ranking(&events, now_us());
    let found = found::ranking(&system.redis)?;
    let name = "campaigns ranked by placement, category and bid";
    Ok(Claim::equal(name, ranks(&expected), ranks(&found)))
}

fn ranks(ranking: &expected::Ranking) -> Vec<String> {
    let rank = |((placement, category), bids): (&(String, String), &BTreeMap<String, i64>)| {
        let key = format!("{placement}:{category}");
        bids.iter().map(|(campaign, bid)| format!("{key} {campaign} {bid}")).collect::<Vec<_>>()
    };
    ranking.iter().flat_map(rank).collect()
}

fn lines<K: Debug, V: Debug>(map: &BTreeMap<K, V>) -> Vec<String> {
    map.iter().map(|(key, value)| format!("{key:?} {value:?}")).collect()
}

fn shown<T: Debug>(things: &[T]) -> Vec<String> {
    things.iter().map(|thing| format!("{thing:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[&str], found: &[&str], differences: &[&str]) {
        let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let claim = Claim::equal("bags", texts(expected), texts(found));
        assert_eq!(claim.differences, differences);
        assert_eq!(claim.holds(), differences.is_empty());
    }

    #[test]
    fn bags_are_equal_when_every_line_comes_as_often() {
        check(&[], &[], &[]);
        check(&["a", "b"], &["b", "a"], &[]);
        check(&["a", "b"], &["a"], &["- b"]);
        check(&["a"], &["a", "b"], &["+ b"]);
        check(&["a", "a"], &["a"], &["- a"]);
        check(&["a"], &["a", "a"], &["+ a"]);
        assert!(Claim::number("count", 2, 2).holds());
        assert!(!Claim::number("count", 2, 3).holds());
    }
}
