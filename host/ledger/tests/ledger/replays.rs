//! Dead letters are replayed once, whoever tries and however often; the partition's owner goes on.

use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::compensation::CompensationRow;
use tollgate_domain::dead::{Code, DeadLetter, Rejection, Stage};
use tollgate_domain::notice::HappeningKind;
use tollgate_domain::plan::{Advance, OutboxMessage, Plan};
use tollgate_domain::slice::Source;
use tollgate_ledger::{
    Ledger, LedgerError, LetterFilter, LetterState, Place, Replay, ReplayKeys, Repoint,
};

use crate::support::plans::{Batch, Held, click};
use crate::support::refunds::{
    COMPENSATIONS, LATER, acquire_compensations, intake, pay_all, rejected, row, store,
};
use crate::support::{Kind, Site, TOPIC, acquire, part};

crate::on_both!(
    a_letter_is_replayed_once,
    two_replays_at_once_charge_once,
    letters_of_a_topic_made_anew_count_where_they_were,
    other_rules_replay_nothing,
    a_refused_compensation_waits_again,
    a_compensation_that_could_not_be_read_is_taken_in,
    what_was_taken_in_since_it_was_listed_is_left_alone,
    replayed_letters_hide_no_new_ones,
    letters_are_found_and_dropped,
    only_its_holder_halts_a_partition,
);

const NOW: Duration = Duration::ZERO;

/// Makes the next records of a partition dead letters.
pub(crate) async fn kill(ledger: &mut Ledger, held: &mut Held, count: i64) -> Vec<Place> {
    let (source, first) = (Arc::clone(&held.source), held.next_offset);
    let plan = Plan {
        advances: vec![Advance {
            next_offset: first + count,
            charged: 0,
            dead: count,
            ..Advance::nowhere(&source, first)
        }],
        dead: (first..first + count).map(|at| letter(&source, at, Code::UnknownCampaign)).collect(),
        ..intake(held, &[])
    };
    ledger.apply(&plan).await.unwrap();
    held.next_offset += count;
    (first..first + count).map(|at| key(&source, at)).collect()
}

fn letter(source: &Source, offset: i64, code: Code) -> DeadLetter {
    DeadLetter {
        topic: Arc::clone(&source.topic),
        partition: source.partition,
        offset,
        record_at_ms: 7,
        campaign: Some("campaign_0".into()),
        key: None,
        payload: Some(vec![b'x']),
        headers: vec![],
        rejection: Rejection::new(code, Stage::Resolve, format!("{code:?} \0 at {offset}")),
        generation: 1,
    }
}

fn key(source: &Source, offset: i64) -> Place {
    Place {
        topic: source.topic.to_string(),
        incarnation: source.incarnation,
        partition: source.partition,
        offset,
    }
}

/// Charges the first so many of those letters that are still open, and leaves the next one dead; the others are no
/// clicks. Gives the number of open ones.
async fn replay(
    ledger: &mut Ledger,
    letters: &[Place],
    charged: usize,
) -> Result<usize, LedgerError> {
    let source = |key: &Place| Source {
        topic: key.topic.as_str().into(),
        partition: key.partition,
        incarnation: key.incarnation,
        epoch: 0,
    };
    let source = Arc::new(source(&letters[0]));
    let held = Held { source: Arc::clone(&source), next_offset: letters[0].offset, generation: 1 };
    let clicks = (0..charged).map(|at| click(at % 4, 100)).collect();
    let batch = Batch::new(&held, clicks);
    let (advertisers, days) = (&batch.advertisers, &batch.days);
    let locked =
        ledger.lock_letters(ReplayKeys { generation: 1, letters, advertisers, days }).await?;
    let open: Vec<_> = letters.iter().filter(|key| locked.open.contains(key)).cloned().collect();
    if open.len() < letters.len() {
        ledger.rollback().await?;
        return Ok(open.len());
    }
    let campaigns = ledger.campaigns(&batch.campaigns).await?;
    let failed = letters.get(charged).map(|key| letter(&source, key.offset, Code::RuleTrap));
    let plan = Plan { dead: failed.into_iter().collect(), ..batch.plan(&locked.rows, &campaigns) };
    ledger.apply_replay(&Replay { letters, plan: &plan, meant: "some", note: "why" }).await?;
    Ok(open.len())
}

