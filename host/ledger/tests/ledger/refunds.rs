//! Compensations are stored once, settled once and by one host, and the money adds up.

use sqlx::{Connection, Executor};
use tollgate_domain::compensation::CompensationEvent;
use tollgate_domain::money::Micros;
use tollgate_ledger::{
    CompensationDepth, Ledger, LedgerError, LetterFilter, StoredDeadLetter, WaitingCompensation,
};

use crate::support::refunds::{
    COMPENSATIONS, LATER, acquire_compensations, day_of, event, intake, paid, pay_all, rejected,
    row, store, waits,
};
use crate::support::{Kind, Site, part};

crate::on_both!(
    a_compensation_is_stored_once,
    a_compensation_comes_back_as_it_was,
    a_refund_moves_everything_at_once,
    what_waits_is_looked_at_later,
    one_host_settles,
    two_hosts_settle_everything_once,
    other_rules_settle_nothing,
    a_charge_is_refunded_once,
    what_is_refused_is_a_dead_letter,
    an_unusable_campaign_holds_up_nobody_else,
);

const STATES: &str =
    "SELECT CAST(kafka_partition AS TEXT) || ' ' || CAST(kafka_offset AS TEXT) || ' ' || state
     FROM compensations ORDER BY kafka_partition, kafka_offset";

async fn audited(site: &Site) {
    let report = site.open().await.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:#?}");
}

