//! Trials: they start, add up and end once, whoever asks.

use tollgate_domain::money::Micros;
use tollgate_domain::trial::{Cost, Limits, Scope, Sums, Tally};
use tollgate_ledger::{Abort, Activation, Ledger, LedgerError, NewTrial, TrialKind, change};

use crate::support::plans::{Batch, click};
use crate::support::{Kind, Site, acquire, module, part};

crate::on_both!(
    a_shadow_runs_until_it_is_stopped,
    a_canary_is_a_generation,
    a_canary_is_promoted,
    a_canary_ends_by_itself_once,
    another_activation_overtakes_a_canary,
    sums_of_hosts_add_up,
    a_trial_needs_published_rules_and_a_difference,
    modules_of_a_canary_are_not_pruned,
);

const LIMITS: Limits =
    Limits { drift_max_ppm: 50_000, clicks_min: 10, faults_max: 3, fuel_max: Some(9) };

async fn site(kind: Kind) -> Site {
    let site = Site::new(kind).await;
    site.open().await.publish(&module("d3"), false).await.unwrap();
    site
}

fn scope() -> Scope {
    let campaigns = ["campaign_1".to_owned(), "c\"2".to_owned()].into();
    Scope { campaigns, share_ppm: 20_000, salt: "salt".to_owned() }
}

async fn shadow(ledger: &mut Ledger) -> Result<i64, LedgerError> {
    let (parts, scope) = ([part("d2")], scope());
    let (charge_max, limits) = (Micros(77), None);
    let (author, note) = ("ann", "try it");
    let trial = NewTrial { parts: &parts, scope: &scope, charge_max, limits, author, note };
    ledger.start_shadow(&trial).await
}

async fn canary(ledger: &mut Ledger) -> Result<u64, LedgerError> {
    let (parts, scope) = ([part("d2")], scope());
    let (charge_max, limits) = (Micros(77), Some(LIMITS));
    let (author, note) = ("ann", "try it");
    let trial = NewTrial { parts: &parts, scope: &scope, charge_max, limits, author, note };
    ledger.start_canary(&trial).await
}

async fn kinds(ledger: &mut Ledger) -> Vec<String> {
    let changes = ledger.rule_changes(None, None, 100).await.unwrap();
    let trial = changes.into_iter().rev().map(|change| change.kind);
    trial.filter(|kind| kind.starts_with("SHADOW") || kind.starts_with("CANARY")).collect()
}

async fn a_shadow_runs_until_it_is_stopped(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    assert_eq!(ledger.running_trial().await.unwrap(), None);
    assert_eq!(ledger.newest_trial(TrialKind::Shadow).await.unwrap(), None);
    assert_eq!(ledger.stop_shadow("ann", "").await.unwrap_err().code(), "NOT_FOUND");
    let id = shadow(&mut ledger).await.unwrap();
    let running = ledger.running_trial().await.unwrap().unwrap();
    assert_eq!((running.id, running.kind, running.generation), (id, TrialKind::Shadow, None));
    assert_eq!(
        (running.scope.clone(), running.charge_max, running.limits),
        (scope(), Micros(77), None)
    );
    assert_eq!(
        (&*running.started_by, &*running.note, running.base_generation),
        ("ann", "try it", 1)
    );
    assert_eq!(running.parts, [part("d2")]);
    assert_eq!(ledger.active().await.unwrap().unwrap().number, 1, "a shadow is no generation");

    for error in [shadow(&mut ledger).await.unwrap_err(), canary(&mut ledger).await.unwrap_err()] {
        assert_eq!(error.code(), "NOT_ALLOWED", "one trial at a time");
    }
    assert_eq!(ledger.abort_canary("ann", "").await.unwrap_err().code(), "NOT_FOUND");
    ledger.stop_shadow("bob", "seen enough").await.unwrap();
    assert_eq!(ledger.running_trial().await.unwrap(), None);
    let over = ledger.newest_trial(TrialKind::Shadow).await.unwrap().unwrap();
    assert_eq!((&*over.state, over.ended_by.as_deref()), ("STOPPED", Some("bob")));
    assert!(over.ended_us.unwrap() >= over.started_us);
    shadow(&mut ledger).await.unwrap();
    assert_eq!(kinds(&mut ledger).await, ["SHADOW_START", "SHADOW_STOP", "SHADOW_START"]);
}

