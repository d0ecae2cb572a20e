//! `ad-events` as the customer writes them: JSON to a click, or the reason why not.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dead::{Code, Rejection, Stage};
use crate::money::{AmountError, Micros};

/// Nesting beyond this is refused, whatever field it is in.
const DEPTH_MAX: usize = 64;

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
    let fields = read_fields(payload)?;
    let kind = required(&fields.raw, Field::EventType, limits)?;
    if fields.duplicate == Some(Field::EventType) {
        return Err(duplicate(Field::EventType));
    }
    if kind != "CLICK" {
        return Ok(None);
    }
    if let Some(field) = fields.duplicate {
        return Err(duplicate(field));
    }
    let raw = &fields.raw;
    let optional = |field| Ok(text(raw, field, limits)?.unwrap_or_default());
    Ok(Some(ClickEvent {
        campaign: required(raw, Field::CampaignId, limits)?,
        advertiser: required(raw, Field::AdvertiserId, limits)?,
        occurred_at_us: instant(&required(raw, Field::Timestamp, limits)?, record_at_ms, limits)?,
        bid: amount(raw, Field::BidPrice)?,
        actual: amount(raw, Field::ActualPrice)?,
        placement: placement(&optional(Field::Placement)?),
        device: optional(Field::DeviceId)?,
        ad: optional(Field::AdId)?,
        product: optional(Field::ProductId)?,
        category: optional(Field::Category)?,
        search_term: optional(Field::SearchTerm)?,
    }))
}

/// Fields that the host reads; the index into the raw values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
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

impl Field {
    const NAMES: [(&'static str, Self); FIELDS] = [
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

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

type Raw<'a> = [Option<&'a str>; FIELDS];

struct Fields<'a> {
    raw: Raw<'a>,
    duplicate: Option<Field>,
}

fn reject(code: Code, sentence: impl Into<String>) -> Rejection {
    Rejection::new(code, Stage::Decode, sentence)
}

fn duplicate(field: Field) -> Rejection {
    reject(Code::DuplicateKey, format!("the key `{}` is given twice", field.name()))
}

fn read_fields(payload: &str) -> Result<Fields<'_>, Rejection> {
    if is_too_deep(payload) {
        return Err(reject(
            Code::TooDeep,
            format!("the value nests deeper than {DEPTH_MAX} levels"),
        ));
    }
    let mut json = serde_json::Deserializer::from_str(payload);
    let fields = json.deserialize_map(FieldsVisitor).and_then(|fields| json.end().map(|()| fields));
    fields.map_err(|error| {
        if serde_json::from_str::<IgnoredAny>(payload).is_ok() {
            reject(Code::NotAnObject, "the value is JSON but not an object")
        } else {
            reject(Code::NotJson, format!("the value is not JSON: {error}"))
        }
    })
}

/// Counts brackets first, which is much cheaper than following them and settles all honest events.
fn is_too_deep(payload: &str) -> bool {
    let opens = |byte: u8| matches!(byte, b'{' | b'[');
    if payload.bytes().filter(|byte| opens(*byte)).count() <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in payload.bytes() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if opens(byte) {
            depth += 1;
            if depth > DEPTH_MAX {
                return true;
            }
        } else if matches!(byte, b'}' | b']') {
            depth = depth.saturating_sub(1);
        } else {
            in_text = byte == b'"';
        }
    }
    false
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields { raw: [None; FIELDS], duplicate: None };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let Some(field) = Field::from_name(&key.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'de RawValue>()?;
            if fields.raw[field as usize].replace(value.get()).is_some() {
                fields.duplicate.get_or_insert(field);
            }
        }
        Ok(fields)
    }
}

/// A key that borrows when it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn required<'a>(
    raw: &Raw<'a>,
    field: Field,
    limits: &DecodeLimits,
) -> Result<Cow<'a, str>, Rejection> {
    match text(raw, field, limits)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(reject(Code::MissingField, format!("`{}` is missing or empty", field.name()))),
    }
}

fn text<'a>(
    raw: &Raw<'a>,
    field: Field,
    limits: &DecodeLimits,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    let Some(value) = raw[field as usize].filter(|value| *value != "null") else {
        return Ok(None);
    };
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let Some(inner) = quoted else {
        let sentence = format!("`{}` must be a text, not {}", field.name(), shown(value));
        return Err(reject(Code::WrongType, sentence));
    };
    let text = if inner.contains('\\') {
        let text = serde_json::from_str::<String>(value).map_err(|error| {
            reject(Code::NotJson, format!("`{}` is not a JSON text: {error}", field.name()))
        })?;
        Cow::Owned(text)
    } else {
        Cow::Borrowed(inner)
    };
    if text.contains('\0') {
        return Err(reject(
            Code::NulInText,
            format!("`{}` contains a NUL character", field.name()),
        ));
    }
    if text.len() > limits.text_bytes_max {
        let sentence = format!(
            "`{}` has {} bytes, the limit is {}",
            field.name(),
            text.len(),
            limits.text_bytes_max
        );
        return Err(reject(Code::TextTooLong, sentence));
    }
    Ok(Some(text))
}

fn amount(raw: &Raw<'_>, field: Field) -> Result<Option<Micros>, Rejection> {
    let Some(value) = raw[field as usize].filter(|value| *value != "null") else {
        return Ok(None);
    };
    let name = field.name();
    if value.starts_with('"') {
        let sentence = format!("`{name}` must be a number, not the text {}", shown(value));
        return Err(reject(Code::NumberAsText, sentence));
    }
    Micros::parse_non_negative(value).map(Some).map_err(|error| {
        let code = match error {
            AmountError::Exponent if value.starts_with(['t', 'f', '{', '[']) => Code::WrongType,
            AmountError::Exponent => Code::NumberExponent,
            AmountError::TooManyDecimals => Code::NumberTooPrecise,
            AmountError::Negative => Code::NumberNegative,
            AmountError::Overflow => Code::NumberOverflow,
            AmountError::NotANumber => Code::WrongType,
        };
        reject(code, format!("`{name}` is {}: {error}", shown(value)))
    })
}

fn instant(text: &str, record_at_ms: i64, limits: &DecodeLimits) -> Result<i64, Rejection> {
    let instant: Timestamp = text.parse().map_err(|_| {
        let sentence = format!("`timestamp` {} is not RFC 3339 with an offset", shown(text));
        reject(Code::TimestampUnparsable, sentence)
    })?;
    let at_ms = instant.as_millisecond();
    // A record without a timestamp leaves only the calendar to compare with.
    let (oldest, newest) = if record_at_ms < 0 {
        (946_684_800_000, 4_102_444_800_000)
    } else {
        (record_at_ms - limits.age_ms_max, record_at_ms.saturating_add(limits.ahead_ms_max))
    };
    if at_ms < oldest {
        let sentence = format!("`timestamp` {text} is older than its record allows");
        return Err(reject(Code::TimestampTooOld, sentence));
    }
    if at_ms > newest {
        let sentence = format!("`timestamp` {text} is further ahead than its record allows");
        return Err(reject(Code::TimestampInFuture, sentence));
    }
    Ok(instant.as_microsecond())
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

/// At most 40 characters of a value, quoted, for a sentence.
fn shown(value: &str) -> String {
    let mut short: String = value.chars().take(40).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests;
