//! Rule modules, generations and the moment at which they change.

use tollgate_ledger::{LedgerError, Part, Published};

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire, module, part};

crate::on_both!(a_generation_is_numbered_once, an_activation_fences_older_decisions);

async fn a_generation_is_numbered_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    assert_eq!(ledger.activate(&[part("d1")], "again", "").await.unwrap(), 1);
    assert_eq!(ledger.activate(&[part("d2")], "ann", "a better price").await.unwrap(), 2);
    let active = ledger.active().await.unwrap().unwrap();
    assert_eq!((active.number, &*active.author, &*active.note), (2, "ann", "a better price"));
    assert_eq!(active.parts, [part("d2")]);
    let other = Part { params: "{\"x\":1}".into(), ..part("d2") };
    assert_eq!(ledger.activate(&[other], "ann", "").await.unwrap(), 3);
    assert_eq!(ledger.activate(&[part("d1")], "ann", "").await.unwrap(), 4);
    assert_eq!(
        ledger.activate(&[part("nothing")], "ann", "").await.unwrap_err().code(),
        "NOT_FOUND"
    );
    let two = [part("d1"), part("d2")];
    assert_eq!(ledger.activate(&two, "ann", "").await.unwrap_err().code(), "NOT_ALLOWED");
    assert_eq!(ledger.active().await.unwrap().unwrap().number, 4);

    assert_eq!(ledger.publish(&module("d1"), false).await.unwrap(), Published::Known);
    assert_eq!(ledger.module_bytes("d1").await.unwrap(), b"d1");
    assert_eq!(ledger.module_bytes("d9").await.unwrap_err().code(), "NOT_FOUND");
}

async fn an_activation_fences_older_decisions(kind: Kind) {
    let site = Site::new(kind).await;
    let (mut ledger, mut operator) = (site.open().await, site.open().await);
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    operator.activate(&[part("d2")], "ann", "").await.unwrap();
    for locked in [false, true] {
        let error = batch.charge(&mut ledger, locked).await.unwrap_err();
        assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
    }
    batch.held.generation = 2;
    batch.charge(&mut ledger, true).await.unwrap();
    assert_eq!(acquire(&mut ledger, 1).await.generation, 2);
}
