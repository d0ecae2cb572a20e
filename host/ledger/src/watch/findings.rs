//! Where the ledger does not add up: one open row for each claim and subject, told once, cleared when it holds again.

use std::collections::BTreeSet;

use tollgate_domain::day::Day;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};

use super::compare::Mismatch;
use crate::dialect::{Arg, Cells, Dialect, change, clock_us, ids, one, rows};
use crate::error::Result;
use crate::outbox::tell;
use crate::rows::{AuditReport, Check};
use crate::session::ended;
use crate::shape::without_nul;
use crate::watch_rows::Finding;

const OPEN: &str = "
SELECT source, claim, subject, advertiser_id, campaign_id, {days:day}, expected, found, detail, {us:found_at}
FROM audit_findings WHERE cleared_at IS NULL ORDER BY id";

const INSERT: &str = "
INSERT INTO audit_findings (source, claim, subject, advertiser_id, campaign_id, day, expected, found, detail)
VALUES ($1, $2, $3, $4, $5, {day:$6}, $7, $8, $9)";

/// Places where the ledger does not add up, oldest first.
pub(super) async fn open<D: Dialect>(conn: &mut D) -> Result<Vec<Finding>> {
    let found = rows(conn, OPEN, &[]).await?;
    let finding = |row: &D::Row| Finding {
        source: row.cell(0),
        claim: row.cell(1),
        subject: row.cell(2),
        advertiser: row.cell(3),
        campaign: row.cell(4),
        day: row.cell::<Option<i32>>(5).map(Day),
        expected: row.cell(6),
        found: row.cell(7),
        detail: row.cell(8),
        found_at_us: row.cell(9),
    };
    Ok(found.iter().map(finding).collect())
}

pub(super) async fn count<D: Dialect>(conn: &mut D) -> Result<i64> {
    let sql = "SELECT count(*) FROM audit_findings WHERE cleared_at IS NULL";
    Ok(one(conn, sql, &[]).await?.cell(0))
}

/// Makes the open findings of a source those that were found now. Inside a transaction.
pub(super) async fn settle<D: Dialect>(
    conn: &mut D,
    source: &str,
    wrong: &[Mismatch],
    now_us: i64,
) -> Result<()> {
    let sql =
        "SELECT id, claim, subject FROM audit_findings WHERE source = $1 AND cleared_at IS NULL";
    let known = rows(conn, sql, &[source.into()]).await?;
    let key = |row: &D::Row| (row.cell::<String>(1), row.cell::<String>(2));
    let is_wrong: BTreeSet<_> =
        wrong.iter().map(|one| (one.claim.clone(), one.subject.clone())).collect();
    let (still, over): (Vec<_>, Vec<_>) =
        known.iter().partition(|row| is_wrong.contains(&key(row)));
    let still: BTreeSet<_> = still.into_iter().map(key).collect();
    let cleared: Vec<i64> = over.into_iter().map(|row| row.cell(0)).collect();
    if !cleared.is_empty() {
        let sql = "UPDATE audit_findings SET cleared_at = {now} WHERE id IN {ids:$1}";
        change(conn, sql, &[(&ids(&cleared)).into()]).await?;
    }
    for mismatch in wrong {
        if still.contains(&(mismatch.claim.clone(), mismatch.subject.clone())) {
            update(conn, source, mismatch).await?;
        } else {
            insert(conn, source, mismatch, now_us).await?;
        }
    }
    Ok(())
}

async fn update<D: Dialect>(conn: &mut D, source: &str, mismatch: &Mismatch) -> Result<()> {
    let sql = "UPDATE audit_findings SET expected = $4, found = $5, detail = $6
               WHERE source = $1 AND claim = $2 AND subject = $3 AND cleared_at IS NULL AND detail <> $6";
    let detail = without_nul(&mismatch.detail);
    let args = [
        source.into(),
        (&mismatch.claim).into(),
        (&mismatch.subject).into(),
        mismatch.expected.into(),
        Arg::Int(mismatch.found),
        (&detail).into(),
    ];
    change(conn, sql, &args).await.map(drop)
}

async fn insert<D: Dialect>(
    conn: &mut D,
    source: &str,
    mismatch: &Mismatch,
    now_us: i64,
) -> Result<()> {
    let Mismatch { claim, subject, advertiser, campaign, day, expected, found, detail } = mismatch;
    let detail = without_nul(detail);
    let args = [
        source.into(),
        claim.into(),
        subject.into(),
        advertiser.into(),
        campaign.into(),
        Arg::Int(day.map(|day| i64::from(day.0))),
        (*expected).into(),
        Arg::Int(*found),
        (&detail).into(),
    ];
    change(conn, INSERT, &args).await?;
    let today = Day::utc(now_us);
    let key = format!("audit-mismatch:{}:{claim}:{subject}:{today}", source.to_lowercase());
    let facts = HappeningFacts {
        campaign_id: campaign.clone(),
        advertiser_id: advertiser.clone(),
        count: 1,
        detail: format!("Claim {claim}: {detail}. Charging goes on. Look with: tollgate audit"),
        occurred_at_us: now_us,
        ..HappeningFacts::default()
    };
    tell(conn, &key, HappeningKind::AuditMismatch, &facts).await.map(drop)
}

