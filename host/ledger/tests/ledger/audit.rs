//! The audit passes over an honest ledger and finds every way in which it can be falsified.

use tollgate_domain::money::Micros;

use crate::support::plans::{Batch, click, with_rare_parts};
use crate::support::refunds::{LATER, day_of, event, paid, rejected, store, waits};
use crate::support::{Kind, Site, acquire};

crate::on_both!(
    every_falsification_is_found,
    every_falsified_refund_is_found,
    notes_count_and_never_fail,
    an_opening_may_change,
    the_overview_lists_what_matters
);

async fn site(kind: Kind) -> Site {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let clicks = (0..40).map(|at| click(at % 4, at as i64 % 7)).collect();
    Batch::new(&held, clicks).charge(&mut ledger, false).await.unwrap();
    let held = acquire(&mut ledger, 1).await;
    let batch = Batch::new(&held, vec![click(0, 9)]);
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let mut plan = batch.plan(&rows, &campaigns);
    with_rare_parts(&mut plan);
    ledger.apply(&plan).await.unwrap();
    site
}

/// Names of the checks that fail after an accident.
async fn failing(site: &Site, accident: &str) -> Vec<&'static str> {
    site.sql(accident).await;
    let mut seen = 0;
    let report = site.open().await.audit(&mut |_| seen += 1).await.unwrap();
    assert_eq!(seen, report.checks.len());
    assert_eq!(
        report.is_exact(),
        report.checks.iter().all(|check| check.found == check.expected || check.ok)
    );
    let bad = report.checks.into_iter().filter(|check| !check.ok);
    bad.inspect(|check| assert!(!check.detail.is_empty(), "{check:?}")).map(|c| c.name).collect()
}

async fn every_falsification_is_found(kind: Kind) {
    let check = async |accident: &str, expected: &[&str]| {
        assert_eq!(failing(&site(kind).await, accident).await, expected, "{accident}");
    };
    check("UPDATE advertiser_balances SET balance_micros = balance_micros + 0", &[]).await;
    check(
        "UPDATE advertiser_balances SET balance_micros = -5 WHERE advertiser_id = 'advertiser_0'",
        &["balances", "chain"],
    )
    .await;
    let later = "UPDATE rule_generation_starts SET first_offset = first_offset + 1 WHERE kafka_partition = 0";
    check(later, &["generations"]).await;
    check("UPDATE ad_balance_histories SET generation = 9", &["generations"]).await;
    let newer = "INSERT INTO rule_generation_starts
        SELECT 2, consumer_group, topic, incarnation, kafka_partition, 40 FROM rule_generation_starts WHERE kafka_partition = 0";
    check(newer, &[]).await;
    check(&newer.replace("40", "39"), &["generations"]).await;
    check(
        "DELETE FROM advertiser_balances WHERE advertiser_id = 'advertiser_1'",
        &["balances", "chain"],
    )
    .await;
    check("UPDATE campaign_daily_spend SET spent_micros = spent_micros + 1 WHERE campaign_id = 'campaign_2'", &["spend"]).await;
    check("DELETE FROM campaign_daily_spend WHERE campaign_id = 'campaign_1'", &["spend"]).await;
    check(
        "UPDATE consumer_progress SET next_offset = next_offset + 1 WHERE kafka_partition = 0",
        &["fates"],
    )
    .await;
    check("UPDATE consumer_progress SET charged = charged - 1, skipped = skipped + 1 WHERE kafka_partition = 0", &["counters"]).await;
    check(
        "DELETE FROM ad_balance_histories WHERE kafka_partition = 0 AND kafka_offset = 0",
        &["counters"],
    )
    .await;
    check("DELETE FROM dead_letters", &["counters"]).await;
    check("UPDATE dead_letters SET kafka_offset = 0", &["one_fate"]).await;
    check("UPDATE ad_balance_histories SET kafka_topic = 'other' WHERE kafka_partition = 0 AND kafka_offset = 1", &["counters"]).await;
    check("UPDATE ad_balance_histories SET balance_after_micros = balance_after_micros + 1 WHERE kafka_partition = 0 AND kafka_offset = 1", &["chain"]).await;
    check("DELETE FROM budget_crossings WHERE kind = 'PAUSE'", &["crossings", "pauses"]).await;
    check(
        "UPDATE budget_crossings SET campaign_id = 'campaign_9' WHERE kind = 'WARN'",
        &["crossings"],
    )
    .await;
    check("DELETE FROM outbox WHERE kind = 'BUDGET_WARNING'", &["messages"]).await;
    check("INSERT INTO outbox (dedup_key, kind, payload) VALUES ('x', 'DEAD_LETTERS', '{}')", &[])
        .await;
    check(&told("x", "BUDGET_WARNING"), &["happenings"]).await;
    check(&told("campaign_0:2026-11-21:WARN", "BUDGET_WARNING"), &["happenings"]).await;
    check(
        &format!("{}; UPDATE outbox SET worded_at = created_at", told(WARNING, "CAMPAIGN_PAUSED")),
        &["happenings"],
    )
    .await;
    check(
        &format!("{}; UPDATE outbox SET worded_at = created_at", told(WARNING, "BUDGET_WARNING")),
        &[],
    )
    .await;
    check("UPDATE campaign_daily_spend SET overspent_micros = spent_micros", &[]).await;
    check(
        "UPDATE campaign_daily_spend SET overspent_micros = spent_micros + 1",
        &["overspend_bounds"],
    )
    .await;
    check("UPDATE campaign_daily_spend SET overspent_micros = -1", &["overspend_bounds"]).await;
}

