//! Fields of a JSON object, read by name without building a tree: what every topic's events have in common.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::DecodeLimits;
use crate::dead::{Code, Rejection, Stage};
use crate::money::{AmountError, MICROS_PER_UNIT, Micros};

/// Nesting beyond this is refused, whatever field it is in.
const DEPTH_MAX: usize = 64;

/// The fields that one kind of event has.
pub(crate) trait Field: Copy + PartialEq + 'static {
    /// Every field with its name, in the order of their positions.
    const NAMES: &'static [(&'static str, Self)];

    /// Position among the fields.
    fn at(self) -> usize;

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn name(self) -> &'static str {
        Self::NAMES[self.at()].0
    }
}

/// The fields of one object, unread.
pub(crate) struct Fields<'a, F, const N: usize> {
    raw: [Option<&'a str>; N],
    duplicate: Option<F>,
}

impl<'a, F: Field, const N: usize> Fields<'a, F, N> {
    /// Finds the fields; others may be there and are not looked at.
    pub(crate) fn read(payload: &'a str) -> Result<Self, Rejection> {
        if is_too_deep(payload) {
            return Err(reject(
                Code::TooDeep,
                format!("the value nests deeper than {DEPTH_MAX} levels"),
            ));
        }
        let mut json = serde_json::Deserializer::from_str(payload);
        let fields = json
            .deserialize_map(FieldsVisitor(PhantomData))
            .and_then(|fields| json.end().map(|()| fields));
        fields.map_err(|error| {
            if serde_json::from_str::<IgnoredAny>(payload).is_ok() {
                reject(Code::NotAnObject, "the value is JSON but not an object")
            } else {
                reject(Code::NotJson, format!("the value is not JSON: {error}"))
            }
        })
    }

    /// The first field that is given twice.
    pub(crate) fn duplicate(&self) -> Option<F> {
        self.duplicate
    }

    pub(crate) fn refuse_duplicates(&self) -> Result<(), Rejection> {
        match self.duplicate {
            None => Ok(()),
            Some(field) => Err(reject(
                Code::DuplicateKey,
                format!("the key `{}` is given twice", field.name()),
            )),
        }
    }

    /// A text that must be there and not empty.
    pub(crate) fn required(
        &self,
        field: F,
        limits: &DecodeLimits,
    ) -> Result<Cow<'a, str>, Rejection> {
        match self.text(field, limits)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(missing(field.name())),
        }
    }

    /// A text, empty when it is not given.
    pub(crate) fn optional(
        &self,
        field: F,
        limits: &DecodeLimits,
    ) -> Result<Cow<'a, str>, Rejection> {
        Ok(self.text(field, limits)?.unwrap_or_default())
    }

    /// An amount of money that may not be negative.
    pub(crate) fn amount(&self, field: F) -> Result<Option<Micros>, Rejection> {
        self.given(field).map(|value| amount(field.name(), value)).transpose()
    }

    /// A whole number of things.
    pub(crate) fn count(&self, field: F) -> Result<Option<u32>, Rejection> {
        self.given(field).map(|value| count(field.name(), value)).transpose()
    }

    /// A list of texts; empty when it is not given.
    pub(crate) fn texts(
        &self,
        field: F,
        limits: &DecodeLimits,
    ) -> Result<Vec<Cow<'a, str>>, Rejection> {
        let Some(value) = self.given(field) else { return Ok(Vec::new()) };
        let name = field.name();
        // The whole object has been read as JSON before, so what is not a list is of another type.
        let values = serde_json::from_str::<Vec<&'a RawValue>>(value).map_err(|_| {
            let sentence = format!("`{name}` must be a list of texts, not {}", shown(value));
            reject(Code::WrongType, sentence)
        })?;
        values.into_iter().map(|value| text(name, value.get(), limits)).collect()
    }

    fn text(&self, field: F, limits: &DecodeLimits) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.given(field).map(|value| text(field.name(), value, limits)).transpose()
    }

    /// The raw value; `null` is as good as none.
    fn given(&self, field: F) -> Option<&'a str> {
        self.raw[field.at()].filter(|value| *value != "null")
    }
}