async fn audited(site: &Site) {
    let report = site.open().await.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:#?}");
}

/// Counters of the clicks' first partition.
async fn counters(site: &Site, table: &str) -> Vec<String> {
    let sql = format!(
        "SELECT CAST(charged AS TEXT) || ' ' || CAST(skipped AS TEXT) || ' ' || CAST(dead AS TEXT) FROM {table}
         WHERE topic = '{TOPIC}' AND kafka_partition = 0"
    );
    site.rows(&sql).await
}

async fn a_letter_is_replayed_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 5).await;
    audited(&site).await;
    assert_eq!(replay(&mut ledger, &letters, 2).await.unwrap(), 5);
    assert_eq!(counters(&site, "consumer_progress").await, ["2 2 1"]);
    audited(&site).await;
    let states = "SELECT CAST(kafka_offset AS TEXT) || ' ' || code || ' ' || CAST(attempts AS TEXT) || ' ' ||
      CASE WHEN replayed_at IS NULL THEN 'open' ELSE 'replayed' END FROM dead_letters ORDER BY kafka_offset";
    assert_eq!(
        site.rows(states).await,
        [
            "0 UNKNOWN_CAMPAIGN 1 replayed",
            "1 UNKNOWN_CAMPAIGN 1 replayed",
            "2 RULE_TRAP 2 open",
            "3 UNKNOWN_CAMPAIGN 1 replayed",
            "4 UNKNOWN_CAMPAIGN 1 replayed",
        ]
    );
    let dump = site.dump().await;
    assert_eq!(replay(&mut ledger, &letters, 2).await.unwrap(), 1);
    assert_eq!(site.dump().await, dump);

    // Whoever holds the partition has not noticed.
    Batch::new(&held, vec![click(1, 3)]).charge(&mut ledger, false).await.unwrap();
    assert_eq!(counters(&site, "consumer_progress").await, ["3 2 1"]);

    // Without the locks, or with a letter that is replayed already, nothing is written.
    let dump = site.dump().await;
    let skipped = intake(&held, &[]);
    let dead = vec![letter(&held.source, letters[0].offset, Code::RuleTrap)];
    for plan in [Plan { dead, ..skipped.clone() }, skipped] {
        let stale = Replay { letters: &letters[..1], plan: &plan, meant: "", note: "" };
        assert_eq!(ledger.apply_replay(&stale).await.unwrap_err().code(), "STALE");
        let keys = ReplayKeys { generation: 1, letters: &letters, advertisers: &[], days: &[] };
        ledger.lock_letters(keys).await.unwrap();
        assert_eq!(ledger.apply_replay(&stale).await.unwrap_err().code(), "STALE");
    }
    assert_eq!(site.dump().await, dump);
    audited(&site).await;
}

async fn two_replays_at_once_charge_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 20).await;
    let replays = (0..3).map(|_| {
        let (config, letters) = (site.config(), letters.clone());
        tokio::spawn(async move {
            let mut ledger = Ledger::open(&config).await.unwrap();
            let mut open = 0;
            for letters in letters.chunks(4) {
                open += replay(&mut ledger, letters, 4).await.unwrap();
            }
            open
        })
    });
    let replays: Vec<_> = replays.collect();
    for _ in 0..10 {
        Batch::new(&held, vec![click(1, 3)]).charge(&mut ledger, true).await.unwrap();
        held.next_offset += 1;
    }
    let mut open = 0;
    for replay in replays {
        open += replay.await.unwrap();
    }
    assert_eq!(open, 20);
    assert_eq!(counters(&site, "consumer_progress").await, ["30 0 0"]);
    audited(&site).await;
}