/// Offsets 0 and 1 are refunded with one charge each, 2 is refused, 3 repeats 0, 4 waits.
async fn site_with_refunds(kind: Kind) -> Site {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let events =
        [Site::duplicate(0), Site::duplicate(1), event(2, 4), Site::duplicate(0), event(3, 4)];
    store(&mut ledger, 0, &events).await;
    for waiting in ledger.waiting_compensations(10).await.unwrap() {
        let day = day_of(&waiting);
        let facts = ledger.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
        let plan = match waiting.row.offset {
            0 | 1 => paid(&waiting, &facts),
            2 => rejected(&waiting, 1),
            _ => waits(&waiting, 1),
        };
        ledger.apply_refund(&plan, LATER).await.unwrap();
    }
    site
}

async fn every_falsified_refund_is_found(kind: Kind) {
    let check = async |accident: &str, expected: &[&str]| {
        assert_eq!(failing(&site_with_refunds(kind).await, accident).await, expected, "{accident}");
    };
    check("UPDATE compensations SET looks = looks + 1", &[]).await;
    check(
        "DELETE FROM ad_balance_histories WHERE type = 'REFUND' AND kafka_offset = 0",
        &["balances", "spend", "chain", "refunds"],
    )
    .await;
    check(
        "UPDATE ad_balance_histories SET amount_micros = amount_micros + 1 WHERE type = 'REFUND' AND kafka_offset = 0",
        &["balances", "spend", "chain", "refunds"],
    )
    .await;
    check(
        "UPDATE ad_balance_histories SET kafka_offset = 77 WHERE type = 'REFUND' AND kafka_offset = 0",
        &["refunds"],
    )
    .await;
    check(
        "UPDATE compensations SET refund_micros = refund_micros - 1 WHERE kafka_offset = 1 AND state = 'REFUNDED'",
        &["refunds", "duplicate_logs"],
    )
    .await;
    check(
        "UPDATE compensations SET state = 'WAITING', refund_micros = 0 WHERE kafka_offset = 1",
        &["refunds", "duplicate_logs", "refunded_charges"],
    )
    .await;
    check("DELETE FROM compensations WHERE state = 'WAITING'", &["counters"]).await;
    check(
        "DELETE FROM duplicate_click_logs WHERE kafka_offset = 0",
        &["duplicate_logs", "refunded_charges"],
    )
    .await;
    check(
        "UPDATE duplicate_click_logs SET refund_micros = refund_micros + 1 WHERE kafka_offset = 0",
        &["duplicate_logs"],
    )
    .await;
    // The second refund names the charge of the first one.
    check(
        "UPDATE duplicate_click_logs SET refunded =
           (SELECT l.refunded FROM duplicate_click_logs l WHERE l.kafka_offset = 0) WHERE kafka_offset = 1",
        &["refunded_charges"],
    )
    .await;
    check("DELETE FROM refunded_charges WHERE kafka_offset = 4", &["refunded_charges"]).await;
    check(
        "UPDATE refunded_charges SET kafka_offset = 77 WHERE kafka_offset = 4",
        &["refunded_charges"],
    )
    .await;
    check("DELETE FROM dead_letters", &["refused_refunds"]).await;
    check(
        "UPDATE compensations SET state = 'WAITING' WHERE state = 'REJECTED'",
        &["refused_refunds"],
    )
    .await;
    check(
        "UPDATE compensations SET identity = 'another' WHERE state = 'REPEATED'",
        &["repeated_refunds"],
    )
    .await;
    // More than the day was charged, and every sum made to fit.
    check(
        "UPDATE ad_balance_histories SET amount_micros = 1000, balance_after_micros = balance_after_micros + 900
           WHERE type = 'REFUND' AND kafka_offset = 0;
         UPDATE compensations SET refund_micros = 1000 WHERE kafka_offset = 0;
         UPDATE duplicate_click_logs SET refund_micros = 1000 WHERE kafka_offset = 0;
         UPDATE campaign_daily_spend SET spent_micros = spent_micros - 900 WHERE campaign_id = 'campaign_0';
         UPDATE advertiser_balances SET balance_micros = balance_micros + 900 WHERE advertiser_id = 'advertiser_0'",
        &["refund_bounds"],
    )
    .await;
}

