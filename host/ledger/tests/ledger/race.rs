//! Several processes on the same rows: nothing is lost, nothing deadlocks, locks are taken in one order.

use sqlx::{Connection, Executor, Row};
use tollgate_ledger::{LedgerError, LockKeys};

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire, until};

crate::on_both!(racing_writers_agree);

/// Batches that each writer brings to the end.
fn rounds(kind: Kind) -> usize {
    match kind {
        Kind::Postgres => 500,
        Kind::Sqlite => 100,
    }
}

async fn racing_writers_agree(kind: Kind) {
    let site = std::sync::Arc::new(Site::new(kind).await);
    let writers: Vec<_> = (0..4).map(|at| tokio::spawn(write(site.clone(), at))).collect();
    let mut stale = 0;
    for writer in writers {
        stale += writer.await.unwrap();
    }
    assert!(stale > 0, "the writers never met");
    let mut ledger = site.open().await;
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:?}");
    let charged: i64 = ledger.progress(&[]).await.unwrap().iter().map(|row| row.charged).sum();
    assert_eq!(charged, 4 * 5 * rounds(kind) as i64);
}

/// Decides optimistically, and with locks when that was stale. Anything else, above all a deadlock, fails.
async fn write(site: std::sync::Arc<Site>, writer: usize) -> usize {
    let shape = if writer.is_multiple_of(2) { 0 } else { usize::MAX };
    let mut ledger = site.open_shape(shape).await;
    let mut batch = Batch::new(&acquire(&mut ledger, writer as i32).await, vec![]);
    let mut stale = 0;
    for round in 0..rounds(site.kind) {
        // Some days are new to both tables and both writers.
        let clicks = (0..5).map(|at| {
            let mut click = click((at * writer + round) % 4, at as i64);
            click.day.0 += (round / 7 % 3) as i32 + (round / 50) as i32;
            click
        });
        batch = Batch::new(&batch.held, clicks.collect());
        match batch.charge(&mut ledger, false).await {
            Err(LedgerError::Stale(_)) => {
                stale += 1;
                batch.charge(&mut ledger, true).await.unwrap();
            }
            other => other.unwrap(),
        }
    }
    stale
}

/// While a key in the middle is taken, the keys before it are locked and those after it are free.
async fn check_order(site: &Site, locked: bool) {
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let batch = Batch::new(&held, (0..4).map(|at| click(at, 1)).collect());
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let plan = batch.plan(&rows, &campaigns);

    let mut blocker = site.pg().await;
    let mut taken = blocker.begin().await.unwrap();
    taken
        .execute("SELECT 1 FROM campaign_daily_spend WHERE campaign_id = 'campaign_2' FOR UPDATE")
        .await
        .unwrap();
    let write = async {
        if locked {
            let advances = batch.advances();
            let (advertisers, days) = (&batch.advertisers[..], &batch.days[..]);
            ledger
                .lock(LockKeys { generation: 1, advances: &advances, advertisers, days })
                .await
                .unwrap();
        }
        ledger.apply(&plan).await.unwrap();
    };
    let look = async {
        until(|| async {
            site.rows("SELECT 'x' FROM pg_locks WHERE NOT granted").await.len() == 1
        })
        .await;
        let free =
            site.rows("SELECT campaign_id FROM campaign_daily_spend FOR UPDATE SKIP LOCKED").await;
        let balances = site.rows("SELECT advertiser_id FROM advertiser_balances WHERE advertiser_id < 'advertiser_2' FOR UPDATE SKIP LOCKED").await;
        taken.rollback().await.unwrap();
        let others = free.iter().filter(|id| id.starts_with("campaign_") && id.len() == 10);
        assert_eq!(others.collect::<Vec<_>>(), ["campaign_3"], "locked: {locked}");
        assert!(balances.is_empty(), "{balances:?}");
    };
    tokio::join!(write, look);
}

#[tokio::test]
async fn locks_are_taken_in_the_order_of_the_keys() {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open().await;
    // Rows are written backwards, so that the order of the table is not the order of the keys.
    for campaign in (0..4).rev() {
        let held = acquire(&mut ledger, 0).await;
        Batch::new(&held, vec![click(campaign, 1)]).charge(&mut ledger, false).await.unwrap();
    }
    for analysed in [false, true] {
        if analysed {
            site.sql("VACUUM ANALYZE").await;
        }
        check_order(&site, false).await;
        check_order(&site, true).await;
    }
    site.sql(
        "INSERT INTO campaign_daily_spend (campaign_id, day) SELECT 'filler_' || n, DATE '2026-01-01' FROM generate_series(1, 50000) n;
         INSERT INTO advertiser_balances (advertiser_id) SELECT 'filler_' || n FROM generate_series(1, 50000) n;
         INSERT INTO campaigns (campaign_id, advertiser_id, cpc_micros) SELECT 'filler_' || n, 'x', 1 FROM generate_series(1, 50000) n",
    )
    .await;
    site.sql("VACUUM ANALYZE").await;
    check_order(&site, false).await;
    check_order(&site, true).await;
    // The generic plans go through the indexes.
    let scans = "SELECT relname::text FROM pg_stat_user_tables WHERE relname IN ('campaigns', 'advertiser_balances') AND idx_scan > 0 ORDER BY 1";
    until(|| async { site.rows(scans).await.len() == 2 }).await;
}

#[tokio::test]
async fn the_settings_of_the_session_hold() {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open().await;
    ledger.clock_us().await.unwrap();
    let mut admin = site.pg().await;
    let row = sqlx::query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate' AND datname = current_database()")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
}