async fn letters_of_a_topic_made_anew_count_where_they_were(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 3).await;
    let topic_id = Some("TID-9");
    let anew = Repoint { topic: TOPIC, partition: 0, offset: 0, topic_id, note: "anew" };
    ledger.repoint(anew).await.unwrap();
    let acquired = ledger.acquire("tester", TOPIC, "TID-9", &[(0, 0)]).await.unwrap();
    let tollgate_ledger::Acquisition::Held { source, .. } = &acquired[0].result else {
        panic!("{acquired:?}")
    };
    let mut held = Held { source: Arc::clone(source), next_offset: 0, generation: 1 };
    let later = kill(&mut ledger, &mut held, 2).await;
    assert_eq!(replay(&mut ledger, &letters, 2).await.unwrap(), 3);
    assert_eq!(counters(&site, "retired_progress").await, ["2 0 1"]);
    assert_eq!(counters(&site, "consumer_progress").await, ["0 0 2"]);
    assert_eq!(replay(&mut ledger, &later, 2).await.unwrap(), 2);
    assert_eq!(counters(&site, "consumer_progress").await, ["2 0 0"]);
    audited(&site).await;
}

async fn other_rules_replay_nothing(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 1).await;
    ledger.activate(&[part("d2")], "tester", "second").await.unwrap();
    let error = replay(&mut ledger, &letters, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::GenerationChanged { active: 2 }), "{error}");
    assert_eq!(counters(&site, "consumer_progress").await, ["0 0 1"]);
}

async fn a_refused_compensation_waits_again(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    store(&mut ledger, 1, &[Site::duplicate(0), Site::duplicate(1)]).await;
    let refuse = async |ledger: &mut Ledger| {
        for waiting in ledger.waiting_compensations(10).await.unwrap() {
            ledger.apply_refund(&rejected(&waiting, 1), LATER).await.unwrap();
        }
    };
    refuse(&mut ledger).await;
    let source = acquire_compensations(&mut ledger, 1).await.source;
    let letters = [key(&source, 0), key(&source, 1)];
    let put_back =
        async |letters: &[Place]| site.open().await.put_back(letters, "some", "why").await.unwrap();
    // Two at once, and once more.
    let (one, other) = tokio::join!(put_back(&letters), put_back(&letters));
    assert_eq!((one.len() + other.len(), put_back(&letters).await.len()), (2, 0));
    audited(&site).await;
    assert_eq!(ledger.waiting_compensations_of(&letters[1..]).await.unwrap().len(), 1);
    // Refused again, it is the same dead letter.
    refuse(&mut ledger).await;
    audited(&site).await;
    let open = ledger.open_dead_letters(&letters).await.unwrap();
    let tries: Vec<_> = open.iter().map(|letter| (letter.attempts, letter.is_refusal)).collect();
    assert_eq!(tries, [(2, true), (2, true)]);

    // The same one has come again and was paid.
    store(&mut ledger, 0, &[Site::duplicate(0)]).await;
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    assert_eq!(put_back(&letters).await, letters[1..]);
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    let states = ledger.compensation_states_of(&letters).await.unwrap();
    let mut states: Vec<_> = states.iter().map(|(state, n)| (state.as_str(), *n)).collect();
    states.sort_unstable();
    assert_eq!(states, [("REFUNDED", 1), ("REJECTED", 1)]);
    audited(&site).await;
}

