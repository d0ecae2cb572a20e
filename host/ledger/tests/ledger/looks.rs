//! Campaigns are found for a fresh look without a click: those that the budget has paused, and those that have changed.

use crate::support::{Kind, Site};

crate::on_both!(changes_and_pauses_are_found, a_broken_row_holds_nobody_up, the_clock_comes_first);

/// What is found after a change by hand; nothing else has changed since.
async fn check(site: &Site, sql: &str, expected: &str) {
    let mut ledger = site.open().await;
    let since_us = later(&mut ledger).await;
    if !sql.is_empty() {
        site.sql(sql).await;
    }
    let looks = ledger.looks(since_us).await.unwrap();
    let ids: Vec<_> = looks
        .campaigns
        .iter()
        .map(|campaign| campaign.id.trim_start_matches("campaign_"))
        .collect();
    assert_eq!(ids.join(" "), expected, "{sql}");
    assert!(looks.unusable.is_empty(), "{:?}", looks.unusable);
}

/// An instant after everything that was written so far.
async fn later(ledger: &mut tollgate_ledger::Ledger) -> i64 {
    let start_us = ledger.clock_us().await.unwrap();
    loop {
        let now_us = ledger.clock_us().await.unwrap();
        if now_us > start_us {
            return now_us;
        }
    }
}

async fn changes_and_pauses_are_found(kind: Kind) {
    let site = Site::new(kind).await;
    let change = |set: &str| format!("UPDATE campaigns SET {set} WHERE campaign_id = 'campaign_1'");
    check(&site, "", "").await;
    check(&site, &change("daily_budget_micros = 5000"), "1").await;
    check(&site, "", "").await;
    check(&site, &change("daily_budget_micros = 5000"), "").await;
    check(&site, &change("daily_budget_micros = NULL"), "1").await;
    check(&site, &change("daily_budget_micros = 0"), "1").await;
    check(&site, &change("cpc_micros = 7"), "1").await;
    check(&site, &change("time_zone = 'UTC'"), "1").await;
    check(&site, &change("advertiser_id = 'advertiser_0'"), "1").await;
    check(&site, &change("status = 'PAUSED'"), "1").await;
    check(&site, "", "").await;
    check(&site, &change("paused_reason = 'MANUAL'"), "1").await;
    check(&site, "", "").await;
    check(&site, &change("paused_reason = 'BUDGET_EXHAUSTED', paused_day = '2026-11-20'"), "1")
        .await;
    // Paused by the budget: at every look.
    check(&site, "", "1").await;
    check(&site, "UPDATE campaigns SET cpc_micros = 8 WHERE campaign_id = 'campaign_3'", "1 3")
        .await;
    check(&site, &change("cpc_micros = 9"), "1").await;
    check(&site, &change("status = 'ACTIVE', paused_reason = NULL"), "1").await;
    check(&site, "", "").await;
    check(&site, "DELETE FROM campaigns WHERE campaign_id = 'campaign_2'", "").await;
    check(&site, "INSERT INTO campaigns (campaign_id, advertiser_id, cpc_micros) VALUES ('campaign_5', 'a', 1)", "5").await;
    check(&site, "UPDATE campaigns SET cpc_micros = cpc_micros + 1", "0 1 3 5").await;

    let mut ledger = site.open().await;
    for since_us in [0, i64::MIN, -1] {
        assert_eq!(ledger.looks(since_us).await.unwrap().campaigns.len(), 4);
    }
    assert!(ledger.looks(i64::MAX).await.unwrap().campaigns.is_empty());
}

async fn a_broken_row_holds_nobody_up(kind: Kind) {
    let site = Site::new(kind).await;
    site.sql("UPDATE campaigns SET time_zone = 'Mars/Olympus' WHERE campaign_id = 'campaign_1'")
        .await;
    let looks = site.open().await.looks(0).await.unwrap();
    let ids: Vec<_> = looks.campaigns.iter().map(|campaign| &*campaign.id).collect();
    assert_eq!(ids, ["campaign_0", "campaign_2", "campaign_3"]);
    assert_eq!(looks.unusable.len(), 1);
    assert!(looks.unusable[0].contains("campaign_1"), "{:?}", looks.unusable);
}

async fn the_clock_comes_first(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let before_us = ledger.clock_us().await.unwrap();
    let looks = ledger.looks(0).await.unwrap();
    assert!((before_us..=ledger.clock_us().await.unwrap()).contains(&looks.now_us));
    // What changes after one look is found by the next one.
    site.sql("UPDATE campaigns SET cpc_micros = 77 WHERE campaign_id = 'campaign_2'").await;
    let next = ledger.looks(looks.now_us).await.unwrap();
    let cpc = next.campaigns.iter().find(|campaign| &*campaign.id == "campaign_2").unwrap().cpc;
    assert_eq!(cpc.0, 77);
}