/// The only compensation that is due.
async fn only(ledger: &mut Ledger) -> WaitingCompensation {
    let mut waiting = ledger.waiting_compensations(10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    waiting.remove(0)
}

async fn a_compensation_is_stored_once(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let (one, two) = (Site::duplicate(0), Site::duplicate(1));
    // Amount and count are no part of what makes it the same.
    let again = CompensationEvent { claimed: Micros(7), duplicate_count: 9, ..one.clone() };
    let held = acquire_compensations(&mut ledger, 0).await;
    let plan = intake(&held, &[one.clone(), two, again.clone()]);
    ledger.apply(&plan).await.unwrap();
    store(&mut ledger, 1, &[again]).await;
    let stored = ["0 0 WAITING", "0 1 WAITING", "0 2 REPEATED", "1 0 REPEATED"];
    assert_eq!(site.rows(STATES).await, stored);
    assert_eq!(ledger.apply(&plan).await.unwrap_err().code(), "FENCED");
    assert_eq!(site.rows(STATES).await, stored);
    audited(&site).await;

    // What was refused may come again; what was paid may not.
    let waiting = ledger.waiting_compensations(1).await.unwrap().remove(0);
    assert_eq!(waiting.row.event, one);
    ledger.apply_refund(&rejected(&waiting, 1), LATER).await.unwrap();
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    store(&mut ledger, 1, &[one.clone(), Site::duplicate(1), one]).await;
    let stored = ["0 0 REJECTED", "0 1 REFUNDED", "0 2 REPEATED", "1 0 REPEATED", "1 1 WAITING"];
    assert_eq!(site.rows(STATES).await[..5], stored);
    assert_eq!(site.rows(STATES).await[5..], ["1 2 REPEATED", "1 3 REPEATED"]);
    audited(&site).await;
}

async fn a_compensation_comes_back_as_it_was(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let bare = CompensationEvent {
        ad: String::new(),
        device: String::new(),
        timestamps_us: vec![],
        ..event(2, 4)
    };
    let long = CompensationEvent {
        timestamps_us: (0..100).map(|at| i64::MAX / 100_000 + at).collect(),
        window: "w".repeat(400),
        claimed: Micros(i64::MAX),
        ..event(3, 4)
    };
    let held = acquire_compensations(&mut ledger, 0).await;
    let plan = intake(&held, &[bare, long, Site::duplicate(1)]);
    let before = ledger.clock_us().await.unwrap();
    ledger.apply(&plan).await.unwrap();
    let waiting = ledger.waiting_compensations(10).await.unwrap();
    assert_eq!(waiting.len(), 3);
    for one in &waiting {
        let stored = plan.compensations.iter().find(|row| row.offset == one.row.offset).unwrap();
        assert_eq!(one.row.event, stored.event);
        assert_eq!((&one.row.payload, &one.row.key), (&stored.payload, &stored.key));
        assert_eq!(
            (&one.row.headers, one.row.record_at_ms),
            (&stored.headers, stored.record_at_ms)
        );
        assert_eq!((&one.row.source.topic, one.row.source.partition), (&held.source.topic, 0));
        assert!(one.received_at_us >= before / 1_000 * 1_000 && one.looks == 0);
        assert_eq!(one.campaign.as_ref().unwrap().id.to_string(), one.row.event.campaign);
    }
    assert_eq!(ledger.waiting_compensations(2).await.unwrap().len(), 2);
    // Without a device and an ad nothing can be matched.
    let bare = waiting.iter().find(|one| one.row.event.device.is_empty()).unwrap();
    let facts = ledger.lock_refund(bare, &day_of(bare), 1).await.unwrap().unwrap();
    assert_eq!(facts.charges.len(), 0);
    ledger.rollback().await.unwrap();
}

async fn a_refund_moves_everything_at_once(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    // A charge of another ad, another device or another instant is none of its business.
    store(&mut ledger, 0, &[Site::duplicate(2)]).await;
    let waiting = only(&mut ledger).await;
    let facts = ledger.lock_refund(&waiting, &day_of(&waiting), 1).await.unwrap().unwrap();
    let found: Vec<_> =
        facts.charges.iter().map(|c| (c.offset, c.charged.0, c.refunded, c.day)).collect();
    assert_eq!(found, [(2, 104, false, facts.day.day), (6, 104, false, facts.day.day)]);
    assert_eq!(facts.charges[0].occurred_at_us, waiting.row.event.timestamps_us[0]);
    assert_eq!((facts.balance, facts.state.spent), (Micros(999_999_592), Micros(208)));
    assert_eq!((facts.generation, &*facts.campaign.id), (1, "campaign_2"));
    assert!((0..60_000_000).contains(&facts.waited_us));

    let before = site.dump().await;
    let mut plan = paid(&waiting, &facts);
    plan.mismatch = Some("the \0 count".into());
    ledger.apply_refund(&plan, LATER).await.unwrap();
    assert_ne!(site.dump().await, before);
    let check =
        async |sql: &str, expected: &str| assert_eq!(site.rows(sql).await, [expected], "{sql}");
    check(
        "SELECT kafka_topic || ' ' || CAST(kafka_offset AS TEXT) || ' ' || CAST(amount_micros AS TEXT) || ' '
           || CAST(balance_after_micros AS TEXT) || ' ' || CAST(budget_day AS TEXT) || ' ' || price_source || ' '
           || reason || ' ' || campaign_id || ' ' || ad_id || ' ' || device_id
         FROM ad_balance_histories WHERE type = 'REFUND'",
        "compensation-events 0 104 999999696 2026-11-21 NONE DUPLICATES campaign_2 ad_104 device-\u{c6b0}",
    )
    .await;
    check(
        "SELECT CAST(duplicate_count AS TEXT) || ' ' || CAST(refund_micros AS TEXT) || ' ' || mismatch || ' '
           || detection_window FROM duplicate_click_logs",
        "2 104 the \u{fffd} count 5m",
    )
    .await;
    check("SELECT CAST(spent_micros AS TEXT) FROM campaign_daily_spend WHERE campaign_id = 'campaign_2'", "104").await;
    check("SELECT CAST(kafka_offset AS TEXT) FROM refunded_charges", "6").await;
    check(
        "SELECT state || ' ' || settled_reason || ' ' || CAST(refund_micros AS TEXT) FROM compensations
         WHERE settled_at IS NOT NULL",
        "REFUNDED DUPLICATES 104",
    )
    .await;
    audited(&site).await;
    assert_eq!(ledger.compensation_depth().await.unwrap(), CompensationDepth::default());
}

async fn what_waits_is_looked_at_later(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 0, &[Site::duplicate(0)]).await;
    let waiting = only(&mut ledger).await;
    let day = day_of(&waiting);
    assert!(ledger.lock_refund(&waiting, &day, 1).await.unwrap().is_some());
    let before = site.dump().await;
    ledger.apply_refund(&waits(&waiting, 1), LATER).await.unwrap();
    assert_eq!(site.dump().await, before);
    assert!(ledger.waiting_compensations(10).await.unwrap().is_empty());
    let reason =
        "SELECT settled_reason || ', ' || detail FROM compensations WHERE settled_at IS NULL";
    assert_eq!(site.rows(reason).await, ["CLICKS_MISSING, 0 of 2 clicks"]);
    // Whoever has read it before the look is told nothing and looks again later.
    assert!(ledger.lock_refund(&waiting, &day, 1).await.unwrap().is_none());
    site.sql(&format!("UPDATE compensations SET next_look_at = {}", site.instant(-1))).await;
    site.sql(&format!("UPDATE compensations SET received_at = {}", site.instant(-100))).await;
    let depth = ledger.compensation_depth().await.unwrap();
    assert!(depth.waiting == 1 && (99..200).contains(&depth.oldest_s), "{depth:?}");
    assert_eq!(only(&mut ledger).await.looks, 1);
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    audited(&site).await;
}