async fn a_compensation_that_could_not_be_read_is_taken_in(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire_compensations(&mut ledger, 1).await;
    let letters = kill(&mut ledger, &mut held, 2).await;
    let taken = CompensationRow { offset: 0, ..row(&held, 0, Site::duplicate(0)) };
    let plan = Plan {
        compensations: vec![taken],
        dead: vec![letter(&held.source, 1, Code::NotJson)],
        ..intake(&held, &[])
    };
    let replay = Replay { letters: &letters, plan: &plan, meant: "some", note: "why" };
    let keys = ReplayKeys { generation: 1, letters: &letters, advertisers: &[], days: &[] };
    ledger.lock_letters(keys).await.unwrap();
    ledger.apply_replay(&replay).await.unwrap();
    audited(&site).await;
    let sql = format!(
        "SELECT CAST(charged AS TEXT) || ' ' || CAST(dead AS TEXT) FROM consumer_progress
         WHERE topic = '{COMPENSATIONS}' AND kafka_partition = 1"
    );
    assert_eq!(site.rows(&sql).await, ["1 1"]);
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 1);
    audited(&site).await;
}

async fn what_was_taken_in_since_it_was_listed_is_left_alone(kind: Kind) {
    let site = Site::with_duplicates(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire_compensations(&mut ledger, 1).await;
    // A page of letters, none of which could be read.
    let page = kill(&mut ledger, &mut held, 2).await;
    let take_in = async |ledger: &mut Ledger, letters: &[Place]| {
        let keys = ReplayKeys { generation: 1, letters, advertisers: &[], days: &[] };
        let locked = ledger.lock_letters(keys).await.unwrap();
        let open: Vec<_> =
            letters.iter().filter(|key| locked.open.contains(key)).cloned().collect();
        let of = |key: &Place| {
            let event = Site::duplicate(key.offset as usize);
            CompensationRow { offset: key.offset, ..row(&held, 0, event) }
        };
        let compensations = open.iter().map(of).collect();
        let plan = Plan { compensations, ..intake(&held, &[]) };
        let replay = Replay { letters: &open, plan: &plan, meant: "some", note: "why" };
        ledger.apply_replay(&replay).await.unwrap();
        open
    };
    // Another replay takes the first one in, and it is refused: its letter is open once more.
    let mut other = site.open().await;
    assert_eq!(take_in(&mut other, &page[..1]).await, page[..1]);
    let waiting = other.waiting_compensations(1).await.unwrap().remove(0);
    other.apply_refund(&rejected(&waiting, 1), LATER).await.unwrap();
    assert_eq!(other.open_dead_letters(&page).await.unwrap().len(), 2);
    assert_eq!(take_in(&mut ledger, &page).await, page[1..]);
    let sql = format!(
        "SELECT CAST(charged AS TEXT) || ' ' || CAST(dead AS TEXT) FROM consumer_progress
         WHERE topic = '{COMPENSATIONS}' AND kafka_partition = 1"
    );
    assert_eq!(site.rows(&sql).await, ["2 0"]);
    audited(&site).await;
    // As a refusal it can be tried again.
    assert_eq!(ledger.put_back(&page, "some", "why").await.unwrap(), page[..1]);
    assert_eq!(pay_all(&mut ledger).await.unwrap(), 2);
    audited(&site).await;
}

async fn replayed_letters_hide_no_new_ones(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 3).await;
    assert!(ledger.alert_dead_letters(NOW).await.unwrap());
    replay(&mut ledger, &letters, 2).await.unwrap();
    assert!(!ledger.alert_dead_letters(NOW).await.unwrap());
    kill(&mut ledger, &mut held, 1).await;
    assert!(ledger.alert_dead_letters(NOW).await.unwrap());
    let keys = "SELECT dedup_key FROM outbox WHERE kind = 'DEAD_LETTERS' ORDER BY id";
    assert_eq!(site.rows(keys).await, ["dead-letters:3", "dead-letters:4"]);
}

