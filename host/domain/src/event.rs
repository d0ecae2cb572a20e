//! `ad-events` as the customer writes them: JSON to a click, or the reason why not.

pub(crate) mod fields;

use std::borrow::Cow;

use crate::dead::Rejection;
use crate::money::Micros;

use fields::{Field, Fields};

/// Limits of what is accepted as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    pub payload_bytes_max: usize,
    /// Greatest length of an id or another text of an event.
    pub text_bytes_max: usize,
    /// How much older than its record an event may be. Measured against the record and not the clock, so that an
    /// event has the same fate whenever it is read.
    pub age_ms_max: i64,
    /// How far an event may be ahead of its record.
    pub ahead_ms_max: i64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            text_bytes_max: 1 << 10,
            age_ms_max: 8 * 24 * 3_600_000,
            ahead_ms_max: 600_000,
        }
    }
}

/// A click as the event describes it. Absent texts are empty.
#[derive(Debug, PartialEq, Eq)]
pub struct ClickEvent<'a> {
    pub campaign: Cow<'a, str>,
    pub advertiser: Cow<'a, str>,
    pub occurred_at_us: i64,
    pub bid: Option<Micros>,
    pub actual: Option<Micros>,
    /// 0 other, 1 HOME, 2 CATEGORY, 3 PRODUCT_DETAIL, 4 SEARCH.
    pub placement: u8,
    pub device: Cow<'a, str>,
    pub ad: Cow<'a, str>,
    pub product: Cow<'a, str>,
    pub category: Cow<'a, str>,
    pub search_term: Cow<'a, str>,
}

/// Reads an event of `ad-events`. `record_at_ms` is the record's timestamp, -1 when it has none. `None`: the event is
/// an IMPRESSION, a CONVERSION, or of a type that is not known here, and there is nothing to charge.
///
/// # Errors
/// The code and the sentence for the dead letter.
pub fn decode<'a>(
    payload: &'a str,
    record_at_ms: i64,
    limits: &DecodeLimits,
) -> Result<Option<ClickEvent<'a>>, Rejection> {
    let fields = Fields::<ClickField, FIELDS>::read(payload)?;
    let kind = fields.required(ClickField::EventType, limits)?;
    if fields.duplicate() == Some(ClickField::EventType) {
        fields.refuse_duplicates()?;
    }
    if kind != "CLICK" {
        return Ok(None);
    }
    fields.refuse_duplicates()?;
    let occurred_at = fields.required(ClickField::Timestamp, limits)?;
    Ok(Some(ClickEvent {
        campaign: fields.required(ClickField::CampaignId, limits)?,
        advertiser: fields.required(ClickField::AdvertiserId, limits)?,
        occurred_at_us: fields::instant("timestamp", &occurred_at, record_at_ms, limits)?,
        bid: fields.amount(ClickField::BidPrice)?,
        actual: fields.amount(ClickField::ActualPrice)?,
        placement: placement(&fields.optional(ClickField::Placement, limits)?),
        device: fields.optional(ClickField::DeviceId, limits)?,
        ad: fields.optional(ClickField::AdId, limits)?,
        product: fields.optional(ClickField::ProductId, limits)?,
        category: fields.optional(ClickField::Category, limits)?,
        search_term: fields.optional(ClickField::SearchTerm, limits)?,
    }))
}

/// Fields that the host reads; the index into the raw values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClickField {
    EventType,
    Timestamp,
    CampaignId,
    AdvertiserId,
    DeviceId,
    AdId,
    ProductId,
    Placement,
    Category,
    SearchTerm,
    BidPrice,
    ActualPrice,
}

const FIELDS: usize = 12;

impl Field for ClickField {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("event_type", Self::EventType),
        ("timestamp", Self::Timestamp),
        ("campaign_id", Self::CampaignId),
        ("advertiser_id", Self::AdvertiserId),
        ("device_id", Self::DeviceId),
        ("ad_id", Self::AdId),
        ("product_id", Self::ProductId),
        ("placement", Self::Placement),
        ("category", Self::Category),
        ("search_term", Self::SearchTerm),
        ("bid_price", Self::BidPrice),
        ("actual_price", Self::ActualPrice),
    ];

    fn at(self) -> usize {
        self as usize
    }
}

fn placement(text: &str) -> u8 {
    match text {
        "HOME" => 1,
        "CATEGORY" => 2,
        "PRODUCT_DETAIL" => 3,
        "SEARCH" => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
