//! Dead letters on their way to a topic, and as people see them. The transaction that moves the progress writes them;
//! a relay publishes them.

use std::time::Duration;

use crate::Ledger;
use crate::dialect::{Arg, Cells, Dialect, change, rows, texts};
use crate::error::{LedgerError, Result};
use crate::outbox::{lead, resign};
use crate::refund_rows::{LetterFilter, LetterState, StoredDeadLetter};
use crate::rows::Place;
use crate::session::ended;
use crate::shape::headers_of;

/// The row that says who publishes dead letters.
const LEASE: &str = "dead_letter_lease";

impl Ledger {
    /// Becomes or stays the publisher of dead letters among all hosts, as [`Ledger::lead`] does the relay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lead_dead_letters(&mut self, owner: &str, lease: Duration) -> Result<bool> {
        operation!(self, idle, run, |conn, _| lead(conn, LEASE, owner, lease))
    }

    /// Gives the lease of dead letters back. Nothing happens when another host has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn resign_dead_letters(&mut self, owner: &str) -> Result<()> {
        operation!(self, idle, run, |conn, _| resign(conn, LEASE, owner))
    }

    /// Dead letters that nobody has published yet, oldest first, without those of the topics in `except`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unpublished_dead_letters(
        &mut self,
        limit: usize,
        except: &[String],
    ) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| unpublished(conn, limit, except))
    }

    /// Dead letters, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn dead_letters(&mut self, filter: &LetterFilter) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| listed(conn, filter))
    }

    /// Dead letters behind `after` in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn dead_letters_after(
        &mut self,
        filter: &LetterFilter,
        after: &Place,
    ) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| page(conn, filter, after))
    }

    /// Dead letters by code, the most frequent first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_dead_letters(
        &mut self,
        filter: &LetterFilter,
    ) -> Result<Vec<(String, i64)>> {
        operation!(self, idle, run_long, |conn, _| counts(conn, filter))
    }

    /// The open ones among these dead letters.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn open_dead_letters(&mut self, keys: &[Place]) -> Result<Vec<StoredDeadLetter>> {
        operation!(self, idle, run, |conn, _| open_of(conn, keys))
    }

    /// Gives open dead letters up, writes down who wanted it and why, and gives their number. They stay dead letters.
    /// `meant` says in words which ones they are.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn drop_dead_letters(
        &mut self,
        filter: &LetterFilter,
        meant: &str,
        note: &str,
    ) -> Result<u64> {
        operation!(self, idle, run_long, |conn, _| drop_them(conn, filter, meant, note))
    }

    /// Writes down that dead letters were published, and gives the number of those that were not yet.
    ///
    /// # Errors
    /// When the database cannot be written; they are then published again.
    pub async fn mark_published(&mut self, keys: &[Place]) -> Result<u64> {
        operation!(self, idle, run, |conn, _| mark(conn, keys))
    }
}

/// Columns of `letter`, in the common words.
const COLUMNS: &str = "topic, incarnation, kafka_partition, kafka_offset, code, stage, sentence, record_at_ms,
  message_key, payload, CAST(headers AS TEXT), generation, {us:created_at}, campaign_id, attempts, {us:replayed_at},
  {us:dropped_at}, EXISTS (
    SELECT 1 FROM compensations c WHERE c.topic = dead_letters.topic AND c.incarnation = dead_letters.incarnation
      AND c.kafka_partition = dead_letters.kafka_partition AND c.kafka_offset = dead_letters.kafka_offset)";

const UNPUBLISHED: &str = " FROM dead_letters WHERE published_at IS NULL AND topic NOT IN {keys:$2}
ORDER BY created_at, topic, incarnation, kafka_partition, kafka_offset LIMIT $1";

/// The arguments of `Meant`. An empty text and a number below 0 stand for any.
const MEANT: &str = " FROM dead_letters
WHERE ($1 = '' OR topic = $1) AND ($2 < 0 OR kafka_partition = $2) AND ($3 < 0 OR kafka_offset = $3)
  AND ($4 = '' OR code = $4) AND ($5 = '' OR campaign_id = $5) AND ($6 < 0 OR created_at >= {at:$6})
  AND ($7 < 0 OR created_at < {at:$7})
  AND ($8 = '' OR $8 = CASE WHEN replayed_at IS NOT NULL THEN 'REPLAYED' WHEN dropped_at IS NOT NULL THEN 'DROPPED'
    ELSE 'OPEN' END)";

const LISTED: &str = "
ORDER BY created_at DESC, topic, incarnation, kafka_partition, kafka_offset LIMIT $9";

const PAGE: &str = "
  AND (topic, incarnation, kafka_partition, kafka_offset) > ($10, $11, $12, $13)
ORDER BY topic, incarnation, kafka_partition, kafka_offset LIMIT $9";

