//! Another rule for messages: one line to one route, for a channel that is read by the hundred. It shows how little a
//! notification rule needs, and that a host takes other words as it takes other parameters.

use tollgate_sdk::about::{Description, Given, Param};
use tollgate_sdk::happening::{Channel, Happening, Kind, Message, Severity};
use tollgate_sdk::shown::{cut, one_line, percent};

const PARAMS: &[Param] =
    &[Param::text("route", "default", 64).help("Slack route of every message; empty: none.")];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    pub route: String,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { route: given.text("route").to_owned() }
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("terse-messages", "1.0.0").params(PARAMS).fuel(500_000, 50_000)
}

/// Words one happening.
#[must_use]
pub fn compose(happening: &Happening, params: &Params) -> Vec<Message> {
    if params.route.is_empty() {
        return Vec::new();
    }
    let (severity, word) = match happening.kind {
        _ if happening.is_late() => (Severity::Info, "LATE"),
        Kind::Warning => (Severity::Warning, "WARN"),
        Kind::Paused => (Severity::Critical, "STOP"),
        Kind::Resumed => (Severity::Info, "GO"),
        Kind::DeadLetters => (Severity::Warning, "DEAD"),
        Kind::RefundFailed => (Severity::Critical, "REFUND"),
        Kind::DuplicateRate => (Severity::Warning, "DOUBLE"),
        Kind::RuleFault => (Severity::Critical, "FAULT"),
        Kind::PauseRefused => (Severity::Critical, "REFUSED"),
        Kind::DeliveryFailed => (Severity::Critical, "UNSENT"),
        Kind::AuditMismatch => (Severity::Critical, "AUDIT"),
        Kind::PartitionHalted => (Severity::Critical, "HALT"),
    };
    let campaign = cut(&happening.campaign, 100);
    let title = match happening.usage_ppm {
        0 => format!("{word} {campaign} x{}", happening.count),
        usage => format!("{word} {campaign} {}%", percent(usage)),
    };
    vec![Message {
        channel: Channel::Slack,
        route: params.route.clone(),
        severity,
        title: one_line(&title),
        body: cut(&happening.detail, 1_000).into_owned(),
        delay_minutes: 0,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_who_and_how_much() {
        let check = |kind, usage_ppm, count, expected: &str| {
            let happening = Happening {
                usage_ppm,
                count,
                ..Happening::example(kind, "campaign_100", "advertiser_50")
            };
            let messages = compose(&happening, &Params { route: "desk".to_owned() });
            let [message] = &messages[..] else { panic!("{messages:?}") };
            assert_eq!((&*message.title, &*message.route), (expected, "desk"));
            assert!(compose(&happening, &Params { route: String::new() }).is_empty());
        };
        check(Kind::Warning, 912_345, 1, "WARN campaign_100 91.2%");
        check(Kind::Paused, 1_001_000, 1, "STOP campaign_100 100.1%");
        check(Kind::DeadLetters, 0, 7, "DEAD campaign_100 x7");
    }
}
