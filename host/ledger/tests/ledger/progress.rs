//! Progress: first sight, acquisition, halting and going on.

use tollgate_ledger::{Acquisition, Ledger, LedgerError, Repoint};

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, TOPIC, TOPIC_ID, acquire};

crate::on_both!(
    first_sight_is_once,
    acquiring_fences_the_earlier_holder,
    a_recreated_topic_is_not_read,
    a_halted_partition_goes_on_when_told,
    tables_must_be_there,
);

async fn first_sight_is_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    assert!(!ledger.first_sight(TOPIC, TOPIC_ID, &[(0, 9), (7, 9)]).await.unwrap());
    assert!(ledger.first_sight("other", "", &[(0, 41), (1, 42)]).await.unwrap());
    let rows = ledger.progress(&["other"]).await.unwrap();
    let offsets: Vec<_> =
        rows.iter().map(|row| (row.partition, row.first_offset, row.next_offset)).collect();
    assert_eq!(offsets, [(0, 41, 41), (1, 42, 42)]);
    assert_eq!(rows[0].generation, 1);
    assert_eq!(ledger.progress(&[]).await.unwrap().len(), 6);
}

async fn acquiring_fences_the_earlier_holder(kind: Kind) {
    let site = Site::new(kind).await;
    let (mut first, mut second) = (site.open().await, site.open().await);
    let mut old = Batch::new(&acquire(&mut first, 0).await, vec![click(0, 1)]);
    let mut new = Batch::new(&acquire(&mut second, 0).await, vec![click(0, 1)]);
    assert_eq!(new.held.source.epoch, old.held.source.epoch + 1);
    for locked in [false, true] {
        let error = old.charge(&mut first, locked).await.unwrap_err();
        assert_eq!(error.code(), "FENCED", "{error}");
        new.charge(&mut second, locked).await.unwrap();
    }
    assert_eq!(acquire(&mut first, 0).await.next_offset, 2);

    // A partition that appears later starts where it is told to, once.
    let result = first.acquire("tester", TOPIC, TOPIC_ID, &[(1, 5), (9, 5)]).await.unwrap();
    let offset = |at: usize| match &result[at].result {
        Acquisition::Held { next_offset, generation, .. } => (*next_offset, *generation),
        other => panic!("{other:?}"),
    };
    assert_eq!((offset(0), offset(1)), ((0, 1), (5, 1)));
}

async fn result_of(ledger: &mut Ledger, topic_id: &str) -> Acquisition {
    ledger.acquire("tester", TOPIC, topic_id, &[(0, 0)]).await.unwrap().remove(0).result
}

async fn a_recreated_topic_is_not_read(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let recreated = Acquisition::TopicRecreated { known_id: TOPIC_ID.into() };
    assert_eq!(result_of(&mut ledger, "TID-2").await, recreated);
    assert!(matches!(result_of(&mut ledger, "").await, Acquisition::Held { .. }));
    assert_eq!(result_of(&mut ledger, "TID-2").await, recreated, "an unknown id forgets nothing");

    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1), click(1, 1)]);
    batch.charge(&mut ledger, false).await.unwrap();
    let repoint = Repoint {
        topic: TOPIC,
        partition: 0,
        offset: 0,
        topic_id: Some("TID-2"),
        note: "new topic",
    };
    let row = ledger.repoint(repoint).await.unwrap();
    assert_eq!((row.incarnation, row.next_offset, row.charged), (1, 0, 0));
    let Acquisition::Held { source, next_offset, generation } =
        result_of(&mut ledger, "TID-2").await
    else {
        panic!("not held");
    };
    // The same offsets are other records now.
    let held = crate::support::plans::Held { source, next_offset, generation };
    Batch::new(&held, vec![click(0, 1), click(1, 1)]).charge(&mut ledger, true).await.unwrap();
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
    assert_eq!(site.rows("SELECT note FROM operator_actions").await, ["new topic"]);
}

async fn a_halted_partition_goes_on_when_told(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1), click(1, 1)]);
    batch.charge(&mut ledger, false).await.unwrap();
    ledger.halt(TOPIC, 0, "the wanted offset is gone").await.unwrap();
    let halted = Acquisition::Halted { reason: "the wanted offset is gone".into() };
    assert_eq!(result_of(&mut ledger, TOPIC_ID).await, halted);
    assert_eq!(batch.charge(&mut ledger, false).await.unwrap_err().code(), "FENCED");

    let repoint =
        |partition, offset| Repoint { topic: TOPIC, partition, offset, topic_id: None, note: "n" };
    assert_eq!(ledger.repoint(repoint(0, 1)).await.unwrap_err().code(), "NOT_ALLOWED");
    assert_eq!(ledger.repoint(repoint(77, 1)).await.unwrap_err().code(), "NOT_FOUND");
    assert_eq!(ledger.halt(TOPIC, 77, "x").await.unwrap_err().code(), "NOT_FOUND");
    assert_eq!(result_of(&mut ledger, TOPIC_ID).await, halted);
    ledger.repoint(repoint(0, 100)).await.unwrap();
    let held = acquire(&mut ledger, 0).await;
    assert_eq!(held.next_offset, 100);
    Batch::new(&held, vec![click(0, 1)]).charge(&mut ledger, false).await.unwrap();
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
}

async fn tables_must_be_there(kind: Kind) {
    let site = Site::bare(kind).await;
    let (mut early, mut ledger) = (site.open().await, site.open().await);
    assert_eq!(ledger.schema_version().await.unwrap(), 0);
    let error = early.active().await.unwrap_err();
    assert!(matches!(error, LedgerError::SchemaOutdated { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("tollgate migrate"), "{error}");
    for _ in 0..2 {
        assert_eq!(ledger.migrate().await.unwrap(), ledger.schema_latest());
    }
    // A connection from before the migration notices it.
    assert_eq!(early.active().await.unwrap(), None);
    assert_eq!(early.overview().await.unwrap().generation, 0);
    assert!(early.audit(&mut |_| ()).await.unwrap().is_exact());
}
