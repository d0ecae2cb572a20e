//! Dead letters: events that cannot be charged or paid, each with a stable code and the bytes to try again.

use std::sync::Arc;

/// Why an event is a dead letter. The code is stable: it is the metric label, the header and the documentation anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    EmptyValue,
    PayloadTooLarge,
    NotUtf8,
    NotJson,
    NotAnObject,
    TooDeep,
    DuplicateKey,
    MissingField,
    WrongType,
    NumberAsText,
    NumberExponent,
    NumberTooPrecise,
    NumberNegative,
    NumberOverflow,
    TimestampUnparsable,
    TimestampTooOld,
    TimestampInFuture,
    NulInText,
    TextTooLong,
    UnknownCampaign,
    AdvertiserMismatch,
    RuleTrap,
    RuleOutOfFuel,
    RuleOutOfMemory,
    RuleWrongAnswers,
    FenceBreach,
    AmountOverflow,
    RefusedByDatabase,
    CompensationExpired,
    CompensationRejected,
    DayRetired,
}

impl Code {
    /// Every code, in the order in which an event meets them.
    pub const ALL: [Self; 31] = [
        Self::EmptyValue,
        Self::PayloadTooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::DuplicateKey,
        Self::MissingField,
        Self::WrongType,
        Self::NumberAsText,
        Self::NumberExponent,
        Self::NumberTooPrecise,
        Self::NumberNegative,
        Self::NumberOverflow,
        Self::TimestampUnparsable,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::NulInText,
        Self::TextTooLong,
        Self::UnknownCampaign,
        Self::AdvertiserMismatch,
        Self::RuleTrap,
        Self::RuleOutOfFuel,
        Self::RuleOutOfMemory,
        Self::RuleWrongAnswers,
        Self::FenceBreach,
        Self::AmountOverflow,
        Self::RefusedByDatabase,
        Self::CompensationExpired,
        Self::CompensationRejected,
        Self::DayRetired,
    ];

