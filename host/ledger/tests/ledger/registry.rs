//! The registry: who may publish what, every change of rules, and the ways back.

use tollgate_ledger::{
    Activation, FallBack, FellBack, Ledger, Module, Part, PrunePolicy, Published, Signature, change,
};

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire, module, part};

crate::on_both!(
    a_name_has_one_world_and_one_key,
    every_change_is_written_down_and_stays,
    an_activation_may_insist_on_what_it_replaces,
    rules_that_fail_are_left_once,
    what_nobody_needs_is_pruned,
    a_generation_begins_at_an_offset,
);

/// A published module of any name, world and key; an empty key is none.
fn signed(digest: &str, name: &str, world: &str, signer: &str) -> Module {
    let signature = (!signer.is_empty())
        .then(|| Signature { signer: signer.into(), signature: format!("{signer} {digest}") });
    Module { name: name.into(), world: world.into(), signature, ..module(digest) }
}

async fn a_name_has_one_world_and_one_key(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut check = async |module: Module, takes_over: bool, expected: Result<Published, &str>| {
        let found = ledger.publish(&module, takes_over).await.map_err(|error| error.code());
        assert_eq!(found, expected, "{module:?}");
    };
    check(signed("e1", "night", "pricing", ""), false, Ok(Published::New)).await;
    check(signed("e1", "night", "pricing", ""), false, Ok(Published::Known)).await;
    check(signed("e2", "night", "refund", ""), false, Err("NAME_TAKEN")).await;
    // Whoever signs first has the name.
    check(signed("e1", "night", "pricing", "ann"), false, Ok(Published::Completed)).await;
    check(signed("e1", "night", "pricing", "ann"), false, Ok(Published::Known)).await;
    check(signed("e1", "night", "pricing", ""), false, Ok(Published::Known)).await;
    check(signed("e1", "night", "pricing", "bob"), false, Err("NAME_TAKEN")).await;
    check(signed("e3", "night", "pricing", ""), false, Err("NAME_TAKEN")).await;
    check(signed("e3", "night", "pricing", "bob"), false, Err("NAME_TAKEN")).await;
    check(signed("e3", "night", "pricing", ""), true, Err("NAME_TAKEN")).await;
    check(signed("e3", "night", "pricing", "bob"), true, Ok(Published::New)).await;
    check(signed("e5", "day", "pricing", "bob"), false, Ok(Published::New)).await;
    let (row, bytes) = site.open().await.module("e1").await.unwrap();
    assert_eq!((row.signature.unwrap().signer, bytes), ("ann".into(), b"e1".to_vec()));
}

async fn every_change_is_written_down_and_stays(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    ledger.activate(&[part("d2")], "ann", "dearer").await.unwrap();
    ledger.activate(&[part("d2")], "ann", "the same changes nothing").await.unwrap();
    ledger.pause_rule("pricing", "bob", "too dear").await.unwrap();
    let changes = ledger.rule_changes(None, None, 10).await.unwrap();
    let found: Vec<_> = changes
        .iter()
        .map(|change| {
            (&*change.kind, &*change.actor, &*change.note, change.previous, change.generation)
        })
        .collect();
    assert_eq!(
        found[..3],
        [
            (change::PAUSE_RULE, "bob", "too dear", Some(2), Some(3)),
            (change::ACTIVATE, "ann", "dearer", Some(1), Some(2)),
            (change::ACTIVATE, "tester", "first", Some(0), Some(1)),
        ]
    );
    assert!(found[3..].iter().all(|change| change.0 == change::PUBLISH), "{found:?}");
    assert!(changes[1].detail.contains("\"d2\"") && changes[1].detail.contains("\"d1\""));
    assert_eq!(ledger.rule_changes(Some(2), None, 10).await.unwrap().len(), 1);
    assert_eq!(ledger.rule_changes(None, Some("d1"), 10).await.unwrap().len(), 1);
    for sql in ["UPDATE rule_changes SET actor = 'nobody'", "DELETE FROM rule_changes"] {
        assert!(site.try_sql(sql).await.is_err(), "{sql}");
    }
}

async fn an_activation_may_insist_on_what_it_replaces(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let parts = [part("d2")];
    let wanted = |expected| Activation {
        parts: &parts,
        author: "ann",
        note: "n",
        expected: Some(expected),
        ..Activation::default()
    };
    let error = ledger.activate_rules(&wanted(7)).await.unwrap_err();
    assert_eq!(error.code(), "NOT_ALLOWED", "{error}");
    let done = ledger.activate_rules(&wanted(1)).await.unwrap();
    assert_eq!((done.previous, done.number), (1, 2));
    assert_eq!(ledger.active_number().await.unwrap(), 2);
}