async fn one_host_settles(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let (mut one, mut other) = (site.open().await, site.open().await);
    store(&mut one, 0, &[Site::duplicate(0)]).await;
    let (waiting, seen) = (only(&mut one).await, only(&mut other).await);
    let day = day_of(&waiting);
    let facts = one.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
    if kind == Kind::Postgres {
        // SQLite's other writers wait for the file instead.
        assert!(other.lock_refund(&seen, &day, 1).await.unwrap().is_none());
    }
    let plan = paid(&waiting, &facts);
    one.apply_refund(&plan, LATER).await.unwrap();
    assert!(other.lock_refund(&seen, &day, 1).await.unwrap().is_none());
    let before = site.dump().await;
    // Neither its money nor, without any, its row.
    for plan in [plan, waits(&waiting, 1)] {
        assert_eq!(other.apply_refund(&plan, LATER).await.unwrap_err().code(), "STALE");
    }
    assert_eq!(site.dump().await, before);
    audited(&site).await;
}

async fn two_hosts_settle_everything_once(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    // Small refunds, each of its own instant, of the same four campaign-days.
    let events: Vec<_> = (0..60)
        .map(|at| CompensationEvent { claimed: Micros(1 + at % 3), ..event(at as usize % 4, at) })
        .collect();
    store(&mut ledger, 0, &events).await;
    let site = std::sync::Arc::new(site);
    let hosts: Vec<_> = (0..3).map(|_| tokio::spawn(settle_all(site.clone()))).collect();
    let mut settled = 0;
    for host in hosts {
        settled += host.await.unwrap();
    }
    assert_eq!(settled, events.len());
    let refunded: i64 = events.iter().map(|event| event.claimed.0).sum();
    let sum =
        "SELECT CAST(sum(amount_micros) AS TEXT) FROM ad_balance_histories WHERE type = 'REFUND'";
    assert_eq!(site.rows(sum).await, [refunded.to_string()]);
    audited(&site).await;
}

/// Pays until nothing waits any more.
async fn settle_all(site: std::sync::Arc<Site>) -> usize {
    let mut ledger = site.open().await;
    let mut settled = 0;
    while ledger.compensation_depth().await.unwrap().waiting > 0 {
        settled += pay_all(&mut ledger).await.unwrap();
    }
    settled
}

async fn other_rules_settle_nothing(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 0, &[Site::duplicate(0)]).await;
    let waiting = only(&mut ledger).await;
    let day = day_of(&waiting);
    let facts = ledger.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
    ledger.rollback().await.unwrap();
    assert_eq!(ledger.activate(&[part("d2")], "tester", "second").await.unwrap(), 2);
    let before = site.dump().await;
    let error = ledger.lock_refund(&waiting, &day, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
    for plan in [paid(&waiting, &facts), waits(&waiting, 1), rejected(&waiting, 1)] {
        let error = ledger.apply_refund(&plan, LATER).await.unwrap_err();
        assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
    }
    assert_eq!(site.dump().await, before);
    let facts = ledger.lock_refund(&waiting, &day, 2).await.unwrap().unwrap();
    ledger.apply_refund(&paid(&waiting, &facts), LATER).await.unwrap();
    audited(&site).await;
}

