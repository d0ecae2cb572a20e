//! The watch keeps what it knows of days that are retired, whether it had seen them or not.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _};
use tollgate_ledger::{
    AuditReport, Expired, HistorySettings, Ledger, LedgerConfig, Place, Replay, ReplayKeys,
};

use crate::replays::kill;
use crate::support::plans::{Batch, Held, TestClick};
use crate::support::{Kind, Site, acquire};
use crate::watch::{ALL, ago, charge, findings, kept, pay_back, site, watch};

crate::on_both!(
    what_was_not_watched_is_carried,
    a_watch_that_begins_anew_knows_retired_days,
    a_watch_begins_anew_over_many_refunds,
    laps_and_retiring_count_once,
);

/// Retires whatever is `OLD`.
const RETIRE: HistorySettings =
    HistorySettings { days_back: 9, days_ahead: 0, retention_days: 2, expired: Expired::Drop };

/// Minutes after which a day is old.
const OLD: i64 = 3 * 1_440;

/// Charges a dead letter as a click.
async fn replay(ledger: &mut Ledger, held: &Held, letters: &[Place], click: TestClick) {
    let held = Held { next_offset: letters[0].offset, ..held.clone() };
    let batch = Batch::new(&held, vec![click]);
    let (advertisers, days) = (&batch.advertisers, &batch.days);
    let keys = ReplayKeys { generation: 1, letters, advertisers, days };
    let locked = ledger.lock_letters(keys).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let plan = batch.plan(&locked.rows, &campaigns);
    let replay = Replay { letters, plan: &plan, meant: "some", note: "why" };
    ledger.apply_replay(&replay).await.unwrap();
}

/// The site of the watch, and old rows that it has not seen: charges, a refund, and a replayed letter below its mark.
async fn old_site(kind: Kind) -> (Site, Ledger, i64) {
    let (site, mut ledger, now_us) = site(kind).await;
    let mut held = acquire(&mut ledger, 2).await;
    let letters = kill(&mut ledger, &mut held, 2).await;
    watch(&mut ledger, ALL).await;
    replay(&mut ledger, &held, &letters[..1], ago(now_us, OLD, 1, 70)).await;
    replay(&mut ledger, &held, &letters[1..], ago(now_us, 0, 1, 72)).await;
    charge(&mut ledger, 3, [300, 300].map(|price| ago(now_us, OLD + 1, 3, price)).into()).await;
    charge(&mut ledger, 0, vec![ago(now_us, 0, 3, 80), ago(now_us, OLD, 2, 90)]).await;
    pay_back(&mut ledger, now_us, OLD + 1, 3, 300).await;
    (site, ledger, now_us)
}

/// Retires the old rows: 8 charges and a refund that were watched, 4 charges and a refund that were not.
async fn retire(ledger: &mut Ledger) {
    assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 14);
}

/// The watch finds nothing and has the sums of history, and a full audit agrees.
async fn agree(site: &Site, ledger: &mut Ledger, what: &str) -> AuditReport {
    watch(ledger, ALL).await;
    assert_eq!(findings(ledger).await, [""; 0], "{what}");
    let sums = "SELECT CAST(sum(moved_micros) AS TEXT) FROM watch_balances
        UNION ALL SELECT CAST(sum(amount_micros) AS TEXT) FROM history_sums";
    let sums = site.rows(sums).await;
    assert_eq!(sums[0], sums[1], "{what}");
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{what}: {report:#?}");
    report
}

/// A finding about something that is right, after which an exact audit makes the watch begin anew.
async fn find_wrongly(site: &Site) {
    let sql = "INSERT INTO audit_findings (source, claim, subject, advertiser_id, expected, detail)
        VALUES ('WATCH', 'balances', 'advertiser_0', 'advertiser_0', 1, 'wrong')";
    site.sql(sql).await;
}

async fn what_was_not_watched_is_carried(kind: Kind) {
    for is_watched in [false, true] {
        let (site, mut ledger, now_us) = old_site(kind).await;
        if is_watched {
            agree(&site, &mut ledger, "before").await;
        }
        retire(&mut ledger).await;
        agree(&site, &mut ledger, "after").await;
        // A day is retired again.
        charge(&mut ledger, 1, vec![ago(now_us, OLD, 0, 9), ago(now_us, 0, 0, 9)]).await;
        assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 1);
        agree(&site, &mut ledger, "again").await;
    }
}

async fn a_watch_that_begins_anew_knows_retired_days(kind: Kind) {
    let (site, mut ledger, _) = old_site(kind).await;
    retire(&mut ledger).await;
    let report = agree(&site, &mut ledger, "before").await;
    let before = kept(&site).await;
    find_wrongly(&site).await;
    ledger.record_audit(&report).await.unwrap();
    assert_ne!(kept(&site).await, before);
    agree(&site, &mut ledger, "anew").await;
    assert_eq!(kept(&site).await, before);
}

