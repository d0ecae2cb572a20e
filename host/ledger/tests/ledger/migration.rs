//! A ledger that older programs have filled goes on with newer tables.

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire};

crate::on_both!(a_ledger_of_version_1_goes_on, history_of_version_3_goes_on);

fn version_1(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => include_str!("../../migrations/postgres/0001_ledger.sql"),
        Kind::Sqlite => include_str!("../../migrations/sqlite/0001_ledger.sql"),
    }
}

/// What a host of version 1 has written: a charge that paused a campaign, and its message.
const ROWS: &str = "
INSERT INTO campaigns (campaign_id, advertiser_id, status, paused_reason, paused_day, daily_budget_micros, cpc_micros)
VALUES ('campaign_0', 'advertiser_0', 'PAUSED', 'BUDGET_EXHAUSTED', '2026-11-20', 100, 100),
  ('campaign_1', 'advertiser_1', 'ACTIVE', NULL, NULL, NULL, 100);
INSERT INTO advertiser_balances (advertiser_id, opening_micros, balance_micros) VALUES ('advertiser_0', 1000, 900);
INSERT INTO campaign_daily_spend (campaign_id, day, spent_micros, paused_ppm, crossing_budget_micros, version)
VALUES ('campaign_0', '2026-11-20', 100, 1000000, 100, 1);
INSERT INTO budget_crossings (campaign_id, day, kind, level_ppm, budget_micros, round, advertiser_id, usage_ppm,
  spent_micros, reason)
VALUES ('campaign_0', '2026-11-20', 'PAUSE', 1000000, 100, 2, 'advertiser_0', 1000000, 100, 'LEVEL');
INSERT INTO outbox (dedup_key, kind, payload) VALUES
  ('pause:campaign_0:2026-11-20:1000000:100:2', 'CAMPAIGN_PAUSED',
   '{\"campaign_id\": \"campaign_0\", \"advertiser_id\": \"advertiser_0\", \"day\": \"2026-11-20\", \"level_ppm\": 1000000}');
INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, generation,
  charged)
VALUES ('click-balance-processor', 'ad-events', 0, 'TID-1', 0, 1, 0, 1);
";

const HISTORY: &str = "
INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at, budget_day,
  kafka_partition, incarnation, type, advertiser_id, campaign_id, kafka_topic, price_source, reason)
VALUES (0, -100, 900, 0, AT, '2026-11-20', 0, 0, 'DEDUCT', 'advertiser_0', 'campaign_0', 'ad-events', 'STORED', 'X')";

fn later_versions(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::Postgres => [
            include_str!("../../migrations/postgres/0002_messages.sql"),
            include_str!("../../migrations/postgres/0003_refunds.sql"),
        ],
        Kind::Sqlite => [
            include_str!("../../migrations/sqlite/0002_messages.sql"),
            include_str!("../../migrations/sqlite/0003_refunds.sql"),
        ],
    }
}

/// A second charge on the next day, and its refund.
const REFUND: &str = "
INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at, budget_day,
  kafka_partition, incarnation, type, advertiser_id, campaign_id, kafka_topic, price_source, reason)
VALUES (1, -7, 893, 0, AT, '2026-11-21', 0, 0, 'DEDUCT', 'advertiser_0', 'campaign_0', 'ad-events', 'STORED', 'X'),
  (0, 5, 898, 0, AT, '2026-11-21', 0, 0, 'REFUND', 'advertiser_0', 'campaign_0', 'compensations', 'NONE', 'X');
UPDATE advertiser_balances SET balance_micros = 898 WHERE advertiser_id = 'advertiser_0';
UPDATE consumer_progress SET next_offset = 2, charged = 2;
INSERT INTO campaign_daily_spend (campaign_id, day, spent_micros, version) VALUES ('campaign_0', '2026-11-21', 2, 2);
INSERT INTO consumer_progress (consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, generation,
  charged)
VALUES ('compensation-processor', 'compensations', 0, 'TID-2', 0, 1, 0, 1);
INSERT INTO compensations (topic, incarnation, kafka_partition, kafka_offset, identity, state, advertiser_id,
  campaign_id, duplicate_count, claimed_micros, timestamps, detection_window, reason, compensation_type, occurred_at,
  record_at_ms, payload, headers, generation, refund_micros)
