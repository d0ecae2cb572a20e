//! Feeds both sides: batches with what is known of their campaigns.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tollgate_domain::batch::Batch;
use tollgate_domain::book::Book;

use super::ReplayError;
use super::beginning::{Beginning, Known};
use super::clock::{Clock, Piece};
use super::report::LeftOut;
use super::source::{Facts, Portions, Progress};

/// What both sides decide; the same for both.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) batch: Batch,
    pub(super) now_us: i64,
    /// Quarters of an hour that have begun since the batch before.
    pub(super) begun: Range<i64>,
    pub(super) facts: Option<Facts>,
    pub(super) progress: Progress,
}

pub(super) struct Feeder<'r> {
    portions: Box<dyn Portions + 'r>,
    beginning: Box<dyn Beginning + 'r>,
    clock: Clock,
    pieces: VecDeque<Piece>,
    at_end: bool,
    /// Campaigns that were asked for.
    asked: HashSet<Arc<str>>,
    /// Ids only, so that batches share them.
    names: Book,
}

impl<'r> Feeder<'r> {
    pub(super) fn new(
        portions: Box<dyn Portions + 'r>,
        beginning: Box<dyn Beginning + 'r>,
    ) -> Self {
        Self {
            portions,
            beginning,
            clock: Clock::default(),
            pieces: VecDeque::new(),
            at_end: false,
            asked: HashSet::new(),
            names: Book::default(),
        }
    }

    /// The next batch, with campaigns that were not seen before.
    pub(super) fn next(&mut self) -> Result<Option<(Work, Vec<Known>)>, ReplayError> {
        while self.pieces.is_empty() && !self.at_end {
            match self.portions.next()? {
                Some(portion) => self.pieces.extend(self.clock.take(portion)),
                None => {
                    self.at_end = true;
                    self.pieces.extend(self.clock.finish());
                }
            }
        }
        let Some(piece) = self.pieces.pop_front() else { return Ok(None) };
        let known = self.meet(&piece)?;
        let Piece { portion, now_us, begun } = piece;
        let batch = Batch::new(vec![portion.slice], &self.names);
        let progress = self.portions.progress();
        Ok(Some((Work { batch, now_us, begun, facts: portion.facts, progress }, known)))
    }

    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.portions.left_out()
    }

    /// Asks for campaigns that are met for the first time.
    fn meet(&mut self, piece: &Piece) -> Result<Vec<Known>, ReplayError> {
        let slice = &piece.portion.slice;
        let mut unmet = Vec::new();
        for party in &slice.parties {
            let id = slice.text(party.campaign);
            if !self.asked.contains(id) {
                let id: Arc<str> = id.into();
                self.asked.insert(Arc::clone(&id));
                unmet.push(id);
            }
        }
        if unmet.is_empty() {
            return Ok(Vec::new());
        }
        unmet.sort_unstable();
        let known = self.beginning.campaigns(&unmet, piece.now_us)?;
        for known in &known {
            let campaign = known.campaign.clone();
            self.names.campaigns.insert(Arc::clone(&campaign.id), campaign);
        }
        Ok(known)
    }
}
