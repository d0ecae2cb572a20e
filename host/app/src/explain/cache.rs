//! Records that were decoded, because clicks of one batch share theirs, and calls that were made again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tollgate_domain::rule::World;
use tollgate_domain::transcript::Transcript;
use tollgate_ledger::{DecisionRecord, Place};

use super::explanation::Again;
use crate::records::{self, RecordError};

/// Records held at most.
const RECORDS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Cache {
    records: HashMap<Place, (Vec<u8>, Rc<Kept>)>,
}

/// A decoded record, and what its calls gave when they were made again.
pub(super) struct Kept {
    pub(super) transcript: Transcript,
    again: RefCell<HashMap<(World, usize), Again>>,
}

impl Cache {
    /// The decoded record; one with other bytes is another record.
    pub(super) fn decoded(&mut self, record: &DecisionRecord) -> Result<Rc<Kept>, RecordError> {
        if let Some((body, kept)) = self.records.get(&record.lead)
            && *body == record.body
        {
            return Ok(Rc::clone(kept));
        }
        let transcript = records::decode(&record.body)?;
        let kept = Rc::new(Kept { transcript, again: RefCell::default() });
        if self.records.len() >= RECORDS_MAX {
            self.records.clear();
        }
        self.records.insert(record.lead.clone(), (record.body.clone(), Rc::clone(&kept)));
        Ok(kept)
    }
}

impl Kept {
    /// Makes a call again, once.
    pub(super) fn once(&self, world: World, call: usize, ask: impl FnOnce() -> Again) -> Again {
        if let Some(known) = self.again.borrow().get(&(world, call)) {
            return known.clone();
        }
        let given = ask();
        self.again.borrow_mut().insert((world, call), given.clone());
        given
    }
}
