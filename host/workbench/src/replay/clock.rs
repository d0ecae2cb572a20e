//! The clock of a replay, which the clicks move.
//!
//! Every midnight of every time zone in use falls on a quarter of an hour in UTC, so within a quarter no campaign's today
//! changes. Portions are cut where a quarter begins, and all clicks of a quarter are decided at its beginning; so how a
//! source cuts its clicks changes nothing.

use std::collections::VecDeque;
use std::ops::Range;

use tollgate_domain::slice::Slice;

use super::source::Portion;

/// A quarter of an hour in microseconds.
pub(super) const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// A portion that lies within one quarter.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) portion: Portion,
    /// The present, in microseconds.
    pub(super) now_us: i64,
    /// Quarters that have begun since the piece before, counted since 1970.
    pub(super) begun: Range<i64>,
}

/// Cuts portions into pieces.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The quarter of the last piece; `None` before the first click.
    quarter: Option<i64>,
    waiting: VecDeque<Portion>,
}

impl Clock {
    /// Takes a portion and gives the pieces that are certain. One click alone does not move the clock: it is moved when
    /// the next one comes no earlier, so that one wrong timestamp does not end everybody's day. So the last portions wait
    /// for the first click after them.
    pub(super) fn take(&mut self, portion: Portion) -> Vec<Piece> {
        if let Some(facts) = &portion.facts {
            let quarter = facts.now_us.div_euclid(QUARTER_US);
            let (now_us, begun) = (facts.now_us, self.move_to(quarter));
            return vec![Piece { portion, now_us, begun }];
        }
        let first = instants(&portion.slice).next();
        let mut pieces = Vec::new();
        if let Some(first) = first {
            for before in std::mem::take(&mut self.waiting) {
                self.cut(before, Some(first), &mut pieces);
            }
        }
        self.waiting.push_back(portion);
        pieces
    }

    /// The pieces that are left at the end.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for portion in std::mem::take(&mut self.waiting) {
            self.cut(portion, None, &mut pieces);
        }
        pieces
    }

    /// `next_us` is the instant of the click after the portion.
    fn cut(&mut self, portion: Portion, next_us: Option<i64>, pieces: &mut Vec<Piece>) {
        let mut rest = portion.slice;
        let mut begun = None;
        for (offset, quarter) in self.quarters(&rest, next_us) {
            let moved = self.move_to(quarter);
            if offset > rest.first_offset {
                let (left, right) = rest.split_at_offset(offset);
                pieces.push(piece(left, moved.start - 1, begun.take()));
                rest = right;
            }
            begun = Some(moved);
        }
        pieces.push(piece(rest, self.quarter.unwrap_or(0), begun));
    }

    /// Offsets of clicks at which a new quarter begins.
    fn quarters(&self, slice: &Slice, next_us: Option<i64>) -> Vec<(i64, i64)> {
        let mut quarter = self.quarter;
        let mut begun = Vec::new();
        let following = instants(slice).skip(1).map(Some).chain([next_us]);
        for ((click, at_us), next_us) in slice.clicks.iter().zip(instants(slice)).zip(following) {
            let agreed = next_us.map_or(at_us, |next_us| next_us.min(at_us));
            let now = agreed.div_euclid(QUARTER_US);
            if quarter.is_none_or(|quarter| now > quarter) {
                quarter = Some(now);
                begun.push((click.offset, now));
            }
        }
        begun
    }

    fn move_to(&mut self, quarter: i64) -> Range<i64> {
        let last = self.quarter.unwrap_or(quarter - 1).min(quarter);
        self.quarter = Some(self.quarter.map_or(quarter, |known| known.max(quarter)));
        last + 1..quarter + 1
    }
}

fn piece(slice: Slice, quarter: i64, begun: Option<Range<i64>>) -> Piece {
    let portion = Portion { slice, facts: None };
    let begun = begun.unwrap_or(quarter + 1..quarter + 1);
    Piece { portion, now_us: quarter * QUARTER_US, begun }
}

/// When clicks came: by their record, or by their own timestamp where records have no time.
fn instants(slice: &Slice) -> impl Iterator<Item = i64> {
    slice.clicks.iter().map(|click| match click.record_at_ms {
        at_ms if at_ms < 0 => click.occurred_at_us,
        at_ms => at_ms.saturating_mul(1_000),
    })
}
