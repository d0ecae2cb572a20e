//! Bad input: every class that must become a dead letter, with the code that it must have.

use super::{Fields, instant, text, write};

/// A class of bad input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Poison {
    NotJson,
    NotUtf8,
    NoValue,
    EmptyValue,
    NotAnObject,
    WrongType,
    NoCampaign,
    NoAdvertiser,
    UnknownCampaign,
    ForeignAdvertiser,
    NumberAsText,
    Exponent,
    TooManyDecimals,
    Negative,
    Overflow,
    NoTimestamp,
    UnparsableTimestamp,
    FarPast,
    FarFuture,
    Nul,
    LongText,
    Deep,
    DuplicateKey,
    /// A value of 20 MB; not among the `SMALL` ones.
    Huge,
}

impl Poison {
    /// Every class that fits into ordinary traffic.
    pub const SMALL: [Self; 23] = [
        Self::NotJson,
        Self::NotUtf8,
        Self::NoValue,
        Self::EmptyValue,
        Self::NotAnObject,
        Self::WrongType,
        Self::NoCampaign,
        Self::NoAdvertiser,
        Self::UnknownCampaign,
        Self::ForeignAdvertiser,
        Self::NumberAsText,
        Self::Exponent,
        Self::TooManyDecimals,
        Self::Negative,
        Self::Overflow,
        Self::NoTimestamp,
        Self::UnparsableTimestamp,
        Self::FarPast,
        Self::FarFuture,
        Self::Nul,
        Self::LongText,
        Self::Deep,
        Self::DuplicateKey,
    ];

    /// Code of the dead letter that it must become.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson => "NOT_JSON",
            Self::NotUtf8 => "NOT_UTF8",
            Self::NoValue | Self::EmptyValue => "EMPTY_VALUE",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::WrongType => "WRONG_TYPE",
            Self::NoCampaign | Self::NoAdvertiser | Self::NoTimestamp => "MISSING_FIELD",
            Self::UnknownCampaign => "UNKNOWN_CAMPAIGN",
            Self::ForeignAdvertiser => "ADVERTISER_MISMATCH",
            Self::NumberAsText => "NUMBER_AS_TEXT",
            Self::Exponent => "NUMBER_EXPONENT",
            Self::TooManyDecimals => "NUMBER_TOO_PRECISE",
            Self::Negative => "NUMBER_NEGATIVE",
            Self::Overflow => "NUMBER_OVERFLOW",
            Self::UnparsableTimestamp => "TIMESTAMP_UNPARSABLE",
            Self::FarPast => "TIMESTAMP_TOO_OLD",
            Self::FarFuture => "TIMESTAMP_IN_FUTURE",
            Self::Nul => "NUL_IN_TEXT",
            Self::LongText => "TEXT_TOO_LONG",
            Self::Deep => "TOO_DEEP",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::Huge => "PAYLOAD_TOO_LARGE",
        }
    }

    /// The value of a record made from the fields of an honest event at `at_us` microseconds, of which two are
    /// amounts.
    pub(crate) fn payload(
        self,
        fields: Fields,
        at_us: i64,
        amounts: [&'static str; 2],
    ) -> Option<Vec<u8>> {
        let honest = write(&fields);
        let bytes = match self {
            Self::NoValue => return None,
            Self::EmptyValue => Vec::new(),
            Self::NotJson => honest[..honest.len() - 2].to_owned().into_bytes(),
            Self::NotUtf8 => {
                let mut bytes = honest.into_bytes();
                bytes.extend_from_slice(b"\xff\xfe");
                bytes
            }
            Self::NotAnObject => format!("[{honest}]").into_bytes(),
            Self::DuplicateKey => {
                honest.replacen('{', r#"{"campaign_id":"campaign_1","#, 1).into_bytes()
            }
            _ => write(&self.spoil(fields, at_us, amounts)).into_bytes(),
        };
        Some(bytes)
    }

    /// Spoils one field.
    fn spoil(self, mut fields: Fields, at_us: i64, [first, second]: [&'static str; 2]) -> Fields {
        const DAY_US: i64 = 24 * 3_600 * 1_000_000;
        let (name, value) = match self {
            Self::NoCampaign => ("campaign_id", None),
            Self::NoAdvertiser => ("advertiser_id", None),
            Self::NoTimestamp => ("timestamp", None),
            Self::WrongType => ("campaign_id", Some("100".to_owned())),
            Self::UnknownCampaign => ("campaign_id", Some(text("campaign_unheard_of"))),
            Self::ForeignAdvertiser => ("advertiser_id", Some(text("advertiser_of_another"))),
            Self::NumberAsText => (first, Some(text("1500"))),
            Self::Exponent => (first, Some("1.5e3".to_owned())),
            Self::TooManyDecimals => (second, Some("0.1234567".to_owned())),
            Self::Negative => (second, Some("-1200".to_owned())),
            Self::Overflow => (second, Some("9223372036854.775808".to_owned())),
            Self::UnparsableTimestamp => ("timestamp", Some(text("2026-13-45 10:30"))),
            Self::FarPast => ("timestamp", Some(text(&instant(at_us - 30 * DAY_US)))),
            Self::FarFuture => ("timestamp", Some(text(&instant(at_us + 2 * DAY_US)))),
            Self::Nul => ("ad_id", Some(text("ad\\u0000001"))),
            Self::LongText => ("device_id", Some(text(&"d".repeat(2_000)))),
            Self::Deep => ("extra", Some(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)))),
            Self::Huge => ("extra", Some(text(&"x".repeat(20 << 20)))),
            _ => return fields,
        };
        fields.retain(|(known, _)| *known != name);
        fields.extend(value.map(|value| (name, value)));
        fields
    }
}
