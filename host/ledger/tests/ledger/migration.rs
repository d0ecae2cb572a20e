//! A ledger that older programs have filled goes on with newer tables.

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire};

crate::on_both!(a_ledger_of_version_1_goes_on);

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
