//! What to do when a batch was not written. Bad data is narrowed down to its click and becomes a dead letter; a
//! change is read again; an outage is waited out. What an error of the ledger is has
//! been decided there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tollgate_domain::batch::Batch;
use tollgate_domain::book::Book;
use tollgate_domain::dead::{Code, Rejection, Stage};
use tollgate_domain::plan::Advance;
use tollgate_domain::slice::Slice;
use tollgate_ledger::{FellBack, LedgerError};

use super::valve::Flood;
use super::writer::{Abandoned, BatchError, Writer, WriterParts, expected_advances};
use crate::rules::faults::{self, Leave};

/// Pauses between attempts: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Attempts after which a batch is written in halves that never fits into the time of a statement.
const SLOW_ATTEMPTS: u32 = 2;

/// Batches that are locked first after one met a change, because other writers are at work then.
const LOCKED_BATCHES: u32 = 16;

impl Writer {
    /// Returns the slices that are still to be charged.
    pub(super) fn recover(
        &mut self,
        error: BatchError,
        batch: Batch,
        attempt: &mut u32,
    ) -> Result<Vec<Slice>, Abandoned> {
        let advances = expected_advances(&batch);
        let slices = batch.into_slices();
        let error = match error {
            BatchError::Ledger(error) => error,
            BatchError::Rule(error) => {
                self.parts.stats.retried("RULE_HOST_FAULT");
                tracing::warn!(%error, "the host could not run a rule; trying again");
                self.pause(attempt)?;
                return Ok(slices);
            }
            BatchError::Flood(floods) => {
                self.parts.stats.retried("DEAD_LETTER_FLOOD");
                return Ok(self.cut_off(floods, slices));
            }
            BatchError::Failing { faults, fault } => {
                self.parts.stats.retried("RULES_FAILING");
                self.leave_rules(faults, &fault, attempt)?;
                return Ok(slices);
            }
        };
        self.parts.stats.retried(error.code());
        match error {
            LedgerError::Stale(_) => {
                self.state.locked_batches = LOCKED_BATCHES;
                Ok(slices)
            }
            LedgerError::Refused { sentence, .. } => self.narrow_down(slices, &sentence, attempt),
            LedgerError::GenerationChanged { .. } => {
                self.reload_rules(attempt)?;
                Ok(slices)
            }
            LedgerError::Fenced(_) => {
                tracing::warn!(%error, "lost partitions");
                self.drop_lost(slices, &advances, attempt)
            }
            LedgerError::Row { key, .. } => {
                tracing::error!(campaign = key, "the campaign's row cannot be used");
                self.state.book.unknown.insert(key.into());
                Ok(slices)
            }
            LedgerError::Outage { .. } => {
                tracing::error!(%error, "the ledger is not available; waiting for it");
                self.reopen(attempt)?;
                self.drop_lost(slices, &advances, attempt)
            }
            error
                if error.is_statement_timeout()
                    && *attempt >= SLOW_ATTEMPTS
                    && items(&slices) > 1 =>
            {
                tracing::warn!(
                    %error,
                    "a batch does not fit into `ledger.statement_timeout_ms`; writing it in halves"
                );
                *attempt = 0;
                self.charge_half(slices)
            }
            error => {
                tracing::warn!(code = error.code(), %error, "a batch was not written; trying again");
                self.pause(attempt)?;
                Ok(slices)
            }
        }
    }

    /// Leaves what can be written before partitions are halted, and all other partitions.
    fn cut_off(&mut self, floods: Vec<Flood>, mut slices: Vec<Slice>) -> Vec<Slice> {
        for flood in floods {
            slices = flood.cut_off(slices);
            self.floods.retain(|known| known.source != flood.source);
            self.floods.push(flood);
        }
        slices
    }

