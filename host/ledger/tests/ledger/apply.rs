//! Plans are written whole or not at all, and only when everything they were decided on still holds.

use std::sync::Arc;

use crate::support::plans::{Batch, click, with_rare_parts};
use crate::support::{Kind, Site, acquire, part};
use tollgate_domain::money::Micros;
use tollgate_domain::plan::Plan;
use tollgate_domain::slice::Source;
use tollgate_ledger::{Ledger, LedgerError, LockKeys};

crate::on_both!(
    only_a_plan_that_holds_is_written,
    the_world_may_change_in_between,
    all_shapes_write_the_same,
    skips_move_only_the_progress,
    a_change_by_hand_grows_the_version,
    crossings_and_messages_happen_once,
);

/// How a plan is written.
const SHAPES: [(usize, bool); 4] = [(usize::MAX, false), (0, false), (usize::MAX, true), (0, true)];

/// Spoils a good plan and expects its fate; anything but "OK" must leave no trace.
async fn check(site: &Site, spoil: fn(&mut Plan<'_>), expected: &str) {
    for (shape, locked) in SHAPES {
        let mut ledger = site.open_shape(shape).await;
        let held = acquire(&mut ledger, 0).await;
        let batch = Batch::new(&held, vec![click(0, 7), click(1, 8), click(2, 9)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let mut plan = batch.plan(&rows, &campaigns);
        spoil(&mut plan);
        let before = site.dump().await;
        if locked {
            let advances = batch.advances();
            let keys = LockKeys {
                generation: 1,
                advances: &advances,
                advertisers: &batch.advertisers,
                days: &batch.days,
            };
            ledger.lock(keys).await.unwrap();
        }
        let written = ledger.apply(&plan).await;
        let code = written.as_ref().map_or_else(LedgerError::code, |()| "OK");
        assert_eq!(code, expected, "{:?} {shape} {locked}: {written:?}", site.kind);
        assert_eq!(site.dump().await == before, expected != "OK", "{expected} {shape} {locked}");
        // The connection is good for the next plan.
        ledger.clock_us().await.unwrap();
    }
}

fn source_of(plan: &mut Plan<'_>) -> Source {
    (*plan.advances[0].source).clone()
}

/// Gives the plan another source; its history rows go, because they name the old one.
fn resource(plan: &mut Plan<'_>, source: Source) {
    plan.advances[0].source = Arc::new(source);
    plan.history.clear();
}

async fn only_a_plan_that_holds_is_written(kind: Kind) {
    let site = &Site::new(kind).await;
    check(site, |_| (), "OK").await;
    check(site, |plan| plan.history.clear(), "OK").await;
    check(site, |plan| plan.advances[0].expected_offset -= 1, "FENCED").await;
    check(site, |plan| plan.advances[0].expected_offset += 1, "FENCED").await;
    check(
        site,
        |plan| {
            let source = source_of(plan);
            resource(plan, Source { epoch: source.epoch - 1, ..source });
        },
        "FENCED",
    )
    .await;
    check(
        site,
        |plan| {
            let source = source_of(plan);
            resource(plan, Source { incarnation: 1, ..source });
        },
        "FENCED",
    )
    .await;
    check(
        site,
        |plan| {
            let source = source_of(plan);
            resource(plan, Source { partition: 9, ..source });
        },
        "FENCED",
    )
    .await;
    check(site, |plan| plan.generation = 2, "GENERATION_CHANGED").await;
    check(site, |plan| plan.balances[0].expected = Micros(1), "STALE").await;
    check(site, |plan| plan.balances[0].advertiser = "nobody".into(), "STALE").await;
    check(site, |plan| plan.days[1].expected_version += 1, "STALE").await;
    check(site, |plan| plan.days[2].campaign_version += 1, "STALE").await;
    check(site, |plan| plan.days[2].key.campaign = "nobody".into(), "STALE").await;
    check(site, |plan| plan.history[1].amount = Micros(1), "REFUSED_BY_DATABASE").await;
    check(site, |plan| plan.history[1].offset = plan.history[0].offset, "REFUSED_BY_DATABASE")
        .await;
    check(site, |plan| plan.history[0].reason = 2, "LEDGER_UNEXPECTED").await;
    check(
        site,
        |plan| {
            with_rare_parts(plan);
            plan.outbox[0].payload = "{".into();
        },
        "REFUSED_BY_DATABASE",
    )
    .await;
    check(
        site,
        |plan| {
            with_rare_parts(plan);
            plan.statuses[0].expected_version -= 1;
        },
        "STALE",
    )
    .await;
    check(
        site,
        |plan| {
            with_rare_parts(plan);
            plan.dead.push(plan.dead[0].clone());
        },
        "REFUSED_BY_DATABASE",
    )
    .await;
    check(site, with_rare_parts, "OK").await;
}

/// Changes the world after the plan was decided.
async fn the_world_may_change_in_between(kind: Kind) {
    let site = &Site::new(kind).await;
    let cases = [
        (
            "UPDATE campaigns SET cpc_micros = cpc_micros + 1 WHERE campaign_id = 'campaign_1'",
            "STALE",
        ),
        ("UPDATE campaigns SET status = 'PAUSED' WHERE campaign_id = 'campaign_0'", "STALE"),
        ("UPDATE advertiser_balances SET balance_micros = balance_micros + 1", "STALE"),
        ("UPDATE campaigns SET cpc_micros = cpc_micros", "OK"),
        ("UPDATE campaigns SET cpc_micros = 1 WHERE campaign_id = 'campaign_3'", "OK"),
        ("DELETE FROM campaigns WHERE campaign_id = 'campaign_1'", "STALE"),
    ];
    for (sql, expected) in cases {
        let mut ledger = site.open().await;
        let held = acquire(&mut ledger, 1).await;
        let batch = Batch::new(&held, vec![click(0, 7), click(1, 8)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        site.sql(sql).await;
        let written = ledger.apply(&batch.plan(&rows, &campaigns)).await;
        assert_eq!(written.as_ref().map_or_else(LedgerError::code, |()| "OK"), expected, "{sql}");
    }
}

async fn charge_in(kind: Kind, shape: usize, locked: bool) -> String {
    let site = Site::new(kind).await;
    let mut ledger = site.open_shape(shape).await;
    for partition in 0..2 {
        let mut held = acquire(&mut ledger, partition).await;
        for round in 0..5_usize {
            let price = |at: usize| ((at * 7 + round) % 13) as i64;
            let clicks = (0..90).map(|at| click((at * at + round) % 4, price(at)));
            let mut batch = Batch::new(&held, clicks.collect());
            batch.charge(&mut ledger, locked).await.unwrap();
            held = batch.held;
        }
        let batch = Batch::new(&held, vec![click(0, 1)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let mut plan = batch.plan(&rows, &campaigns);
        if partition == 0 {
            with_rare_parts(&mut plan);
        }
        ledger.apply(&plan).await.unwrap();
    }
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
    site.dump().await
}

async fn all_shapes_write_the_same(kind: Kind) {
    let first = charge_in(Kind::Sqlite, usize::MAX, false).await;
    assert!(first.lines().count() > 900, "{first}");
    for (shape, locked) in SHAPES {
        let other = charge_in(kind, shape, locked).await;
        for (line, expected) in other.lines().zip(first.lines()) {
            assert_eq!(line, expected, "{kind:?} {shape} {locked}");
        }
        assert_eq!(other.lines().count(), first.lines().count());
    }
}

async fn skips_move_only_the_progress(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 2).await;
    let batch = Batch::new(&held, vec![]);
    let rows = ledger.load(batch.keys()).await.unwrap();
    let mut plan = batch.plan(&rows, &[]);
    plan.advances[0].next_offset = 70;
    plan.advances[0].skipped = 69;
    plan.advances[0].absent = 1;
    ledger.apply(&plan).await.unwrap();
    let row = ledger.progress(&["ad-events"]).await.unwrap().remove(2);
    assert_eq!((row.next_offset, row.skipped, row.absent, row.charged), (70, 69, 1, 0));
    assert_eq!(ledger.apply(&plan).await.unwrap_err().code(), "FENCED");

    // A plan without partitions, such as a resume, is held to the active generation.
    plan.advances.clear();
    ledger.apply(&plan).await.unwrap();
    assert_eq!(ledger.activate(&[part("d2")], "tester", "").await.unwrap(), 2);
    let error = ledger.apply(&plan).await.unwrap_err();
    assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
}

async fn a_change_by_hand_grows_the_version(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    for (sql, grows) in [
        ("UPDATE campaigns SET cpc_micros = 5", true),
        ("UPDATE campaigns SET cpc_micros = 5", false),
        ("UPDATE campaigns SET paused_reason = 'MANUAL', status = 'PAUSED'", true),
        ("UPDATE campaigns SET daily_budget_micros = NULL", true),
        ("UPDATE campaigns SET time_zone = 'UTC'", true),
        ("UPDATE campaigns SET version = 1, cpc_micros = 6", true),
        ("UPDATE campaigns SET version = version + 10", true),
    ] {
        let before = version(&mut ledger).await;
        site.sql(sql).await;
        let after = version(&mut ledger).await;
        assert_eq!(after > before, grows, "{sql}: {before} {after}");
        assert!(after >= before, "{sql}: {before} {after}");
    }
    let before = version(&mut ledger).await;
    site.sql("DELETE FROM campaigns").await;
    ledger.put_campaigns(&[crate::support::campaign(0)]).await.unwrap();
    assert!(version(&mut ledger).await > before, "a campaign that was loaded anew is another one");

    site.sql("UPDATE campaigns SET time_zone = 'Mars/Olympus'").await;
    let error = ledger.campaigns(&["campaign_0".into()]).await.unwrap_err();
    assert_eq!(error.code(), "LEDGER_ROW_INVALID");
    assert!(error.to_string().contains("campaign_0"), "{error}");
}

async fn version(ledger: &mut Ledger) -> i64 {
    ledger.campaigns(&["campaign_0".into(), "unknown".into()]).await.unwrap()[0].version
}

async fn crossings_and_messages_happen_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    for _ in 0..2 {
        let held = acquire(&mut ledger, 3).await;
        let batch = Batch::new(&held, vec![click(0, 7)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let mut plan = batch.plan(&rows, &campaigns);
        with_rare_parts(&mut plan);
        for crossing in &mut plan.crossings {
            crossing.round = 0;
        }
        ledger.apply(&plan).await.unwrap();
    }
    let count = async |table: &str| {
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {table}");
        site.rows(&sql).await.remove(0)
    };
    assert_eq!(count("budget_crossings").await, "2");
    assert_eq!(count("outbox").await, "2");
    assert_eq!(count("dead_letters").await, "2");
}