/// Refunds that were paid and watched long ago, so many that rewriting them would take long.
const MANY: usize = 20_000;

async fn pay_many(site: &Site) {
    let many =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})");
    let same = "advertiser_id, campaign_id";
    site.sql(&format!(
        "{many} INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation,
           occurred_at, budget_day, kafka_partition, incarnation, type, {same}, kafka_topic, price_source, reason)
         SELECT 1000 + i, 1, 0, generation, occurred_at, budget_day, kafka_partition, incarnation, type, {same},
           kafka_topic, price_source, reason
         FROM n CROSS JOIN (SELECT * FROM ad_balance_histories WHERE type = 'REFUND' LIMIT 1) AS h"
    ))
    .await;
    let same = "topic, incarnation, kafka_partition, state, advertiser_id, campaign_id, duplicate_count, \
        claimed_micros, timestamps, detection_window, reason, compensation_type, occurred_at, record_at_ms, payload, \
        headers, generation, refund_micros";
    site.sql(&format!(
        "{many} INSERT INTO compensations (kafka_offset, identity, watched, {same})
         SELECT 1000 + i, 'i' || CAST(i AS TEXT), true, {same}
         FROM n CROSS JOIN (SELECT * FROM compensations WHERE state = 'REFUNDED' AND NOT retired LIMIT 1) AS c"
    ))
    .await;
}

async fn a_watch_begins_anew_over_many_refunds(kind: Kind) {
    let (site, mut ledger, _) = old_site(kind).await;
    retire(&mut ledger).await;
    let report = agree(&site, &mut ledger, "before").await;
    pay_many(&site).await;
    find_wrongly(&site).await;
    // A database that is slow at it.
    if kind == Kind::Postgres {
        site.sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
             CREATE TRIGGER slow BEFORE DELETE ON watch_days FOR EACH STATEMENT EXECUTE FUNCTION slow()",
        )
        .await;
    }
    let hasty = LedgerConfig {
        statement_timeout: Duration::from_millis(500),
        deadline: Duration::from_secs(1),
        ..site.config()
    };
    Ledger::open(&hasty).await.unwrap().record_audit(&report).await.unwrap();
    // The charges come again; no refund is read or written again.
    let lap = ledger.watch_lap(ALL).await.unwrap();
    assert!(lap.counted && lap.rows < 100, "{lap:?}");
    let sums = "SELECT CAST(sum(moved_micros) AS TEXT) FROM watch_balances
        UNION ALL SELECT CAST(sum(refunded_micros - charged_micros) AS TEXT) FROM watch_days
        UNION ALL SELECT CAST(sum(amount_micros) AS TEXT) FROM history_sums";
    let sums = site.rows(sums).await;
    assert!(sums[0] == sums[1] && sums[0] == sums[2], "{sums:?}");
}

/// Laps and days that are retired beside them, one of which is often in the middle of the other.
async fn laps_and_retiring_count_once(kind: Kind) {
    let (site, mut ledger, now_us) = site(kind).await;
    let (mut watcher, mut other) = (site.open().await, site.open().await);
    let mut retired = 0;
    for round in 0..20 {
        let clicks = (0..20).map(|at| ago(now_us, OLD, at % 4, 10 + round));
        charge(&mut ledger, 3, clicks.collect()).await;
        let (lap, days) = tokio::join!(watcher.watch_lap(ALL), other.maintain_days(&RETIRE));
        if let Err(error) = lap {
            assert_eq!(error.code(), "LEDGER_TRANSIENT", "{error}");
        }
        retired += days.unwrap().retired_rows;
        agree(&site, &mut ledger, &format!("round {round}")).await;
    }
    assert!(retired > 0);
}

/// A lap waits at a table with its snapshot taken, and what it has read is gone when it wants to write.
#[tokio::test]
async fn a_lap_that_is_overtaken_is_not_counted() {
    for is_audit in [false, true] {
        let (site, mut ledger, now_us) = site(Kind::Postgres).await;
        let report = agree(&site, &mut ledger, "before").await;
        // So old that it stands in the default partition, from which rows go while others read.
        charge(&mut ledger, 3, vec![ago(now_us, 50 * 1_440, 1, 10)]).await;
        let mut watcher = site.open().await;
        let mut blocker = site.pg().await;
        let mut open = blocker.begin().await.unwrap();
        open.execute("LOCK TABLE campaign_daily_spend IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let overtake = async {
            site.somebody_waits().await;
            if is_audit {
                find_wrongly(&site).await;
                ledger.record_audit(&report).await.unwrap();
            } else {
                assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 1);
            }
            open.commit().await.unwrap();
        };
        let (lap, ()) = tokio::join!(watcher.watch_lap(ALL), overtake);
        assert!(!lap.unwrap().counted);
        agree(&site, &mut ledger, "after").await;
    }
}
