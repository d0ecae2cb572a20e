//! The result as tables for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use tollgate_domain::plan::CrossingKind;

use super::change::percent;
use super::report::{Crossed, Line, Moved, Report, RuleAbout, SideTotals};

/// The result in tables, each with `top` rows at most.
#[must_use]
pub fn table(report: &Report, top: usize) -> String {
    let mut text = String::new();
    head(&mut text, report);
    totals(&mut text, report);
    movers(&mut text, "advertiser", &report.advertisers, top);
    movers(&mut text, "campaign", &report.campaigns, top);
    let crossings = [
        ("Newly paused", CrossingKind::Pause, &report.newly_paused),
        ("No longer paused", CrossingKind::Pause, &report.no_longer_paused),
        ("Newly warned", CrossingKind::Warn, &report.newly_warned),
        ("No longer warned", CrossingKind::Warn, &report.no_longer_warned),
    ];
    for (title, kind, crossed) in crossings {
        crossings_of(&mut text, title, kind, crossed, top);
    }
    moved(&mut text, "Paused at another click", &report.pauses_moved, top);
    moved(&mut text, "Warned about at another click", &report.warnings_moved, top);
    changes(&mut text, report);
    reasons(&mut text, report);
    costs(&mut text, report);
    foot(&mut text, report);
    text
}

/// Micros as currency units, grouped by thousands: `1,234.5`.
pub(super) fn money(micros: i128) -> String {
    let (size, sign) = (micros.unsigned_abs(), if micros < 0 { "\u{2212}" } else { "" });
    let (whole, rest) = (size / 1_000_000, size % 1_000_000);
    let whole = grouped(whole);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let decimals = format!("{rest:06}");
    format!("{sign}{whole}.{}", decimals.trim_end_matches('0'))
}

/// A difference of micros with its sign.
pub(super) fn signed(micros: i128) -> String {
    if micros > 0 { format!("+{}", money(micros)) } else { money(micros) }
}

