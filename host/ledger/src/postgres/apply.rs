//! Writing a plan, whole or not at all: one statement for few rows, a transaction with COPY for many.

use sqlx::postgres::PgConnection;
use tollgate_domain::plan::Plan;

use super::{copy, small};
use crate::config::LedgerConfig;
use crate::error::Result;
use crate::refunds::store;
use crate::session::{Connection, ended};

/// Writes the plan and commits. `open`: the transaction that holds the locks is still open and is ended here.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    config: &LedgerConfig,
    plan: &Plan<'_>,
    open: bool,
) -> Result<()> {
    let few = plan.history.len() < config.copy_rows_min;
    if few && !open && plan.compensations.is_empty() {
        // The statement is its own transaction: when its answer is lost, so is the knowledge of its commit.
        return small::write(conn, &config.group, plan, true)
            .await
            .map_err(|error| error.during_commit());
    }
    if !open {
        conn.begin().await?;
    }
    let written = parts(conn, &config.group, plan, few).await;
    ended(conn, written).await
}

async fn parts(conn: &mut PgConnection, group: &str, plan: &Plan<'_>, few: bool) -> Result<()> {
    small::write(conn, group, plan, few).await?;
    if !few {
        copy::history(conn, plan).await?;
    }
    if !plan.compensations.is_empty() {
        store(conn, plan.generation, &plan.compensations).await?;
    }
    Ok(())
}

/// Writes a plan of few rows inside the open transaction.
pub(crate) async fn inside(conn: &mut PgConnection, group: &str, plan: &Plan<'_>) -> Result<()> {
    parts(conn, group, plan, true).await
}