async fn a_canary_is_a_generation(kind: Kind) {
    let site = site(kind).await;
    let (mut ledger, mut operator) = (site.open().await, site.open().await);
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    assert_eq!(canary(&mut operator).await.unwrap(), 2);
    let error = batch.charge(&mut ledger, false).await.unwrap_err();
    assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
    batch.held.generation = 2;
    batch.charge(&mut ledger, true).await.unwrap();

    let active = ledger.active().await.unwrap().unwrap();
    assert_eq!((active.number, active.parts), (2, vec![part("d1")]));
    assert_eq!(ledger.canary_of(1).await.unwrap(), None);
    let canary = ledger.canary_of(2).await.unwrap().unwrap();
    assert_eq!(
        (canary.limits, canary.generation, canary.base_generation),
        (Some(LIMITS), Some(2), 1)
    );
    // Activating what is in force changes nothing; going back to it ends the canary.
    assert_eq!(ledger.activate(&[part("d1")], "host", "folder").await.unwrap(), 2);
    assert!(ledger.running_trial().await.unwrap().is_some());
    let back = Activation { parts: &[part("d1")], kind: change::ROLLBACK, ..Activation::default() };
    assert_eq!(ledger.activate_rules(&back).await.unwrap().number, 3);
    assert_eq!(ledger.running_trial().await.unwrap(), None);
}

async fn a_canary_is_promoted(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    canary(&mut ledger).await.unwrap();
    let (canary, number) = ledger.promote_canary("bob", "it is good").await.unwrap();
    assert_eq!((canary.generation, number), (Some(2), 3));
    let active = ledger.active().await.unwrap().unwrap();
    assert_eq!((active.number, active.parts, &*active.author), (3, vec![part("d2")], "bob"));
    assert_eq!(ledger.newest_trial(TrialKind::Canary).await.unwrap().unwrap().state, "PROMOTED");
    assert_eq!(ledger.promote_canary("bob", "").await.unwrap_err().code(), "NOT_FOUND");
    let change = ledger.rule_changes(Some(3), None, 1).await.unwrap().remove(0);
    assert_eq!((&*change.kind, change.previous), ("CANARY_PROMOTE", Some(2)));
    assert_eq!(kinds(&mut ledger).await, ["CANARY_START", "CANARY_PROMOTE"]);
}

async fn a_canary_ends_by_itself_once(kind: Kind) {
    let site = site(kind).await;
    let (mut ledger, mut other) = (site.open().await, site.open().await);
    canary(&mut ledger).await.unwrap();
    let id = ledger.running_trial().await.unwrap().unwrap().id;
    let abort = Abort { actor: "host", code: "CANARY_DRIFT", sentence: "too much", faults: 4 };
    assert_eq!(ledger.abort_by_limit(id + 1, &abort).await.unwrap(), None, "another canary");
    let both = tokio::join!(ledger.abort_by_limit(id, &abort), other.abort_by_limit(id, &abort));
    let both = [both.0.unwrap(), both.1.unwrap()];
    assert!(both == [Some(3), None] || both == [None, Some(3)], "{both:?}");
    assert_eq!(other.abort_by_limit(id, &abort).await.unwrap(), None);

    let active = ledger.active().await.unwrap().unwrap();
    assert_eq!((active.number, active.parts), (3, vec![part("d1")]));
    let canary = ledger.newest_trial(TrialKind::Canary).await.unwrap().unwrap();
    assert_eq!(
        (&*canary.state, canary.end_note.as_deref()),
        ("ABORTED", Some("CANARY_DRIFT: too much"))
    );
    let told = site.rows("SELECT kind FROM outbox").await;
    assert_eq!(told, ["RULE_FAULT"]);
    assert_eq!(kinds(&mut ledger).await, ["CANARY_START", "CANARY_ABORT"]);
}

