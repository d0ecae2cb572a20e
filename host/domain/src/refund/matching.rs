//! Which charges a compensation means, of all that stand at its instants. Several clicks may share an instant, and then
//! another compensation may mean the others: each takes as many as it names.

use crate::compensation::CompensationEvent;

use super::MatchedCharge;

/// The charges that a compensation means.
pub(super) struct Matched<'f> {
    /// By time, then by place in the log. The first is the earliest charge at any of the instants: the click that was
    /// wanted.
    pub(super) charges: Vec<&'f MatchedCharge>,
    /// How many of them are certainly clicks that it means. A charge that was given back may be another compensation's,
    /// so at an instant that is named several times it does not count.
    pub(super) certain: usize,
    /// Whether any charge at the instants was given back, be it meant or not.
    pub(super) touched: bool,
}

/// Of each instant as many charges as it is named, and when the compensation counts more clicks than it names, as many
/// more, from the last instant on; of several the oldest that nobody has given back. The first charge of all always is
/// one of them. `charges` are in order.
pub(super) fn matched<'f>(event: &CompensationEvent, charges: &'f [MatchedCharge]) -> Matched<'f> {
    let same = |one: &i64, other: &i64| one == other;
    let mut taken = vec![false; charges.len()];
    let mut certain = 0;
    for named in event.timestamps_us.chunk_by(same) {
        let begin = charges.partition_point(|charge| charge.occurred_at_us < named[0]);
        let end = charges.partition_point(|charge| charge.occurred_at_us <= named[0]);
        let mut queue: Vec<usize> = (begin..end).collect();
        // Stable, so that each half stays in the order of the log.
        queue.sort_by_key(|at| *at != 0 && charges[*at].refunded);
        for at in queue.into_iter().take(named.len()) {
            taken[at] = true;
            certain += usize::from(at == 0 || named.len() == 1 || !charges[at].refunded);
        }
    }
    let counted = event.duplicate_count as usize;
    let spare = spare(charges, &taken, counted.saturating_sub(event.timestamps_us.len()));
    for at in spare {
        taken[at] = true;
        certain += usize::from(!charges[at].refunded);
    }
    let taken = charges.iter().zip(taken).filter(|(_, taken)| *taken);
    Matched {
        charges: taken.map(|(charge, _)| charge).collect(),
        certain,
        touched: charges.iter().any(|charge| charge.refunded),
    }
}

/// So many of the charges that are not taken. The last instant first: an event that is cut off names the beginning of
/// its last one.
fn spare(charges: &[MatchedCharge], taken: &[bool], many: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..charges.len()).filter(|at| !taken[*at]).collect();
    left.sort_by_key(|at| (charges[*at].refunded, -charges[*at].occurred_at_us));
    left.truncate(many);
    left
}
