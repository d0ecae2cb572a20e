//! `compensation-events` as the customer writes them, and what the host keeps of them until they are settled.

use std::sync::Arc;

use crate::dead::{Code, DeadLetter, Header, Rejection};
use crate::event::DecodeLimits;
use crate::event::fields::{self, Field, Fields};
use crate::money::Micros;
use crate::slice::Source;

/// Original clicks that one compensation names at most.
pub const TIMESTAMPS_MAX: usize = 100;

/// A compensation as the event describes it. Absent texts are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompensationEvent {
    pub advertiser: String,
    pub campaign: String,
    pub ad: String,
    pub device: String,
    /// Clicks that were one click, the first of them included.
    pub duplicate_count: u32,
    /// What the event wants to be given back; not negative.
    pub claimed: Micros,
    /// Instants of the original clicks in microseconds, ascending; two clicks may share one.
    pub timestamps_us: Vec<i64>,
    /// `detection_window`
    pub window: String,
    pub reason: String,
    /// `compensation_type`
    pub kind: String,
    /// When the compensation was made.
    pub occurred_at_us: i64,
}

impl CompensationEvent {
    /// What makes two records the same compensation, wherever they stand in the log. Amount and count are left out: a
    /// claim that is corrected is still the same claim, and is paid once.
    #[must_use]
    pub fn identity(&self) -> String {
        let Self { advertiser, campaign, ad, device, window, kind, .. } = self;
        // Ids that contain the separator must not run into each other.
        let escaped = |text: &String| text.replace('\\', "\\\\").replace('|', "\\|");
        let texts = [advertiser, campaign, ad, device, window, kind].map(escaped);
        let own = [self.occurred_at_us];
        let instants: &[i64] =
            if self.timestamps_us.is_empty() { &own } else { &self.timestamps_us };
        let instants: Vec<String> = instants.iter().map(ToString::to_string).collect();
        format!("{}|{}", texts.join("|"), instants.join(","))
    }

    /// The instant whose local day is the budget day of the refund: that of the last original click, else the event's.
    #[must_use]
    pub fn charged_at_us(&self) -> i64 {
        self.timestamps_us.last().copied().unwrap_or(self.occurred_at_us)
    }

    /// Whether the event says enough to find its charges: when, on which device, of which ad.
    #[must_use]
    pub fn is_matchable(&self) -> bool {
        !self.timestamps_us.is_empty() && !self.device.is_empty() && !self.ad.is_empty()
    }
}

/// A compensation with its record, as the ledger keeps it from its intake until it is settled and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompensationRow {
    pub source: Arc<Source>,
    pub offset: i64,
    /// Timestamp of the record in milliseconds; -1 when it has none.
    pub record_at_ms: i64,
    pub event: CompensationEvent,
    pub payload: String,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

impl CompensationRow {
    /// The dead letter that the compensation becomes when it is not paid.
    #[must_use]
    pub fn dead_letter(&self, rejection: Rejection, generation: u64) -> DeadLetter {
        DeadLetter {
            topic: Arc::clone(&self.source.topic),
            partition: self.source.partition,
            offset: self.offset,
            record_at_ms: self.record_at_ms,
            campaign: Some(self.event.campaign.clone()),
            key: self.key.clone(),
            payload: Some(self.payload.clone().into_bytes()),
            headers: self.headers.clone(),
            rejection,
            generation,
        }
    }
}

/// Reads an event of `compensation-events`. `record_at_ms` is the record's timestamp, -1 when it has none; the event
/// and the clicks it names are held to the same limits of age.
///
/// # Errors
/// The code and the sentence for the dead letter.
pub fn decode(
    payload: &str,
    record_at_ms: i64,
    limits: &DecodeLimits,
) -> Result<CompensationEvent, Rejection> {
    use CompensationField as F;
    let fields = Fields::<F, FIELDS>::read(payload)?;
    fields.refuse_duplicates()?;
    let required = |field| Ok(fields.required(field, limits)?.into_owned());
    let optional = |field| Ok(fields.optional(field, limits)?.into_owned());
    let occurred_at: String = required(F::Timestamp)?;
    let missing = |field: F| fields::missing(field.name());
    Ok(CompensationEvent {
        advertiser: required(F::AdvertiserId)?,
        campaign: required(F::CampaignId)?,
        occurred_at_us: fields::instant("timestamp", &occurred_at, record_at_ms, limits)?,
        duplicate_count: fields
            .count(F::DuplicateClickCount)?
            .ok_or_else(|| missing(F::DuplicateClickCount))?,
        claimed: fields.amount(F::RefundAmount)?.ok_or_else(|| missing(F::RefundAmount))?,
        timestamps_us: timestamps(&fields, record_at_ms, limits)?,
        ad: optional(F::AdId)?,
        device: optional(F::DeviceId)?,
        window: optional(F::DetectionWindow)?,
        reason: optional(F::Reason)?,
        kind: optional(F::CompensationType)?,
    })
}

fn timestamps(
    fields: &Fields<'_, CompensationField, FIELDS>,
    record_at_ms: i64,
    limits: &DecodeLimits,
) -> Result<Vec<i64>, Rejection> {
    let field = CompensationField::OriginalClickTimestamps;
    let texts = fields.texts(field, limits)?;
    let name = field.name();
    if texts.len() > TIMESTAMPS_MAX {
        let sentence = format!("`{name}` has {} items, the limit is {TIMESTAMPS_MAX}", texts.len());
        return Err(fields::reject(Code::TextTooLong, sentence));
    }
    let instants = texts.iter().map(|text| fields::instant(name, text, record_at_ms, limits));
    let mut instants = instants.collect::<Result<Vec<_>, _>>()?;
    instants.sort_unstable();
    Ok(instants)
}

/// Fields that the host reads; the index into the raw values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CompensationField {
    Timestamp,
    AdvertiserId,
    CampaignId,
    AdId,
    DeviceId,
    DuplicateClickCount,
    RefundAmount,
    OriginalClickTimestamps,
    DetectionWindow,
    Reason,
    CompensationType,
}

const FIELDS: usize = 11;

impl Field for CompensationField {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("timestamp", Self::Timestamp),
        ("advertiser_id", Self::AdvertiserId),
        ("campaign_id", Self::CampaignId),
        ("ad_id", Self::AdId),
        ("device_id", Self::DeviceId),
        ("duplicate_click_count", Self::DuplicateClickCount),
        ("refund_amount", Self::RefundAmount),
        ("original_click_timestamps", Self::OriginalClickTimestamps),
        ("detection_window", Self::DetectionWindow),
        ("reason", Self::Reason),
        ("compensation_type", Self::CompensationType),
    ];

    fn at(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests;
