//! Compares what two sides have charged for the same clicks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tollgate_domain::slice::Slice;

use super::Sided;
use super::change::{CLASSES, ONE_SIDE, class};
use super::side::NOT_CHARGED;

const HOUR_US: i64 = 3_600_000_000;

/// Everything that is compared while a replay runs.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) records: u64,
    pub(super) clicks: u64,
    /// Records that are no clicks.
    pub(super) skipped: u64,
    /// Records that cannot be read.
    pub(super) unreadable: u64,
    /// Clicks that cost something else, or are charged on one side only.
    pub(super) changed: u64,
    pub(super) campaigns: Vec<Pair>,
    at: HashMap<Arc<str>, usize>,
    /// By hour since 1970, of the clicks' own timestamps.
    pub(super) hours: BTreeMap<i64, Sums>,
    /// Clicks by class of their change.
    pub(super) classes: [u64; CLASSES],
    pub(super) first_us: Option<i64>,
    pub(super) last_us: Option<i64>,
}

/// A campaign on both sides.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) campaign: Arc<str>,
    pub(super) advertiser: Arc<str>,
    pub(super) sums: Sums,
}

/// Clicks and charges in micros, before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) clicks: [u64; 2],
    pub(super) micros: [i128; 2],
}

impl Sums {
    fn click(&mut self, charges: [i64; 2]) {
        for (side, charge) in charges.into_iter().enumerate() {
            if charge != NOT_CHARGED {
                self.clicks[side] += 1;
                self.micros[side] += i128::from(charge);
            }
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for side in 0..2 {
            self.clicks[side] += other.clicks[side];
            self.micros[side] += other.micros[side];
        }
    }

    fn is_empty(&self) -> bool {
        self.clicks == [0, 0]
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            records: 0,
            clicks: 0,
            skipped: 0,
            unreadable: 0,
            changed: 0,
            campaigns: Vec::new(),
            at: HashMap::new(),
            hours: BTreeMap::new(),
            classes: [0; CLASSES],
            first_us: None,
            last_us: None,
        }
    }
}

impl Comparison {
    pub(super) fn take(&mut self, before: &Sided, after: &Sided) {
        let charges = before.outcome.charges.iter().zip(&after.outcome.charges);
        let mut charges = charges.map(|(before, after)| [*before, *after]);
        for slice in before.work.batch.slices() {
            self.records += (slice.len() - slice.absent).unsigned_abs();
            self.skipped += slice.skipped.unsigned_abs();
            self.unreadable += slice.dead.len() as u64;
            self.clicks += slice.clicks.len() as u64;
            self.compare(slice, &mut charges);
        }
    }

    fn compare(&mut self, slice: &Slice, charges: &mut dyn Iterator<Item = [i64; 2]>) {
        let mut parties = vec![Sums::default(); slice.parties.len()];
        let mut hour = (i64::MIN, Sums::default());
        let mut known = ([0, 0], class(0, 0));
        for (click, charges) in slice.clicks.iter().zip(charges) {
            parties[click.party as usize].click(charges);
            let at = click.occurred_at_us.div_euclid(HOUR_US);
            if at != hour.0 {
                self.add_hour(hour);
                hour = (at, Sums::default());
            }
            hour.1.click(charges);
            self.first_us = Some(
                self.first_us.map_or(click.occurred_at_us, |first| first.min(click.occurred_at_us)),
            );
            self.last_us = self.last_us.max(Some(click.occurred_at_us));
            // Neighbours mostly change alike, and a division costs more than all the rest.
            if charges != known.0 {
                known = (charges, class_of(charges));
            }
            if charges != [NOT_CHARGED; 2] {
                self.classes[known.1] += 1;
            }
            self.changed += u64::from(charges[0] != charges[1]);
        }
        self.add_hour(hour);
        for (party, sums) in slice.parties.iter().zip(parties) {
            if !sums.is_empty() {
                let (campaign, advertiser) =
                    (slice.text(party.campaign), slice.text(party.advertiser));
                self.campaign(campaign, advertiser).sums.add(&sums);
            }
        }
    }

    fn add_hour(&mut self, (hour, sums): (i64, Sums)) {
        if !sums.is_empty() {
            self.hours.entry(hour).or_default().add(&sums);
        }
    }

    fn campaign(&mut self, campaign: &str, advertiser: &str) -> &mut Pair {
        let at = match self.at.get(campaign) {
            Some(at) => *at,
            None => {
                let id: Arc<str> = campaign.into();
                let sums = Sums::default();
                self.at.insert(Arc::clone(&id), self.campaigns.len());
                self.campaigns.push(Pair { campaign: id, advertiser: advertiser.into(), sums });
                self.campaigns.len() - 1
            }
        };
        &mut self.campaigns[at]
    }
}

fn class_of([before, after]: [i64; 2]) -> usize {
    if (before == NOT_CHARGED) != (after == NOT_CHARGED) {
        return ONE_SIDE;
    }
    class(before.into(), after.into())
}
