//! The watch reads every row once, is content with an honest ledger, and names what was falsified.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::book::DayKey;
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_ledger::{ClickCount, Lap, Ledger, RateFilter, RateScope, Window};

use crate::support::plans::{Batch, TestClick, click};
use crate::support::refunds::{COMPENSATIONS, DEVICE, LATER, event, paid, store};
use crate::support::{GROUP, Kind, Site, TOPIC, acquire};

crate::on_both!(
    windows_of_any_length_see_the_same,
    an_honest_ledger_causes_no_finding,
    every_corruption_is_named_and_cleared_when_mended,
    what_was_watched_may_go,
    a_finding_is_told_once,
    a_full_audit_leaves_findings_too,
    progress_may_be_put_back,
    watchers_never_count_twice,
    a_cut_lap_is_not_counted,
    one_host_watches,
    duplicates_are_counted_by_the_minute,
    a_high_rate_is_told_once_a_day
);

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 1_440 * MINUTE_US;
/// More offsets than any test has.
pub(crate) const ALL: i64 = 1_000_000;

/// A click `minutes` ago.
pub(crate) fn ago(now_us: i64, minutes: i64, campaign: usize, price: i64) -> TestClick {
    let at_us = now_us - minutes * MINUTE_US;
    let day = Day(i32::try_from(at_us / DAY_US).unwrap());
    TestClick { at_us, day, ad: "ad".to_owned(), ..click(campaign, price) }
}

pub(crate) async fn charge(ledger: &mut Ledger, partition: i32, clicks: Vec<TestClick>) {
    let held = acquire(ledger, partition).await;
    Batch::new(&held, clicks).charge(ledger, false).await.unwrap();
}

/// Laps until everything is watched; gives the rows that were read.
pub(crate) async fn watch(ledger: &mut Ledger, offsets_max: i64) -> i64 {
    let mut rows = 0;
    loop {
        let lap = ledger.watch_lap(offsets_max).await.unwrap();
        assert!(lap.counted);
        rows += lap.rows;
        if lap.behind == 0 {
            return rows;
        }
    }
}

/// Claims and subjects of the open findings; days are left out, because they depend on when a test runs.
pub(crate) async fn findings(ledger: &mut Ledger) -> Vec<String> {
    let found = ledger.findings().await.unwrap();
    let name = |finding: tollgate_ledger::Finding| {
        assert!(!finding.detail.is_empty() && finding.found != Some(finding.expected));
        let subject = finding.subject.split(' ').next().unwrap_or_default().to_owned();
        let owner = if finding.advertiser.is_empty() { "-" } else { &finding.advertiser };
        format!("{} {subject} {owner}", finding.claim)
    };
    let names: BTreeSet<_> = found.into_iter().map(name).collect();
    names.into_iter().collect()
}

/// Pays a compensation for two clicks `minutes` ago on the day of those clicks.
pub(crate) async fn pay_back(
    ledger: &mut Ledger,
    now_us: i64,
    minutes: i64,
    campaign: usize,
    price: i64,
) {
    let click = ago(now_us, minutes, campaign, price);
    let mut event = event(campaign, price);
    (event.ad, event.device) = (click.ad.clone(), DEVICE.to_owned());
    (event.timestamps_us, event.occurred_at_us) = (vec![click.at_us], now_us);
    store(ledger, 0, &[event]).await;
    for waiting in ledger.waiting_compensations(10).await.unwrap() {
        let day = DayKey { campaign: Arc::clone(&click.campaign), day: click.day };
        let facts = ledger.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
        ledger.apply_refund(&paid(&waiting, &facts), LATER).await.unwrap();
    }
}

/// Watched: clicks of four campaigns today and three days ago, of which one each was paid back. Not watched yet: eight
/// clicks on partition 1 and a refund.
pub(crate) async fn site(kind: Kind) -> (Site, Ledger, i64) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    ledger.first_sight(COMPENSATIONS, "TID-2", &[(0, 0)]).await.unwrap();
    let now_us = ledger.clock_us().await.unwrap();
    for minutes in [1, 3 * 1_440] {
        let clicks = (0..8).map(|at| ago(now_us, minutes, at % 4, 100 + 2 * (at as i64 % 4)));
        charge(&mut ledger, 0, clicks.collect()).await;
        pay_back(&mut ledger, now_us, minutes, 0, 100).await;
    }
    assert_eq!(watch(&mut ledger, ALL).await, 18);
    charge(&mut ledger, 1, (0..8).map(|at| ago(now_us, 2, at % 4, 104)).collect()).await;
    pay_back(&mut ledger, now_us, 2, 2, 104).await;
    (site, ledger, now_us)
}

