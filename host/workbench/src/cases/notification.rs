//! Cases of notification rules: happenings.

use tollgate_domain::day::Day;
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind, Message};

use super::AnswerRow;
use super::reading::Row;
use super::tables::{self, DAY, MONDAY, NOON};

/// Kinds by their names in the contract.
const KINDS: [(&str, HappeningKind); 11] = [
    ("warning", HappeningKind::Warning),
    ("paused", HappeningKind::Paused),
    ("resumed", HappeningKind::Resumed),
    ("dead-letters", HappeningKind::DeadLetters),
    ("refund-failed", HappeningKind::RefundFailed),
    ("duplicate-rate", HappeningKind::DuplicateRate),
    ("rule-fault", HappeningKind::RuleFault),
    ("pause-refused", HappeningKind::PauseRefused),
    ("delivery-failed", HappeningKind::DeliveryFailed),
    ("audit-mismatch", HappeningKind::AuditMismatch),
    ("partition-halted", HappeningKind::PartitionHalted),
];

#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) happenings: Vec<Happening>,
}

pub(super) fn read(given: &Row<'_, '_>) -> Given {
    let rows = given.rows("happening", "happenings");
    Given { happenings: tables::rows(given.reader(), rows, happening) }
}

fn happening(row: &Row<'_, '_>) -> Happening {
    let kind = row.choice("kind", &KINDS.map(|(name, _)| name)).unwrap_or(0);
    let text = |key, default: &str| row.text(key).unwrap_or_else(|| default.to_owned());
    Happening {
        kind: KINDS[kind].1,
        facts: HappeningFacts {
            campaign_id: text("campaign", "campaign_1"),
            advertiser_id: text("advertiser", "advertiser_1"),
            day: Day(row.day("date").unwrap_or(DAY)).to_string(),
            today: row.toggle("today").unwrap_or(true),
            level_ppm: row.ratio("level").unwrap_or(0),
            usage_ppm: row.ratio("usage").unwrap_or(0),
            spent_micros: row.amount("spent"),
            daily_budget_micros: row.amount("budget"),
            reason: text("reason", ""),
            count: row.whole("count").unwrap_or(1),
            detail: text("detail", ""),
            ..HappeningFacts::default()
        },
        local_minute: row.minute("local_time").unwrap_or(NOON),
        weekday: row.weekday("weekday").unwrap_or(MONDAY),
        sent_today: row.whole("sent_today").unwrap_or(0),
        minutes_since_last: row.whole("minutes_since_last"),
    }
}

pub(super) fn answers(messages: &[Message]) -> Vec<AnswerRow> {
    let row = |message: &Message| {
        vec![
            ("happening", message.happening.to_string()),
            ("channel", message.channel.as_str().to_owned()),
            ("route", message.route.clone()),
            ("severity", message.severity.as_str().to_owned()),
            ("title", message.title.clone()),
            ("body", message.body.clone()),
            ("delay_minutes", message.delay_minutes.to_string()),
        ]
    };
    messages.iter().map(row).collect()
}
