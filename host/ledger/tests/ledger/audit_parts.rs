//! The audit of some days or of one advertiser finds what is wrong there, and blames nobody else.

use tollgate_domain::day::Day;
use tollgate_ledger::{AuditScope, AuditStep, Expired, HistorySettings};

use crate::support::plans::{Batch, DAY, TestClick, click};
use crate::support::{Kind, Site, acquire};

crate::on_both!(
    a_part_is_found_wrong_and_no_other,
    earlier_money_is_whose_it_was,
    a_record_is_charged_on_one_day,
    steps_are_told_in_order
);

/// Two advertisers on two days; the second day is `DAY`.
async fn site(kind: Kind) -> Site {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let on = |at: usize| TestClick {
        day: Day(DAY.0 - 1 + (at / 4) as i32),
        ..click(at % 4, 10 + at as i64)
    };
    Batch::new(&held, (0..8).map(on).collect()).charge(&mut ledger, false).await.unwrap();
    site
}

async fn wrong(site: &Site, since: Option<Day>, advertiser: Option<&str>) -> Vec<&'static str> {
    let scope = AuditScope { since, advertiser: advertiser.map(str::to_owned) };
    let report = site.open().await.audit_part(&scope, &mut |_| ()).await.unwrap();
    let wrong = report.checks.into_iter().filter(|check| !check.ok);
    wrong.inspect(|check| assert!(!check.detail.is_empty(), "{check:?}")).map(|c| c.name).collect()
}

async fn a_part_is_found_wrong_and_no_other(kind: Kind) {
    const MONEY: &[&str] = &["balances", "spend"];
    let (first, second) = (Some(Day(DAY.0 - 1)), Some(DAY));
    let (even, odd) = (Some("advertiser_0"), Some("advertiser_1"));
    let check = async |accident: &str, cases: &[(Option<Day>, Option<&str>, &[&str])]| {
        let site = site(kind).await;
        site.sql(accident).await;
        for (since, advertiser, expected) in cases {
            let found = wrong(&site, *since, *advertiser).await;
            assert_eq!(found, *expected, "{accident} {since:?} {advertiser:?}");
        }
    };
    check(
        "UPDATE campaign_daily_spend SET version = version + 0",
        &[(None, None, &[]), (first, None, &[]), (second, odd, &[]), (None, even, &[])],
    )
    .await;
    // A charge of the even advertiser on the second day.
    check(
        "DELETE FROM ad_balance_histories WHERE kafka_offset = 4",
        &[
            (None, None, &["balances", "spend", "counters", "chain"]),
            (second, None, MONEY),
            (first, None, MONEY),
            (None, even, &["balances", "spend", "chain"]),
            (second, even, MONEY),
            (None, odd, &[]),
            (second, odd, &[]),
            (Some(Day(DAY.0 + 1)), None, &[]),
        ],
    )
    .await;
    // A charge of the odd advertiser on the first day. What the day spent is still known.
    check(
        "DELETE FROM ad_balance_histories WHERE kafka_offset = 1",
        &[
            (first, odd, MONEY),
            (second, odd, &[]),
            (first, even, &[]),
            (None, odd, &["balances", "spend", "chain"]),
        ],
    )
    .await;
    // A row that counts to another day than its spend.
    check(
        "UPDATE ad_balance_histories SET budget_day = '2026-11-20' WHERE kafka_offset = 5",
        &[
            (None, None, &["spend"]),
            (None, odd, &["spend"]),
            (None, even, &[]),
            (second, odd, MONEY),
        ],
    )
    .await;
    check(
        "UPDATE advertiser_balances SET balance_micros = balance_micros + 1 WHERE advertiser_id = 'advertiser_1'",
        &[(second, None, &["balances"]), (second, odd, &["balances"]), (None, even, &[])],
    )
    .await;
    check(
        "UPDATE campaign_daily_spend SET overspent_micros = -1 WHERE campaign_id = 'campaign_3'",
        &[(second, odd, &["overspend_bounds"]), (second, even, &[])],
    )
    .await;
    let nobody = AuditScope { advertiser: Some("nobody".into()), ..AuditScope::default() };
    let error = site(kind).await.open().await.audit_part(&nobody, &mut |_| ()).await.unwrap_err();
    assert_eq!(error.code(), "NOT_FOUND");
}