/// Everything that the watch keeps.
pub(crate) async fn kept(site: &Site) -> Vec<String> {
    let mut kept = Vec::new();
    for (table, columns) in [
        ("watch_marks", "topic, incarnation, kafka_partition, upto_offset, charged"),
        ("watch_balances", "advertiser_id, moved_micros"),
        ("watch_days", "day, campaign_id, charged_micros, refunded_micros"),
        ("click_minutes", "minute, campaign_id, advertiser_id, clicks"),
    ] {
        let texts: Vec<_> = columns.split(", ").map(|c| format!("CAST({c} AS TEXT)")).collect();
        let line = texts.join(" || '|' || ");
        kept.push(table.to_owned());
        kept.extend(site.rows(&format!("SELECT {line} AS line FROM {table} ORDER BY 1")).await);
    }
    kept
}

async fn windows_of_any_length_see_the_same(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    assert_eq!(watch(&mut ledger, ALL).await, 9);
    assert_eq!(watch(&mut ledger, ALL).await, 0);
    let whole = kept(&site).await;
    for offsets_max in [1, 3, 7] {
        for table in ["watch_marks", "watch_balances", "watch_days", "click_minutes"] {
            site.sql(&format!("DELETE FROM {table}")).await;
        }
        site.sql("UPDATE compensations SET watched = false").await;
        assert_eq!(watch(&mut ledger, offsets_max).await, 27);
        assert_eq!(kept(&site).await, whole, "windows of {offsets_max}");
    }
    let sums = site
        .rows("SELECT CAST(sum(moved_micros) AS TEXT) FROM watch_balances UNION ALL SELECT CAST(sum(amount_micros) AS TEXT) FROM ad_balance_histories")
        .await;
    assert_eq!(sums[0], sums[1]);
    let state = ledger.watch_state().await.unwrap();
    assert!(state.behind == 0 && state.caught_up_s.is_some());
    assert_eq!(findings(&mut ledger).await, [""; 0]);
}

async fn an_honest_ledger_causes_no_finding(kind: Kind) {
    let (site, mut ledger, now_us) = site(kind).await;
    let check = async |what: &str, ledger: &mut Ledger| {
        watch(ledger, ALL).await;
        assert_eq!(findings(ledger).await, [""; 0], "{what}");
    };
    check("refunds", &mut ledger).await;
    charge(&mut ledger, 0, vec![ago(now_us, 9 * 1_440, 3, 50)]).await;
    check("a late click", &mut ledger).await;
    ledger.put_balance("advertiser_0", Micros(77)).await.unwrap();
    check("an opening", &mut ledger).await;
    ledger.put_balance("advertiser_9", Micros(5)).await.unwrap();
    check("an advertiser without clicks", &mut ledger).await;
    let held = acquire(&mut ledger, 2).await;
    let batch = Batch::new(&held, vec![ago(now_us, 0, 0, 9)]);
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let mut plan = batch.plan(&rows, &campaigns);
    crate::support::plans::with_rare_parts(&mut plan);
    ledger.apply(&plan).await.unwrap();
    check("dead letters", &mut ledger).await;
    // A topic that is made anew has offsets of its own.
    site.sql("UPDATE consumer_progress SET halted_reason = 'new' WHERE kafka_partition = 0 AND topic = 'ad-events'").await;
    let repoint = tollgate_ledger::Repoint {
        topic: TOPIC,
        partition: 0,
        offset: 0,
        topic_id: Some("TID-9"),
        note: "new",
    };
    let again = ledger.repoint(repoint).await.unwrap();
    assert_eq!((again.incarnation, again.group.as_str()), (1, GROUP));
    check("a topic made anew", &mut ledger).await;
}

