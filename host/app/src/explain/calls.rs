//! The calls about one record, each with its own row of what the rule was given.

use tollgate_domain::fence::Nought;
use tollgate_domain::rule::{Description, Rules as _, World};
use tollgate_domain::transcript::{ClickTranscript, Outcome, RefundTranscript, ResumeTranscript};

use super::again;
use super::cache::Kept;
use super::explanation::{Again, CallShown, Facts, FailureShown};
use super::rows;
use crate::rules::Acting;

/// Calls of the pricing rule about the click in this row.
pub(super) fn price(
    transcript: &ClickTranscript,
    row: usize,
    rules: &mut Acting,
    kept: &Kept,
) -> Vec<CallShown> {
    let mut calls = Vec::new();
    for (at, call) in transcript.price_calls.iter().enumerate() {
        let range = call.range();
        if !range.contains(&row) {
            continue;
        }
        let answer = call.outcome.answer().map(|quotes| rows::quote(quotes, row - range.start));
        let again = kept.once(World::Pricing, at, || again::price(transcript, at, rules));
        calls.push(CallShown {
            rows: range.len(),
            row: row - range.start,
            facts: rows::click(&transcript.pricing, row),
            again,
            candidate: again::priced_by_candidate(transcript, at, row, rules),
            ..shown(World::Pricing, &call.outcome, answer, rules.pricing())
        });
    }
    calls
}

/// Calls of the threshold rule about the click in this row; none when it got no price.
pub(super) fn judge(
    transcript: &ClickTranscript,
    row: usize,
    rules: &mut Acting,
    kept: &Kept,
) -> Vec<CallShown> {
    let movement = transcript.priced.iter().position(|priced| *priced as usize == row);
    let Some(movement) = movement else { return Vec::new() };
    let mut calls = Vec::new();
    for (at, judged) in transcript.judge_calls.iter().enumerate() {
        let range = judged.call.range();
        if !range.contains(&movement) {
            continue;
        }
        let row = movement - range.start;
        let facts = transcript.threshold_facts(at).unwrap_or_default();
        let answer = judged.call.outcome.answer().map(|verdicts| rows::verdict(verdicts, row));
        let again = kept.once(World::Threshold, at, || again::judge(transcript, at, rules));
        calls.push(CallShown {
            rows: range.len(),
            row,
            candidate: again::judged_by_candidate(&facts, row, Nought::Click, rules),
            facts: rows::movement(&facts, row),
            again,
            ..shown(World::Threshold, &judged.call.outcome, answer, rules.threshold())
        });
    }
    calls
}

/// The call about a compensation.
pub(super) fn refund(transcript: &RefundTranscript, rule: &Description, again: Again) -> CallShown {
    let answer = transcript.outcome.answer().map(|decisions| rows::decision(decisions, 0));
    CallShown {
        facts: rows::compensation(&transcript.facts, 0),
        again,
        ..shown(World::Refund, &transcript.outcome, answer, rule)
    }
}

/// The call about what a refund does to the budget.
pub(super) fn resume(transcript: &ResumeTranscript, rules: &mut Acting) -> CallShown {
    let answer = transcript.outcome.answer().map(|verdicts| rows::verdict(verdicts, 0));
    let again = again::resume(transcript, rules);
    CallShown {
        candidate: again::judged_by_candidate(&transcript.facts, 0, Nought::Look, rules),
        facts: rows::movement(&transcript.facts, 0),
        again,
        ..shown(World::Threshold, &transcript.outcome, answer, rules.threshold())
    }
}

/// A call without its facts.
fn shown<A: Clone>(
    world: World,
    outcome: &Outcome<A>,
    answer: Option<(Facts, Option<u16>)>,
    rule: &Description,
) -> CallShown {
    let (answer, code) = answer.map_or((None, None), |(answer, code)| (Some(answer), code));
    let made_of_it = match outcome {
        Outcome::Answered(_) => "took the answer",
        Outcome::Refused(..) => "refused the answer at the money fence, and used no part of it",
        Outcome::Failed(_) => "got no answer",
    };
    CallShown {
        world: world.as_str().to_owned(),
        candidate: false,
        module: None,
        rows: 1,
        row: 0,
        facts: Facts::new(),
        answer,
        reason: again::reason(rule, code),
        failure: outcome.failure().map(|failure| FailureShown {
            code: failure.code.clone(),
            sentence: failure.sentence.clone(),
        }),
        host: made_of_it.to_owned(),
        again: Again::Same { calls: 0 },
    }
}
