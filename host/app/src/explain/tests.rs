use tollgate_domain::transcript::{Failure, Outcome};
use tollgate_ledger::{CompensationEntry, HistoryEntry, StoredDeadLetter};

use super::explanation::{CallShown, Facts, ModuleShown, ReasonShown};
use super::*;

fn place() -> Place {
    Place { topic: "ad-events".into(), incarnation: 0, partition: 2, offset: 17 }
}

fn history() -> HistoryEntry {
    HistoryEntry {
        place: place(),
        kind: "DEDUCT".into(),
        amount: tollgate_domain::money::Micros(-1_250_000),
        balance_after: tollgate_domain::money::Micros(98_750_000),
        generation: 3,
        occurred_at_us: 1_795_219_200_123_457,
        created_at_us: 1_795_219_200_223_457,
        day: tollgate_domain::day::Day(20_778),
        advertiser: "advertiser_1".into(),
        campaign: "campaign_1".into(),
        ad: None,
        device: Some("device_9".into()),
        price_source: "DATABASE".into(),
        reason: "STORED_PRICE".into(),
    }
}

fn letter(stage: &str) -> StoredDeadLetter {
    StoredDeadLetter {
        topic: "ad-events".into(),
        incarnation: 0,
        partition: 2,
        offset: 17,
        code: "RULE_TRAP".into(),
        stage: stage.into(),
        sentence: "it trapped".into(),
        record_at_ms: -1,
        message_key: None,
        payload: Some(vec![b'{', 0xff]),
        headers: vec![],
        generation: 3,
        created_at_us: 0,
        campaign: None,
        attempts: 1,
        replayed_at_us: None,
        dropped_at_us: None,
        is_refusal: false,
    }
}

#[test]
fn every_offset_has_a_fate() {
    let reached = |incarnation, first_offset, next_offset| Reached {
        group: "g".into(),
        incarnation,
        first_offset,
        next_offset,
        skipped: 1,
        absent: 0,
    };
    let check = |traces: Traces, reached: &[Reached], expected: Fate, sentence: &str| {
        let (fate, said) = shown::fate(&place(), &traces, reached);
        assert_eq!(fate, expected);
        assert!(said.contains(sentence), "{said}");
    };
    let bare = Traces::default;
    let charged = Traces { history: Some(history()), ..bare() };
    check(charged, &[], Fate::Charged, "charged 1.25");
    check(Traces { letter: Some(letter("PRICE")), ..bare() }, &[], Fate::DeadLetter, "RULE_TRAP");
    check(bare(), &[reached(0, 17, 18)], Fate::Skipped, "nothing to charge");
    check(bare(), &[reached(1, 0, 9), reached(0, 0, 99)], Fate::Skipped, "nothing to charge");
    check(bare(), &[reached(0, 0, 17)], Fate::NotRead, "the next offset is 17");
    check(bare(), &[reached(0, 18, 20)], Fate::NotRead, "before the first offset of g");
    check(bare(), &[reached(1, 0, 99)], Fate::Unknown, "never seen");
    check(bare(), &[], Fate::Unknown, "never seen");
}

#[test]
fn a_missing_record_has_a_reason() {
    fn check(traces: &Traces, fate: Fate, sentence: &str) {
        let Again::NoRecord { sentence: said } = shown::without_record(traces, fate) else {
            panic!("there is no record");
        };
        assert!(said.contains(sentence), "{said}");
    }
    let with = |stage| Traces { letter: Some(letter(stage)), ..Traces::default() };
    check(&Traces::default(), Fate::Charged, "no record is kept any more");
    check(&with("decode"), Fate::DeadLetter, "no rule was asked");
    check(&with("resolve"), Fate::DeadLetter, "no rule was asked");
    check(&with("PRICE"), Fate::DeadLetter, "no record is kept any more");
    check(&Traces::default(), Fate::Skipped, "no rule was asked");
    let named = shown::without_call(&Traces::default(), Fate::Charged);
    assert!(named.is_finding(), "a charge that its batch does not name");
    assert!(!shown::without_call(&with("resolve"), Fate::DeadLetter).is_finding());
}

#[test]
fn the_worst_call_counts() {
    let different = || Again::Different { sentence: "x".into() };
    let damaged = || Again::Damaged { sentence: "x".into() };
    let same = || Again::Same { calls: 1 };
    assert_eq!(again::worst([same(), same()]), Again::Same { calls: 2 });
    assert_eq!(again::worst([same(), different(), same()]), different());
    assert_eq!(again::worst([different(), damaged(), same()]), different());
    assert_eq!(again::worst([damaged(), same()]), damaged());
}

fn explanation() -> Explanation {
    let facts = |pairs: &[(&str, serde_json::Value)]| -> Facts {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let failed: Outcome<()> =
        Outcome::Failed(Failure { code: "RULE_TRAP".into(), sentence: "it trapped".into() });
    assert_eq!(failed.failure().map(|failure| failure.code.as_str()), Some("RULE_TRAP"));
    let call = CallShown {
        world: "pricing".into(),
        candidate: false,
        module: Some(ModuleShown {
            name: "cached-then-stored".into(),
            version: "1.0.0".into(),
            digest: "0123456789abcdef".into(),
            params: [("floor".to_owned(), "0.10".to_owned())].into(),
        }),
        rows: 3,
        row: 1,
        facts: facts(&[
            ("stored_price_micros", 1_250_000.into()),
            ("cached_price_micros", ().into()),
        ]),
        answer: Some(facts(&[("charge_micros", 1_250_000.into())])),
        reason: Some(ReasonShown { name: "STORED_PRICE".into(), help: "Redis had none.".into() }),
        failure: None,
        host: "took the answer".into(),
        again: Again::Same { calls: 1 },
    };
    let compensation: Option<CompensationEntry> = None;
    Explanation {
        place: place(),
        fate: Fate::Charged,
        sentence: "a click that was charged 1.25".into(),
        charge: Some(shown::history(&history())),
        dead_letter: Some(shown::letter(&letter("PRICE"))),
        compensation: compensation.as_ref().map(shown::compensation),
        decision: Some(DecisionShown {
            decided_at: "2026-11-21T00:00:00Z".into(),
            generation: 3,
            first_offset: 15,
            next_offset: 18,
            clicks: 3,
            calls: vec![call],
        }),
        again: Again::Different { sentence: "the rule answers something else now".into() },
        crossings: vec![],
        messages: vec![],
        refund: None,
    }
}

#[test]
fn text_and_json_say_the_same() {
    insta::assert_snapshot!("text", text(&explanation()));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&explanation()).unwrap());
}