    /// Halts flooded partitions in the ledger, tells people, and drops whatever still comes from them. A partition that
    /// somebody else has taken over floods there, too.
    pub(super) fn halt_floods(&mut self) -> Result<(), Abandoned> {
        let mut attempt = 0;
        while let Some(flood) = self.floods.last() {
            let (source, reason) = (Arc::clone(&flood.source), flood.halt().reason());
            let message = flood.message(self.parts.clock.now_us());
            match self.runtime.block_on(self.ledger.halt_held(&source, &reason, &message)) {
                Ok(halted) => {
                    let (partition, topic) = (source.partition, &*source.topic);
                    tracing::error!(topic, partition, halted, reason, "dead letters flood");
                    self.floods.pop();
                    self.parts.gather.lose(&source);
                    self.parts.lanes.fenced(&source);
                    self.parts.outbox.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, "a partition cannot be halted; trying again");
                    let (is_outage, attempt) = (error.is_outage(), &mut attempt);
                    if is_outage { self.reopen(attempt)? } else { self.pause(attempt)? }
                }
            }
        }
        Ok(())
    }

    /// Writes halves of what the database refuses; a single refused item becomes a dead letter.
    fn narrow_down(
        &mut self,
        mut slices: Vec<Slice>,
        sentence: &str,
        attempt: &mut u32,
    ) -> Result<Vec<Slice>, Abandoned> {
        match items(&slices) {
            0 => {
                tracing::error!(
                    sentence,
                    "the database refuses a batch without clicks or compensations; trying again"
                );
                self.pause(attempt)?;
            }
            1 => {
                let rejection = Rejection::new(Code::RefusedByDatabase, Stage::Write, sentence);
                let generation = self.parts.rules.generation;
                if let Some(slice) = slices.iter_mut().find(|slice| slice.items() > 0) {
                    slice.reject_item(0, rejection, generation);
                }
            }
            _ => return self.charge_half(slices),
        }
        Ok(slices)
    }

    /// Charges the first half of the items and returns the others.
    fn charge_half(&mut self, mut slices: Vec<Slice>) -> Result<Vec<Slice>, Abandoned> {
        let half = items(&slices) / 2;
        let rest = split_off(&mut slices, half);
        self.charge(slices)?;
        Ok(rest)
    }

    /// Compares with the ledger: what it already has or what others hold is dropped.
    fn drop_lost(
        &mut self,
        mut slices: Vec<Slice>,
        advances: &[Advance],
        attempt: &mut u32,
    ) -> Result<Vec<Slice>, Abandoned> {
        let topics: Vec<_> = advances.iter().map(|advance| &*advance.source.topic).collect();
        let rows = loop {
            match self.runtime.block_on(self.ledger.progress(&topics)) {
                Ok(rows) => break rows,
                Err(error) => {
                    tracing::warn!(%error, "the progress cannot be read; trying again");
                    if error.is_outage() { self.reopen(attempt)? } else { self.pause(attempt)? }
                }
            }
        };
        for advance in advances {
            let source = &advance.source;
            let row = rows.iter().find(|row| {
                row.topic == *source.topic
                    && row.partition == source.partition
                    && row.incarnation == source.incarnation
                    && row.epoch == source.epoch
            });
            match row.map(|row| row.next_offset) {
                Some(next_offset) if next_offset == advance.expected_offset => {}
                Some(next_offset) if next_offset == advance.next_offset => {
                    // The commit whose answer was lost did take place.
                    slices.retain(|slice| slice.source != *source);
                    self.parts.lanes.committed(source, next_offset);
                }
                _ => {
                    slices.retain(|slice| slice.source != *source);
                    self.parts.gather.lose(source);
                    self.parts.lanes.fenced(source);
                }
            }
        }
        Ok(slices)
    }

    /// Loads the rules in force, however long it takes. Rules that this host cannot load are waited out: whoever answers
    /// for them sees why on `/readyz` of this host, and nothing is charged by rules that are no longer in force.
    fn reload_rules(&mut self, attempt: &mut u32) -> Result<(), Abandoned> {
        loop {
            let loaded = self.runtime.block_on(self.parts.loader.load_active(&mut self.ledger));
            match loaded {
                Ok(rules) => {
                    tracing::info!(generation = rules.generation, "rules changed");
                    self.parts.rules = rules;
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(code = error.code(), %error, "the rules in force cannot be loaded; trying again");
                    let is_outage = error.is_outage();
                    self.pause(attempt)?;
                    if is_outage {
                        self.reopen(attempt)?;
                    }
                }
            }
        }
    }

    /// Falls back to the last good rules. Where there are none, these go on.
    fn leave_rules(
        &mut self,
        faults: u64,
        fault: &str,
        attempt: &mut u32,
    ) -> Result<(), Abandoned> {
        let WriterParts { loader, owner, rules, outbox, .. } = &self.parts;
        let wish = Leave { generation: rules.generation, faults, fault, actor: owner };
        let left = self.runtime.block_on(faults::leave(&loader.faults, &mut self.ledger, &wish));
        match left {
            Ok(outcome) => {
                outbox.notify_one();
                if outcome == FellBack::NoneGood { Ok(()) } else { self.reload_rules(attempt) }
            }
            Err(error) => {
                tracing::warn!(%error, "the rules cannot be left; trying again");
                if error.is_outage() { self.reopen(attempt) } else { self.pause(attempt) }
            }
        }
    }

    /// Opens the ledger again, however long it takes. Everything remembered is forgotten.
    fn reopen(&mut self, attempt: &mut u32) -> Result<(), Abandoned> {
        self.state.book = Book::default();
        self.parts.stats.set_outage(true);
        loop {
            match self.runtime.block_on(self.ledger.reopen()) {
                Ok(()) => {
                    self.parts.stats.set_outage(false);
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "the ledger cannot be opened; trying again");
                    self.pause(attempt)?;
                }
            }
        }
    }

    /// Waits a little longer each time, unless the host gives up.
    fn pause(&self, attempt: &mut u32) -> Result<(), Abandoned> {
        if self.parts.abandon.load(Ordering::Acquire) {
            return Err(Abandoned);
        }
        let pause = PAUSE_MIN.saturating_mul(1 << (*attempt).min(16)).min(PAUSE_MAX);
        *attempt += 1;
        std::thread::sleep(pause);
        Ok(())
    }
}

fn items(slices: &[Slice]) -> usize {
    slices.iter().map(Slice::items).sum()
}

/// Splits after `items` items: the first part stays, the rest is returned. Both have items.
fn split_off(slices: &mut Vec<Slice>, items: usize) -> Vec<Slice> {
    let mut left = items;
    let at = slices.iter().position(|slice| {
        let is_here = left < slice.items();
        if !is_here {
            left -= slice.items();
        }
        is_here
    });
    let Some(at) = at else { return Vec::new() };
    let mut rest = slices.split_off(at);
    if left > 0 {
        let (first, second) = rest.remove(0).split_at_item(left);
        slices.push(first);
        rest.insert(0, second);
    }
    rest
}
