//! History rows, many to a statement, because each statement costs a trip to SQLite's thread.

use std::sync::LazyLock;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Executor, Sqlite};
use tollgate_domain::plan::{HistoryRow, Plan};

use super::database_error;
use crate::error::Result;
use crate::shape::{SourceIndex, non_empty, reason};

const ROWS_MANY: usize = 64;
static MANY: LazyLock<String> = LazyLock::new(|| insert(ROWS_MANY));
static ONE: LazyLock<String> = LazyLock::new(|| insert(1));

pub(crate) async fn write(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<()> {
    let mut index = SourceIndex::new(&plan.advances);
    let (many, rest) = plan.history.as_chunks::<ROWS_MANY>();
    for rows in many {
        let statement = bind(sqlx::query(&MANY), plan, rows, &mut index)?;
        conn.execute(statement).await.map_err(database_error)?;
    }
    for row in rest {
        let statement = bind(sqlx::query(&ONE), plan, std::slice::from_ref(row), &mut index)?;
        conn.execute(statement).await.map_err(database_error)?;
    }
    Ok(())
}

fn bind<'q>(
    mut query: Query<'q, Sqlite, SqliteArguments<'q>>,
    plan: &'q Plan<'_>,
    rows: &'q [HistoryRow<'_>],
    index: &mut SourceIndex<'_>,
) -> Result<Query<'q, Sqlite, SqliteArguments<'q>>> {
    for row in rows {
        let source = &plan.advances[index.find(row.source)?].source;
        let reason = reason(plan, row)?;
        query = query
            .bind(row.offset)
            .bind(row.amount.0)
            .bind(row.balance_after.0)
            .bind(plan.generation as i64)
            .bind(row.occurred_at_us)
            .bind(row.day.0)
            .bind(source.partition)
            .bind(source.incarnation)
            .bind(row.advertiser)
            .bind(row.campaign)
            .bind(non_empty(row.ad))
            .bind(non_empty(row.device))
            .bind(&*source.topic)
            .bind(reason.source.as_str())
            .bind(reason.name.as_str());
    }
    Ok(query)
}

fn insert(rows: usize) -> String {
    let values =
        "(?, ?, ?, ?, ?, date(? * 86400, 'unixepoch'), ?, ?, 'DEDUCT', ?, ?, ?, ?, ?, ?, ?)";
    format!(
        "INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
           budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, ad_id, device_id, kafka_topic,
           price_source, reason)
         VALUES {}",
        vec![values; rows].join(", ")
    )
}