async fn a_charge_is_refunded_once(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let wider = CompensationEvent { window: "1h".into(), ..Site::duplicate(0) };
    store(&mut ledger, 0, &[Site::duplicate(0), wider]).await;
    let waiting = ledger.waiting_compensations(10).await.unwrap();
    let (one, other) = (&waiting[0], &waiting[1]);
    let day = day_of(one);
    let facts = ledger.lock_refund(one, &day, 1).await.unwrap().unwrap();
    ledger.apply_refund(&paid(one, &facts), LATER).await.unwrap();
    let facts = ledger.lock_refund(other, &day, 1).await.unwrap().unwrap();
    let refunded: Vec<_> = facts.charges.iter().map(|charge| charge.refunded).collect();
    assert_eq!(refunded, [false, true]);
    let mut plan = paid(other, &facts);
    plan.charges = facts.charges;
    let before = site.dump().await;
    assert_eq!(ledger.apply_refund(&plan, LATER).await.unwrap_err().code(), "STALE");
    assert_eq!(site.dump().await, before);
    plan.charges.truncate(1);
    ledger.apply_refund(&plan, LATER).await.unwrap();
    audited(&site).await;
}

async fn what_is_refused_is_a_dead_letter(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 1, &[event(0, 3), event(1, 4)]).await;
    let before = ledger.overview().await.unwrap();
    for waiting in ledger.waiting_compensations(10).await.unwrap() {
        ledger.apply_refund(&rejected(&waiting, 1), LATER).await.unwrap();
    }
    audited(&site).await;
    let letters = ledger.unpublished_dead_letters(10, &[]).await.unwrap();
    assert_eq!((before.dead_letters, letters.len()), (0, 2));
    let stored = row(&acquire_compensations(&mut ledger, 1).await, 0, event(0, 3));
    let (first, key) = (&letters[0], letters[0].key());
    assert_eq!((&*key.topic, key.incarnation, key.partition, key.offset), (COMPENSATIONS, 0, 1, 0));
    assert_eq!((&*first.code, &*first.stage), ("COMPENSATION_REJECTED", "refund"));
    assert_eq!(first.sentence, "no \u{fffd} duplicates");
    assert_eq!((&first.message_key, &first.headers), (&stored.key, &stored.headers));
    assert_eq!(first.payload.as_deref(), Some(stored.payload.as_bytes()));
    assert_eq!((first.record_at_ms, first.generation), (stored.record_at_ms, 1));

    let keys: Vec<_> = letters.iter().map(StoredDeadLetter::key).collect();
    assert_eq!(ledger.unpublished_dead_letters(1, &[]).await.unwrap(), letters[..1]);
    let except = [COMPENSATIONS.to_owned(), "it's another".to_owned()];
    assert_eq!(ledger.unpublished_dead_letters(10, &except[1..]).await.unwrap(), letters);
    assert!(ledger.unpublished_dead_letters(10, &except).await.unwrap().is_empty());
    assert_eq!(ledger.mark_published(&keys[..1]).await.unwrap(), 1);
    assert_eq!(ledger.mark_published(&keys).await.unwrap(), 1);
    assert_eq!(ledger.mark_published(&[]).await.unwrap(), 0);
    assert!(ledger.unpublished_dead_letters(10, &[]).await.unwrap().is_empty());
    assert_eq!(ledger.overview().await.unwrap().dead_letters_unpublished, 0);

    let all = LetterFilter { limit: 10, ..LetterFilter::default() };
    let by = |topic: &str, code: &str, offset: Option<i64>| LetterFilter {
        topic: (!topic.is_empty()).then(|| topic.to_owned()),
        code: (!code.is_empty()).then(|| code.to_owned()),
        partition: offset.map(|_| 1),
        offset,
        ..all.clone()
    };
    for (filter, expected) in [
        (all.clone(), 2),
        (LetterFilter { limit: 1, ..all.clone() }, 1),
        (by(COMPENSATIONS, "", None), 2),
        (by("ad-events", "", None), 0),
        (by("", "COMPENSATION_REJECTED", None), 2),
        (by("", "NOT_JSON", None), 0),
        (by(COMPENSATIONS, "", Some(first.offset)), 1),
        (by(COMPENSATIONS, "", Some(99)), 0),
    ] {
        let found = ledger.dead_letters(&filter).await.unwrap();
        assert_eq!(found.len(), expected, "{filter:?}");
    }
    let one = ledger.dead_letters(&by(COMPENSATIONS, "", Some(first.offset))).await.unwrap();
    assert_eq!(one[..], letters[..1]);
}

