//! Days of history in SQLite, which has one table for all of them.

use sqlx::sqlite::SqliteConnection;

use crate::days::{DaysReport, Expired, HistorySettings, Rest, retire, today_and_oldest};
use crate::dialect::{Cells, Dialect, one};
use crate::error::Result;
use crate::session::ended;

const TABLE: &str = "ad_balance_histories";

/// Its index has every row.
pub(crate) async fn summarise(_conn: &mut SqliteConnection, _days: &[i32]) -> Result<()> {
    Ok(())
}

pub(crate) async fn maintain(
    conn: &mut SqliteConnection,
    settings: &HistorySettings,
) -> Result<DaysReport> {
    let (_, oldest) = today_and_oldest(conn, settings).await?;
    let mut report = DaysReport { is_complete: true, ..DaysReport::default() };
    let sql = "SELECT EXISTS (SELECT 1 FROM ad_balance_histories WHERE budget_day < {day:$1})";
    if settings.retention_days == 0
        || !one(conn, sql, &[i64::from(oldest).into()]).await?.cell::<bool>(0)
    {
        return Ok(report);
    }
    let rest = match settings.expired {
        Expired::Detach => Rest::Moved,
        Expired::Drop => Rest::Deleted,
    };
    conn.begin_bulk().await?;
    let retired = retire(conn, TABLE, oldest, rest).await;
    report.retired_rows = ended(conn, retired).await?;
    Ok(report)
}
