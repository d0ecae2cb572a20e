//! Replays: dead letters that are charged or taken in after all, in one transaction with everything that follows.
//!
//! Locks are taken in one order: days of history, activation of rules, progress, dead letters, balances, days, campaigns.
//! The partition's owner goes on: a replay moves counters and leaves offset and epoch alone. A letter counts as long as it
//! is open, so that two replays at once, or one that was killed and repeated, charge once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_domain::book::DayKey;
use tollgate_domain::compensation::CompensationRow;
use tollgate_domain::dead::DeadLetter;
use tollgate_domain::plan::{HistoryRow, Plan};

use crate::Ledger;
use crate::decisions;
use crate::dialect::{Cells, Dialect, change, one, rows};
use crate::error::{LedgerError, Result};
use crate::letters::write_action;
use crate::rows::{LockKeys, Place, Rows};
use crate::session::{Connection, ended};
use crate::shape::{non_empty, without_nul};

/// What a replay is decided on. All letters are of one topic in one incarnation, and of the ledger's group.
#[derive(Clone, Copy, Debug)]
pub struct ReplayKeys<'a> {
    /// Rule generation with which the replay will be decided.
    pub generation: u64,
    pub letters: &'a [Place],
    /// Sorted and without repeats, as are the days.
    pub advertisers: &'a [Arc<str>],
    pub days: &'a [DayKey],
}

/// What [`Ledger::lock_letters`] has locked.
#[derive(Clone, Debug, Default)]
pub struct LockedLetters {
    /// Those that are still open, without compensations that were taken in since they were listed.
    pub open: HashSet<Place>,
    pub rows: Rows,
}

/// What becomes of dead letters that were locked.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// All that were decided. What the plan charges or stores is a dead letter no more; what it has as a dead letter
    /// stays one; all others are no events for this topic, and skipped.
    pub letters: &'a [Place],
    /// Its advances say nothing.
    pub plan: &'a Plan<'a>,
    /// Which letters an operator wanted, in words, and why.
    pub meant: &'a str,
    pub note: &'a str,
}

impl Ledger {
    /// Begins a transaction, verifies that these rules are in force, and locks the progress of the letters' partitions,
    /// the letters, balances and days, in this order. The transaction stays open for [`Ledger::apply_replay`] or
    /// [`Ledger::rollback`].
    ///
    /// # Errors
    /// `GenerationChanged`: other rules are in force.
    pub async fn lock_letters(&mut self, keys: ReplayKeys<'_>) -> Result<LockedLetters> {
        operation!(self, locking, run, |conn, config| async move {
            conn.begin().await?;
            let open = lock(conn, &config.group, keys).await?;
            let keys = LockKeys {
                generation: keys.generation,
                advances: &[],
                advertisers: keys.advertisers,
                days: keys.days,
            };
            let rows = sql::read::lock_inside(conn, &config.group, keys).await?;
            Ok(LockedLetters { open, rows })
        })
    }

    /// Writes what becomes of letters, with the money that it moves, and commits. Ends the transaction that
    /// `lock_letters` began, whatever the outcome.
    ///
    /// # Errors
    /// As `apply`; `Stale` as well when the letters are not locked or not open.
    pub async fn apply_replay(&mut self, replay: &Replay<'_>) -> Result<()> {
        if !either!(self, database => database.take_batch()) {
            return Err(LedgerError::Stale("the dead letters were given up".to_owned()));
        }
        operation!(self, ready, run, |conn, config| async move {
            let written = async {
                // Whatever else a plan has is written as ever.
                let money =
                    Plan { advances: vec![], history: vec![], dead: vec![], ..replay.plan.clone() };
                sql::apply::inside(conn, &config.group, &money).await?;
                write(conn, &config.group, replay).await
            }
            .await;
            ended(conn, written).await
        })
    }

    /// Lets refused compensations wait again, unless meanwhile the same one waits or was paid. Gives those that wait;
    /// their dead letters are replayed.
    ///
    /// # Errors
    /// `Stale`: one of them has come in at the same moment; try again.
    pub async fn put_back(
        &mut self,
        letters: &[Place],
        meant: &str,
        note: &str,
    ) -> Result<Vec<Place>> {
        operation!(self, idle, run, |conn, _| async move {
            conn.begin().await?;
            let waiting = put_back(conn, letters, meant, note).await;
            ended(conn, waiting).await
        })
    }
}

