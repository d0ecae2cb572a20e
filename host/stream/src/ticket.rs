//! What a lane sends: a slice, and a ticket that says when the slice is done with.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tollgate_domain::slice::Slice;

use crate::shared::{Holding, Shared};

/// A slice on its way to the writer.
#[derive(Debug)]
pub struct Delivery {
    pub slice: Slice,
    /// To be dropped when the slice is committed or given up.
    pub ticket: Ticket,
}

/// Counts a slice as in flight until it is dropped. A lane that has to give up a partition waits for its tickets,
/// and lanes stop reading while too many bytes are out. Dropping cannot be forgotten, not even by a panic.
pub struct Ticket {
    shared: Arc<Shared>,
    holding: Arc<Holding>,
    bytes: usize,
}

impl Ticket {
    pub(crate) fn new(shared: &Arc<Shared>, holding: &Arc<Holding>, bytes: usize) -> Self {
        shared.in_flight_bytes.fetch_add(bytes, Ordering::AcqRel);
        holding.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { shared: Arc::clone(shared), holding: Arc::clone(holding), bytes }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.in_flight_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        self.holding.in_flight.fetch_sub(1, Ordering::SeqCst);
        for lane in self.shared.lanes.iter().filter(|lane| lane.is_waiting.load(Ordering::SeqCst)) {
            lane.wake();
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