    /// The stable name of the code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyValue => "EMPTY_VALUE",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::NotUtf8 => "NOT_UTF8",
            Self::NotJson => "NOT_JSON",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::TooDeep => "TOO_DEEP",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::MissingField => "MISSING_FIELD",
            Self::WrongType => "WRONG_TYPE",
            Self::NumberAsText => "NUMBER_AS_TEXT",
            Self::NumberExponent => "NUMBER_EXPONENT",
            Self::NumberTooPrecise => "NUMBER_TOO_PRECISE",
            Self::NumberNegative => "NUMBER_NEGATIVE",
            Self::NumberOverflow => "NUMBER_OVERFLOW",
            Self::TimestampUnparsable => "TIMESTAMP_UNPARSABLE",
            Self::TimestampTooOld => "TIMESTAMP_TOO_OLD",
            Self::TimestampInFuture => "TIMESTAMP_IN_FUTURE",
            Self::NulInText => "NUL_IN_TEXT",
            Self::TextTooLong => "TEXT_TOO_LONG",
            Self::UnknownCampaign => "UNKNOWN_CAMPAIGN",
            Self::AdvertiserMismatch => "ADVERTISER_MISMATCH",
            Self::RuleTrap => "RULE_TRAP",
            Self::RuleOutOfFuel => "RULE_OUT_OF_FUEL",
            Self::RuleOutOfMemory => "RULE_OUT_OF_MEMORY",
            Self::RuleWrongAnswers => "RULE_WRONG_ANSWERS",
            Self::FenceBreach => "FENCE_BREACH",
            Self::AmountOverflow => "AMOUNT_OVERFLOW",
            Self::RefusedByDatabase => "REFUSED_BY_DATABASE",
            Self::CompensationExpired => "COMPENSATION_EXPIRED",
            Self::CompensationRejected => "COMPENSATION_REJECTED",
            Self::DayRetired => "DAY_RETIRED",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Whether a rule has failed at the event.
    #[must_use]
    pub fn is_rules(self) -> bool {
        matches!(
            self,
            Self::RuleTrap
                | Self::RuleOutOfFuel
                | Self::RuleOutOfMemory
                | Self::RuleWrongAnswers
                | Self::FenceBreach
        )
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::EmptyValue => {
                "The producer sent no value; find out which one and resend the event."
            }
            Self::PayloadTooLarge => {
                "The event is larger than `decode.payload_bytes_max`; raise the limit or fix the producer."
            }
            Self::NotUtf8 | Self::NotJson | Self::NotAnObject | Self::TooDeep => {
                "The value must be one JSON object in UTF-8; fix the producer and resend the event."
            }
            Self::DuplicateKey | Self::MissingField | Self::WrongType | Self::NumberAsText => {
                "The event does not follow the schema of its topic; fix the producer and resend the event."
            }
            Self::NumberExponent
            | Self::NumberTooPrecise
            | Self::NumberNegative
            | Self::NumberOverflow => {
                "Amounts are plain decimals from 0 with at most 6 decimals; fix the producer and resend the event."
            }
            Self::TimestampUnparsable => {
                "`timestamp` must be RFC 3339 with an offset, such as 2026-01-15T10:30:00Z."
            }
            Self::TimestampTooOld | Self::TimestampInFuture => {
                "Compare the producer's clock with the record's timestamp; the limits are `decode.age_hours_max` and `decode.ahead_minutes_max`."
            }
            Self::NulInText | Self::TextTooLong => {
                "Texts hold no NUL and at most `decode.text_bytes_max` bytes, lists of timestamps at most 100; fix the producer and resend the event."
            }
            Self::UnknownCampaign => {
                "Load the campaign into `campaigns`, then replay the dead letter."
            }
            Self::AdvertiserMismatch => {
                "The event, `campaigns` and the charges must name one advertiser; correct what is wrong and replay it, or pay by hand."
            }
            Self::RuleTrap
            | Self::RuleOutOfFuel
            | Self::RuleOutOfMemory
            | Self::RuleWrongAnswers
            | Self::FenceBreach => {
                "Fix or replace the rule that is named, then replay the dead letter."
            }
            Self::AmountOverflow => {
                "A balance or a day's spend would not fit into 64 bits; correct the price or the balance, then replay the dead letter."
            }
            Self::RefusedByDatabase => {
                "The database refused the row; correct what its message names, then replay the dead letter."
            }
            Self::CompensationExpired => {
                "It waited for as long as it may; find out where its clicks are, then replay it."
            }
            Self::CompensationRejected => {
                "The refund rule refused it; its reason says why. Replay it if the rule was wrong."
            }
            Self::DayRetired => {
                "Look up in what was archived what its clicks have cost and whether they were given back, pay by hand, then drop it."
            }
        }
    }
}

/// Where on the road an event died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Decode,
    Resolve,
    Price,
    Judge,
    Write,
    /// Settling a compensation.
    Refund,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Resolve => "resolve",
            Self::Price => "price",
            Self::Judge => "judge",
            Self::Write => "write",
            Self::Refund => "refund",
        }
    }
}

/// Code and sentence of a failure, before it is tied to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: Code,
    pub stage: Stage,
    /// One sentence: what was wrong, with the offending field or value.
    pub sentence: String,
}

impl Rejection {
    pub fn new(code: Code, stage: Stage, sentence: impl Into<String>) -> Self {
        Self { code, stage, sentence: sentence.into() }
    }
}

/// Header of a Kafka record; the value may be absent. What is not UTF-8 in the name is U+FFFD here, because texts are what
/// tables and other tools can hold; values keep their bytes.
pub type Header = (String, Option<Vec<u8>>);

/// An event that cannot be charged, with everything needed to look at it and to try it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Timestamp of the record in milliseconds; -1 when it has none.
    pub record_at_ms: i64,
    /// The campaign that the event names; `None` when it could not be read.
    pub campaign: Option<String>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub rejection: Rejection,
    /// Rule generation in force; 0 when no rule was asked.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_have_a_hint() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| code.hint().ends_with('.')));
    }
}
