//! How a partition may go on from another offset; the same in both databases.

use crate::error::{LedgerError, Result};
use crate::rows::{ProgressRow, Repoint};

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