async fn every_corruption_is_named_and_cleared_when_mended(kind: Kind) {
    let check = async |accident: &str, mend: &str, expected: &[&str]| {
        let (site, mut ledger, _) = site(kind).await;
        site.sql(accident).await;
        watch(&mut ledger, 3).await;
        assert_eq!(findings(&mut ledger).await, expected, "{accident}");
        // It stays, whatever goes on.
        watch(&mut ledger, ALL).await;
        assert_eq!(findings(&mut ledger).await, expected, "{accident}");
        site.sql(mend).await;
        watch(&mut ledger, ALL).await;
        if !findings(&mut ledger).await.is_empty() {
            // It has read what was mended before it was; a full audit says that it may begin anew.
            let report = ledger.audit(&mut |_| ()).await.unwrap();
            assert!(report.is_exact(), "{mend}: {report:?}");
            ledger.record_audit(&report).await.unwrap();
            watch(&mut ledger, ALL).await;
        }
        assert_eq!(findings(&mut ledger).await, [""; 0], "{mend}");
        let told = site.rows("SELECT kind FROM outbox").await;
        assert_eq!(told.len(), ledger_rows(&site, "audit_findings").await, "{accident}");
        assert!(told.iter().all(|kind| kind == "AUDIT_MISMATCH"), "{told:?}");
    };
    const BALANCE: &str = "UPDATE advertiser_balances SET balance_micros = balance_micros";
    check(
        &format!("{BALANCE} + 1 WHERE advertiser_id = 'advertiser_1'"),
        &format!("{BALANCE} - 1 WHERE advertiser_id = 'advertiser_1'"),
        &["balances advertiser_1 advertiser_1"],
    )
    .await;
    check(
        "DELETE FROM advertiser_balances WHERE advertiser_id = 'advertiser_1'",
        "INSERT INTO advertiser_balances (advertiser_id, balance_micros) SELECT advertiser_id, moved_micros \
         FROM watch_balances WHERE advertiser_id = 'advertiser_1'",
        &["balances advertiser_1 advertiser_1"],
    )
    .await;
    const SPEND: &str = "UPDATE campaign_daily_spend SET spent_micros = spent_micros";
    const TODAY: &str =
        "WHERE campaign_id = 'campaign_3' AND day = (SELECT max(day) FROM campaign_daily_spend)";
    check(
        &format!("{SPEND} + 1 {TODAY}"),
        &format!("{SPEND} - 1 {TODAY}"),
        &["spend campaign_3 advertiser_1"],
    )
    .await;
    check(
        &format!("{SPEND} + 1 {TODAY}; DELETE FROM campaigns WHERE campaign_id = 'campaign_3'"),
        &format!("{SPEND} - 1 {TODAY}"),
        &["spend campaign_3 -"],
    )
    .await;
    const PART: &str = "WHERE topic = 'ad-events' AND kafka_partition = 0";
    check(
        &format!("UPDATE consumer_progress SET next_offset = next_offset + 1 {PART}"),
        &format!("UPDATE consumer_progress SET next_offset = next_offset - 1 {PART}"),
        &["fates ad-events/0/0 -"],
    )
    .await;
    check(
        &format!(
            "UPDATE consumer_progress SET charged = charged - 1, skipped = skipped + 1 {PART}"
        ),
        &format!(
            "UPDATE consumer_progress SET charged = charged + 1, skipped = skipped - 1 {PART}"
        ),
        &["counters ad-events/0/0 -"],
    )
    .await;
    // Before it was watched.
    const ROW: &str =
        "WHERE kafka_topic = 'ad-events' AND kafka_partition = 1 AND kafka_offset = 2";
    const COPY: &str = "kafka_offset, amount_micros, balance_after_micros, generation, occurred_at, budget_day, \
        kafka_partition, incarnation, type, advertiser_id, campaign_id, kafka_topic, price_source, reason";
    check(
        &format!("CREATE TABLE lost AS SELECT * FROM ad_balance_histories {ROW}; DELETE FROM ad_balance_histories {ROW}"),
        "INSERT INTO ad_balance_histories SELECT * FROM lost",
        &["balances advertiser_0 advertiser_0", "counters ad-events/0/1 -", "spend campaign_2 advertiser_0"],
    )
    .await;
    check(
        &format!("UPDATE ad_balance_histories SET amount_micros = amount_micros - 1 {ROW}"),
        &format!(
            "{BALANCE} - 1 WHERE advertiser_id = 'advertiser_0'; {SPEND} + 1 {}",
            TODAY.replace('3', "2")
        ),
        &["balances advertiser_0 advertiser_0", "spend campaign_2 advertiser_0"],
    )
    .await;
    check(
        &format!(
            "UPDATE consumer_progress SET next_offset = next_offset + 1, charged = charged + 1 WHERE topic = 'ad-events' \
             AND kafka_partition = 1; INSERT INTO ad_balance_histories ({COPY}) SELECT 8, {} FROM ad_balance_histories {ROW}",
            COPY.replace("kafka_offset, ", "")
        ),
        &format!(
            "{BALANCE} - 104 WHERE advertiser_id = 'advertiser_0'; {SPEND} + 104 {}",
            TODAY.replace('3', "2")
        ),
        &["balances advertiser_0 advertiser_0", "spend campaign_2 advertiser_0"],
    )
    .await;
    // A refund that was not watched yet: gone, or greater than what was charged.
    const REFUND: &str = "WHERE type = 'REFUND' AND campaign_id = 'campaign_2'";
    check(
        &format!("DELETE FROM ad_balance_histories {REFUND}"),
        &format!(
            "{BALANCE} - 104 WHERE advertiser_id = 'advertiser_0'; {SPEND} + 104 {}",
            TODAY.replace('3', "2")
        ),
        &["balances advertiser_0 advertiser_0", "spend campaign_2 advertiser_0"],
    )
    .await;
    check(
        &format!("UPDATE ad_balance_histories SET amount_micros = 1000 {REFUND}"),
        &format!("UPDATE ad_balance_histories SET amount_micros = 104 {REFUND}"),
        &[
            "balances advertiser_0 advertiser_0",
            "refund_bounds campaign_2 advertiser_0",
            "spend campaign_2 advertiser_0",
        ],
    )
    .await;
}