/// The unique index of Postgres holds for a day only; every sum can be made to fit but the counters of the partition.
async fn a_record_is_charged_on_one_day(kind: Kind) {
    let site = site(kind).await;
    if kind == Kind::Sqlite {
        site.sql("DROP INDEX ad_balance_histories_record").await;
    }
    site.sql(
        "INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
           budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, kafka_topic, price_source, reason)
         SELECT kafka_offset, -5, -65, generation, occurred_at, '2026-11-20', kafka_partition, incarnation, type,
           advertiser_id, campaign_id, kafka_topic, price_source, reason
         FROM ad_balance_histories WHERE kafka_offset = 5",
    )
    .await;
    let balance = "SELECT CAST(balance_micros AS TEXT) FROM advertiser_balances WHERE advertiser_id = 'advertiser_1'";
    assert_eq!(site.rows(balance).await, ["-56"]);
    site.sql(
        "UPDATE ad_balance_histories SET balance_after_micros = -61 WHERE budget_day = '2026-11-20' AND kafka_offset = 5;
         UPDATE advertiser_balances SET balance_micros = -61 WHERE advertiser_id = 'advertiser_1';
         UPDATE campaign_daily_spend SET spent_micros = spent_micros + 5
         WHERE campaign_id = 'campaign_1' AND day = '2026-11-20'",
    )
    .await;
    assert_eq!(wrong(&site, None, None).await, ["counters"]);
}

async fn steps_are_told_in_order(kind: Kind) {
    let site = site(kind).await;
    let mut steps = vec![];
    let scope = AuditScope { since: Some(DAY), advertiser: None };
    let mut note = |step: AuditStep<'_>| match step {
        AuditStep::Begins { number, of, claim } => steps.push((number, of, claim)),
        AuditStep::Done(check) => assert_eq!(steps.last().unwrap().2, check.claim),
    };
    let report = site.open().await.audit_part(&scope, &mut note).await.unwrap();
    assert_eq!(report.left_out, ["counters", "chain"]);
    let of = report.checks.len();
    let numbers: Vec<_> = steps.iter().map(|step| (step.0, step.1)).collect();
    assert_eq!(numbers, (1..=of).map(|number| (number, of)).collect::<Vec<_>>());
}

/// Rows that no partition was foreseen for are told, and are no fault.
#[tokio::test]
async fn rows_in_the_default_partition_are_told() {
    let site = site(Kind::Postgres).await;
    let note = async || {
        let report = site.open().await.audit(&mut |_| ()).await.unwrap();
        report.checks.into_iter().find(|check| check.name == "default_rows").unwrap()
    };
    site.sql("UPDATE ad_balance_histories SET budget_day = '2031-01-01' WHERE kafka_offset = 5")
        .await;
    let told = note().await;
    assert_eq!((told.ok, told.expected - told.found), (true, 1));
    assert!(told.detail.starts_with("days from 2031-01-01 to 2031-01-01"), "{}", told.detail);
}

/// Campaigns of earlier days were deleted, or have another advertiser since; their money stays whose it was.
async fn earlier_money_is_whose_it_was(kind: Kind) {
    let retire =
        HistorySettings { days_back: 9, days_ahead: 0, retention_days: 1, expired: Expired::Drop };
    for is_retired in [false, true] {
        for accident in [
            "DELETE FROM campaigns WHERE campaign_id = 'campaign_0'",
            "UPDATE campaigns SET advertiser_id = 'advertiser_1' WHERE campaign_id = 'campaign_2'",
            "UPDATE campaigns SET advertiser_id = 'advertiser_9' WHERE campaign_id = 'campaign_3'",
            "DELETE FROM campaigns",
        ] {
            let site = site(kind).await;
            if is_retired {
                site.open().await.maintain_days(&retire).await.unwrap();
            }
            site.sql(accident).await;
            for since in [None, Some(Day(DAY.0 - 1)), Some(DAY), Some(Day(DAY.0 + 1))] {
                for advertiser in [None, Some("advertiser_0"), Some("advertiser_1")] {
                    let found = wrong(&site, since, advertiser).await;
                    assert!(found.is_empty(), "{accident} {since:?} {advertiser:?}: {found:?}");
                }
            }
            // Whatever is wrong beside it is still found.
            site.sql("UPDATE advertiser_balances SET balance_micros = balance_micros + 1").await;
            assert_eq!(wrong(&site, Some(DAY), None).await, ["balances"], "{accident}");
        }
    }
}