const DROP: &str = "
UPDATE dead_letters SET dropped_at = {now} WHERE (topic, incarnation, kafka_partition, kafka_offset) IN (
  SELECT topic, incarnation, kafka_partition, kafka_offset";

/// The order in which replays lock them, too.
const LOCKED: &str = "
ORDER BY topic, incarnation, kafka_partition, kafka_offset LIMIT $9 {lock}";

const OPEN_OF: &str = " FROM {elements:$1} AS e JOIN dead_letters
  ON topic = CAST(e.value ->> 'topic' AS TEXT) AND incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND kafka_offset = CAST(e.value ->> 'offset' AS BIGINT)
WHERE replayed_at IS NULL AND dropped_at IS NULL";

const AT: &str = " FROM dead_letters
WHERE topic = $1 AND incarnation = $2 AND kafka_partition = $3 AND kafka_offset = $4";

const MARK: &str = "
UPDATE dead_letters AS d SET published_at = {now} FROM {elements:$1} AS e
WHERE d.topic = CAST(e.value ->> 'topic' AS TEXT) AND d.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND d.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND d.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT) AND d.published_at IS NULL";

async fn unpublished<D: Dialect>(
    conn: &mut D,
    limit: usize,
    except: &[String],
) -> Result<Vec<StoredDeadLetter>> {
    let (limit, except) = (i64::try_from(limit).unwrap_or(i64::MAX), texts(except));
    let args = [limit.into(), (&except).into()];
    let found = rows(conn, &format!("SELECT {COLUMNS}{UNPUBLISHED}"), &args).await?;
    found.iter().map(letter).collect()
}

async fn listed<D: Dialect>(conn: &mut D, filter: &LetterFilter) -> Result<Vec<StoredDeadLetter>> {
    let sql = format!("SELECT {COLUMNS}{MEANT}{LISTED}");
    let found = rows(conn, &sql, &arguments(filter)).await?;
    found.iter().map(letter).collect()
}

async fn page<D: Dialect>(
    conn: &mut D,
    filter: &LetterFilter,
    after: &Place,
) -> Result<Vec<StoredDeadLetter>> {
    let mut args = arguments(filter);
    args.extend(after.args());
    let found = rows(conn, &format!("SELECT {COLUMNS}{MEANT}{PAGE}"), &args).await?;
    found.iter().map(letter).collect()
}

async fn counts<D: Dialect>(conn: &mut D, filter: &LetterFilter) -> Result<Vec<(String, i64)>> {
    let sql =
        format!("SELECT code, count(*){MEANT} GROUP BY code ORDER BY count(*) DESC, code LIMIT $9");
    let found = rows(conn, &sql, &arguments(filter)).await?;
    Ok(found.iter().map(|row| (row.cell(0), row.cell(1))).collect())
}

async fn open_of<D: Dialect>(conn: &mut D, keys: &[Place]) -> Result<Vec<StoredDeadLetter>> {
    let keys = serde_json::json!(keys).to_string();
    let found = rows(conn, &format!("SELECT {COLUMNS}{OPEN_OF}"), &[(&keys).into()]).await?;
    found.iter().map(letter).collect()
}

async fn drop_them<D: Dialect>(
    conn: &mut D,
    filter: &LetterFilter,
    meant: &str,
    note: &str,
) -> Result<u64> {
    conn.begin().await?;
    let open = LetterFilter { state: LetterState::Open, ..filter.clone() };
    let dropped = async {
        let dropped = change(conn, &format!("{DROP}{MEANT}{LOCKED})"), &arguments(&open)).await?;
        if dropped > 0 {
            let detail = format!("{dropped} dead letters");
            write_action(conn, "DROP_DEAD_LETTERS", meant, &detail, note).await?;
        }
        Ok(dropped)
    }
    .await;
    ended(conn, dropped).await
}

/// Writes down what an operator did and why.
pub(crate) async fn write_action<D: Dialect>(
    conn: &mut D,
    action: &str,
    subject: &str,
    detail: &str,
    note: &str,
) -> Result<()> {
    let sql =
        "INSERT INTO operator_actions (action, subject, detail, note) VALUES ($1, $2, $3, $4)";
    let args = [action.into(), subject.into(), detail.into(), note.into()];
    change(conn, sql, &args).await.map(drop)
}

/// What `MEANT` takes, and the limit.
fn arguments(filter: &LetterFilter) -> Vec<Arg<'_>> {
    vec![
        filter.topic.as_deref().unwrap_or_default().into(),
        filter.partition.map_or(-1, i64::from).into(),
        filter.offset.unwrap_or(-1).into(),
        filter.code.as_deref().unwrap_or_default().into(),
        filter.campaign.as_deref().unwrap_or_default().into(),
        filter.since_us.unwrap_or(-1).into(),
        filter.until_us.unwrap_or(-1).into(),
        filter.state.as_str().into(),
        i64::try_from(filter.limit).unwrap_or(i64::MAX).into(),
    ]
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
        campaign: row.cell(13),
        attempts: row.cell(14),
        replayed_at_us: row.cell(15),
        dropped_at_us: row.cell(16),
        is_refusal: row.cell(17),
    })
}

async fn mark<D: Dialect>(conn: &mut D, keys: &[Place]) -> Result<u64> {
    let keys = serde_json::json!(keys).to_string();
    change(conn, MARK, &[(&keys).into()]).await.map_err(LedgerError::during_commit)
}
