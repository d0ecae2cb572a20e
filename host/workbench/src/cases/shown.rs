//! A report of cases as people read it: failures as diffs, then the sums.

use std::fmt::Write as _;

use tollgate_domain::rule::World;

use super::running::{Difference, FieldDifference, Outcome, Report, Verdict};

/// Whether the reader sees colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Colours,
}

const RED: &str = "31";
const GREEN: &str = "32";

impl Paint {
    fn text(self, colour: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// The failures, the count, and the reasons that no case produces.
#[must_use]
pub fn shown(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for outcome in report.failures() {
        failure(&mut text, outcome, report.world, paint);
    }
    sums(&mut text, report, paint);
    text
}

fn failure(text: &mut String, outcome: &Outcome, world: World, paint: Paint) {
    let Outcome { name, file, line, .. } = outcome;
    line_of(text, &format!("{} {name}  ({file}:{line})", paint.text(RED, "FAILED")));
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Host(sentence) => {
            line_of(text, &format!("    the host could not run it: {sentence}"));
        }
        Verdict::Failed(differences) => {
            for difference in differences {
                one(text, difference, world, paint);
            }
        }
    }
    text.push('\n');
}

fn one(text: &mut String, difference: &Difference, world: World, paint: Paint) {
    let (row_name, rows_name) = match world {
        World::Pricing => ("quote", "quotes"),
        World::Threshold => ("verdict", "verdicts"),
        World::Refund => ("decision", "decisions"),
        World::Notification => ("message", "messages"),
    };
    let minus = |text: &mut String, line: &str| line_of(text, &paint.text(RED, line));
    let plus = |text: &mut String, line: &str| line_of(text, &paint.text(GREEN, line));
    match difference {
        Difference::Row { row, fields } => {
            line_of(text, &format!("    {row_name} {}", row + 1));
            for FieldDifference { name, got, missed } in fields {
                if missed.is_empty() {
                    line_of(text, &format!("      {name} = {got:?}"));
                    continue;
                }
                for missed in missed {
                    let sign = if missed.is_part { "has" } else { "=" };
                    minus(text, &format!("    - {name} {sign} {:?}", missed.text));
                }
                plus(text, &format!("    + {name} = {got:?}"));
            }
        }
        Difference::Rows { expected, got } => {
            minus(text, &format!("    - {expected} {rows_name}"));
            plus(text, &format!("    + {} {rows_name}", got.len()));
            for row in got {
                line_of(text, &format!("      {row}"));
            }
        }
        Difference::Fault { expected, got } => {
            let expected =
                expected.map_or("an answer".to_owned(), |code| format!("a fault: {code}"));
            minus(text, &format!("    - {expected}"));
            plus(text, &format!("    + {got}"));
        }
        Difference::Sentence(sentence) => line_of(text, &format!("    {sentence}")),
    }
}

fn sums(text: &mut String, report: &Report, paint: Paint) {
    let (passed, all) = (report.passed(), report.outcomes.len());
    let verdict = match report.is_passed() {
        true => paint.text(GREEN, "ok"),
        false => paint.text(RED, "FAILED"),
    };
    let milliseconds = report.elapsed_ns / 1_000_000;
    let ways = match report.is_compared {
        true => ", each compiled two ways",
        false => "",
    };
    line_of(text, &format!("{verdict}: {passed} of {all} cases passed in {milliseconds} ms{ways}"));
    let unused: Vec<_> = report.unused_reasons().map(|reason| reason.name.as_str()).collect();
    let reasons = report.reasons.len();
    if reasons == 0 {
        return;
    }
    let used = reasons - unused.len();
    match unused.is_empty() {
        true => line_of(text, &format!("all {reasons} declared reasons were answered")),
        false => line_of(
            text,
            &format!(
                "{used} of {reasons} declared reasons were answered, not: {}",
                unused.join(", ")
            ),
        ),
    }
}

fn line_of(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _written = writeln!(text, "{line}");
}
