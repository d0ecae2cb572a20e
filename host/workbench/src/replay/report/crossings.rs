//! Which campaigns are warned about and paused on one side only.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_domain::plan::CrossingKind;

use crate::replay::tally::Mark;

/// A campaign-day that is paused, or warned about for the first time, on one side only. In micros, ppm, and microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crossed {
    pub advertiser: String,
    pub campaign: String,
    /// Budget day.
    pub day: String,
    pub level_ppm: u32,
    /// Instant of the click, or of the look, that crosses it.
    pub at_us: i64,
    pub spent_micros: i64,
    pub daily_budget_micros: Option<i64>,
}

/// A pause or a first warning that comes earlier or later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub advertiser: String,
    pub campaign: String,
    pub day: String,
    pub before_us: i64,
    pub after_us: i64,
}

#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) newly_warned: Vec<Crossed>,
    pub(super) no_longer_warned: Vec<Crossed>,
    pub(super) newly_paused: Vec<Crossed>,
    pub(super) no_longer_paused: Vec<Crossed>,
    pub(super) pauses_moved: Vec<Moved>,
    pub(super) warnings_moved: Vec<Moved>,
}

/// Campaign and day.
type Key<'m> = (&'m str, i32);

pub(super) fn compare(before: &[Mark], after: &[Mark]) -> Compared {
    let warned = [before, after].map(|marks| firsts(marks, CrossingKind::Warn));
    let paused = [before, after].map(|marks| firsts(marks, CrossingKind::Pause));
    Compared {
        newly_warned: only(&warned[1], &warned[0]),
        no_longer_warned: only(&warned[0], &warned[1]),
        newly_paused: only(&paused[1], &paused[0]),
        no_longer_paused: only(&paused[0], &paused[1]),
        pauses_moved: moved(&paused[0], &paused[1]),
        warnings_moved: moved(&warned[0], &warned[1]),
    }
}

/// Those that both sides have, at different instants.
fn moved(before: &BTreeMap<Key<'_>, &Mark>, after: &BTreeMap<Key<'_>, &Mark>) -> Vec<Moved> {
    let moved = before.iter().filter_map(|(key, before)| {
        let after = after.get(key)?;
        (before.at_us != after.at_us).then(|| Moved {
            advertiser: before.advertiser.to_string(),
            campaign: before.key.campaign.to_string(),
            day: before.key.day.to_string(),
            before_us: before.at_us,
            after_us: after.at_us,
        })
    });
    moved.collect()
}

/// The first crossing of each key.
fn firsts(marks: &[Mark], kind: CrossingKind) -> BTreeMap<Key<'_>, &Mark> {
    let mut firsts = BTreeMap::new();
    for mark in marks.iter().filter(|mark| mark.kind == kind) {
        firsts.entry((&*mark.key.campaign, mark.key.day.0)).or_insert(mark);
    }
    firsts
}

/// Those that the other side does not have, by time.
fn only(side: &BTreeMap<Key<'_>, &Mark>, other: &BTreeMap<Key<'_>, &Mark>) -> Vec<Crossed> {
    let own = side.iter().filter(|(key, _)| !other.contains_key(*key));
    let mut crossed: Vec<_> = own.map(|(_, mark)| crossed(mark)).collect();
    crossed.sort_by(|a, b| (a.at_us, &a.campaign).cmp(&(b.at_us, &b.campaign)));
    crossed
}

fn crossed(mark: &Mark) -> Crossed {
    Crossed {
        advertiser: mark.advertiser.to_string(),
        campaign: mark.key.campaign.to_string(),
        day: mark.key.day.to_string(),
        level_ppm: mark.level_ppm,
        at_us: mark.at_us,
        spent_micros: mark.spent.0,
        daily_budget_micros: mark.budget.map(|budget| budget.0),
    }
}
