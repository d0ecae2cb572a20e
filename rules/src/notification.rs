//! One short message per happening, on one route.

use crate::sdk::about::{Description, Given, Param};
use crate::sdk::happening::{Channel, Happening, Kind, Message, Severity};

const PARAMS: &[Param] = &[Param::text("route", "default", 64)
    .help("Name of the route in the host's configuration that every message takes.")];

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
    Description::new("one-message", "1.0.0").params(PARAMS).fuel(1_000_000, 200_000)
}

/// Words one happening; any number of messages, none for silence.
#[must_use]
pub fn compose(happening: &Happening, params: &Params) -> Vec<Message> {
    let (severity, what) = match happening.kind {
        Kind::Warning => (Severity::Warning, "Budget warning"),
        Kind::Paused => (Severity::Critical, "Campaign paused"),
        Kind::Resumed => (Severity::Info, "Campaign resumed"),
        Kind::DeadLetters => (Severity::Warning, "Dead letters"),
        Kind::RefundFailed => (Severity::Critical, "Refund failed"),
        Kind::DuplicateRate => (Severity::Warning, "Many duplicate clicks"),
        Kind::RuleFault => (Severity::Critical, "Rule fault"),
        Kind::PauseRefused => (Severity::Critical, "Pause refused"),
        Kind::DeliveryFailed => (Severity::Critical, "Message not delivered"),
    };
    vec![Message {
        channel: Channel::Slack,
        route: params.route.clone(),
        severity,
        title: title(what, &happening.campaign),
        body: body(happening),
        delay_minutes: 0,
    }]
}

fn title(what: &str, campaign: &str) -> String {
    if campaign.is_empty() { what.to_owned() } else { format!("{what}: {campaign}") }
}

fn body(happening: &Happening) -> String {
    let mut body = happening.day.clone();
    if happening.usage_ppm > 0 {
        body += &format!(", {} % of the daily budget used", happening.usage_ppm / 10_000);
    }
    if happening.count > 1 {
        body += &format!(", {} times", happening.count);
    }
    if !happening.detail.is_empty() {
        body += ". ";
        body += &happening.detail;
    }
    body
}

#[cfg(test)]
mod tests;
