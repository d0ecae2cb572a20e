//! Several processes on the same rows: nothing is lost, nothing deadlocks, locks are taken in one order.

use sqlx::{Connection, Executor};
use tollgate_ledger::{LedgerError, LockKeys, NewCampaign};

use crate::support::plans::{Batch, TestClick, click};
use crate::support::{Kind, Site, acquire, campaign};

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

/// Campaigns whose names sort by their number.
const CAMPAIGNS: usize = 3_000;

fn name(number: usize) -> String {
    format!("campaign_{number:05}")
}

/// While a key in the middle is taken, all keys before it are locked and all after it are free.
async fn check_order(site: &Site, keys: usize, locked: bool) {
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let step = CAMPAIGNS / keys;
    let clicks = (0..keys).map(|at| TestClick { campaign: name(at * step).into(), ..click(0, 1) });
    let batch = Batch::new(&held, clicks.collect());
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let plan = batch.plan(&rows, &campaigns);

    let middle = &batch.campaigns[keys / 2];
    let of_batch = format!("campaign_id = ANY (ARRAY['{}'])", batch.campaigns.join("', '"));
    let mut blocker = site.pg().await;
    let mut taken = blocker.begin().await.unwrap();
    let take =
        format!("SELECT 1 FROM campaign_daily_spend WHERE campaign_id = '{middle}' FOR UPDATE");
    taken.execute(&*take).await.unwrap();
    let write = async {
        if locked {
            let advances = batch.advances();
            let (advertisers, days) = (&batch.advertisers[..], &batch.days[..]);
            let keys = LockKeys { generation: 1, advances: &advances, advertisers, days };
            ledger.lock(keys).await.unwrap();
        }
        ledger.apply(&plan).await.unwrap();
    };
    let look = async {
        site.somebody_waits().await;
        let free = format!(
            "SELECT campaign_id FROM campaign_daily_spend WHERE {of_batch} FOR UPDATE SKIP LOCKED"
        );
        let mut free = site.rows(&free).await;
        free.sort();
        taken.rollback().await.unwrap();
        let after: Vec<_> =
            batch.campaigns[keys / 2 + 1..].iter().map(|id| id.to_string()).collect();
        assert!(free == after, "{keys} {locked}: {} free, {} expected", free.len(), after.len());
    };
    tokio::join!(write, look);
}

#[tokio::test]
async fn locks_are_taken_in_the_order_of_the_keys() {
    let site = Site::new(Kind::Postgres).await;
    // Rows are written backwards, so that the order of the table is not the order of the keys.
    let mut ledger = site.open().await;
    let campaigns: Vec<_> =
        (0..CAMPAIGNS).rev().map(|n| NewCampaign { id: name(n), ..campaign(0) }).collect();
    ledger.put_campaigns(&campaigns).await.unwrap();
    let fill = "INSERT INTO campaign_daily_spend (campaign_id, day)
                SELECT campaign_id, DATE '2026-11-21' FROM campaigns WHERE length(campaign_id) > 10
                ORDER BY campaign_id DESC";
    site.sql(fill).await;
    for analysed in [false, true] {
        if analysed {
            site.sql("VACUUM ANALYZE").await;
        }
        for keys in [3, 300, CAMPAIGNS] {
            check_order(&site, keys, false).await;
            check_order(&site, keys, true).await;
        }
    }
}
