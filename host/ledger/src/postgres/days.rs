//! Days of history in Postgres: a partition each.

use sqlx::Executor;
use sqlx::postgres::PgConnection;
use tollgate_domain::day::Day;

use super::database_error;
use super::partitions::{
    DayTable, Partition, Removal, begin, end, in_default, make, partitions, remove,
};
use crate::days::{DaysReport, Expired, HistorySettings, Rest, retire, today_and_oldest};
use crate::dialect::{Cells, one};
use crate::error::Result;

const HISTORY: DayTable = DayTable {
    name: "ad_balance_histories",
    column: "budget_day",
    storage: "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02",
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
        if !begin(conn).await? {
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
    if !begin(conn).await? {
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
