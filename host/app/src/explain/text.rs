//! An explanation for people.

use std::fmt::Write as _;

use serde_json::Value;
use tollgate_ledger::Place;

use super::explanation::{
    Again, CallShown, CompensationShown, Explanation, Facts, HistoryShown, LetterShown,
};
use super::shown::amount;

/// The explanation as lines of text.
#[must_use]
pub fn text(explanation: &Explanation) -> String {
    let mut page = Page::default();
    page.line(0, &format!("{}: {}", place(&explanation.place), explanation.sentence));
    if let Some(charge) = &explanation.charge {
        page.charge(charge);
    }
    if let Some(letter) = &explanation.dead_letter {
        page.letter(letter);
    }
    if let Some(compensation) = &explanation.compensation {
        page.compensation("compensation", compensation);
    }
    if let Some(decision) = &explanation.decision {
        page.line(0, &format!("decided {}", decision.decided_at));
        let (first, last) = (decision.first_offset, decision.next_offset - 1);
        page.line(1, &format!("by rule generation {}", decision.generation));
        if decision.clicks > 0 {
            let clicks = decision.clicks;
            page.line(1, &format!("in a batch of {clicks} clicks, here offsets {first} to {last}"));
        }
        for call in &decision.calls {
            page.call(call);
        }
    }
    page.line(0, &format!("decided again: {}", again(&explanation.again)));
    page.followed(explanation);
    page.text
}

/// Lines, indented by two spaces a level.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, level: usize, line: &str) {
        let indent = 2 * level;
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{:indent$}{line}", "");
    }

    fn charge(&mut self, row: &HistoryShown) {
        let (charged, after) = (amount(row.amount_micros), amount(row.balance_after_micros));
        let (advertiser, campaign) = (&row.advertiser_id, &row.campaign_id);
        self.line(0, "history");
        self.line(1, &format!("{} {charged}, balance after it {after}", row.kind));
        self.line(
            1,
            &format!("advertiser {advertiser}, campaign {campaign}, day {}", row.budget_day),
        );
        let ad = row.ad_id.as_deref().unwrap_or("none");
        let device = row.device_id.as_deref().unwrap_or("none");
        self.line(1, &format!("ad {ad}, device {device}"));
        self.line(1, &format!("occurred {}, charged {}", row.occurred_at, row.charged_at));
        self.line(1, &format!("price from {}, reason {}", row.price_source, row.reason));
    }

    fn letter(&mut self, row: &LetterShown) {
        self.line(0, "dead letter");
        self.line(1, &format!("{} at {}: {}", row.code, row.stage, row.sentence));
        if !row.hint.is_empty() {
            self.line(1, &row.hint);
        }
        self.line(1, &format!("given up {}", row.created_at));
        if let Some(payload) = &row.payload {
            self.line(1, &format!("payload {payload}"));
        }
    }

    fn compensation(&mut self, title: &str, row: &CompensationShown) {
        let (claimed, refund) = (amount(row.claimed_micros), amount(row.refund_micros));
        let reason = row.reason.as_deref().unwrap_or("no reason yet");
        self.line(0, title);
        self.line(1, &format!("{} at {}", row.id, place(&row.place)));
        self.line(1, &format!("{}, {reason}: claims {claimed}, gives back {refund}", row.state));
        if let Some(detail) = &row.detail {
            self.line(1, detail);
        }
        let (campaign, ad, device) = (&row.campaign_id, &row.ad_id, &row.device_id);
        let count = row.duplicate_count;
        self.line(
            1,
            &format!("{count} clicks of device {device} on ad {ad} of campaign {campaign}"),
        );
        self.line(1, &format!("at {}", row.timestamps.join(", ")));
        let settled = row.settled_at.as_deref().unwrap_or("not yet");
        self.line(1, &format!("received {}, settled {settled}", row.received_at));
        if let Some(mismatch) = &row.mismatch {
            self.line(1, &format!("contradiction: {mismatch}"));
        }
        for refunded in &row.refunded {
            self.line(1, &format!("gives back the charge at {}", place(refunded)));
        }
    }

    fn call(&mut self, call: &CallShown) {
        let module = call.module.as_ref().map_or(String::new(), |module| {
            let digest = module.digest.get(..12).unwrap_or(&module.digest);
            format!(" {} {} ({digest})", module.name, module.version)
        });
        let rows = if call.rows == 1 {
            String::new()
        } else {
            format!(", row {} of {}", call.row + 1, call.rows)
        };
        let side = if call.candidate { " by the canary's candidate" } else { "" };
        self.line(1, &format!("{}{side}{module}{rows}", call.world));
        if let Some(module) = call.module.as_ref().filter(|module| !module.params.is_empty()) {
            let params = module.params.iter().map(|(name, value)| format!("{name} = {value}"));
            self.line(2, &format!("parameters: {}", params.collect::<Vec<_>>().join("; ")));
        }
        self.line(2, &format!("was given: {}", facts(&call.facts)));
        if let Some(answer) = &call.answer {
            self.line(2, &format!("answered: {}", facts(answer)));
        }
        if let Some(reason) = &call.reason {
            self.line(2, &format!("because {}: {}", reason.name, reason.help));
        }
        if let Some(failure) = &call.failure {
            self.line(2, &format!("{}: {}", failure.code, failure.sentence));
        }
        self.line(2, &format!("the host {}", call.host));
    }

    fn followed(&mut self, explanation: &Explanation) {
        if !explanation.crossings.is_empty() {
            self.line(0, "crossings of this campaign's day");
        }
        for row in &explanation.crossings {
            let (kind, at) = (&row.kind, &row.created_at);
            let (spent, budget) = (amount(row.spent_micros), amount(row.budget_micros));
            self.line(1, &format!("{kind} at {at}, {} ppm: {spent} of {budget}", row.level_ppm));
        }
        if !explanation.messages.is_empty() {
            self.line(0, "messages about this campaign's day");
        }
        for row in &explanation.messages {
            self.line(1, &format!("{} to {}: {} ({})", row.state, row.to, row.title, row.key));
        }
        if let Some(refund) = &explanation.refund {
            self.compensation("given back by", refund);
        }
    }
}

fn place(place: &Place) -> String {
    let Place { topic, incarnation, partition, offset } = place;
    if *incarnation == 0 {
        return format!("{topic} {partition} {offset}");
    }
    format!("{topic} {partition} {offset} (incarnation {incarnation})")
}

fn again(again: &Again) -> String {
    match again {
        Again::Same { calls: 1 } => "the same, to the byte (1 call)".to_owned(),
        Again::Same { calls } => format!("the same, to the byte ({calls} calls)"),
        Again::Different { sentence } => format!("DIFFERENT: {sentence}"),
        Again::Damaged { sentence } => format!("DAMAGED: {sentence}"),
        Again::NoRecord { sentence } => format!("nothing to compare with: {sentence}"),
        Again::NotPossible { sentence } => format!("not possible here: {sentence}"),
    }
}

/// Names and values; names in micros are shown as amounts without their unit.
fn facts(facts: &Facts) -> String {
    let shown = facts.iter().map(|(name, value)| match (name.strip_suffix("_micros"), value) {
        (Some(name), Value::Number(number)) => {
            format!("{name} {}", amount(number.as_i64().unwrap_or_default()))
        }
        (Some(name), _) => format!("{name} none"),
        (None, Value::String(text)) => format!("{name} {text:?}"),
        (None, Value::Null) => format!("{name} none"),
        (None, other) => format!("{name} {other}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}
