//! Takes what the lanes have sent: one batch is whatever is there, never more than fits, never less by waiting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tollgate_domain::slice::{Slice, Source};
use tollgate_stream::{Delivery, Ticket};

/// Slices for one batch, with the tickets that end when the batch does.
#[derive(Debug, Default)]
pub struct Gathered {
    pub slices: Vec<Slice>,
    pub tickets: Vec<Ticket>,
    /// Holdings whose slices do not follow each other; their lanes have to start over.
    pub broken: Vec<Arc<Source>>,
}

/// What came of waiting.
#[derive(Debug)]
pub enum Taken {
    Batch(Gathered),
    Nothing,
    /// All lanes have stopped and everything they sent is taken.
    End,
}

/// Names a partition.
type Place = (Arc<str>, i32);

/// The receiving end of the lanes.
pub struct Gather {
    deliveries: Receiver<Delivery>,
    clicks_max: usize,
    /// Acquisitions that the ledger has taken away; whatever still comes from them is dropped.
    lost: HashSet<(Place, i64)>,
}

impl Gather {
    #[must_use]
    pub fn new(deliveries: Receiver<Delivery>, clicks_max: usize) -> Self {
        Self { deliveries, clicks_max, lost: HashSet::new() }
    }

    /// Waits at most `patience` for the first slice, then takes all that are there.
    pub fn take(&mut self, patience: Duration) -> Taken {
        let first = match self.deliveries.recv_timeout(patience) {
            Ok(delivery) => delivery,
            Err(RecvTimeoutError::Timeout) => return Taken::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Taken::End,
        };
        let mut items = first.slice.items();
        let mut taken = vec![first];
        while items < self.clicks_max {
            let Ok(delivery) = self.deliveries.try_recv() else { break };
            items += delivery.slice.items();
            taken.push(delivery);
        }
        Taken::Batch(self.sort_out(taken))
    }

    /// Drops whatever still comes from this acquisition.
    pub fn lose(&mut self, source: &Source) {
        // An old epoch never comes back, so only the newest lost one of a partition is remembered.
        let place = place(source);
        self.lost.retain(|(known, _)| *known != place);
        self.lost.insert((place, source.epoch));
    }

    /// Keeps the newest acquisition of each partition, and of that the slices that follow each other.
    fn sort_out(&self, taken: Vec<Delivery>) -> Gathered {
        let mut newest: HashMap<Place, i64> = HashMap::new();
        for Delivery { slice, .. } in &taken {
            let epoch = newest.entry(place(&slice.source)).or_insert(slice.source.epoch);
            *epoch = (*epoch).max(slice.source.epoch);
        }
        let mut next: HashMap<Place, i64> = HashMap::new();
        let mut gathered = Gathered::default();
        for Delivery { slice, ticket } in taken {
            let place = place(&slice.source);
            let epoch = slice.source.epoch;
            if newest[&place] != epoch || self.lost.contains(&(place.clone(), epoch)) {
                continue;
            }
            let follows = next.get(&place).is_none_or(|next| *next == slice.first_offset);
            if !follows {
                gathered.broken.push(Arc::clone(&slice.source));
                continue;
            }
            next.insert(place, slice.next_offset);
            gathered.slices.push(slice);
            gathered.tickets.push(ticket);
        }
        gathered
    }
}

fn place(source: &Source) -> Place {
    (Arc::clone(&source.topic), source.partition)
}
