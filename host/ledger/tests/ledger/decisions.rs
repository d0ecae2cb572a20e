//! Records of decisions stand in the transaction of what was decided, are found by any offset, and go after their time.

use tollgate_domain::day::Day;
use tollgate_domain::plan::{Advance, Plan};
use tollgate_ledger::{Ledger, Place, Rows};

use crate::support::plans::{Batch, Held, click, with_rare_parts};
use crate::support::refunds::{COMPENSATIONS, LATER, day_of, paid, rejected, store, waits};
use crate::support::{Kind, Site, TOPIC, acquire};

crate::on_both!(
    a_record_is_found_by_every_offset_of_its_span,
    a_batch_of_several_partitions_has_one_body,
    a_plan_that_is_not_written_leaves_no_record,
    a_settled_compensation_has_a_record,
    records_go_after_their_time,
);

/// Both ways of writing, with locks and without.
const SHAPES: [(usize, bool); 4] = [(usize::MAX, false), (0, false), (usize::MAX, true), (0, true)];

async fn body_at(ledger: &mut Ledger, topic: &str, partition: i32, offset: i64) -> Option<Vec<u8>> {
    let place = Place { topic: topic.into(), incarnation: 0, partition, offset };
    let found = ledger.traces(&place).await.unwrap().record;
    if let Some(record) = &found {
        assert!((record.first_offset..record.next_offset).contains(&offset));
        assert_eq!(record.generation, 1);
    }
    found.map(|record| record.body)
}

async fn rows_of(ledger: &mut Ledger, batch: &Batch, locked: bool) -> Rows {
    if !locked {
        return ledger.load(batch.keys()).await.unwrap();
    }
    let advances = batch.advances();
    let keys = tollgate_ledger::LockKeys {
        generation: 1,
        advances: &advances,
        advertisers: &batch.advertisers,
        days: &batch.days,
    };
    ledger.lock(keys).await.unwrap()
}