async fn rules_that_fail_are_left_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    ledger.publish(&module("d3"), false).await.unwrap();
    let threshold = Part { world: "threshold".into(), ..part("d1") };
    let both = |digest: &str| [part(digest), threshold.clone()];
    ledger.activate(&both("d1"), "ann", "2").await.unwrap();
    ledger.activate(&both("d2"), "ann", "3").await.unwrap();
    ledger.activate(&both("d3"), "ann", "4").await.unwrap();

    let mut hosts = [site.open().await, site.open().await, site.open().await];
    let wish = FallBack { from: 4, actor: "host", reason: "it trapped", faults: 100 };
    let [a, b, c] = &mut hosts;
    let (a, b, c) = tokio::join!(a.fall_back(&wish), b.fall_back(&wish), c.fall_back(&wish));
    let mut found = [a.unwrap(), b.unwrap(), c.unwrap()].map(|outcome| format!("{outcome:?}"));
    found.sort();
    let elsewhere = format!("{:?}", FellBack::Elsewhere { active: 5 });
    let to = format!("{:?}", FellBack::To { number: 5, good: 3 });
    assert_eq!(found, [elsewhere.clone(), elsewhere, to]);
    let told = site.rows("SELECT kind || ' ' || dedup_key FROM outbox").await;
    assert_eq!(told, ["RULE_FAULT rule-fault:4"]);
    let bad = ledger.generation(4).await.unwrap().unwrap().bad.unwrap();
    assert_eq!((&*bad.reason, &*bad.world), ("it trapped", ""));

    // Neither what was left nor what stands in its place is a way back.
    let good = async |ledger: &mut Ledger| {
        ledger.last_good().await.unwrap().map(|generation| generation.number)
    };
    assert_eq!(good(&mut ledger).await, Some(2));
    ledger.activate(&both("d3"), "ann", "6").await.unwrap();
    assert_eq!(good(&mut ledger).await, Some(5));
    // One of other worlds is none either.
    let wish = |from| FallBack { from, ..wish };
    assert_eq!(ledger.fall_back(&wish(6)).await.unwrap(), FellBack::To { number: 7, good: 5 });
    assert_eq!(ledger.fall_back(&wish(7)).await.unwrap(), FellBack::To { number: 8, good: 2 });
    assert_eq!(ledger.fall_back(&wish(8)).await.unwrap(), FellBack::NoneGood);
    assert_eq!(ledger.fall_back(&wish(8)).await.unwrap(), FellBack::NoneGood);
    assert_eq!(ledger.active_number().await.unwrap(), 8);
    let told = site.rows("SELECT dedup_key FROM outbox ORDER BY 1").await;
    assert_eq!(told, ["rule-fault:4", "rule-fault:6", "rule-fault:7", "rule-fault:8"]);

    // A rule of one world is left alone, and not come back to.
    let cheap = Part { params: "{\"x\":[\"1\"]}".into(), ..threshold.clone() };
    ledger.activate(&[part("d1"), cheap.clone()], "ann", "9").await.unwrap();
    ledger.activate(&[part("d2"), cheap.clone()], "ann", "10").await.unwrap();
    let done = ledger.pause_rule("threshold", "ann", "too cheap").await.unwrap();
    assert_eq!((done.previous, done.number), (10, 11));
    assert_eq!(ledger.active().await.unwrap().unwrap().parts, both("d2"));
    let error = ledger.pause_rule("threshold", "ann", "again").await.unwrap_err();
    assert_eq!(error.code(), "NOT_FOUND", "9 has the rule that was paused: {error}");
}

async fn what_nobody_needs_is_pruned(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    batch.charge(&mut ledger, false).await.unwrap();
    ledger.publish(&module("d3"), false).await.unwrap();
    ledger.activate(&[part("d2")], "ann", "").await.unwrap();
    ledger.activate(&[part("d3")], "ann", "").await.unwrap();
    ledger.publish(&signed("e4", "other", "pricing", ""), false).await.unwrap();
    let mut prune = async |generations, unused_days, is_dry| {
        let policy = PrunePolicy { generations, unused_days };
        let pruned = ledger.prune_modules(policy, "ann", "tidy", is_dry).await.unwrap();
        pruned.into_iter().map(|module| module.digest).collect::<Vec<_>>()
    };
    assert_eq!(prune(1, 30, false).await, [""; 0], "all of them are young");
    assert_eq!(
        prune(2, 0, true).await,
        ["e4"],
        "d1 has a charge, and the others are kept for their age"
    );
    assert_eq!(prune(1, 0, true).await, ["e4", "d2"]);
    assert_eq!(prune(1, 0, false).await, ["e4", "d2"]);
    assert_eq!(prune(1, 0, false).await, [""; 0]);
    let mut ledger = site.open().await;
    assert_eq!(ledger.module("d2").await.unwrap_err().code(), "NOT_FOUND");
    assert_eq!(ledger.activate(&[part("d2")], "ann", "").await.unwrap_err().code(), "NOT_FOUND");
    assert_eq!(ledger.last_good().await.unwrap().unwrap().number, 1, "2 has lost its module");
    assert_eq!(ledger.publish(&module("d2"), false).await.unwrap(), Published::Completed);
    assert_eq!(ledger.module_bytes("d2").await.unwrap(), b"d2");
}

async fn a_generation_begins_at_an_offset(kind: Kind) {
    let site = Site::new(kind).await;
    let (mut ledger, mut operator) = (site.open().await, site.open().await);
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1), click(1, 2)]);
    batch.charge(&mut ledger, false).await.unwrap();
    operator.activate(&[part("d2")], "ann", "").await.unwrap();
    operator.activate(&[part("d1")], "ann", "").await.unwrap();
    let starts = async |ledger: &mut Ledger, number| {
        let starts = ledger.generation_starts(number).await.unwrap();
        starts.iter().map(|start| (start.partition, start.first_offset)).collect::<Vec<_>>()
    };
    assert_eq!(starts(&mut ledger, 1).await, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(starts(&mut ledger, 2).await, [(0, 2), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(starts(&mut ledger, 3).await, starts(&mut ledger, 2).await);
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    batch.charge(&mut ledger, false).await.unwrap();
    let report = ledger.audit(&mut |_| ()).await.unwrap();
    let claim = report.checks.iter().find(|check| check.name == "generations").unwrap();
    assert!(claim.ok && claim.expected == 3, "{claim:?}");
}