const PROGRESS: &str = "
SELECT incarnation FROM consumer_progress WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3 {lock}";

/// Locks those that are open.
const OPEN: &str = "
SELECT d.topic, d.incarnation, d.kafka_partition, d.kafka_offset FROM {elements:$1} AS e JOIN dead_letters d
  ON d.topic = CAST(e.value ->> 'topic' AS TEXT) AND d.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND d.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND d.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT)
WHERE d.replayed_at IS NULL AND d.dropped_at IS NULL
ORDER BY d.topic, d.incarnation, d.kafka_partition, d.kafka_offset {lock}";

/// Those that were taken in.
const STORED: &str = "
SELECT c.topic, c.incarnation, c.kafka_partition, c.kafka_offset FROM {elements:$1} AS e JOIN compensations c
  ON c.topic = CAST(e.value ->> 'topic' AS TEXT) AND c.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND c.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND c.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT)";

const REPLAYED: &str = "
UPDATE dead_letters AS d SET replayed_at = {now} FROM {elements:$1} AS e
WHERE d.topic = CAST(e.value ->> 'topic' AS TEXT) AND d.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND d.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND d.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT) AND d.replayed_at IS NULL AND d.dropped_at IS NULL";

const STILL_DEAD: &str = "
UPDATE dead_letters AS d SET attempts = d.attempts + 1, code = CAST(e.value ->> 'code' AS TEXT),
  stage = CAST(e.value ->> 'stage' AS TEXT), sentence = CAST(e.value ->> 'sentence' AS TEXT),
  generation = CAST(e.value ->> 'generation' AS BIGINT),
  campaign_id = coalesce(CAST(e.value ->> 'campaign' AS TEXT), d.campaign_id)
FROM {elements:$1} AS e
WHERE d.topic = CAST(e.value ->> 'topic' AS TEXT) AND d.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND d.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND d.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT) AND d.replayed_at IS NULL AND d.dropped_at IS NULL";

const HISTORY: &str = "
INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
  budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, ad_id, device_id, kafka_topic,
  price_source, reason)
SELECT CAST(e.value ->> 'offset' AS BIGINT), CAST(e.value ->> 'amount' AS BIGINT),
  CAST(e.value ->> 'after' AS BIGINT), CAST($2 AS BIGINT), {at:CAST(e.value ->> 'at_us' AS BIGINT)},
  {day:CAST(e.value ->> 'day' AS BIGINT)}, CAST(e.value ->> 'partition' AS INTEGER),
  CAST(e.value ->> 'incarnation' AS INTEGER), 'DEDUCT', CAST(e.value ->> 'advertiser' AS TEXT),
  CAST(e.value ->> 'campaign' AS TEXT), CAST(e.value ->> 'ad' AS TEXT), CAST(e.value ->> 'device' AS TEXT),
  CAST(e.value ->> 'topic' AS TEXT), CAST(e.value ->> 'price_source' AS TEXT), CAST(e.value ->> 'reason' AS TEXT)
FROM {elements:$1} AS e";

/// The running audit may have passed their offsets.
const UNWATCHED: &str = "
UPDATE compensations AS c SET intake_watched = false FROM {elements:$1} AS e
WHERE c.topic = CAST(e.value ->> 'topic' AS TEXT) AND c.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
  AND c.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
  AND c.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT)";

/// The same for partitions as they are and as they were before their topic was created again.
const COUNTERS: &str = " SET charged = charged + $5, skipped = skipped + $6, dead = dead - $5 - $6
WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = $3 AND incarnation = $4 AND dead >= $5 + $6";

/// Nobody settles what is refused, so this row is free unless another replay has it, which waits for the letter.
const PUT_BACK: &str = "
UPDATE compensations AS c SET state = 'WAITING', received_at = {now}, next_look_at = {now}, looks = 0,
  settled_at = NULL, settled_reason = NULL, detail = NULL
