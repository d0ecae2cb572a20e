//! Plans of queries are made once for each connection, by what the tables hold then. Whatever that is, a row is found by
//! its key.

use std::time::Duration;

use tollgate_ledger::NewCampaign;

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire, campaign};

/// Batches that one connection writes, and the most rows that may be read for each row of a day in them.
const BATCHES: usize = 3;
const READS_MAX: usize = 5;

/// The first batch of a new ledger moves so many days, and so do the next ones.
async fn check(days: usize, copy_rows_min: usize, locked: bool) {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open_shape(copy_rows_min).await;
    let campaigns: Vec<NewCampaign> = (0..days).map(campaign).collect();
    ledger.put_campaigns(&campaigns).await.unwrap();
    let held = acquire(&mut ledger, 0).await;
    let mut batch = Batch::new(&held, (0..days).map(|at| click(at, 1)).collect());
    for _ in 0..BATCHES {
        batch.charge(&mut ledger, locked).await.unwrap();
    }
    drop(ledger);

    let read = rows_read(&site, BATCHES * days).await;
    let most = READS_MAX * BATCHES * days;
    assert!(
        read <= most,
        "{days} {copy_rows_min} {locked}: {read} rows read, at most {most} expected"
    );
}

/// Rows of days that were read, once the server has counted all that were written.
async fn rows_read(site: &Site, written: usize) -> usize {
    let sql = format!(
        "SELECT (coalesce(idx_tup_fetch, 0) + seq_tup_read)::text FROM pg_stat_user_tables
         WHERE relname = 'campaign_daily_spend' AND n_tup_upd >= {written}"
    );
    loop {
        match &site.rows(&sql).await[..] {
            [read] => return read.parse().unwrap(),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn days_are_found_by_their_campaigns() {
    for days in [1, 100, 500, 3_000] {
        check(days, usize::MAX, false).await;
        check(days, 0, false).await;
        check(days, usize::MAX, true).await;
    }
}