async fn letters_are_found_and_dropped(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let letters = kill(&mut ledger, &mut held, 4).await;
    replay(&mut ledger, &letters[..2], 1).await.unwrap();
    let all = LetterFilter { limit: 10, ..LetterFilter::default() };
    let meant = LetterFilter { code: Some("RULE_TRAP".into()), ..all.clone() };
    assert_eq!(ledger.drop_dead_letters(&meant, "RULE_TRAP", "no use").await.unwrap(), 1);
    assert_eq!(ledger.drop_dead_letters(&meant, "RULE_TRAP", "no use").await.unwrap(), 0);
    let action = "SELECT subject || ': ' || detail || ', ' || note FROM operator_actions
      WHERE action = 'DROP_DEAD_LETTERS'";
    assert_eq!(site.rows(action).await, ["RULE_TRAP: 1 dead letters, no use"]);
    assert_eq!(replay(&mut ledger, &letters[1..2], 1).await.unwrap(), 0, "it was dropped");
    audited(&site).await;

    let now_us = ledger.clock_us().await.unwrap();
    let (before, after) = (Some(now_us - 3_600_000_000), Some(now_us + 1_000_000));
    let state = |state| LetterFilter { state, ..all.clone() };
    for (filter, expected) in [
        (all.clone(), "0 1 2 3"),
        (state(LetterState::Open), "2 3"),
        (state(LetterState::Replayed), "0"),
        (state(LetterState::Dropped), "1"),
        (LetterFilter { campaign: Some("campaign_0".into()), ..all.clone() }, "0 1 2 3"),
        (LetterFilter { campaign: Some("campaign_1".into()), ..all.clone() }, ""),
        (LetterFilter { since_us: before, until_us: after, ..all.clone() }, "0 1 2 3"),
        (LetterFilter { since_us: after, ..all.clone() }, ""),
        (LetterFilter { until_us: before, ..all.clone() }, ""),
        (LetterFilter { offset: Some(2), ..all.clone() }, "2"),
    ] {
        let found = ledger.dead_letters(&filter).await.unwrap();
        let mut found: Vec<_> = found.iter().map(|letter| letter.offset.to_string()).collect();
        found.sort();
        assert_eq!(found.join(" "), expected, "{filter:?}");
        let counted = ledger.count_dead_letters(&filter).await.unwrap();
        let counted: i64 = counted.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, found.len() as i64, "{filter:?}");
    }
    let page = LetterFilter { limit: 2, ..all };
    let mut after = Place::default();
    let mut found = Vec::new();
    while let Some(last) = {
        let letters = ledger.dead_letters_after(&page, &after).await.unwrap();
        found.extend(letters.iter().map(|letter| letter.offset));
        letters.last().cloned()
    } {
        after = last.key();
    }
    assert_eq!(found, [0, 1, 2, 3]);
}

async fn only_its_holder_halts_a_partition(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let held = acquire(&mut ledger, 0).await;
    let newer = acquire(&mut ledger, 0).await;
    let message = OutboxMessage {
        key: "partition-halted:0".into(),
        kind: HappeningKind::PartitionHalted,
        payload: "{}".into(),
    };
    let elsewhere = Source { incarnation: 1, ..(*newer.source).clone() };
    for source in [&*held.source, &elsewhere] {
        assert!(!ledger.halt_held(source, "why", &message).await.unwrap());
    }
    let told = "SELECT dedup_key FROM outbox";
    assert_eq!(site.rows(told).await.len(), 0);
    assert!(ledger.halt_held(&newer.source, "why", &message).await.unwrap());
    // Neither the one that held it nor one that knows its new epoch halts it again.
    let epoch = newer.source.epoch;
    for epoch in [epoch, epoch + 1] {
        let source = Source { epoch, ..(*newer.source).clone() };
        assert!(!ledger.halt_held(&source, "again", &message).await.unwrap());
    }
    assert_eq!(site.rows(told).await, ["partition-halted:0"]);
    let reason = "SELECT halted_reason FROM consumer_progress WHERE halted_reason IS NOT NULL";
    assert_eq!(site.rows(reason).await, ["why"]);
    let late = Batch::new(&newer, vec![click(1, 3)]).charge(&mut ledger, false).await;
    assert_eq!(late.unwrap_err().code(), "FENCED");
}
