//! Halting a partition by whoever holds it, and telling so.

use tollgate_domain::plan::OutboxMessage;
use tollgate_domain::slice::Source;

use crate::Ledger;
use crate::dialect::{Dialect, change};
use crate::error::Result;
use crate::outbox::keep;
use crate::session::{Connection, ended};

const HALT: &str = "
UPDATE consumer_progress SET halted_reason = $6, epoch = epoch + 1, updated_at = {now}
WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3 AND incarnation = $4 AND epoch = $5
  AND halted_reason IS NULL";

impl Ledger {
    /// Stops a partition that this process holds until [`Ledger::repoint`], and leaves a message in that transaction.
    /// False: somebody else holds it, and nothing was written.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn halt_held(
        &mut self,
        source: &Source,
        reason: &str,
        message: &OutboxMessage,
    ) -> Result<bool> {
        operation!(self, idle, run, |conn, config| async move {
            conn.begin().await?;
            let halted = halt(conn, &config.group, source, (reason, message)).await;
            ended(conn, halted).await
        })
    }
}

async fn halt<D: Dialect>(
    conn: &mut D,
    group: &str,
    source: &Source,
    (reason, message): (&str, &OutboxMessage),
) -> Result<bool> {
    let args = [
        group.into(),
        (&*source.topic).into(),
        i64::from(source.partition).into(),
        i64::from(source.incarnation).into(),
        source.epoch.into(),
        reason.into(),
    ];
    if change(conn, HALT, &args).await? == 0 {
        return Ok(false);
    }
    keep(conn, message).await?;
    Ok(true)
}
