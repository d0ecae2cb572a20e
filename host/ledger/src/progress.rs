//! Progress of the consumers: its rows, and how a partition may go on from another offset.

use std::sync::Arc;

use tollgate_domain::slice::Source;

use crate::dialect::Cells;
use crate::error::{LedgerError, Result};
use crate::rows::{Acquired, Acquisition, ProgressRow, Repoint};

/// Columns of `progress_row`.
pub(crate) const COLUMNS: &str = "consumer_group, topic, kafka_partition, topic_id, incarnation, first_offset, \
    next_offset, epoch, generation, charged, skipped, dead, absent, owner, halted_reason";

/// Partitions to acquire, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) group: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) topic_id: &'a str,
    /// Partition and the offset at which it starts when it was never seen.
    pub(crate) partitions: &'a [(i32, i64)],
}

/// A row of progress before and after an operator moved it.
pub(crate) struct Move {
    pub(crate) old: ProgressRow,
    pub(crate) new: ProgressRow,
    /// What was done, for the record.
    pub(crate) detail: String,
}

/// # Errors
/// `NotAllowed` when records would be charged a second time.
pub(crate) fn plan_move(old: &ProgressRow, repoint: &Repoint<'_>) -> Result<Move> {
    let mut new = old.clone();
    new.epoch += 1;
    new.halted_reason = None;
    new.next_offset = repoint.offset;
    if let Some(topic_id) = repoint.topic_id {
        // Offsets begin anew, so the counters do, too.
        new.topic_id = topic_id.to_owned();
        new.incarnation += 1;
        new.first_offset = repoint.offset;
        (new.charged, new.skipped, new.dead, new.absent) = (0, 0, 0, 0);
    } else {
        if repoint.offset < old.next_offset {
            return Err(backwards(old, repoint.offset));
        }
        // What is left out was never consumed: it counts neither as a fate nor as a gap.
        new.first_offset += repoint.offset - old.next_offset;
    }
    let detail = format!(
        "from offset {} of incarnation {} to offset {} of incarnation {}",
        old.next_offset, old.incarnation, new.next_offset, new.incarnation
    );
    Ok(Move { old: old.clone(), new, detail })
}

pub(crate) fn no_such_partition(group: &str, topic: &str, partition: i32) -> LedgerError {
    LedgerError::NotFound(format!(
        "group {group} has no progress in partition {partition} of {topic}; check the names, or start the host once"
    ))
}

fn backwards(old: &ProgressRow, offset: i64) -> LedgerError {
    LedgerError::NotAllowed(format!(
        "offset {offset} lies before {}, which is the next one to charge: going back would charge records twice; \
         name the new topic id when the topic was created again",
        old.next_offset
    ))
}

/// A row of partition, held or not, incarnation, epoch, next offset, generation, known topic id, reason of a halt.
pub(crate) fn acquired(row: &impl Cells, topic: &Arc<str>) -> Acquired {
    let partition = row.cell(0);
    let result = if row.cell(1) {
        let source = Source {
            topic: Arc::clone(topic),
            partition,
            incarnation: row.cell(2),
            epoch: row.cell(3),
        };
        let generation = row.cell::<i64>(5) as u64;
        Acquisition::Held { source: Arc::new(source), next_offset: row.cell(4), generation }
    } else {
        match row.cell(7) {
            Some(reason) => Acquisition::Halted { reason },
            None => Acquisition::TopicRecreated { known_id: row.cell(6) },
        }
    };
    Acquired { partition, result }
}

pub(crate) fn progress_row(row: &impl Cells) -> ProgressRow {
    ProgressRow {
        group: row.cell(0),
        topic: row.cell(1),
        partition: row.cell(2),
        topic_id: row.cell(3),
        incarnation: row.cell(4),
        first_offset: row.cell(5),
        next_offset: row.cell(6),
        epoch: row.cell(7),
        generation: row.cell::<i64>(8) as u64,
        charged: row.cell(9),
        skipped: row.cell(10),
        dead: row.cell(11),
        absent: row.cell(12),
        owner: row.cell(13),
        halted_reason: row.cell(14),
    }
}