async fn ledger_rows(site: &Site, table: &str) -> usize {
    site.rows(&format!("SELECT 'x' FROM {table}")).await.len()
}

async fn what_was_watched_may_go(kind: Kind) {
    let (site, mut ledger, now_us) = site(kind).await;
    watch(&mut ledger, ALL).await;
    site.sql("DELETE FROM ad_balance_histories").await;
    charge(&mut ledger, 1, vec![ago(now_us, 0, 1, 100)]).await;
    assert_eq!(watch(&mut ledger, ALL).await, 1);
    assert_eq!(findings(&mut ledger).await, [""; 0]);
}

async fn a_finding_is_told_once(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    const BALANCE: &str = "UPDATE advertiser_balances SET balance_micros = balance_micros + 5";
    const BACK: &str = "UPDATE advertiser_balances SET balance_micros = balance_micros - 5";
    for accident in [BALANCE, "SELECT 1", BALANCE, BACK, BACK, BALANCE] {
        site.sql(accident).await;
        watch(&mut ledger, ALL).await;
    }
    // Open, cleared, and open again on the same day.
    let rows = "SELECT subject || CASE WHEN cleared_at IS NULL THEN ' open' ELSE '' END FROM audit_findings ORDER BY id";
    let expected = ["advertiser_0", "advertiser_1", "advertiser_0 open", "advertiser_1 open"];
    assert_eq!(site.rows(rows).await, expected);
    let told = "SELECT CAST(payload ->> 'advertiser_id' AS TEXT) FROM outbox ORDER BY id";
    assert_eq!(site.rows(told).await, ["advertiser_0", "advertiser_1"]);
}

async fn a_full_audit_leaves_findings_too(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    watch(&mut ledger, ALL).await;
    const ROW: &str = "kafka_topic = 'ad-events' AND kafka_partition = 0 AND kafka_offset = 1";
    site.sql(&format!("CREATE TABLE lost AS SELECT * FROM ad_balance_histories WHERE {ROW}")).await;
    for (accident, expected) in [
        (
            format!("DELETE FROM ad_balance_histories WHERE {ROW}"),
            &["balances", "spend", "counters", "chain"][..],
        ),
        ("INSERT INTO ad_balance_histories SELECT * FROM lost".to_owned(), &[]),
    ] {
        site.sql(&accident).await;
        let report = ledger.audit(&mut |_| ()).await.unwrap();
        ledger.record_audit(&report).await.unwrap();
        watch(&mut ledger, ALL).await;
        let found = ledger.findings().await.unwrap();
        assert!(found.iter().all(|finding| finding.source == "AUDIT"), "{found:?}");
        let claims: Vec<_> = found.iter().map(|finding| &*finding.claim).collect();
        assert_eq!(claims, expected, "{accident}");
    }
    assert!(ledger.watch_state().await.unwrap().audited_s < 60);
}