/// Key of the warning in `site`.
const WARNING: &str = "campaign_0:2026-11-21:WARN";

/// Writes a message about a happening, past the ledger.
fn told(happening: &str, kind: &str) -> String {
    format!(
        "INSERT INTO deliveries (key, happening, kind, channel, route, severity, title, body, generation, occurred_at)
         SELECT 'k', '{happening}', '{kind}', 'slack', 'a', 'info', 't', 'b', 1, min(created_at) FROM outbox"
    )
}

/// Notes as `name: looked at, found, detail`.
async fn notes(site: &Site) -> Vec<String> {
    let report = site.open().await.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:?}");
    let notes = report.checks.iter().filter(|c| ["overspend", "deliveries"].contains(&c.name));
    notes.map(|c| format!("{}: {} {} {}", c.name, c.expected, c.found, c.detail)).collect()
}

async fn notes_count_and_never_fail(kind: Kind) {
    let site = site(kind).await;
    assert_eq!(notes(&site).await, ["overspend: 4 4 ", "deliveries: 0 0 "]);
    site.sql(
        "UPDATE campaign_daily_spend SET overspent_micros = 3 WHERE campaign_id = 'campaign_2'",
    )
    .await;
    site.sql(
        "UPDATE campaign_daily_spend SET overspent_micros = 5 WHERE campaign_id = 'campaign_1'",
    )
    .await;
    site.sql("UPDATE outbox SET worded_at = created_at").await;
    for (at, outcome) in ["NULL", "NULL", "'DEAD'", "'SENT'", "'OFF'"].iter().enumerate() {
        site.sql(&told(WARNING, "BUDGET_WARNING")).await;
        site.sql(&format!(
            "UPDATE deliveries SET key = '{at}', outcome = {outcome} WHERE key = 'k'"
        ))
        .await;
    }
    let expected = [
        "overspend: 4 2 8 micros on 2 campaign-days, the worst is campaign_1 2026-11-21 with 5",
        "deliveries: 5 2 2 wait, 1 were given up",
    ];
    assert_eq!(notes(&site).await, expected);
    assert_eq!(site.open().await.overview().await.unwrap().overspent, Micros(8));
}

async fn an_opening_may_change(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    ledger.put_balance("advertiser_0", Micros(5)).await.unwrap();
    let top_up = "UPDATE advertiser_balances SET opening_micros = opening_micros + 70, \
                  balance_micros = balance_micros + 70 WHERE advertiser_id = 'advertiser_1'";
    assert!(failing(&site, top_up).await.is_empty());
    let held = acquire(&mut ledger, 2).await;
    Batch::new(&held, vec![click(0, 3), click(1, 4)]).charge(&mut ledger, true).await.unwrap();
    assert!(failing(&site, top_up).await.is_empty());
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    let negative = report.checks.iter().find(|check| check.name == "negative_balances").unwrap();
    assert!(negative.ok && negative.expected - negative.found == 1, "{negative:?}");
}

async fn the_overview_lists_what_matters(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    let today = tollgate_domain::day::Zone::new("Asia/Seoul")
        .unwrap()
        .day(ledger.clock_us().await.unwrap());
    let spend = |campaign: usize, day: i32, spent: i64| {
        let day = tollgate_domain::day::Day(day);
        format!(
            "INSERT INTO campaign_daily_spend (campaign_id, day, spent_micros) VALUES ('campaign_{campaign}', '{day}', {spent}) ON CONFLICT (campaign_id, day) DO UPDATE SET spent_micros = excluded.spent_micros"
        )
    };
    for sql in [
        spend(0, today.0, 8_000),
        spend(1, today.0, 7_999),
        spend(2, today.0, 12_000),
        spend(3, today.0 - 1, 9_999),
    ] {
        site.sql(&sql).await;
    }
    let overview = ledger.overview().await.unwrap();
    let near: Vec<_> =
        overview.near_budget.iter().map(|near| (&*near.campaign, near.usage_ppm)).collect();
    assert_eq!(near, [("campaign_2", 1_200_000), ("campaign_0", 800_000)]);
    assert_eq!(
        (overview.generation, overview.active, overview.paused, overview.campaigns),
        (1, 3, 1, 4)
    );
    assert_eq!(
        (overview.outbox_waiting, overview.deliveries_waiting, overview.dead_letters),
        (2, 0, 1)
    );
    assert_eq!((overview.negative_balances, overview.progress.len()), (1, 4));
}
