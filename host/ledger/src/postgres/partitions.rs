//! Tables with a partition for each day. Making and taking away partitions waits for nobody for long: charging would
//! wait behind it.

use sqlx::Executor;
use sqlx::postgres::PgConnection;
use tollgate_domain::day::Day;

use super::database_error;
use crate::dialect::{Cells, Dialect, one, rows};
use crate::error::{LedgerError, Result};
use crate::session::ended;

/// A table that is partitioned by the days of a column. Its partitions are called `{name}_{YYYYMMDD}` and
/// `{name}_default`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DayTable {
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
    /// What makes an instant out of a day; empty for a column of the type `date`.
    pub(crate) midnight: &'static str,
    /// Storage parameters of a partition, which does not inherit them, with their keyword.
    pub(crate) storage: &'static str,
    /// Lets one host at a time change partitions; the number has no meaning.
    pub(crate) turn: i64,
}

/// A partition with days from `from` (`None`: from the beginning) up to and without `until`, since 1970-01-01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) from: Option<i32>,
    pub(crate) until: i32,
}

impl Partition {
    pub(crate) fn holds(&self, day: i32) -> bool {
        self.from.is_none_or(|from| from <= day) && day < self.until
    }
}

/// How a partition is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Detach,
    Drop,
}

/// Whoever waits longer for a table gives up, because others wait behind.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '200ms'";

const TURN: &str = "SELECT pg_try_advisory_xact_lock($1)";

const PARTITIONS: &str = r"
SELECT CAST(c.relname AS text), CAST(substring(b.bound FROM 'FROM \(''([^'']+)''\)') AS date) - DATE '1970-01-01',
  CAST(substring(b.bound FROM 'TO \(''([^'']+)''\)') AS date) - DATE '1970-01-01'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
WHERE i.inhparent = to_regclass($1) AND b.bound <> 'DEFAULT' ORDER BY 3";

/// All partitions but the default one, the oldest first.
pub(crate) async fn partitions(conn: &mut PgConnection, table: DayTable) -> Result<Vec<Partition>> {
    let found = rows(conn, PARTITIONS, &[table.name.into()]).await?;
    let partition = |row: &_| Partition {
        name: Cells::cell(row, 0),
        from: Cells::cell(row, 1),
        until: Cells::cell::<Option<i32>>(row, 2).unwrap_or(i32::MAX),
    };
    Ok(found.iter().map(partition).collect())
}

/// Days in the default partition from `first` to `last`, and the number of all its rows.
pub(crate) async fn in_default(
    conn: &mut PgConnection,
    table: DayTable,
    first: i32,
    last: i32,
) -> Result<(Vec<i32>, i64)> {
    let DayTable { name, column, .. } = table;
    let sql =
        format!("SELECT {{days:{column}}}, count(*) FROM {name}_default GROUP BY 1 ORDER BY 1");
    let found = rows(conn, &sql, &[]).await?;
    let days = found.iter().map(|row| row.cell::<i32>(0));
    let count = found.iter().map(|row| row.cell::<i64>(1)).sum();
    Ok((days.filter(|day| (first..=last).contains(day)).collect(), count))
}

/// Begins a transaction that changes partitions. False: another host is at it; no transaction is open then.
pub(crate) async fn begin(conn: &mut PgConnection, table: DayTable) -> Result<bool> {
    conn.begin_bulk().await?;
    let turn = async {
        conn.execute(LOCK_WAIT).await.map_err(database_error)?;
        Ok(one(conn, TURN, &[table.turn.into()]).await?.cell(0))
    };
    match turn.await {
        Ok(true) => Ok(true),
        other => {
            conn.execute("ROLLBACK").await.map_err(database_error)?;
            other
        }
    }
}