async fn progress_may_be_put_back(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    watch(&mut ledger, ALL).await;
    let whole = kept(&site).await;
    const PART: &str = "WHERE topic = 'ad-events' AND kafka_partition = 1";
    for (to, expected) in [(5, &["fates ad-events/0/1 -"][..]), (8, &[])] {
        site.sql(&format!("UPDATE consumer_progress SET next_offset = {to} {PART}")).await;
        watch(&mut ledger, ALL).await;
        let found = findings(&mut ledger).await;
        let fates: Vec<_> = found.iter().filter(|name| name.starts_with("fates")).collect();
        assert_eq!(fates, expected, "{to}");
    }
    assert_eq!(findings(&mut ledger).await, [""; 0]);
    assert_eq!(kept(&site).await, whole);
}

async fn watchers_never_count_twice(kind: Kind) {
    let (site, mut ledger, now_us) = site(kind).await;
    let site = Arc::new(site);
    let watcher = async |site: Arc<Site>| {
        let (mut ledger, mut rows) = (site.open().await, 0);
        for _ in 0..60 {
            match ledger.watch_lap(2).await {
                Ok(lap) => rows += lap.rows,
                Err(error) => assert_eq!(error.code(), "LEDGER_TRANSIENT", "{error}"),
            }
        }
        rows
    };
    let (one, other, ()) =
        tokio::join!(watcher(Arc::clone(&site)), watcher(Arc::clone(&site)), async {
            for at in 0..10 {
                charge(&mut ledger, 2, vec![ago(now_us, at, 1, 100 + at)]).await;
            }
        });
    let rest = watch(&mut ledger, ALL).await;
    assert_eq!(one + other + rest, 19);
    assert_eq!(findings(&mut ledger).await, [""; 0]);
}

async fn a_cut_lap_is_not_counted(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    let mut cut = 0;
    for micros in (0..60).map(|at| at * 100) {
        let mut other = site.open().await;
        let lap = other.watch_lap(1);
        cut += usize::from(tokio::time::timeout(Duration::from_micros(micros), lap).await.is_err());
    }
    assert!(cut > 0, "no lap was cut");
    // What a dropped connection has begun may still be written while this one reads.
    while ledger.watch_lap(ALL).await.unwrap() != (Lap { counted: true, ..Lap::default() }) {}
    assert_eq!(findings(&mut ledger).await, [""; 0]);
    let sums = "SELECT CAST(sum(moved_micros) AS TEXT) FROM watch_balances UNION ALL SELECT CAST(sum(amount_micros) AS TEXT) FROM ad_balance_histories";
    let sums = site.rows(sums).await;
    assert_eq!(sums[0], sums[1]);
}

async fn one_host_watches(kind: Kind) {
    let site = Site::new(kind).await;
    let (mut one, mut other) = (site.open().await, site.open().await);
    let lease = Duration::from_secs(60);
    assert!(one.lead_watch("one", lease).await.unwrap());
    assert!(one.lead_watch("one", lease).await.unwrap());
    assert!(!other.lead_watch("other", lease).await.unwrap());
    // The relay is another matter.
    assert!(other.lead("other", lease).await.unwrap());
    other.resign_watch("other").await.unwrap();
    assert!(!other.lead_watch("other", lease).await.unwrap());
    one.resign_watch("one").await.unwrap();
    assert!(other.lead_watch("other", lease).await.unwrap());
}

fn everything() -> RateFilter {
    RateFilter { top: 100, ..RateFilter::default() }
}

