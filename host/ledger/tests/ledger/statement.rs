//! The figures of a statement, and charges found by device and instant.

use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_ledger::{Ledger, StatementLine};

use crate::support::plans::{DAY, TestClick, click};
use crate::support::refunds::{DEVICE, charge, pay_all, store};
use crate::support::{Kind, Site, TOPIC};

crate::on_both!(
    a_statement_has_the_figures_around_its_day,
    a_statement_has_campaigns_that_are_gone,
    charges_are_found_by_device_and_instant,
    groups_are_found_by_partition,
);

async fn a_statement_has_the_figures_around_its_day(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 0, &[Site::duplicate(0)]).await;
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    let day_us = 86_400_000_000;
    let on = |days: i32, price: i64| TestClick {
        day: Day(DAY.0 + days),
        at_us: click(0, price).at_us + i64::from(days) * day_us,
        ..click(0, price)
    };
    charge(&mut ledger, vec![on(-1, 10), on(1, 20), on(1, 22), on(2, 4)]).await;
    let before_us = ledger.clock_us().await.unwrap();
    for opening in [1_500_000_000, 1_200_000_000] {
        ledger.put_balance("advertiser_0", Micros(opening)).await.unwrap();
    }

    // Campaigns 0 and 2 were charged twice 100 and 104; one click of campaign 0 was given back.
    let found = ledger.statement("advertiser_0", DAY, before_us - day_us).await.unwrap().unwrap();
    let spends = (found.spent_before.0, found.spent.0, found.spent_after.0);
    assert_eq!((spends, found.last_day), ((10, 308, 46), Some(Day(DAY.0 + 2))));
    assert_eq!((found.opening.0, found.balance.0), (1_200_000_000, 1_200_000_000 - 364));
    let amounts: Vec<_> = found.adjustments.iter().map(|one| one.amount.0).collect();
    assert_eq!(amounts, [500_000_000, -300_000_000]);
    let line = |campaign: &str, charged, refunds, refunded| StatementLine {
        campaign: campaign.into(),
        clicks: 2,
        charged: Micros(charged),
        refunds,
        refunded: Micros(refunded),
    };
    let lines = [line("campaign_0", 200, 1, 100), line("campaign_2", 208, 0, 0)];
    assert_eq!(found.lines, lines);

    // Adjustments before the instant are part of the opening.
    let later_us = ledger.clock_us().await.unwrap() + day_us;
    let later = ledger.statement("advertiser_0", DAY, later_us).await.unwrap().unwrap();
    assert!(later.adjustments.is_empty());
    let empty = ledger.statement("advertiser_0", Day(DAY.0 + 9), 0).await.unwrap().unwrap();
    assert_eq!((empty.lines.len(), empty.spent_before.0), (0, 364));
    assert_eq!(ledger.statement("nobody", DAY, 0).await.unwrap(), None);
}

/// Spends before, on and after the day, and the last day with one.
async fn spends(ledger: &mut Ledger, advertiser: &str) -> ((i64, i64, i64), i32) {
    let found = ledger.statement(advertiser, DAY, 0).await.unwrap().unwrap();
    let spends = (found.spent_before.0, found.spent.0, found.spent_after.0);
    assert_eq!(found.opening.0 - spends.0 - spends.1 - spends.2, found.balance.0);
    let lines: i64 = found.lines.iter().map(|line| line.charged.0 - line.refunded.0).sum();
    assert_eq!(lines, found.spent.0);
    (spends, found.last_day.unwrap().0 - DAY.0)
}

async fn a_statement_has_campaigns_that_are_gone(kind: Kind) {
    for accident in [
        "DELETE FROM campaigns WHERE campaign_id = 'campaign_0'",
        "UPDATE campaigns SET advertiser_id = 'advertiser_1' WHERE campaign_id = 'campaign_0'",
        "DELETE FROM campaigns",
    ] {
        let site = Site::with_duplicates(kind).await;
        let mut ledger = site.open().await;
        let on = |days: i32, campaign: usize, price: i64| TestClick {
            day: Day(DAY.0 + days),
            at_us: click(0, price).at_us + i64::from(days) * 86_400_000_000,
            ..click(campaign, price)
        };
        charge(&mut ledger, vec![on(-1, 0, 10), on(-1, 1, 7), on(1, 2, 20), on(2, 0, 4)]).await;
        // Campaigns 0 and 2 were charged twice 100 and 104 on the day, 1 and 3 twice 102 and 106.
        let whole = [((10, 408, 24), 2), ((7, 416, 0), 0)];
        for accident in ["SELECT 1", accident] {
            site.sql(accident).await;
            let even = spends(&mut ledger, "advertiser_0").await;
            let odd = spends(&mut ledger, "advertiser_1").await;
            assert_eq!((even, odd.0), (whole[0], whole[1].0), "{accident}");
        }
    }
}

async fn charges_are_found_by_device_and_instant(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let at_us = click(0, 102).at_us;
    let found = async |ledger: &mut Ledger, campaign: Option<&str>, span| {
        let found = ledger.charges_of_device(DEVICE, campaign, span).await.unwrap();
        found.iter().map(|row| (row.place.offset, row.amount.0)).collect::<Vec<_>>()
    };
    assert_eq!(found(&mut ledger, None, (at_us, at_us)).await, [(1, -102), (5, -102)]);
    assert_eq!(found(&mut ledger, None, (at_us, at_us + 2)).await.len(), 4);
    assert_eq!(found(&mut ledger, Some("campaign_2"), (at_us, at_us + 2)).await.len(), 2);
    assert!(found(&mut ledger, Some("campaign_0"), (at_us, at_us + 2)).await.is_empty());
    assert!(found(&mut ledger, None, (at_us + 5, at_us + 9)).await.is_empty());
    let nobody = ledger.charges_of_device("nobody", None, (0, i64::MAX / 2)).await.unwrap();
    assert!(nobody.is_empty());
}

async fn groups_are_found_by_partition(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let reached = ledger.reached(TOPIC, 0).await.unwrap();
    assert_eq!(reached.len(), 1);
    let one = &reached[0];
    assert_eq!((one.incarnation, one.first_offset, one.next_offset), (0, 0, 8));
    assert!(one.covers(0) && one.covers(7) && !one.covers(8) && !one.covers(-1));
    assert!(ledger.reached("other", 0).await.unwrap().is_empty());
    assert!(ledger.reached(TOPIC, 9).await.unwrap().is_empty());
}