/// Ends such a transaction. `None`: a table was in use, and nothing was done.
pub(crate) async fn end<T>(conn: &mut PgConnection, result: Result<T>) -> Result<Option<T>> {
    match ended(conn, result).await {
        Ok(done) => Ok(Some(done)),
        Err(LedgerError::Transient { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the partition of a day, with what the default partition has of it, and gives the number of those rows.
/// `None`: another host is at it, or the table was in use.
pub(crate) async fn make(
    conn: &mut PgConnection,
    table: DayTable,
    day: i32,
) -> Result<Option<u64>> {
    if !begin(conn, table).await? {
        return Ok(None);
    }
    let made = made(conn, table, day).await;
    end(conn, made).await
}

async fn made(conn: &mut PgConnection, table: DayTable, day: i32) -> Result<u64> {
    let known = partitions(conn, table).await?;
    if known.iter().any(|partition| partition.holds(day)) {
        return Ok(0);
    }
    let DayTable { name, column, midnight, storage, .. } = table;
    let part = free_name(conn, name, day).await?;
    let bound = |day: i32| format!("{}{midnight}", Day(day));
    let (first, next) = (bound(day), bound(day + 1));
    // The constraint saves looking at the rows once more, and is not needed afterwards.
    let sql = format!(
        "CREATE TABLE {part} (LIKE {name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE,
           CONSTRAINT {part}_day CHECK ({column} IS NOT NULL AND {column} >= '{first}' AND {column} < '{next}')
         ) {storage};
         LOCK TABLE {name}_default IN ACCESS EXCLUSIVE MODE"
    );
    conn.execute(&*sql).await.map_err(database_error)?;
    let sql = format!(
        "WITH moved AS (DELETE FROM {name}_default WHERE {column} >= '{first}' AND {column} < '{next}' RETURNING *)
         INSERT INTO {part} SELECT * FROM moved"
    );
    let moved = conn.execute(&*sql).await.map_err(database_error)?.rows_affected();
    let sql = format!(
        "ALTER TABLE {name} ATTACH PARTITION {part} FOR VALUES FROM ('{first}') TO ('{next}');
         ALTER TABLE {part} DROP CONSTRAINT {part}_day"
    );
    conn.execute(&*sql).await.map_err(database_error)?;
    Ok(moved)
}

/// A name for a day's partition. The usual one is taken when the day was retired, and its table kept.
async fn free_name(conn: &mut PgConnection, name: &str, day: i32) -> Result<String> {
    let usual = format!("{name}_{}", Day(day).to_string().replace('-', ""));
    let mut wanted = usual.clone();
    let mut number = 1;
    while one(conn, "SELECT to_regclass($1) IS NOT NULL", &[(&wanted).into()]).await?.cell(0) {
        number += 1;
        wanted = format!("{usual}_{number}");
    }
    Ok(wanted)
}

/// Takes a partition away in a transaction of its own. `None`: another host is at it, or the table was in use.
pub(crate) async fn take_away(
    conn: &mut PgConnection,
    table: DayTable,
    partition: &Partition,
    removal: Removal,
) -> Result<Option<()>> {
    if !begin(conn, table).await? {
        return Ok(None);
    }
    let removed = async {
        // Another host may have been faster.
        match partitions(conn, table).await?.contains(partition) {
            true => remove(conn, table, partition, removal).await,
            false => Ok(()),
        }
    };
    let removed = removed.await;
    end(conn, removed).await
}

/// Takes a partition away, in the open transaction. From here on everybody waits who writes to the table, so the
/// transaction has to end at once.
pub(crate) async fn remove(
    conn: &mut PgConnection,
    table: DayTable,
    partition: &Partition,
    removal: Removal,
) -> Result<()> {
    let (name, part) = (table.name, &partition.name);
    let mut sql = format!("ALTER TABLE {name} DETACH PARTITION {part}");
    if removal == Removal::Drop {
        sql += &format!("; DROP TABLE {part}");
    }
    conn.execute(&*sql).await.map(drop).map_err(database_error)
}
