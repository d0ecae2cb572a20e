//! Days of history in SQLite, which has one table for all of them.

use sqlx::sqlite::SqliteConnection;

use crate::days::{
    DaysReport, Expired, HistorySettings, Rest, first_meant, retire, today_and_oldest,
};
use crate::dialect::{Cells, Dialect, change, one};
use crate::error::Result;
use crate::session::ended;

/// Its index has every row.
pub(crate) async fn summarise(_conn: &mut SqliteConnection, _days: &[i32]) -> Result<()> {
    Ok(())
}

/// Days are retired one by one, so that whoever charges waits for one day at most.
pub(crate) async fn maintain(
    conn: &mut SqliteConnection,
    settings: &HistorySettings,
) -> Result<DaysReport> {
    let (_, oldest) = today_and_oldest(conn, settings).await?;
    let mut report = DaysReport { is_complete: true, ..DaysReport::default() };
    if settings.retention_days == 0 {
        return Ok(report);
    }
    let rest = match settings.expired {
        Expired::Detach => Rest::Moved,
        Expired::Drop => Rest::Deleted,
    };
    let mut after = i32::MIN;
    while let Some(day) = next_day(conn, after, oldest).await? {
        conn.begin_bulk().await?;
        let retired = retire_until(conn, day + 1, rest).await;
        report.retired_rows += ended(conn, retired).await?;
        after = day;
    }
    Ok(report)
}

/// The first day after `after` and before `oldest` that may have rows, if there is one. No index has rows by their days
/// alone, so charges are asked for by their instants, which are as good but for a day; refunds by their advertisers;
/// and the days that follow the last one that was retired are known by their spends.
const NEXT_DAY: &str = "
SELECT {days:min(day)} FROM (
  SELECT budget_day AS day FROM (
    SELECT budget_day FROM ad_balance_histories WHERE type = 'DEDUCT' ORDER BY occurred_at LIMIT 1)
  UNION ALL
  SELECT (SELECT min(h.budget_day) FROM ad_balance_histories h
    WHERE h.type = 'REFUND' AND h.advertiser_id = b.advertiser_id)
  FROM advertiser_balances b
  UNION ALL
  SELECT day FROM (
    SELECT day FROM campaign_daily_spend
    WHERE spent_micros <> 0 AND day > coalesce((SELECT max(budget_day) FROM retired_history), '') AND day > {day:$1}
    ORDER BY day LIMIT 1)
) WHERE day > {day:$1} AND day < {day:$2}";

async fn next_day(conn: &mut SqliteConnection, after: i32, oldest: i32) -> Result<Option<i32>> {
    let args = [i64::from(after.max(FIRST_DAY)).into(), i64::from(oldest).into()];
    Ok(one(conn, NEXT_DAY, &args).await?.cell(0))
}

/// 0000-01-02, before which SQLite writes days in another way.
const FIRST_DAY: i32 = -719_527;

/// Rows of days before `$1`. A budget day ends 13 hours after UTC's at the latest, and so do its charges. SQLite takes the
/// tables of a cross join in the order in which they are written.
const ROWS: &str = "
INSERT INTO retiring_rows
SELECT rowid FROM ad_balance_histories
WHERE type = 'DEDUCT' AND occurred_at < ($1 * 24 + 13) * 3600000000 AND budget_day < {day:$1}
UNION ALL
SELECT h.rowid FROM advertiser_balances b CROSS JOIN ad_balance_histories h
  ON h.type = 'REFUND' AND h.advertiser_id = b.advertiser_id AND h.budget_day < {day:$1}";

/// Retires the rows of days before `until` that no waiting compensation may mean. They are put aside first, so that each
/// of the many statements that sum them up reads them alone. Inside a transaction.
async fn retire_until(conn: &mut SqliteConnection, until: i32, rest: Rest) -> Result<u64> {
    let until = until.min(first_meant(conn).await?);
    for sql in [
        "CREATE TEMP TABLE IF NOT EXISTS retiring_rows (id INTEGER PRIMARY KEY)",
        "CREATE TEMP TABLE IF NOT EXISTS retiring_history AS SELECT * FROM ad_balance_histories WHERE false",
    ] {
        change(conn, sql, &[]).await?;
    }
    change(conn, ROWS, &[i64::from(until).into()]).await?;
    let aside = "INSERT INTO retiring_history
        SELECT * FROM ad_balance_histories WHERE rowid IN (SELECT id FROM retiring_rows)";
    change(conn, aside, &[]).await?;
    let retired = retire(conn, "retiring_history", until, rest).await?;
    let gone = "DELETE FROM ad_balance_histories WHERE rowid IN (SELECT id FROM retiring_rows)";
    change(conn, gone, &[]).await?;
    change(conn, "DELETE FROM retiring_rows", &[]).await?;
    Ok(retired)
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::config::LedgerConfig;
    use crate::dialect::rows;
    use crate::session::Connection;

    /// Steps of the plan of a statement.
    async fn plan(conn: &mut SqliteConnection, sql: &str, args: &[i64]) -> Vec<String> {
        let args: Vec<_> = args.iter().map(|arg| (*arg).into()).collect();
        let found = rows(conn, &format!("EXPLAIN QUERY PLAN {sql}"), &args).await.unwrap();
        found.iter().map(|row| row.get::<String, _>(3)).collect()
    }

    #[tokio::test]
    async fn history_is_never_read_as_a_whole() {
        let config = LedgerConfig::new("sqlite://:memory:", "group");
        let mut conn =
            <SqliteConnection as Connection>::connect(&config, ":memory:").await.unwrap();
        conn.migrate().await.unwrap();
        conn.begin_bulk().await.unwrap();
        retire_until(&mut conn, 20_000, Rest::Deleted).await.unwrap();
        for (sql, args) in [(NEXT_DAY, &[0, 20_000][..]), (ROWS, &[20_000])] {
            let plan = plan(&mut conn, sql, args).await;
            // The earliest charge is the first one of its index.
            let first = "SCAN ad_balance_histories USING INDEX ad_balance_histories_occurred";
            let is_whole = |step: &&String| {
                (step.starts_with("SCAN ad_balance_histories") || step.starts_with("SCAN h"))
                    && !(sql == NEXT_DAY && *step == first)
            };
            assert_eq!(plan.iter().find(is_whole), None, "{plan:#?}");
            let by_advertiser = "INDEX ad_balance_histories_refunds (advertiser_id=?";
            assert!(plan.iter().any(|step| step.contains(by_advertiser)), "{plan:#?}");
        }
    }
}