async fn an_unusable_campaign_holds_up_nobody_else(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let stray = CompensationEvent { campaign: "campaign_9".into(), ..event(1, 4) };
    store(&mut ledger, 0, &[Site::duplicate(0), Site::duplicate(1), stray]).await;
    site.sql("UPDATE campaigns SET time_zone = 'Moon' WHERE campaign_id = 'campaign_0'").await;
    let waiting = ledger.waiting_compensations(10).await.unwrap();
    let of =
        |campaign: &str| waiting.iter().find(|one| one.row.event.campaign == campaign).unwrap();
    let (moon, stray) = (of("campaign_0"), of("campaign_9"));
    assert!(moon.campaign.is_none() && moon.campaign_fault.as_ref().unwrap().contains("Moon"));
    assert!(stray.campaign.is_none() && stray.campaign_fault.is_none());
    assert!(of("campaign_1").campaign.is_some());
    for one in [moon, stray] {
        let error = ledger.lock_refund(one, &day_of(one), 1).await.unwrap_err();
        assert_eq!(error.code(), "STALE");
        ledger.apply_refund(&waits(one, 1), LATER).await.unwrap();
    }
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    audited(&site).await;
}

/// While a row is taken, everything before it in the order is locked and everything after it is free.
#[tokio::test]
async fn locks_are_taken_in_order() {
    let site = Site::with_duplicates(Kind::Postgres).await;
    store(&mut site.open().await, 0, &[Site::duplicate(0)]).await;
    let order = [
        "compensations",
        "advertiser_balances WHERE advertiser_id = 'advertiser_0'",
        "campaign_daily_spend WHERE campaign_id = 'campaign_0'",
    ];
    for (at, from) in order.iter().enumerate().skip(1) {
        let mut ledger = site.open().await;
        let waiting = only(&mut ledger).await;
        let mut blocker = site.pg().await;
        let mut taken = blocker.begin().await.unwrap();
        taken.execute(&*format!("SELECT 1 FROM {from} FOR UPDATE")).await.unwrap();
        let look = async {
            site.somebody_waits().await;
            for (other, from) in order.iter().enumerate().filter(|(other, _)| *other != at) {
                let sql = format!("SELECT 'x' FROM {from} FOR UPDATE SKIP LOCKED");
                assert_eq!(site.rows(&sql).await.is_empty(), other < at, "{at}: {from}");
            }
            taken.rollback().await.unwrap();
        };
        let day = day_of(&waiting);
        let (locked, ()) = tokio::join!(ledger.lock_refund(&waiting, &day, 1), look);
        assert!(locked.unwrap().is_some());
        ledger.rollback().await.unwrap();
    }
}

/// Charging leaves the settings of the session alone, so that only matching uses the summaries of page ranges, and
/// only those of the days that the instants can belong to.
#[tokio::test]
async fn charges_are_found_by_the_summaries() {
    let site = Site::with_duplicates(Kind::Postgres).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 0, &[Site::duplicate(0)]).await;
    // Of a few rows the planner would take all.
    site.sql(
        "INSERT INTO ad_balance_histories (kafka_offset, amount_micros, balance_after_micros, generation, occurred_at,
           budget_day, kafka_partition, incarnation, type, advertiser_id, campaign_id, kafka_topic, price_source, reason)
         SELECT 100 + n, 0, 0, 0, occurred_at + n * INTERVAL '1 second', budget_day, 9, 0, 'DEDUCT', 'a', 'c', 't', 'X', 'X'
         FROM ad_balance_histories, generate_series(1, 20000) AS n WHERE kafka_offset = 0;
         ANALYZE",
    )
    .await;
    let waiting = only(&mut ledger).await;
    let scans = "SELECT relname::text FROM pg_stat_user_indexes
        WHERE indexrelname LIKE 'ad_balance_histories%occurred%' AND idx_scan > 0 ORDER BY 1";
    assert!(site.rows(scans).await.is_empty());
    let facts = ledger.lock_refund(&waiting, &day_of(&waiting), 1).await.unwrap().unwrap();
    assert_eq!(facts.charges.len(), 2);
    // A connection reports what it has used at its end.
    drop(ledger);
    let gone = "SELECT 'x' FROM pg_stat_activity WHERE application_name = 'tollgate' AND datname = current_database()";
    while !site.rows(gone).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let scanned = site.rows(scans).await;
    let near = ["20261120", "20261121", "20261122", "default"];
    let near = near.map(|day| format!("ad_balance_histories_{day}"));
    assert!(!scanned.is_empty() && scanned.iter().all(|table| near.contains(table)), "{scanned:?}");
}
