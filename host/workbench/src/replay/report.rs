//! The result of a replay.

mod crossings;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tollgate_domain::rule::World;
use tollgate_engine::CallStats;

use super::change::{CLASSES, class, class_names, percent_ppm};
use super::compare::{Comparison, Pair, Sums};
use super::tally::Tally;

pub use crossings::{Crossed, Moved};

/// What a candidate would have changed. Amounts are micros, shares are ppm, instants are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub about: About,
    pub totals: Totals,
    /// Clicks that could not be replayed, by reason; they are in no figure.
    pub left_out: Vec<LeftOut>,
    /// By the size of the difference, the largest first; and so are the campaigns.
    pub advertisers: Vec<Line>,
    pub campaigns: Vec<Line>,
    pub newly_warned: Vec<Crossed>,
    pub no_longer_warned: Vec<Crossed>,
    pub newly_paused: Vec<Crossed>,
    pub no_longer_paused: Vec<Crossed>,
    /// Paused on both sides, at another click.
    pub pauses_moved: Vec<Moved>,
    /// Warned about on both sides, for the first time at another click.
    pub warnings_moved: Vec<Moved>,
    /// Clicks by the change of what they cost.
    pub click_changes: Vec<Bar>,
    /// Campaigns by the change of what they cost.
    pub campaign_changes: Vec<Bar>,
    pub hours: Vec<Hour>,
    pub reasons: Vec<ReasonLine>,
    pub costs: Vec<RuleCost>,
    pub elapsed_ms: u64,
    pub clicks_per_s: u64,
}

/// What was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// Where the clicks come from, in words.
    pub source: String,
    /// Where both ledgers begin, in words.
    pub beginning: String,
    /// The rules of both sides, in words and with parameters.
    pub before: Vec<RuleAbout>,
    pub after: Vec<RuleAbout>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// A rule that decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleAbout {
    pub kind: String,
    pub name: String,
    pub version: String,
    pub digest: String,
    /// Where it comes from: a file or a generation.
    pub origin: String,
    /// Every parameter with the value in force, as an operator writes it.
    pub params: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub records: u64,
    pub clicks: u64,
    /// Records that are well understood and no clicks.
    pub skipped: u64,
    /// Records that cannot be read; dead letters on both sides.
    pub unreadable: u64,
    /// Clicks that cost something else.
    pub clicks_changed: u64,
    pub before: SideTotals,
    pub after: SideTotals,
    pub difference_micros: i128,
    /// `null`: from nothing.
    pub change_ppm: Option<i64>,
    /// Instants of the first and the last click.
    pub first_us: Option<i64>,
    pub last_us: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideTotals {
    pub charged: u64,
    pub charged_micros: i128,
    /// Clicks that could not be charged.
    pub dead_letters: u64,
    pub dead_letters_by_code: BTreeMap<String, u64>,
    /// Calls that failed or that the fence refused, which are asked again in halves.
    pub faults: u64,
    pub first_fault: Option<String>,
    pub pauses_refused: u64,
    /// Charged after a pause.
    pub overspent_micros: i128,
    pub warnings: u64,
    pub pauses: u64,
    pub resumes: u64,
}

/// Clicks that are in no figure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    pub clicks: u64,
    pub why: String,
}

/// An advertiser or a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub advertiser: String,
    /// Empty for an advertiser.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    pub clicks_before: u64,
    pub clicks_after: u64,
    pub before_micros: i128,
    pub after_micros: i128,
    pub difference_micros: i128,
    /// `null`: from nothing.
    pub change_ppm: Option<i64>,
}

/// A bar of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    pub change: String,
    pub count: u64,
}

/// An hour of the clicks' own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When it begins.
    pub at_us: i64,
    pub clicks: u64,
    pub before_micros: i128,
    pub after_micros: i128,
}

/// Answers with one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonLine {
    pub source: String,
    pub reason: String,
    pub clicks_before: u64,
    pub clicks_after: u64,
    pub before_micros: i128,
    pub after_micros: i128,
}

/// What the calls of a rule have cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCost {
    /// `before` or `after`.
    pub side: String,
    pub kind: String,
    pub calls: u64,
    pub rows: u64,
    pub fuel: u64,
    pub fuel_per_row: u64,
    pub ns: u64,
    pub ns_per_row: u64,
}

impl Report {
    pub(super) fn of(
        about: About,
        comparison: Comparison,
        (before, after): (Tally, Tally),
        left_out: Vec<LeftOut>,
        elapsed: Duration,
    ) -> Self {
        let clicks = comparison.clicks;
        let crossed = crossings::compare(&before.marks, &after.marks);
        let campaign_changes = campaign_changes(&comparison.campaigns);
        let costs = costs("before", &before.cost).chain(costs("after", &after.cost)).collect();
        Self {
            about,
            left_out,
            advertisers: advertisers(&comparison.campaigns),
            campaigns: lines(comparison.campaigns.iter().map(line)),
            newly_warned: crossed.newly_warned,
            no_longer_warned: crossed.no_longer_warned,
            newly_paused: crossed.newly_paused,
            no_longer_paused: crossed.no_longer_paused,
            pauses_moved: crossed.pauses_moved,
            warnings_moved: crossed.warnings_moved,
            click_changes: bars(&comparison.classes),
            campaign_changes: bars(&campaign_changes),
            hours: hours(&comparison.hours),
            reasons: reasons(&before, &after),
            costs,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            clicks_per_s: rate(clicks, elapsed),
            totals: totals(&comparison, &before, &after),
        }
    }