async fn another_activation_overtakes_a_canary(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    canary(&mut ledger).await.unwrap();
    assert_eq!(ledger.activate(&[part("d3")], "ann", "urgent").await.unwrap(), 3);
    assert_eq!(ledger.running_trial().await.unwrap(), None);
    assert_eq!(ledger.newest_trial(TrialKind::Canary).await.unwrap().unwrap().state, "OVERTAKEN");
    assert_eq!(ledger.abort_canary("ann", "").await.unwrap_err().code(), "NOT_FOUND");
    assert_eq!(canary(&mut ledger).await.unwrap(), 4, "it is in nobody's way");
    let states = site.rows("SELECT state FROM rule_trials ORDER BY id").await;
    assert_eq!(states, ["OVERTAKEN", "RUNNING"]);
}

async fn sums_of_hosts_add_up(kind: Kind) {
    let site = site(kind).await;
    let (mut ledger, mut other) = (site.open().await, site.open().await);
    let id = shadow(&mut ledger).await.unwrap();
    let sums = |number: i64| Sums::from_columns(std::array::from_fn(|at| number * (at as i64 + 1)));
    let mut tally = Tally { cost: Cost::from_columns([1, 2, 3, 4, 5, 6]), ..Tally::default() };
    tally.campaigns.insert("a".to_owned(), sums(1));
    tally.campaigns.insert("b'\"".to_owned(), sums(10));
    for _ in 0..3 {
        let (one, two) =
            tokio::join!(ledger.add_trial_sums(id, &tally), other.add_trial_sums(id, &tally));
        one.unwrap();
        two.unwrap();
    }
    let trial = ledger.running_trial().await.unwrap().unwrap();
    assert_eq!(trial.sums, sums(66));
    assert_eq!(trial.cost, Cost::from_columns([6, 12, 18, 24, 30, 36]));
    let campaigns = ledger.trial_campaigns(id, 10).await.unwrap();
    assert_eq!(campaigns, [("b'\"".to_owned(), sums(60)), ("a".to_owned(), sums(6))]);
    assert_eq!(ledger.trial_campaigns(id, 1).await.unwrap().len(), 1);

    let mut huge = Tally::default();
    huge.campaigns.insert("a".to_owned(), Sums { raised_micros: i64::MAX, ..Sums::default() });
    ledger.add_trial_sums(id, &huge).await.unwrap();
    let campaigns = ledger.trial_campaigns(id, 10).await;
    let most = |sums: &[(String, Sums)]| sums.iter().map(|(_, sums)| sums.raised_micros).max();
    assert_eq!(most(&campaigns.unwrap()), Some(i64::MAX));
    assert_eq!(ledger.running_trial().await.unwrap().unwrap().sums.raised_micros, i64::MAX);
}

async fn a_trial_needs_published_rules_and_a_difference(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    let scope = Scope::all();
    for (digest, code) in [("nothing", "NOT_FOUND"), ("d1", "NOT_ALLOWED")] {
        let parts = [part(digest)];
        let (charge_max, limits) = (Micros(1), None);
        let trial =
            NewTrial { parts: &parts, scope: &scope, charge_max, limits, author: "", note: "" };
        assert_eq!(ledger.start_shadow(&trial).await.unwrap_err().code(), code);
        let trial = NewTrial { limits: Some(LIMITS), ..trial };
        assert_eq!(ledger.start_canary(&trial).await.unwrap_err().code(), code);
    }
    assert_eq!(ledger.active().await.unwrap().unwrap().number, 1);
    assert_eq!(site.rows("SELECT CAST(count(*) AS TEXT) FROM rule_trials").await, ["0"]);
}

async fn modules_of_a_canary_are_not_pruned(kind: Kind) {
    let site = site(kind).await;
    let mut ledger = site.open().await;
    canary(&mut ledger).await.unwrap();
    ledger.abort_canary("ann", "").await.unwrap();
    let policy = tollgate_ledger::PrunePolicy { generations: 2, unused_days: 0 };
    let pruned = ledger.prune_modules(policy, "ann", "", false).await.unwrap();
    let digests: Vec<_> = pruned.iter().map(|one| one.digest.as_str()).collect();
    assert_eq!(digests, ["d3"], "the canary is one of the kept generations");
    let policy = tollgate_ledger::PrunePolicy { generations: 1, ..policy };
    let pruned = ledger.prune_modules(policy, "ann", "", false).await.unwrap();
    let digests: Vec<_> = pruned.iter().map(|one| one.digest.as_str()).collect();
    assert_eq!(digests, ["d2"]);
}