pub(super) fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An instant in UTC, to the second.
pub(super) fn instant(at_us: i64) -> String {
    let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Rules in words, with the parameters that are in force.
pub(super) fn rules(rules: &[RuleAbout]) -> Vec<String> {
    let rule = |rule: &RuleAbout| {
        let RuleAbout { kind, name, version, digest, origin, params } = rule;
        let digest = digest.get(..12).unwrap_or(digest);
        let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let params =
            if params.is_empty() { String::new() } else { format!("; {}", params.join(" ")) };
        format!("{kind}: {name} {version} ({digest}, {origin}){params}")
    };
    rules.iter().map(rule).collect()
}

/// What was left out, in words.
pub(super) fn left_out(report: &Report) -> Vec<String> {
    let left = report.left_out.iter();
    left.map(|left| format!("{} clicks are left out: {}", grouped(left.clicks), left.why)).collect()
}

fn head(text: &mut String, report: &Report) {
    let about = &report.about;
    line(text, format_args!("{}", about.source));
    if let (Some(first), Some(last)) = (report.totals.first_us, report.totals.last_us) {
        line(text, format_args!("clicks of {} to {} UTC", instant(first), instant(last)));
    }
    for (side, about) in [("before", &about.before), ("after ", &about.after)] {
        for rule in rules(about) {
            line(text, format_args!("{side}  {rule}"));
        }
    }
    line(text, format_args!(""));
}

fn totals(text: &mut String, report: &Report) {
    let totals = &report.totals;
    let (before, after) = (&totals.before, &totals.after);
    let mut table = new_table(&["", "before", "after", "difference", ""]);
    table.add_row([
        "charged".to_owned(),
        money(before.charged_micros),
        money(after.charged_micros),
        signed(totals.difference_micros),
        percent(totals.change_ppm),
    ]);
    for (name, count) in COUNTS {
        let (before, after) = (count(before), count(after));
        let difference = i128::from(after) - i128::from(before);
        if before == 0 && after == 0 && !matches!(*name, "clicks charged" | "pauses" | "warnings") {
            continue;
        }
        let difference = signed(difference * 1_000_000);
        let row = [(*name).to_owned(), grouped(before), grouped(after), difference, String::new()];
        table.add_row(row);
    }
    if before.overspent_micros != 0 || after.overspent_micros != 0 {
        table.add_row([
            "charged after a pause".to_owned(),
            money(before.overspent_micros),
            money(after.overspent_micros),
            signed(after.overspent_micros - before.overspent_micros),
            String::new(),
        ]);
    }
    push(text, &mut table, 1);
    let (clicks, changed) = (grouped(totals.clicks), grouped(totals.clicks_changed));
    line(text, format_args!("{clicks} clicks; {changed} of them cost something else."));
    for (side, totals) in [("before", before), ("after", after)] {
        if let Some(fault) = &totals.first_fault {
            line(text, format_args!("The first fault {side}: {fault}"));
        }
    }
}

type Count = fn(&SideTotals) -> u64;

/// Figures of a side that are numbers.
pub(super) const COUNTS: &[(&str, Count)] = &[
    ("clicks charged", |side| side.charged),
    ("warnings", |side| side.warnings),
    ("pauses", |side| side.pauses),
    ("resumes", |side| side.resumes),
    ("clicks that became dead letters", |side| side.dead_letters),
    ("clicks that the fence refused", fence_refusals),
    ("pauses that the fence refused", |side| side.pauses_refused),
    ("calls that failed", |side| side.faults),
];

fn fence_refusals(side: &SideTotals) -> u64 {
    side.dead_letters_by_code.get("FENCE_BREACH").copied().unwrap_or(0)
}

fn movers(text: &mut String, what: &str, lines: &[Line], top: usize) {
    let moved: Vec<_> = lines.iter().filter(|line| line.difference_micros != 0).collect();
    if moved.is_empty() {
        return line(text, format_args!("\nNo {what} is charged anything else."));
    }
    line(
        text,
        format_args!("\n{} {what}s are charged something else:", grouped(moved.len() as u64)),
    );
    let mut table = new_table(&[what, "clicks", "before", "after", "difference", ""]);
    for mover in moved.iter().take(top) {
        let name = if mover.campaign.is_empty() { &mover.advertiser } else { &mover.campaign };
        table.add_row([
            name.clone(),
            grouped(mover.clicks_after),
            money(mover.before_micros),
            money(mover.after_micros),
            signed(mover.difference_micros),
            percent(mover.change_ppm),
        ]);
    }
    push(text, &mut table, 1);
    more(text, moved.len(), top);
}

fn crossings_of(
    text: &mut String,
    title: &str,
    kind: CrossingKind,
    crossed: &[Crossed],
    top: usize,
) {
    if crossed.is_empty() {
        return;
    }
    line(text, format_args!("\n{title}: {}", grouped(crossed.len() as u64)));
    let level = if kind == CrossingKind::Warn { "level" } else { "paused at" };
    let mut table = new_table(&["campaign", "day", "at (UTC)", level, "spent", "budget"]);
    for crossed in crossed.iter().take(top) {
        table.add_row([
            crossed.campaign.clone(),
            crossed.day.clone(),
            instant(crossed.at_us),
            level_text(crossed.level_ppm),
            money(crossed.spent_micros.into()),
            crossed.daily_budget_micros.map_or("none".to_owned(), |budget| money(budget.into())),
        ]);
    }
    push(text, &mut table, 3);
    more(text, crossed.len(), top);
}

/// A level as a share of the budget.
pub(super) fn level_text(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn moved(text: &mut String, title: &str, moved: &[Moved], top: usize) {
    if moved.is_empty() {
        return;
    }
    line(text, format_args!("\n{title}: {}", grouped(moved.len() as u64)));
    let mut table = new_table(&["campaign", "day", "before (UTC)", "after (UTC)"]);
    for moved in moved.iter().take(top) {
        let (before, after) = (instant(moved.before_us), instant(moved.after_us));
        table.add_row([moved.campaign.clone(), moved.day.clone(), before, after]);
    }
    push(text, &mut table, 4);
    more(text, moved.len(), top);
}

fn changes(text: &mut String, report: &Report) {
    let mut table = new_table(&["change", "clicks", "campaigns"]);
    for (clicks, campaigns) in report.click_changes.iter().zip(&report.campaign_changes) {
        if clicks.count > 0 || campaigns.count > 0 {
            let (name, clicks) = (clicks.change.clone(), grouped(clicks.count));
            table.add_row([name, clicks, grouped(campaigns.count)]);
        }
    }
    line(text, format_args!("\nHow much changes:"));
    push(text, &mut table, 1);
}

fn reasons(text: &mut String, report: &Report) {
    if report.reasons.is_empty() {
        return;
    }
    let mut table =
        new_table(&["price from", "reason", "clicks before", "after", "charged before", "after"]);
    for reason in &report.reasons {
        table.add_row([
            reason.source.clone(),
            reason.reason.clone(),
            grouped(reason.clicks_before),
            grouped(reason.clicks_after),
            money(reason.before_micros),
            money(reason.after_micros),
        ]);
    }
    line(text, format_args!("\nAnswers by reason:"));
    push(text, &mut table, 2);
}

fn costs(text: &mut String, report: &Report) {
    let mut table = new_table(&["rule", "side", "calls", "fuel a click", "ns a click"]);
    for cost in &report.costs {
        table.add_row([
            cost.kind.clone(),
            cost.side.clone(),
            grouped(cost.calls),
            grouped(cost.fuel_per_row),
            grouped(cost.ns_per_row),
        ]);
    }
    if !report.costs.is_empty() {
        line(text, format_args!("\nWhat the rules cost:"));
        push(text, &mut table, 2);
    }
}

fn foot(text: &mut String, report: &Report) {
    line(text, format_args!(""));
    line(text, format_args!("{}", report.about.beginning));
    for note in report.about.notes.iter().chain(&left_out(report)) {
        line(text, format_args!("{note}"));
    }
    let totals = &report.totals;
    if totals.unreadable > 0 {
        let unreadable = grouped(totals.unreadable);
        line(text, format_args!("{unreadable} records cannot be read, whatever the rules say."));
    }
    let (clicks, ms) = (grouped(totals.clicks), report.elapsed_ms);
    let rate = grouped(report.clicks_per_s);
    line(text, format_args!("Replayed {clicks} clicks in {ms} ms, {rate} a second."));
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.iter().copied());
    table
}

/// Numbers stand to the right, from a column on.
fn push(text: &mut String, table: &mut Table, numbers_from: usize) {
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    line(text, format_args!("{table}"));
}

fn more(text: &mut String, rows: usize, top: usize) {
    if rows > top {
        let rest = grouped((rows - top) as u64);
        line(text, format_args!("and {rest} more; --top shows more of them, --json all"));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _written = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped() {
        fn check(micros: i128, expected: &str) {
            assert_eq!(money(micros), expected, "{micros}");
        }
        check(0, "0");
        check(1, "0.000001");
        check(-1_500_000, "\u{2212}1.5");
        check(999_000_000, "999");
        check(1_000_000_000, "1,000");
        check(1_234_567_890_000, "1,234,567.89");
        assert_eq!(
            (signed(5_000_000), signed(-5_000_000), signed(0)),
            ("+5".into(), "\u{2212}5".into(), "0".into())
        );
    }
}