    /// Whether the sum of all charges has changed by more than this share.
    #[must_use]
    pub fn exceeds(&self, max_ppm: i64) -> bool {
        let Totals { before, after, .. } = &self.totals;
        super::exceeds(before.charged_micros, after.charged_micros, max_ppm)
    }
}

fn rate(clicks: u64, elapsed: Duration) -> u64 {
    let us = elapsed.as_micros().max(1);
    u64::try_from(u128::from(clicks) * 1_000_000 / us).unwrap_or(u64::MAX)
}

fn totals(comparison: &Comparison, before: &Tally, after: &Tally) -> Totals {
    Totals {
        records: comparison.records,
        clicks: comparison.clicks,
        skipped: comparison.skipped,
        unreadable: comparison.unreadable,
        clicks_changed: comparison.changed,
        before: side_totals(before),
        after: side_totals(after),
        difference_micros: after.charged_micros - before.charged_micros,
        change_ppm: percent_ppm(before.charged_micros, after.charged_micros),
        first_us: comparison.first_us,
        last_us: comparison.last_us,
    }
}

fn side_totals(tally: &Tally) -> SideTotals {
    use tollgate_domain::plan::CrossingKind::{Pause, Resume, Warn};
    let count = |kind| tally.marks.iter().filter(|mark| mark.kind == kind).count() as u64;
    SideTotals {
        charged: tally.charged,
        charged_micros: tally.charged_micros,
        dead_letters: tally.dead.values().sum(),
        dead_letters_by_code: tally.dead.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect(),
        faults: tally.faults,
        first_fault: tally.first_fault.clone(),
        pauses_refused: tally.pauses_refused,
        overspent_micros: tally.overspent_micros,
        warnings: count(Warn),
        pauses: count(Pause),
        resumes: count(Resume),
    }
}

fn line(pair: &Pair) -> Line {
    let Sums { clicks, micros } = pair.sums;
    Line {
        advertiser: pair.advertiser.to_string(),
        campaign: pair.campaign.to_string(),
        clicks_before: clicks[0],
        clicks_after: clicks[1],
        before_micros: micros[0],
        after_micros: micros[1],
        difference_micros: micros[1] - micros[0],
        change_ppm: percent_ppm(micros[0], micros[1]),
    }
}

/// The largest differences first.
fn lines(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|a, b| {
        let size = |line: &Line| line.difference_micros.unsigned_abs();
        let name = |line: &Line| (line.advertiser.clone(), line.campaign.clone());
        size(b).cmp(&size(a)).then_with(|| name(a).cmp(&name(b)))
    });
    lines
}

fn advertisers(campaigns: &[Pair]) -> Vec<Line> {
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    for pair in campaigns {
        sums.entry(&pair.advertiser).or_default().add(&pair.sums);
    }
    let pairs = sums.into_iter().map(|(advertiser, sums)| {
        line(&Pair { campaign: "".into(), advertiser: advertiser.into(), sums })
    });
    lines(pairs)
}

fn campaign_changes(campaigns: &[Pair]) -> [u64; CLASSES] {
    let mut classes = [0; CLASSES];
    for pair in campaigns {
        classes[class(pair.sums.micros[0], pair.sums.micros[1])] += 1;
    }
    classes
}

fn bars(classes: &[u64; CLASSES]) -> Vec<Bar> {
    let bars = class_names().into_iter().zip(classes);
    bars.map(|(change, count)| Bar { change, count: *count }).collect()
}

fn hours(hours: &BTreeMap<i64, Sums>) -> Vec<Hour> {
    let hour = |(hour, sums): (&i64, &Sums)| Hour {
        at_us: hour * 3_600_000_000,
        clicks: sums.clicks[0].max(sums.clicks[1]),
        before_micros: sums.micros[0],
        after_micros: sums.micros[1],
    };
    hours.iter().map(hour).collect()
}

fn reasons(before: &Tally, after: &Tally) -> Vec<ReasonLine> {
    let mut lines: BTreeMap<&(String, String), [(u64, i128); 2]> = BTreeMap::new();
    for (side, tally) in [before, after].into_iter().enumerate() {
        for (reason, sum) in &tally.reasons {
            lines.entry(reason).or_default()[side] = *sum;
        }
    }
    let line =
        |((source, reason), [before, after]): (&(String, String), [(u64, i128); 2])| ReasonLine {
            source: source.clone(),
            reason: reason.clone(),
            clicks_before: before.0,
            clicks_after: after.0,
            before_micros: before.1,
            after_micros: after.1,
        };
    lines.into_iter().map(line).collect()
}

fn costs(side: &str, cost: &[(World, CallStats)]) -> impl Iterator<Item = RuleCost> {
    cost.iter().map(move |(world, stats)| RuleCost {
        side: side.to_owned(),
        kind: world.to_string(),
        calls: stats.calls,
        rows: stats.rows,
        fuel: stats.fuel,
        fuel_per_row: stats.fuel.checked_div(stats.rows).unwrap_or(0),
        ns: stats.ns,
        ns_per_row: stats.ns.checked_div(stats.rows).unwrap_or(0),
    })
}
