//! From stored dead letters back to slices, as a lane would have made them.

use std::sync::Arc;

use tollgate_domain::event::DecodeLimits;
use tollgate_domain::slice::{Reading, Record, Slice, SliceBuilder, Source};
use tollgate_ledger::{Place, StoredDeadLetter};

/// Letters of one topic in one incarnation, in the order of their keys. Offsets between them say nothing.
pub(super) fn slices(
    letters: &[&StoredDeadLetter],
    reading: Reading,
    limits: &DecodeLimits,
) -> Vec<Slice> {
    let partitions = letters.chunk_by(|one, next| one.partition == next.partition);
    partitions.map(|letters| slice(letters, reading, limits)).collect()
}

pub(super) fn keys(letters: &[StoredDeadLetter]) -> Vec<Place> {
    letters.iter().map(StoredDeadLetter::key).collect()
}

fn slice(letters: &[&StoredDeadLetter], reading: Reading, limits: &DecodeLimits) -> Slice {
    let first = letters[0];
    let source = Source {
        topic: first.topic.as_str().into(),
        partition: first.partition,
        incarnation: first.incarnation,
        // Nobody holds the partition for a replay.
        epoch: 0,
    };
    let mut slice = SliceBuilder::new(Arc::new(source), first.offset, reading);
    for letter in letters {
        let record = Record {
            offset: letter.offset,
            at_ms: letter.record_at_ms,
            key: letter.message_key.as_deref(),
            payload: letter.payload.as_deref(),
            headers: &letter.headers,
        };
        slice.push(&record, limits);
    }
    slice.finish()
}
