//! The past is read in its order: records with their bytes, the charges of their spans, what budgets led to.

use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::plan::OutboxMessage;
use tollgate_ledger::{PastClicks, PastSpan};

use crate::support::plans::{Batch, DAY, Held, TestClick, click};
use crate::support::{Kind, Site, TOPIC, acquire};

crate::on_both!(the_past_is_read_in_its_order);

async fn the_past_is_read_in_its_order(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let first_offset = held.next_offset;
    let before = |price| TestClick { day: Day(DAY.0 - 1), ..click(1, price) };
    let batches = [vec![click(0, 5), click(1, 7)], vec![before(9)], vec![click(2, 11)]];
    for (at, clicks) in batches.into_iter().enumerate() {
        let next_offset = held.next_offset + clicks.len() as i64;
        let batch = Batch::new(&held, clicks);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let mut plan = batch.plan(&rows, &campaigns);
        // The second batch has no record.
        plan.record = (at != 1).then(|| vec![at as u8; 4]);
        let facts = HappeningFacts {
            campaign_id: format!("campaign_{at}"),
            day: Day(DAY.0 - 1 + at as i32).to_string(),
            level_ppm: 900_000,
            occurred_at_us: 77,
            ..HappeningFacts::default()
        };
        let kind = HappeningKind::Warning;
        plan.outbox.push(OutboxMessage { key: format!("k{at}"), kind, payload: facts.to_json() });
        ledger.apply(&plan).await.unwrap();
        held = Held { next_offset, ..held };
    }

    let records = ledger.past_records(0).await.unwrap();
    let leads: Vec<_> = records.iter().map(|record| record.lead.offset - first_offset).collect();
    assert_eq!(leads, [1, 3]);
    assert!(records.iter().all(|record| record.lead.topic == TOPIC && record.generation == 1));
    assert!(records[0].decided_at_us <= records[1].decided_at_us);
    let bodies = ledger.past_bodies(&records).await.unwrap();
    assert_eq!(bodies, [(0, vec![0; 4]), (1, vec![2; 4])]);
    assert!(ledger.past_bodies(&[]).await.unwrap().is_empty());
    let later = records[1].decided_at_us + 1;
    assert!(ledger.past_records(later).await.unwrap().is_empty());

    let span = PastSpan {
        topic: TOPIC.to_owned(),
        incarnation: 0,
        partition: 0,
        first_offset,
        next_offset: held.next_offset,
    };
    let charges = ledger.past_charges(&span, DAY).await.unwrap();
    let found: Vec<_> = charges
        .iter()
        .map(|one| (one.offset - first_offset, &*one.campaign, one.charge.0))
        .collect();
    assert_eq!(found, [(0, "campaign_0", 5), (1, "campaign_1", 7), (3, "campaign_2", 11)]);
    assert_eq!((charges[0].day, charges[0].occurred_at_us), (DAY, click(0, 5).at_us));
    assert_eq!(charges[2].balance_after, Micros(charges[0].balance_after.0 - 11));
    let shorter = PastSpan { next_offset: first_offset + 1, ..span.clone() };
    assert_eq!(ledger.past_charges(&shorter, DAY).await.unwrap().len(), 1);
    assert_eq!(ledger.past_charges(&span, Day(DAY.0 - 1)).await.unwrap().len(), 4);
    let other = PastSpan { partition: 1, ..span };
    assert!(ledger.past_charges(&other, DAY).await.unwrap().is_empty());

    let clicks = ledger.past_clicks(DAY).await.unwrap();
    assert_eq!(clicks, PastClicks { charged: 3, retired: 0 });
    let crossings = ledger.past_crossings(DAY).await.unwrap();
    let ids: Vec<_> = crossings.iter().map(|(kind, facts)| (*kind, &*facts.campaign_id)).collect();
    let warned = |id| (HappeningKind::Warning, id);
    assert_eq!(ids, [warned("campaign_1"), warned("campaign_2")]);
    assert_eq!(crossings[0].1.occurred_at_us, 77);
}
