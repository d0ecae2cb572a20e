//! Ways out of the host: Slack, e-mail and the customer's topic of campaign events. Each sends one thing once and
//! says what became of it; when to send, and what to do about a failure, is the relay's.

pub mod campaign_events;
pub mod email;
pub mod slack;

use std::time::Duration;

/// One message on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Stable: a message that is sent again carries the same.
    pub key: &'a str,
    /// `info`, `warning` or `critical`.
    pub severity: &'a str,
    pub title: &'a str,
    pub body: &'a str,
    pub occurred_at_us: i64,
}

/// What became of an attempt. Errors say what to do and never hold an address that is secret, or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Sent,
    /// The receiver asks for patience.
    Busy {
        wait: Duration,
        error: String,
    },
    /// It may go better later; perhaps it has arrived all the same.
    Failed {
        error: String,
    },
    /// It will never be taken.
    Refused {
        error: String,
    },
}

impl Attempt {
    fn failed(error: impl Into<String>) -> Self {
        Self::Failed { error: error.into() }
    }

    fn refused(error: impl Into<String>) -> Self {
        Self::Refused { error: error.into() }
    }
}

/// Bytes of a receiver's answer that are repeated in an error.
const ANSWER_BYTES_MAX: usize = 200;

/// The beginning of what a receiver answered, in one line.
fn excerpt(answer: &str) -> String {
    let end = answer.floor_char_boundary(ANSWER_BYTES_MAX);
    one_line(&answer[..end])
}

/// The text in one line: whatever ends a line, or is not meant to be seen, becomes a space.
fn one_line(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(shown).collect::<String>().trim().to_owned()
}

/// An instant as RFC 3339 in UTC, such as `2026-01-15T10:30:00Z`; the ends of the calendar for what it cannot show.
pub(crate) fn rfc3339(at_us: i64) -> String {
    let end = if at_us < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at_us).unwrap_or(end).to_string()
}