WHERE c.topic = $1 AND c.incarnation = $2 AND c.kafka_partition = $3 AND c.kafka_offset = $4
  AND c.state IN ('REJECTED', 'EXPIRED') AND NOT EXISTS (
    SELECT 1 FROM compensations o WHERE {digest:o.identity} = {digest:c.identity} AND o.identity = c.identity
      AND o.state IN ('WAITING', 'REFUNDED'))";

async fn lock<D: Dialect>(
    conn: &mut D,
    group: &str,
    keys: ReplayKeys<'_>,
) -> Result<HashSet<Place>> {
    conn.hold_days().await?;
    let sql = "SELECT number FROM rule_activation {share}";
    let active = one(conn, sql, &[]).await?.cell::<i64>(0) as u64;
    if active != keys.generation {
        return Err(LedgerError::GenerationChanged { active });
    }
    let partitions: BTreeMap<_, ()> =
        keys.letters.iter().map(|key| ((&key.topic, key.partition), ())).collect();
    for (topic, partition) in partitions.into_keys() {
        let args = [group.into(), topic.into(), i64::from(partition).into()];
        rows(conn, PROGRESS, &args).await?;
    }
    let mut open = places(conn, OPEN, keys.letters).await?;
    // Another replay may have taken one in since it was listed, and when that is refused it is open again.
    let stored = places(conn, STORED, keys.letters).await?;
    open.retain(|place| !stored.contains(place));
    Ok(open)
}

/// Those of the letters that a statement finds.
async fn places<D: Dialect>(conn: &mut D, sql: &str, letters: &[Place]) -> Result<HashSet<Place>> {
    let letters = json!(letters).to_string();
    let found = rows(conn, sql, &[(&letters).into()]).await?;
    Ok(found.iter().map(Place::of).collect())
}

/// How a partition's letters ended.
#[derive(Clone, Copy, Default)]
struct Moved {
    charged: i64,
    skipped: i64,
}

async fn write<D: Dialect>(conn: &mut D, group: &str, replay: &Replay<'_>) -> Result<()> {
    let plan = replay.plan;
    let dead: HashMap<(i32, i64), &DeadLetter> =
        plan.dead.iter().map(|letter| ((letter.partition, letter.offset), letter)).collect();
    let charges = plan.history.iter().map(|row| (row.source.partition, row.offset));
    let taken_in = plan.compensations.iter().map(|row| (row.source.partition, row.offset));
    let charged: HashSet<(i32, i64)> = charges.chain(taken_in).collect();
    let (mut replayed, mut still_dead) = (Vec::new(), Vec::new());
    let mut moved: BTreeMap<(&str, i32, i32), Moved> = BTreeMap::new();
    for key in replay.letters {
        let place = (key.partition, key.offset);
        if let Some(letter) = dead.get(&place) {
            still_dead.push(failure(key, letter));
            continue;
        }
        let counted = moved.entry((&key.topic, key.partition, key.incarnation)).or_default();
        if charged.contains(&place) {
            counted.charged += 1;
        } else {
            counted.skipped += 1;
        }
        replayed.push(key);
    }
    history(conn, plan).await?;
    if !plan.compensations.is_empty() {
        let taken_in: Vec<_> = replay.letters.iter().filter(|key| is_taken_in(plan, key)).collect();
        change(conn, UNWATCHED, &[(&json!(taken_in).to_string()).into()]).await?;
    }
    if let Some(body) = &plan.record {
        decisions::of_letters(conn, replay.letters, plan.generation, body).await?;
    }
    change_letters(conn, REPLAYED, json!(replayed).to_string(), replayed.len()).await?;
    change_letters(conn, STILL_DEAD, json!(still_dead).to_string(), still_dead.len()).await?;
    for ((topic, partition, incarnation), moved) in &moved {
        count(conn, group, (topic, *partition, *incarnation), *moved).await?;
    }
    note_replayed(conn, replayed.len()).await?;
    let detail = format!("{} replayed, {} still dead", replayed.len(), still_dead.len());
    write_action(conn, "REPLAY_DEAD_LETTERS", replay.meant, &detail, replay.note).await
}

fn is_taken_in(plan: &Plan<'_>, key: &Place) -> bool {
    let is_it =
        |row: &CompensationRow| (row.source.partition, row.offset) == (key.partition, key.offset);
    plan.compensations.iter().any(is_it)
}

