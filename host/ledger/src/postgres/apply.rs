//! Writing a plan, whole or not at all: one statement for few rows, a transaction with COPY for many.

use sqlx::postgres::PgConnection;
use tollgate_domain::plan::Plan;

use super::{copy, small};
use crate::config::LedgerConfig;
use crate::error::Result;
use crate::session::{Connection, ended};

/// Writes the plan and commits. `open`: the transaction that holds the locks is still open and is ended here.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    config: &LedgerConfig,
    plan: &Plan<'_>,
    open: bool,
) -> Result<()> {
    let few = plan.history.len() < config.copy_rows_min;
    if few && !open {
        // The statement is its own transaction: when its answer is lost, so is the knowledge of its commit.
        return small::write(conn, &config.group, plan, true)
            .await
            .map_err(|error| error.during_commit());
    }
    if !open {
        conn.begin().await?;
    }
    let written = match small::write(conn, &config.group, plan, few).await {
        Ok(()) if !few => copy::history(conn, plan).await,
        other => other,
    };
    ended(conn, written).await
}
