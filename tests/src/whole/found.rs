//! What there is: the ranking and the figures in Redis, attributions and refunds in Postgres.

use anyhow::{Context, Result};
use serde_json::Value;

use super::expected::{Attributed, Metrics, Ranking, micros};
use crate::harness::ledger::Ledger;
use crate::servers::redis::Redis;
use std::collections::BTreeMap;

/// A charge that was given back.
#[derive(Clone, Debug)]
pub struct Refunded {
    pub device: String,
    pub ad: String,
    pub campaign: String,
    pub at_us: i64,
    /// What the click had cost.
    pub charged_micros: i64,
    /// When it was given back.
    pub refunded_at_us: i64,
    /// Partition and offset of the click.
    pub place: (i32, i64),
}

const RANKING: &str = "rtb:";
const METRICS: &str = "metrics:";

/// The ranking in Redis.
///
/// # Errors
/// Redis does not answer, or holds what is no ranking.
pub fn ranking(redis: &Redis) -> Result<Ranking> {
    let mut ranking = Ranking::new();
    for key in redis.keys(RANKING)? {
        let names = key[RANKING.len()..].split_once(':').with_context(|| key.clone())?;
        let bids = ranking.entry((names.0.to_owned(), names.1.to_owned())).or_default();
        for pair in redis.ranked(&key)?.chunks(2) {
            let [campaign, score] = pair else { continue };
            bids.insert(campaign.clone(), score_micros(score)?);
        }
    }
    Ok(ranking)
}

/// Whether a campaign is ranked.
///
/// # Errors
/// Redis does not answer.
pub fn is_ranked(redis: &Redis, placement: &str, category: &str, campaign: &str) -> Result<bool> {
    let key = format!("{RANKING}{placement}:{category}");
    Ok(redis.command(&["ZSCORE", &key, campaign])?.is_some())
}

/// Redis keeps scores as floats, which hold bids up to a billion exactly to the millionth.
fn score_micros(score: &str) -> Result<i64> {
    let score: f64 = score.parse().with_context(|| format!("a score is a number, not {score}"))?;
    Ok((score * 1e6).round() as i64)
}

/// The figures of each campaign in Redis, all of which have to expire some day.
///
/// # Errors
/// Redis does not answer, or a hash is not as it should be.
pub fn metrics(redis: &Redis) -> Result<BTreeMap<String, Metrics>> {
    let mut all = BTreeMap::new();
    for key in redis.keys(METRICS)? {
        let fields = redis.hash(&key)?;
        let fields: BTreeMap<_, _> = fields
            .chunks(2)
            .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?)))
            .collect();
        let ttl_ms = redis.command(&["PTTL", &key])?.unwrap_or_default();
        let expires = ttl_ms.parse::<i64>().is_ok_and(|ms| ms > 0);
        expires.then_some(()).with_context(|| format!("{key} does not expire"))?;
        let metrics = read_metrics(&fields).with_context(|| format!("{key}: {fields:?}"))?;
        all.insert(key[METRICS.len()..].to_owned(), metrics);
    }
    Ok(all)
}

fn read_metrics(fields: &BTreeMap<&str, &String>) -> Option<Metrics> {
    let field = |name: &str| fields.get(name).copied();
    let count = |name: &str| field(name)?.parse().ok();
    let end: jiff::Timestamp = field("window_end")?.parse().ok()?;
    Some(Metrics {
        window_end_us: end.as_microsecond(),
        impressions: count("impressions")?,
        clicks: count("clicks")?,
        conversions: count("conversions")?,
        ctr_ppm: micros(field("ctr")?)?,
        cvr_ppm: micros(field("cvr")?)?,
    })
}

/// The attributions in Postgres, sorted.
///
/// # Errors
/// The database refuses.
pub fn attributions(ledger: &mut Ledger) -> Result<Vec<Attributed>> {
    let rows = ledger.texts(
        "SELECT json_build_array(conversion_type, coalesce(order_id, ''), device_id, coalesce(product_id, ''), \
         CAST(revenue_amount * 1000000 AS bigint), \
         CAST(extract(epoch FROM converted_at) * 1000000 AS bigint), \
         CAST(extract(epoch FROM clicked_at) * 1000000 AS bigint), \
         coalesce(ad_id, ''), campaign_id, coalesce(advertiser_id, ''))::text FROM conversion_attribution",
    )?;
    let read = |row: &String| -> Result<Attributed> {
        let row: Vec<Value> = serde_json::from_str(row)?;
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
        Ok(Attributed {
            conversion_type: text(0),
            order: text(1),
            device: text(2),
            product: text(3),
            revenue_micros: row[4].as_i64(),
            converted_at_us: row[5].as_i64().unwrap_or_default(),
            clicked_at_us: row[6].as_i64().unwrap_or_default(),
            ad: text(7),
            campaign: text(8),
            advertiser: text(9),
        })
    };
    let mut all = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

/// Charges of clicks that were given back.
///
/// # Errors
/// The database refuses.
pub fn refunds(ledger: &mut Ledger) -> Result<Vec<Refunded>> {
    let rows = ledger.texts(
        "SELECT json_build_array(coalesce(h.device_id, ''), coalesce(h.ad_id, ''), h.campaign_id, \
         CAST(extract(epoch FROM h.occurred_at) * 1000000 AS bigint), -h.amount_micros, \
         CAST(extract(epoch FROM r.created_at) * 1000000 AS bigint), h.kafka_partition, h.kafka_offset)::text \
         FROM refunded_charges r JOIN ad_balance_histories h ON h.type = 'DEDUCT' AND h.kafka_topic = r.topic \
         AND h.kafka_partition = r.kafka_partition AND h.kafka_offset = r.kafka_offset",
    )?;
    let read = |row: &String| -> Result<Refunded> {
        let row: Vec<Value> = serde_json::from_str(row)?;
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
        let number = |at: usize| row[at].as_i64().unwrap_or_default();
        Ok(Refunded {
            device: text(0),
            ad: text(1),
            campaign: text(2),
            at_us: number(3),
            charged_micros: number(4),
            refunded_at_us: number(5),
            place: (i32::try_from(number(6))?, number(7)),
        })
    };
    rows.iter().map(read).collect()
}
