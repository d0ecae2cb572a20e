//! Dead letters on their way to a topic. The transaction that moves the progress writes them; a relay publishes them.

use crate::Ledger;
use crate::dialect::{Arg, Cells, Dialect, change, rows};
use crate::error::{LedgerError, Result};
use crate::refund_rows::{DeadLetterKey, LetterFilter, StoredDeadLetter};
use crate::shape::headers_of;

impl Ledger {
    /// Dead letters that nobody has published yet, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unpublished_dead_letters(
        &mut self,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| unpublished(conn, limit))
    }

    /// Dead letters, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn dead_letters(&mut self, filter: &LetterFilter) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| listed(conn, filter))
    }

    /// Writes down that dead letters were published, and gives the number of those that were not yet.
    ///
    /// # Errors
    /// When the database cannot be written; they are then published again.
    pub async fn mark_published(&mut self, keys: &[DeadLetterKey]) -> Result<u64> {
        operation!(self, idle, run, |conn, _| mark(conn, keys))
    }
}

/// Columns of `letter`, in the common words.
const COLUMNS: &str =
    "topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms,
  message_key, payload, CAST(headers AS TEXT), generation, {us:created_at}";

const UNPUBLISHED: &str = " FROM dead_letters WHERE published_at IS NULL
ORDER BY created_at, topic, incarnation, kafka_partition, kafka_offset LIMIT $1";

/// A number below 0 stands for any.
const LISTED: &str = " FROM dead_letters
WHERE ($1 = '' OR topic = $1) AND ($2 = '' OR code = $2) AND ($3 < 0 OR kafka_partition = $3)
  AND ($4 < 0 OR kafka_offset = $4)
ORDER BY created_at DESC, topic, incarnation, kafka_partition, kafka_offset LIMIT $5";

const AT: &str = " FROM dead_letters
WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND kafka_offset = $4";

const MARK: &str = "
UPDATE dead_letters AS d SET published_at = {now} FROM {elements:$1} AS e
WHERE d.topic = CAST(e.value ->> 'topic' AS TEXT) AND d.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND d.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND d.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT) AND d.published_at IS NULL";

async fn unpublished<D: Dialect>(conn: &mut D, limit: usize) -> Result<Vec<StoredDeadLetter>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = rows(conn, &format!("SELECT {COLUMNS}{UNPUBLISHED}"), &[limit.into()]).await?;
    found.iter().map(letter).collect()
}

async fn listed<D: Dialect>(conn: &mut D, filter: &LetterFilter) -> Result<Vec<StoredDeadLetter>> {
    let args = [
        filter.topic.as_deref().unwrap_or_default().into(),
        filter.code.as_deref().unwrap_or_default().into(),
        filter.partition.map_or(-1, i64::from).into(),
        filter.offset.unwrap_or(-1).into(),
        i64::try_from(filter.limit).unwrap_or(i64::MAX).into(),
    ];
    let found = rows(conn, &format!("SELECT {COLUMNS}{LISTED}"), &args).await?;
    found.iter().map(letter).collect()
}

/// The dead letter of one place, given as the arguments of its key.
pub(crate) async fn at<D: Dialect>(
    conn: &mut D,
    args: &[Arg<'_>],
) -> Result<Option<StoredDeadLetter>> {
    let found = rows(conn, &format!("SELECT {COLUMNS}{AT}"), args).await?;
    found.first().map(letter).transpose()
}

fn letter(row: &impl Cells) -> Result<StoredDeadLetter> {
    let headers = row.cell::<String>(10);
    Ok(StoredDeadLetter {
        topic: row.cell(0),
        incarnation: row.cell(1),
        partition: row.cell(2),
        offset: row.cell(3),
        code: row.cell(4),
        stage: row.cell(5),
        sentence: row.cell(6),
        record_at_ms: row.cell(7),
        message_key: row.cell(8),
        payload: row.cell(9),
        headers: headers_of(&headers).ok_or_else(|| {
            let key =
                format!("{} {} {}", row.cell::<String>(0), row.cell::<i32>(2), row.cell::<i64>(3));
            let sentence = format!("{headers} are no headers");
            LedgerError::Row { table: "dead_letters", key, sentence }
        })?,
        generation: row.cell::<i64>(11) as u64,
        created_at_us: row.cell(12),
    })
}

async fn mark<D: Dialect>(conn: &mut D, keys: &[DeadLetterKey]) -> Result<u64> {
    let keys = serde_json::json!(keys).to_string();
    change(conn, MARK, &[(&keys).into()]).await.map_err(LedgerError::during_commit)
}