pub(crate) fn reject(code: Code, sentence: impl Into<String>) -> Rejection {
    Rejection::new(code, Stage::Decode, sentence)
}

pub(crate) fn missing(name: &str) -> Rejection {
    reject(Code::MissingField, format!("`{name}` is missing or empty"))
}

/// An instant in microseconds that its record allows. `name` is that of the field.
pub(crate) fn instant(
    name: &str,
    text: &str,
    record_at_ms: i64,
    limits: &DecodeLimits,
) -> Result<i64, Rejection> {
    let instant: Timestamp = text.parse().map_err(|_| {
        let sentence = format!("`{name}` {} is not RFC 3339 with an offset", shown(text));
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
        let sentence = format!("`{name}` {text} is older than its record allows");
        return Err(reject(Code::TimestampTooOld, sentence));
    }
    if at_ms > newest {
        let sentence = format!("`{name}` {text} is further ahead than its record allows");
        return Err(reject(Code::TimestampInFuture, sentence));
    }
    Ok(instant.as_microsecond())
}

fn text<'a>(name: &str, value: &'a str, limits: &DecodeLimits) -> Result<Cow<'a, str>, Rejection> {
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let Some(inner) = quoted else {
        let sentence = format!("`{name}` must be a text, not {}", shown(value));
        return Err(reject(Code::WrongType, sentence));
    };
    let text = if inner.contains('\\') {
        let text = serde_json::from_str::<String>(value).map_err(|error| {
            reject(Code::NotJson, format!("`{name}` is not a JSON text: {error}"))
        })?;
        Cow::Owned(text)
    } else {
        Cow::Borrowed(inner)
    };
    if text.contains('\0') {
        return Err(reject(Code::NulInText, format!("`{name}` contains a NUL character")));
    }
    if text.len() > limits.text_bytes_max {
        let (bytes, bytes_max) = (text.len(), limits.text_bytes_max);
        let sentence = format!("`{name}` has {bytes} bytes, the limit is {bytes_max}");
        return Err(reject(Code::TextTooLong, sentence));
    }
    Ok(text)
}

fn amount(name: &str, value: &str) -> Result<Micros, Rejection> {
    if value.starts_with('"') {
        let sentence = format!("`{name}` must be a number, not the text {}", shown(value));
        return Err(reject(Code::NumberAsText, sentence));
    }
    Micros::parse_non_negative(value).map_err(|error| {
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

/// Written as amounts are, so that the same mistakes have the same codes.
fn count(name: &str, value: &str) -> Result<u32, Rejection> {
    let millionths = amount(name, value)?.0;
    if millionths % MICROS_PER_UNIT != 0 {
        let sentence = format!("`{name}` is {}: this is not a whole number", shown(value));
        return Err(reject(Code::NumberTooPrecise, sentence));
    }
    u32::try_from(millionths / MICROS_PER_UNIT).map_err(|_| {
        let sentence = format!("`{name}` is {}: the greatest is {}", shown(value), u32::MAX);
        reject(Code::NumberOverflow, sentence)
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

struct FieldsVisitor<F, const N: usize>(PhantomData<F>);

impl<'de, F: Field, const N: usize> Visitor<'de> for FieldsVisitor<F, N> {
    type Value = Fields<'de, F, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields { raw: [None; N], duplicate: None };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let Some(field) = F::from_name(&key.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'de RawValue>()?;
            if fields.raw[field.at()].replace(value.get()).is_some() {
                fields.duplicate.get_or_insert(field);
            }
        }
        Ok(fields)
    }
}

/// A key that borrows when it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// At most 40 characters of a value, quoted, for a sentence.
fn shown(value: &str) -> String {
    let mut short: String = value.chars().take(40).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    format!("{short:?}")
}
