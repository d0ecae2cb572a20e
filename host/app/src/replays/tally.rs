//! What became of dead letters that were replayed.

use std::collections::BTreeMap;

use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;
use tollgate_domain::refund::state;

/// Numbers of letters, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub charged: u64,
    pub charged_micros: i128,
    /// No event for this topic.
    pub skipped: u64,
    /// Compensations that could be read now.
    pub taken_in: u64,
    pub refunded: u64,
    /// Compensations that wait for clicks.
    pub waiting: u64,
    /// Compensations that repeat one that waits or was paid.
    pub repeated: u64,
    /// Refused compensations of which the same one waits or was paid meanwhile; they stay.
    pub same: u64,
    /// Somebody else has replayed or dropped them.
    pub gone: u64,
    /// Of topics that the configuration does not name; they stay.
    pub unread: u64,
    /// Still dead letters, by code.
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    /// What a plan makes of so many letters.
    pub(super) fn of(plan: &Plan<'_>, letters: usize) -> Self {
        let mut failed = BTreeMap::new();
        for dead in &plan.dead {
            *failed.entry(dead.rejection.code.as_str().to_owned()).or_default() += 1;
        }
        let (charged, taken_in) = (plan.history.len(), plan.compensations.len());
        Self {
            charged: charged as u64,
            charged_micros: plan.charged_micros(),
            taken_in: taken_in as u64,
            skipped: letters.saturating_sub(charged + taken_in + plan.dead.len()) as u64,
            failed,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.charged += other.charged;
        self.charged_micros += other.charged_micros;
        self.skipped += other.skipped;
        self.taken_in += other.taken_in;
        self.gone += other.gone;
        for (code, count) in &other.failed {
            *self.failed.entry(code.clone()).or_default() += count;
        }
    }

    /// Adds compensations by their states; what is refused is counted by the codes of its letters.
    pub(super) fn add_states(&mut self, states: &[(String, i64)]) {
        for (name, count) in states {
            let count = u64::try_from(*count).unwrap_or(0);
            match name.as_str() {
                state::REFUNDED => self.refunded += count,
                state::WAITING => self.waiting += count,
                "REPEATED" => self.repeated += count,
                _ => {}
            }
        }
    }

    /// Letters that are still open.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.failed.values().sum::<u64>() + self.same + self.unread
    }

    /// Rows of a table: what, and how many. Rows without letters are left out.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, u64)> {
        let charged = Micros(i64::try_from(self.charged_micros).unwrap_or(i64::MAX));
        let fixed = [
            (format!("charged, {charged} in all"), self.charged),
            ("skipped: no event for this topic".to_owned(), self.skipped),
            ("compensations taken in".to_owned(), self.taken_in),
            ("compensations paid".to_owned(), self.refunded),
            ("compensations that wait for their clicks".to_owned(), self.waiting),
            ("compensations that repeat another one".to_owned(), self.repeated),
            ("left: the same compensation waits or was paid".to_owned(), self.same),
            ("left: the configuration does not read their topic".to_owned(), self.unread),
            ("replayed or dropped by somebody else meanwhile".to_owned(), self.gone),
        ];
        let failed = self.failed.iter().map(|(code, count)| (format!("still {code}"), *count));
        fixed.into_iter().chain(failed).filter(|(_, count)| *count > 0).collect()
    }
}