async fn duplicates_are_counted_by_the_minute(kind: Kind) {
    let (site, mut ledger, now_us) = site(kind).await;
    // Beside what is there: clicks of campaign 1 in each window.
    let clicks =
        [30, 300, 2_000].into_iter().flat_map(|at| [at; 4].map(|at| ago(now_us, at, 1, 300)));
    charge(&mut ledger, 3, clicks.collect()).await;
    pay_back(&mut ledger, now_us, 30, 1, 300).await;
    pay_back(&mut ledger, now_us, 300, 1, 300).await;
    watch(&mut ledger, ALL).await;
    let check = async |ledger: &mut Ledger, filter: &RateFilter, expected: &[&str]| {
        let found = ledger.duplicate_rates(filter).await.unwrap().rates;
        let found: Vec<_> = found
            .iter()
            .map(|rate| {
                let id = if rate.scope == RateScope::Campaign {
                    &rate.campaign
                } else {
                    &rate.advertiser
                };
                let ClickCount { clicks, duplicates } = rate.count;
                format!("{} {id} {duplicates}/{clicks}", rate.window.as_str())
            })
            .collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let only = RateFilter { campaign: Some("campaign_1".to_owned()), ..everything() };
    // The three charges of a device that were not the first are given back.
    let expected = [
        "5m advertiser_1 0/4",
        "1h advertiser_1 3/8",
        "1d advertiser_1 6/12",
        "5m campaign_1 0/4",
        "1h campaign_1 3/8",
        "1d campaign_1 6/12",
    ];
    check(&mut ledger, &only, &expected).await;
    let only = RateFilter { advertiser: Some("advertiser_0".to_owned()), ..everything() };
    let expected = [
        "5m advertiser_0 2/8",
        "1h advertiser_0 2/8",
        "1d advertiser_0 2/8",
        "5m campaign_0 1/4",
        "5m campaign_2 1/4",
        "1h campaign_0 1/4",
        "1h campaign_2 1/4",
        "1d campaign_0 1/4",
        "1d campaign_2 1/4",
    ];
    check(&mut ledger, &only, &expected).await;
    let top = RateFilter { top: 1, clicks_min: 8, ..RateFilter::default() };
    let expected = [
        "5m advertiser_0 2/8",
        "1h advertiser_1 3/12",
        "1d advertiser_1 6/16",
        "1h campaign_1 3/8",
        "1d campaign_1 6/12",
    ];
    check(&mut ledger, &top, &expected).await;
    let totals = ledger.duplicate_rates(&top).await.unwrap().totals;
    let total = |clicks, duplicates| ClickCount { clicks, duplicates };
    assert_eq!(totals, [total(16, 2), total(20, 5), total(24, 8)]);
    assert_eq!(totals[0].rate_ppm(), 125_000);
    // What no window needs any more goes.
    let minute = now_us / MINUTE_US - 2_881;
    site.sql(&format!("INSERT INTO click_minutes VALUES ({minute}, 'c', 'a', 1)")).await;
    watch(&mut ledger, ALL).await;
    let old = format!("SELECT 'x' FROM click_minutes WHERE minute <= {minute}");
    assert!(site.rows(&old).await.is_empty());
    let kept = "SELECT 'x' FROM click_minutes WHERE campaign_id = 'campaign_1'";
    assert_eq!(site.rows(kept).await.len(), 5);
}

async fn a_high_rate_is_told_once_a_day(kind: Kind) {
    let (site, mut ledger, _) = site(kind).await;
    watch(&mut ledger, ALL).await;
    let rates = ledger.duplicate_rates(&everything()).await.unwrap().rates;
    let check = async |ledger: &mut Ledger, level_ppm: u32, expected: u64| {
        assert_eq!(
            ledger.alert_duplicates(&rates, level_ppm).await.unwrap(),
            expected,
            "{level_ppm}"
        );
    };
    // Two campaigns and their advertiser have a rate of 1 in 4, in three windows each.
    check(&mut ledger, 250_000, 0).await;
    check(&mut ledger, 249_999, 9).await;
    check(&mut ledger, 100, 0).await;
    let told = site
        .rows("SELECT CAST(payload ->> 'detail' AS TEXT) FROM outbox WHERE dedup_key LIKE 'duplicate-rate:campaign:5m:campaign_0:%'")
        .await;
    let expected = "1 of 4 charged clicks within 5 minutes were given back as duplicates. Look with: tollgate duplicates --window 5m";
    assert_eq!(told, [expected]);
    assert_eq!(Window::ALL.map(Window::as_str), ["5m", "1h", "1d"]);
}