async fn apply(ledger: &mut Ledger, batch: &Batch, locked: bool, change: impl Fn(&mut Plan<'_>)) {
    let rows = rows_of(ledger, batch, locked).await;
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let mut plan = batch.plan(&rows, &campaigns);
    change(&mut plan);
    ledger.apply(&plan).await.unwrap();
}

async fn a_record_is_found_by_every_offset_of_its_span(kind: Kind) {
    let site = Site::new(kind).await;
    for (at, (shape, locked)) in SHAPES.into_iter().enumerate() {
        let mut ledger = site.open_shape(shape).await;
        let held = acquire(&mut ledger, 0).await;
        let (first, next) = (held.next_offset, held.next_offset + 3);
        let batch = Batch::new(&held, vec![click(0, 5), click(1, 7), click(0, 9)]);
        let body = vec![at as u8, 0, 0xff, b'\\'];
        apply(&mut ledger, &batch, locked, |plan| plan.record = Some(body.clone())).await;
        for offset in [first, first + 1, next - 1] {
            assert_eq!(body_at(&mut ledger, TOPIC, 0, offset).await, Some(body.clone()));
        }
        assert_eq!(body_at(&mut ledger, TOPIC, 0, next).await, None, "behind the span");
        assert_eq!(body_at(&mut ledger, TOPIC, 1, first).await, None, "another partition");
        assert_eq!(body_at(&mut ledger, "other", 0, first).await, None, "another topic");

        // The next batch has none, and the one behind it has: its offsets lie between spans.
        let held = Held { next_offset: next, ..held };
        let batch = Batch::new(&held, vec![click(2, 5)]);
        apply(&mut ledger, &batch, locked, |_| ()).await;
        let batch = Batch::new(&Held { next_offset: next + 1, ..held }, vec![click(2, 5)]);
        apply(&mut ledger, &batch, locked, |plan| plan.record = Some(vec![8])).await;
        assert_eq!(body_at(&mut ledger, TOPIC, 0, next).await, None, "between spans");
        let place = Place { topic: TOPIC.into(), incarnation: 1, partition: 0, offset: first };
        assert_eq!(ledger.traces(&place).await.unwrap().record, None, "another incarnation");
    }
    // With the rare parts of a plan the record is written, too.
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let batch = Batch::new(&held, vec![click(0, 5)]);
    apply(&mut ledger, &batch, false, |plan| {
        with_rare_parts(plan);
        plan.record = Some(vec![9]);
    })
    .await;
    for offset in held.next_offset..held.next_offset + 4 {
        assert_eq!(body_at(&mut ledger, TOPIC, 0, offset).await, Some(vec![9]));
    }
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
}

async fn a_batch_of_several_partitions_has_one_body(kind: Kind) {
    let site = Site::new(kind).await;
    for (shape, locked) in SHAPES {
        let mut ledger = site.open_shape(shape).await;
        let held = acquire(&mut ledger, 0).await;
        let others = [acquire(&mut ledger, 1).await, acquire(&mut ledger, 3).await];
        let batch = Batch::new(&held, vec![click(0, 5)]);
        apply(&mut ledger, &batch, locked, |plan| {
            plan.record = Some(vec![7; 100]);
            for other in &others {
                let next_offset = other.next_offset + 2;
                let still = Advance::nowhere(&other.source, other.next_offset);
                plan.advances.push(Advance { next_offset, skipped: 2, ..still });
            }
        })
        .await;
        let mut leads = Vec::new();
        for held in others.iter().chain([&held]) {
            let (partition, offset) = (held.source.partition, held.next_offset);
            assert_eq!(body_at(&mut ledger, TOPIC, partition, offset).await, Some(vec![7; 100]));
            let place = Place { topic: TOPIC.into(), incarnation: 0, partition, offset };
            leads.push(ledger.traces(&place).await.unwrap().record.unwrap().lead);
        }
        assert!(leads.iter().all(|lead| *lead == leads[0]), "{leads:?}");
    }
    let bodies =
        "SELECT CAST(count(*) AS TEXT) || ' ' || CAST(count(body) AS TEXT) FROM decision_records";
    assert_eq!(site.rows(bodies).await, ["12 4"]);
}

async fn a_plan_that_is_not_written_leaves_no_record(kind: Kind) {
    let site = Site::new(kind).await;
    for (shape, _) in &SHAPES[..2] {
        let mut ledger = site.open_shape(*shape).await;
        let held = acquire(&mut ledger, 0).await;
        let batch = Batch::new(&held, vec![click(0, 5)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let plan = || Plan { record: Some(vec![1]), ..batch.plan(&rows, &campaigns) };
        let mut stale = plan();
        stale.balances[0].expected.0 += 1;
        assert_eq!(ledger.apply(&stale).await.unwrap_err().code(), "STALE");
        let mut fenced = plan();
        fenced.advances[0].expected_offset += 1;
        assert_eq!(ledger.apply(&fenced).await.unwrap_err().code(), "FENCED");
        assert_eq!(body_at(&mut ledger, TOPIC, 0, held.next_offset).await, None);
    }
    assert!(site.rows("SELECT topic FROM decision_records").await.is_empty());
}

async fn a_settled_compensation_has_a_record(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 0, &[Site::duplicate(0), Site::duplicate(1)]).await;
    let [one, two] = &ledger.waiting_compensations(9).await.unwrap()[..] else { panic!("two") };
    let record = Some(vec![1, 0xff]);
    // What waits is not recorded, whatever the plan says.
    let mut plan = waits(one, 1);
    plan.record = record.clone();
    ledger.apply_refund(&plan, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(body_at(&mut ledger, COMPENSATIONS, 0, 0).await, None);

    let again = ledger.waiting_compensations(9).await.unwrap();
    let one = again.iter().find(|found| found.id == one.id).unwrap();
    let facts = ledger.lock_refund(one, &day_of(one), 1).await.unwrap().unwrap();
    let mut plan = paid(one, &facts);
    plan.record = record.clone();
    ledger.apply_refund(&plan, LATER).await.unwrap();
    let mut plan = rejected(two, 1);
    plan.record = Some(vec![2]);
    ledger.apply_refund(&plan, LATER).await.unwrap();
    assert_eq!(body_at(&mut ledger, COMPENSATIONS, 0, 0).await, record);
    assert_eq!(body_at(&mut ledger, COMPENSATIONS, 0, 1).await, Some(vec![2]));
    assert_eq!(body_at(&mut ledger, COMPENSATIONS, 0, 2).await, None);

    // From the charge to the compensation that gave it back, and from there to the charge.
    let place = |offset| Place { topic: TOPIC.into(), incarnation: 0, partition: 0, offset };
    let charge = place(4);
    assert_eq!(ledger.traces(&place(0)).await.unwrap().refunded_by, None);
    let traces = ledger.traces(&charge).await.unwrap();
    let entry = ledger.compensation(traces.refunded_by.unwrap()).await.unwrap().unwrap();
    assert_eq!((entry.state.as_str(), entry.refund.0), ("REFUNDED", 100));
    assert_eq!(entry.refunded, [charge]);
    assert_eq!(entry.row.event, Site::duplicate(0));
    let comp = Place { topic: COMPENSATIONS.into(), ..place(1) };
    let traces = ledger.traces(&comp).await.unwrap();
    assert_eq!(traces.compensation.unwrap().state, "REJECTED");
    assert_eq!(traces.letter.unwrap().code, "COMPENSATION_REJECTED");
}

async fn records_go_after_their_time(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let today = Day(i32::try_from(ledger.clock_us().await.unwrap() / 86_400_000_000).unwrap());
    let held = acquire(&mut ledger, 0).await;
    let batch = Batch::new(&held, vec![click(0, 5)]);
    // Before the day has a table of its own, and after.
    apply(&mut ledger, &batch, false, |plan| plan.record = Some(vec![1])).await;
    assert!(ledger.maintain_decisions(today, 2, 14).await.unwrap());
    assert!(ledger.maintain_decisions(today, 2, 14).await.unwrap(), "again changes nothing");
    let held = acquire(&mut ledger, 0).await;
    let batch = Batch::new(&held, vec![click(0, 5)]);
    apply(&mut ledger, &batch, false, |plan| plan.record = Some(vec![2])).await;
    assert_eq!(body_at(&mut ledger, TOPIC, 0, 0).await, Some(vec![1]));
    assert_eq!(body_at(&mut ledger, TOPIC, 0, 1).await, Some(vec![2]));
    if kind == Kind::Postgres {
        let default = "SELECT topic FROM decision_records_default";
        assert!(site.rows(default).await.is_empty());
        let tables = "SELECT relname::text FROM pg_class WHERE relname LIKE 'decision_records_2%'
                      AND relkind = 'r' ORDER BY 1";
        let name = |day: i32| format!("decision_records_{}", Day(day).to_string().replace('-', ""));
        let expected: Vec<_> = (0..3).map(|ahead| name(today.0 + ahead)).collect();
        assert_eq!(site.rows(tables).await, expected);
    }
    // On the last day of their time they are there; a day later they are gone.
    assert!(ledger.maintain_decisions(Day(today.0 + 14), 0, 14).await.unwrap());
    assert_eq!(body_at(&mut ledger, TOPIC, 0, 1).await, Some(vec![2]));
    assert!(ledger.maintain_decisions(Day(today.0 + 15), 0, 14).await.unwrap());
    assert_eq!(body_at(&mut ledger, TOPIC, 0, 0).await, None);
    assert_eq!(body_at(&mut ledger, TOPIC, 0, 1).await, None);
}

/// Nobody waits for whoever is in the way: a writer for the upkeep, or one upkeep for another.
#[tokio::test]
async fn upkeep_gives_way() {
    use sqlx::{Connection as _, Executor as _};
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open().await;
    let mut writer = site.pg().await;
    let mut open = writer.begin().await.unwrap();
    open.execute("LOCK TABLE decision_records_default IN ROW EXCLUSIVE MODE").await.unwrap();
    assert!(!ledger.maintain_decisions(Day(20_778), 0, 14).await.unwrap());
    open.rollback().await.unwrap();
    let mut other = writer.begin().await.unwrap();
    other.execute("SELECT pg_advisory_xact_lock(7205759403792793605)").await.unwrap();
    assert!(!ledger.maintain_decisions(Day(20_778), 0, 14).await.unwrap());
    other.rollback().await.unwrap();
    assert!(ledger.maintain_decisions(Day(20_778), 0, 14).await.unwrap());
}
