//! The notification world.

pub use bindings::exports::tollgate::rules::notification::{Guest, Happening, Message};

use bindings::exports::tollgate::rules::notification as wire;

use crate::sdk::{amount, happening};

/// Messages about all happenings.
pub type Answers = Vec<Message>;

super::world!("notification-rule", "export_notification_world");

/// Exports the rule of a module as a notification module.
#[macro_export]
macro_rules! notification_module {
    ($rule:path) => {
        $crate::export_rule! {
            notification, export_notification_world, $rule,
            fn compose(
                params: Vec<sdk::Value>,
                happenings: Vec<sdk::Happening>,
            ) -> sdk::Answers {
                let params = rule::Params::read(&sdk::given(&rule::describe(), params));
                sdk::compose(happenings, |happening| rule::compose(happening, &params))
            }
        }
    };
}

/// Asks the rule about every happening.
#[must_use]
pub fn compose(
    happenings: Vec<Happening>,
    rule: impl Fn(&happening::Happening) -> Vec<happening::Message>,
) -> Answers {
    let mut messages = Vec::new();
    for (at, happening) in happenings.into_iter().enumerate() {
        let worded = rule(&from_wire(happening));
        messages.extend(worded.into_iter().map(|worded| message(at as u32, worded)));
    }
    messages
}

fn from_wire(happening: Happening) -> happening::Happening {
    happening::Happening {
        kind: match happening.kind {
            wire::Kind::Warning => happening::Kind::Warning,
            wire::Kind::Paused => happening::Kind::Paused,
            wire::Kind::Resumed => happening::Kind::Resumed,
            wire::Kind::DeadLetters => happening::Kind::DeadLetters,
            wire::Kind::RefundFailed => happening::Kind::RefundFailed,
            wire::Kind::DuplicateRate => happening::Kind::DuplicateRate,
            wire::Kind::RuleFault => happening::Kind::RuleFault,
            wire::Kind::PauseRefused => happening::Kind::PauseRefused,
            wire::Kind::DeliveryFailed => happening::Kind::DeliveryFailed,
            wire::Kind::AuditMismatch => happening::Kind::AuditMismatch,
            wire::Kind::PartitionHalted => happening::Kind::PartitionHalted,
        },
        campaign: happening.campaign,
        advertiser: happening.advertiser,
        level_ppm: happening.level_ppm,
        usage_ppm: happening.usage_ppm,
        spent_micros: amount(happening.spent_micros),
        budget_micros: amount(happening.budget_micros),
        count: happening.count,
        detail: happening.detail,
        reason: happening.reason,
        today: happening.today,
        day: happening.day,
        local_minute: happening.local_minute,
        weekday: happening.weekday,
        sent_today: happening.sent_today,
        minutes_since_last: u32::try_from(happening.minutes_since_last).ok(),
    }
}

fn message(happening: u32, message: happening::Message) -> Message {
    Message {
        happening,
        channel: match message.channel {
            happening::Channel::Slack => wire::Channel::Slack,
            happening::Channel::Email => wire::Channel::Email,
        },
        route: message.route,
        severity: match message.severity {
            happening::Severity::Info => wire::Severity::Info,
            happening::Severity::Warning => wire::Severity::Warning,
            happening::Severity::Critical => wire::Severity::Critical,
        },
        title: message.title,
        body: message.body,
        delay_minutes: message.delay_minutes,
    }
}