VALUES ('compensations', 0, 0, 0, 'x', 'REFUNDED', 'advertiser_0', 'campaign_0', 2, 5, '[]', '5m', 'X', 'X', AT, 0, '{}',
  '[]', 0, 5);
INSERT INTO duplicate_click_logs (compensation_id, advertiser_id, campaign_id, duplicate_count, timestamps,
  detection_window, claimed_micros, refund_micros, refunded, topic, incarnation, kafka_partition, kafka_offset)
SELECT id, 'advertiser_0', 'campaign_0', 2, '[]', '5m', 5, 5, '[]', 'compensations', 0, 0, 0 FROM compensations";

async fn history_of_version_3_goes_on(kind: Kind) {
    let site = Site::bare(kind).await;
    let mut ledger = site.open().await;
    let instant = format!("{},", site.instant(0));
    site.sql(version_1(kind)).await;
    for sql in [
        "CREATE TABLE tollgate_migrations (version bigint PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO tollgate_migrations (version, name) VALUES (1, 'ledger'), (2, 'messages'), (3, 'refunds')",
        ROWS,
        &HISTORY.replace("AT,", &instant),
        later_versions(kind)[0],
        later_versions(kind)[1],
        &REFUND.replace("AT,", &instant),
    ] {
        site.sql(sql).await;
    }
    assert_eq!(ledger.migrate().await.unwrap(), ledger.schema_latest());
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:?}");
    let days = "SELECT CAST(budget_day AS TEXT) FROM compensations";
    assert_eq!(site.rows(days).await, ["2026-11-21"]);
    if kind == Kind::Postgres {
        let tables = "SELECT DISTINCT tableoid::regclass::text FROM ad_balance_histories";
        assert_eq!(site.rows(tables).await, ["ad_balance_histories_before"]);
    }
    // A day that is in the old table goes on there, a later one does not.
    let mut held = acquire(&mut ledger, 0).await;
    for day in [20_778, 20_779] {
        let click =
            crate::support::plans::TestClick { day: tollgate_domain::day::Day(day), ..click(1, 7) };
        Batch::new(&held, vec![click]).charge(&mut ledger, day == 20_779).await.unwrap();
        held.next_offset += 1;
    }
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
    if kind == Kind::Postgres {
        let before = "SELECT count(*)::text FROM ad_balance_histories_before";
        assert_eq!(site.rows(before).await, ["4"]);
    }
}

async fn a_ledger_of_version_1_goes_on(kind: Kind) {
    let site = Site::bare(kind).await;
    // Opening makes the file of SQLite.
    let mut ledger = site.open().await;
    let instant = site.instant(0);
    for sql in [
        version_1(kind),
        "CREATE TABLE tollgate_migrations (version bigint PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO tollgate_migrations (version, name) VALUES (1, 'ledger')",
        ROWS,
        &HISTORY.replace("AT,", &format!("{instant},")),
    ] {
        site.sql(sql).await;
    }
    assert_eq!(ledger.schema_version().await.unwrap(), 1);
    assert_eq!(ledger.overview().await.unwrap_err().code(), "SCHEMA_OUTDATED");
    assert_eq!(ledger.migrate().await.unwrap(), ledger.schema_latest());
    assert_eq!(ledger.migrate().await.unwrap(), ledger.schema_latest());
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:?}");

    // The message that nobody has sent is told now, and the campaign is looked at.
    let rows = ledger.happenings(9).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].key, "pause:campaign_0:2026-11-20:1000000:100:2");
    let card = rows[0].campaign.clone().unwrap();
    assert_eq!((&*card.id, card.bid, card.targeting), ("campaign_0", None, None));
    let now_us = ledger.clock_us().await.unwrap();
    let looks = ledger.looks(now_us + 60_000_000).await.unwrap();
    assert_eq!(looks.campaigns.len(), 1);
    assert!(ledger.lead("host", std::time::Duration::from_secs(5)).await.unwrap());

    let held = acquire(&mut ledger, 0).await;
    assert_eq!(held.next_offset, 1);
    Batch::new(&held, vec![click(1, 7)]).charge(&mut ledger, false).await.unwrap();
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
}
