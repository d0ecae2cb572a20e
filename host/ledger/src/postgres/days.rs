//! Days of history in Postgres: a partition each.

use sqlx::Executor;
use sqlx::postgres::PgConnection;
use tollgate_domain::day::Day;

use super::database_error;
use super::partitions::{
    DayTable, Partition, Removal, begin, end, in_default, make, partitions, remove,
};
use crate::days::{
    DaysReport, Expired, HistorySettings, Rest, first_meant, retire, today_and_oldest,
};
use crate::dialect::{Cells, one, rows};
use crate::error::Result;

pub(super) const HISTORY: DayTable = DayTable {
    name: "ad_balance_histories",
    column: "budget_day",
    midnight: "",
    storage: "WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02)",
    turn: 7_205_759_403_792_793_601,
};

/// Days that are farther away get no partition: only a wrong clock has them, and they stay where they are noticed.
const FAR_DAYS: i32 = 400;

pub(crate) async fn maintain(
    conn: &mut PgConnection,
    settings: &HistorySettings,
) -> Result<DaysReport> {
    let (today, oldest) = today_and_oldest(conn, settings).await?;
    let mut report = DaysReport { is_complete: true, ..DaysReport::default() };
    let last = today + settings.days_ahead;
    make_days(conn, oldest.max(today - settings.days_back)..=last, &mut report).await?;
    let near = oldest.max(today - FAR_DAYS);
    let (late, _) = in_default(conn, HISTORY, near, today + FAR_DAYS).await?;
    make_days(conn, late.into_iter(), &mut report).await?;
    if settings.retention_days > 0 {
        retire_partitions(conn, settings.expired, oldest, &mut report).await?;
        retire_default(conn, settings.expired, oldest, &mut report).await?;
    }
    (_, report.default_rows) = in_default(conn, HISTORY, 0, 0).await?;
    let known = partitions(conn, HISTORY).await?;
    let has = |day: &i32| known.iter().any(|partition| partition.holds(*day));
    let ahead = (today + 1..=today + FAR_DAYS).take_while(has).count();
    report.days_ahead = Some(i32::try_from(ahead).unwrap_or(i32::MAX));
    Ok(report)
}

/// Partitions that hold days, and the default one, with the index of summaries that each has.
const SUMMARIES: &str = "
SELECT CAST(t.relname AS text), CAST(x.indexrelid AS bigint)
FROM pg_inherits i JOIN pg_class t ON t.oid = i.inhrelid JOIN pg_index x ON x.indrelid = t.oid
JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin'
WHERE i.inhparent = to_regclass($1)";

/// Summarises what was added since, so that a search reads no more than it has to. What is in use is left out.
pub(crate) async fn summarise(conn: &mut PgConnection, days: &[i32]) -> Result<()> {
    let known = partitions(conn, HISTORY).await?;
    let is_meant = |name: &str| {
        let partition = known.iter().find(|partition| partition.name == name);
        partition.is_none_or(|partition| days.iter().any(|day| partition.holds(*day)))
    };
    for row in rows(conn, SUMMARIES, &[HISTORY.name.into()]).await? {
        if is_meant(&row.cell::<String>(0)) {
            let index = row.cell::<i64>(1);
            let sql = format!(
                "BEGIN; SET LOCAL lock_timeout = '20ms'; SELECT brin_summarize_new_values({index}::regclass); COMMIT"
            );
            if let Err(error) = conn.execute(&*sql).await.map_err(database_error) {
                if error.is_outage() {
                    return Err(error);
                }
                conn.execute("ROLLBACK").await.map_err(database_error)?;
            }
        }
    }
    Ok(())
}

async fn make_days(
    conn: &mut PgConnection,
    days: impl Iterator<Item = i32>,
    report: &mut DaysReport,
) -> Result<()> {
    let known = partitions(conn, HISTORY).await?;
    for day in days.filter(|day| !known.iter().any(|partition| partition.holds(*day))) {
        match make(conn, HISTORY, day).await? {
            Some(moved) => {
                report.made.push(Day(day));
                report.moved_rows += moved;
            }
            // The others would wait for the same table.
            None => {
                report.is_complete = false;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Retires partitions all of whose days are too old.
async fn retire_partitions(
    conn: &mut PgConnection,
    expired: Expired,
    oldest: i32,
    report: &mut DaysReport,
) -> Result<()> {
    let removal = match expired {
        Expired::Detach => Removal::Detach,
        Expired::Drop => Removal::Drop,
    };
    let known = partitions(conn, HISTORY).await?;
    for partition in known.into_iter().filter(|partition| partition.until <= oldest) {
        if !begin(conn, HISTORY).await? {
            report.is_complete = false;
            return Ok(());
        }
        let done = retire_partition(conn, &partition, removal).await;
        match end(conn, done).await? {
            Some(rows) => report.retired_rows += rows,
            None => {
                report.is_complete = false;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The rows can be read but not added to while they are summed up; whoever charges such a day gives up and tries again.
async fn retire_partition(
    conn: &mut PgConnection,
    partition: &Partition,
    removal: Removal,
) -> Result<u64> {
    // Another host may have been faster.
    if !partitions(conn, HISTORY).await?.contains(partition) {
        return Ok(0);
    }
    let sql = format!("LOCK TABLE {} IN SHARE MODE", partition.name);
    conn.execute(&*sql).await.map_err(database_error)?;
    // Somebody may have let a compensation wait that means one of its days.
    if first_meant(conn).await? < partition.until {
        return Ok(0);
    }
    let count = format!("SELECT count(*) FROM {}", partition.name);
    let rows = one(conn, &count, &[]).await?.cell::<i64>(0);
    retire(conn, &partition.name, partition.until, Rest::Stays).await?;
    remove(conn, HISTORY, partition, removal).await?;
    Ok(rows.unsigned_abs())
}

/// Retires what stands in the default partition and is too old for a partition of its own.
async fn retire_default(
    conn: &mut PgConnection,
    expired: Expired,
    oldest: i32,
    report: &mut DaysReport,
) -> Result<()> {
    let (old, _) = in_default(conn, HISTORY, i32::MIN, oldest - 1).await?;
    if old.is_empty() {
        return Ok(());
    }
    if !begin(conn, HISTORY).await? {
        report.is_complete = false;
        return Ok(());
    }
    let rest = match expired {
        Expired::Detach => Rest::Moved,
        Expired::Drop => Rest::Deleted,
    };
    let done = async {
        let sql = "LOCK TABLE ad_balance_histories_default IN SHARE ROW EXCLUSIVE MODE";
        conn.execute(sql).await.map_err(database_error)?;
        retire(conn, "ad_balance_histories_default", oldest, rest).await
    }
    .await;
    match end(conn, done).await? {
        Some(rows) => report.retired_rows += rows,
        None => report.is_complete = false,
    }
    Ok(())
}