async fn history<D: Dialect>(conn: &mut D, plan: &Plan<'_>) -> Result<()> {
    if plan.history.is_empty() {
        return Ok(());
    }
    let elements: Vec<_> = plan.history.iter().map(|row| element(plan, row)).collect();
    let elements = json!(elements).to_string();
    let args = [(&elements).into(), (plan.generation as i64).into()];
    change(conn, HISTORY, &args).await.map(drop)
}

fn element(plan: &Plan<'_>, row: &HistoryRow<'_>) -> Value {
    let (source, reason) = (row.source, plan.reason_of(row));
    json!({
        "topic": &*source.topic, "incarnation": source.incarnation, "partition": source.partition,
        "offset": row.offset, "amount": row.amount.0, "after": row.balance_after.0, "at_us": row.occurred_at_us,
        "day": row.day.0, "advertiser": row.advertiser, "campaign": row.campaign, "ad": non_empty(row.ad),
        "device": non_empty(row.device), "price_source": reason.source.as_str(), "reason": reason.name,
    })
}

fn failure(key: &Place, letter: &DeadLetter) -> Value {
    let rejection = &letter.rejection;
    json!({
        "topic": key.topic, "incarnation": key.incarnation, "partition": key.partition, "offset": key.offset,
        "code": rejection.code.as_str(), "stage": rejection.stage.as_str(),
        "sentence": without_nul(&rejection.sentence), "generation": letter.generation as i64,
        "campaign": letter.campaign,
    })
}

/// Changes letters, all of which must be open.
async fn change_letters<D: Dialect>(
    conn: &mut D,
    sql: &str,
    keys: String,
    wanted: usize,
) -> Result<()> {
    if change(conn, sql, &[(&keys).into()]).await? == wanted as u64 {
        return Ok(());
    }
    Err(LedgerError::Stale("a dead letter was replayed or dropped".to_owned()))
}

/// Moves the fates of a partition, or of what it was before its topic was created again.
async fn count<D: Dialect>(
    conn: &mut D,
    group: &str,
    (topic, partition, incarnation): (&str, i32, i32),
    moved: Moved,
) -> Result<()> {
    let args = [
        group.into(),
        topic.into(),
        i64::from(partition).into(),
        i64::from(incarnation).into(),
        moved.charged.into(),
        moved.skipped.into(),
    ];
    for table in ["consumer_progress", "retired_progress"] {
        if change(conn, &format!("UPDATE {table}{COUNTERS}"), &args).await? == 1 {
            return Ok(());
        }
    }
    Err(LedgerError::NotFound(format!(
        "group {group} has no progress of {topic} partition {partition} incarnation {incarnation} with that many dead \
         letters; run `tollgate audit`, and check the group of the topic"
    )))
}

/// Whoever tells about dead letters counts those that there ever were.
async fn note_replayed<D: Dialect>(conn: &mut D, replayed: usize) -> Result<()> {
    let sql = "UPDATE alert_marks SET value = value + $1 WHERE name = 'letters_replayed'";
    change(conn, sql, &[(replayed as i64).into()]).await.map(drop)
}

async fn put_back<D: Dialect>(
    conn: &mut D,
    letters: &[Place],
    meant: &str,
    note: &str,
) -> Result<Vec<Place>> {
    // What waits keeps its days from being retired, so none of them may be on its way out.
    conn.hold_days().await?;
    let open = places(conn, OPEN, letters).await?;
    let mut waiting = Vec::new();
    for key in letters.iter().filter(|key| open.contains(key)) {
        match change(conn, PUT_BACK, &key.args()).await {
            Ok(0) => {}
            Ok(_) => waiting.push(key.clone()),
            Err(LedgerError::Refused { .. }) => {
                return Err(LedgerError::Stale("the same compensation has come in".to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    if !waiting.is_empty() {
        change_letters(conn, REPLAYED, json!(waiting).to_string(), waiting.len()).await?;
        let detail = format!("{} compensations wait again", waiting.len());
        write_action(conn, "REPLAY_DEAD_LETTERS", meant, &detail, note).await?;
    }
    Ok(waiting)
}