/// The failed checks of a full audit as findings. When everything is right and the watch says otherwise, somebody has
/// mended what it had read before, so it begins anew, which takes as long as there are sums to make.
pub(super) async fn record_audit<D: Dialect>(conn: &mut D, failed: &[Mismatch]) -> Result<()> {
    conn.begin_bulk().await?;
    let written = record_inside(conn, failed).await;
    ended(conn, written).await
}

async fn record_inside<D: Dialect>(conn: &mut D, failed: &[Mismatch]) -> Result<()> {
    // A lap that is under way has seen the sums as they were.
    let sql = "UPDATE watch_state SET audited_at = {now}, lap = lap + 1";
    change(conn, sql, &[]).await?;
    let now_us = clock_us(conn).await?;
    settle(conn, "AUDIT", failed, now_us).await?;
    if failed.is_empty() && count(conn).await? > 0 { begin_anew(conn).await } else { Ok(()) }
}

/// Forgets what was watched; the next laps read it again, apart from refunds. Each of these says itself whether it was
/// seen, and their sums are made here, so that no row of theirs is written.
async fn begin_anew<D: Dialect>(conn: &mut D) -> Result<()> {
    change(conn, "DELETE FROM watch_marks", &[]).await?;
    change(conn, "DELETE FROM watch_balances", &[]).await?;
    change(conn, "DELETE FROM watch_days", &[]).await?;
    change(conn, "DELETE FROM click_minutes", &[]).await?;
    for sql in RETIRED.into_iter().chain(REFUNDED) {
        change(conn, sql, &[]).await?;
    }
    Ok(())
}

/// What is known of days that were retired, because their rows cannot be read again.
const RETIRED: [&str; 3] = [
    "INSERT INTO watch_balances (advertiser_id, moved_micros)
     SELECT advertiser_id, CAST(sum(amount_micros) AS BIGINT) FROM retired_history GROUP BY advertiser_id",
    "INSERT INTO watch_days (day, campaign_id, charged_micros, refunded_micros)
     SELECT budget_day, campaign_id,
       CAST(-sum(CASE WHEN type = 'DEDUCT' THEN amount_micros ELSE 0 END) AS BIGINT),
       CAST(sum(CASE WHEN type = 'REFUND' THEN amount_micros ELSE 0 END) AS BIGINT)
     FROM retired_history GROUP BY budget_day, campaign_id",
    "INSERT INTO watch_marks (topic, incarnation, kafka_partition, upto_offset, charged)
     SELECT kafka_topic, incarnation, kafka_partition, 0, CAST(sum(row_count) AS BIGINT)
     FROM retired_history WHERE type = 'DEDUCT' GROUP BY kafka_topic, incarnation, kafka_partition",
];

/// Refunds that were seen. None is seen or retired meanwhile, because whoever does so has to change the watch's state.
const REFUNDED: [&str; 2] = [
    "INSERT INTO watch_balances (advertiser_id, moved_micros)
     SELECT h.advertiser_id, CAST(sum(h.amount_micros) AS BIGINT)
     FROM compensations c JOIN ad_balance_histories h ON h.kafka_partition = c.kafka_partition
       AND h.kafka_offset = c.kafka_offset AND h.incarnation = c.incarnation AND h.kafka_topic = c.topic
     WHERE c.state = 'REFUNDED' AND c.watched AND NOT c.retired AND h.type = 'REFUND'
     GROUP BY h.advertiser_id
     ON CONFLICT (advertiser_id) DO UPDATE SET moved_micros = watch_balances.moved_micros + excluded.moved_micros",
    "INSERT INTO watch_days (day, campaign_id, charged_micros, refunded_micros)
     SELECT h.budget_day, h.campaign_id, 0, CAST(sum(h.amount_micros) AS BIGINT)
     FROM compensations c JOIN ad_balance_histories h ON h.kafka_partition = c.kafka_partition
       AND h.kafka_offset = c.kafka_offset AND h.incarnation = c.incarnation AND h.kafka_topic = c.topic
     WHERE c.state = 'REFUNDED' AND c.watched AND NOT c.retired AND h.type = 'REFUND'
     GROUP BY h.budget_day, h.campaign_id
     ON CONFLICT (day, campaign_id) DO UPDATE SET
       refunded_micros = watch_days.refunded_micros + excluded.refunded_micros",
];

pub(super) fn failed(report: &AuditReport) -> Vec<Mismatch> {
    report.checks.iter().filter(|check| !check.ok).map(of_check).collect()
}

fn of_check(check: &Check) -> Mismatch {
    Mismatch {
        claim: check.name.to_owned(),
        subject: String::new(),
        advertiser: String::new(),
        campaign: String::new(),
        day: None,
        expected: check.expected,
        found: Some(check.found),
        detail: format!("{}; not so: {}", check.claim, check.detail),
    }
}
