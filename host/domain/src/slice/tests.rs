use proptest::prelude::*;

use super::*;

fn slice(kinds: &[u8]) -> Slice {
    let source = Source { topic: "t".into(), partition: 0, incarnation: 0, epoch: 1 };
    let mut builder = SliceBuilder::new(Arc::new(source), 100, Reading::Clicks);
    let click = r#"{"event_type":"CLICK","timestamp":"2026-01-15T10:30:00Z","campaign_id":"c","advertiser_id":"a","ad_id":"x"}"#;
    let mut offset = 100;
    for kind in kinds {
        let payload = match kind {
            0 => click,
            1 => r#"{"event_type":"IMPRESSION"}"#,
            2 => "nonsense",
            _ => {
                offset += 2;
                click
            }
        };
        let record = Record {
            offset,
            at_ms: -1,
            key: None,
            payload: Some(payload.as_bytes()),
            headers: &[],
        };
        builder.push(&record, &DecodeLimits::default());
        offset += 1;
    }
    builder.finish()
}

fn fates(slice: &Slice) -> (usize, usize, i64, i64) {
    (slice.clicks.len(), slice.dead.len(), slice.skipped, slice.absent)
}

fn is_whole(slice: &Slice) -> bool {
    let (clicks, dead, skipped, absent) = fates(slice);
    skipped >= 0 && absent >= 0 && clicks as i64 + dead as i64 + skipped + absent == slice.len()
}

#[test]
fn records_below_the_next_offset_are_taken_once() {
    let mut builder = SliceBuilder::new(Arc::clone(&slice(&[]).source), 5, Reading::Clicks);
    for offset in [4, 5, 5, 8] {
        let record = Record { offset, at_ms: -1, key: None, payload: None, headers: &[] };
        builder.push(&record, &DecodeLimits::default());
    }
    let slice = builder.finish();
    assert_eq!((fates(&slice), slice.next_offset), ((0, 2, 0, 2), 9));
}

#[test]
fn a_dead_letter_has_the_bytes_of_its_record() {
    let mut slice = slice(&[0, 0]);
    let rejection = Rejection::new(Code::RuleTrap, Stage::Price, "trap");
    slice.reject_item(1, rejection, 3);
    assert_eq!((slice.dead[0].offset, slice.dead[0].generation), (101, 3));
    assert!(slice.dead[0].payload.as_ref().is_some_and(|payload| payload.starts_with(b"{")));
    assert!(is_whole(&slice));
}

fn compensations(kinds: &[u8]) -> Slice {
    let source = Source { topic: "c".into(), partition: 2, incarnation: 1, epoch: 1 };
    let mut builder = SliceBuilder::new(Arc::new(source), 50, Reading::Compensations);
    let good = r#"{"timestamp":"2026-01-15T10:35:00Z","campaign_id":"c","advertiser_id":"a",
        "duplicate_click_count":2,"refund_amount":1}"#;
    let headers = [("trace".to_owned(), Some(b"1".to_vec())), ("none".to_owned(), None)];
    let mut offset = 50;
    for kind in kinds {
        let payload: Option<&[u8]> = match kind {
            0 => Some(good.as_bytes()),
            1 => Some(b"nonsense"),
            2 => Some(b"\xff"),
            3 => None,
            _ => {
                offset += 2;
                Some(good.as_bytes())
            }
        };
        let record = Record { offset, at_ms: -1, key: Some(b"\xffk"), payload, headers: &headers };
        builder.push(&record, &DecodeLimits::default());
        offset += 1;
    }
    builder.finish()
}

fn check_unread(payload: Option<&[u8]>, bytes_max: usize, expected: Code) {
    let source = Source { topic: "c".into(), partition: 0, incarnation: 0, epoch: 1 };
    let mut builder = SliceBuilder::new(Arc::new(source), 0, Reading::Compensations);
    let record = Record { offset: 0, at_ms: -1, key: None, payload, headers: &[] };
    let limits = DecodeLimits { payload_bytes_max: bytes_max, ..DecodeLimits::default() };
    builder.push(&record, &limits);
    let slice = builder.finish();
    assert_eq!((slice.items(), slice.dead[0].rejection.code), (0, expected), "{payload:?}");
}

#[test]
fn a_compensation_that_is_no_text_has_a_stable_code() {
    check_unread(None, 10, Code::EmptyValue);
    check_unread(Some(b""), 10, Code::EmptyValue);
    check_unread(Some(b"12345678901"), 10, Code::PayloadTooLarge);
    check_unread(Some(b"{\"a\":\"\xff\"}"), 10, Code::NotUtf8);
    check_unread(Some(b"[]"), 10, Code::NotAnObject);
    check_unread(Some(b"{}"), 10, Code::MissingField);
}

#[test]
fn a_refused_compensation_keeps_the_bytes_of_its_record() {
    let mut slice = compensations(&[0, 0, 1]);
    let payload = slice.compensations[1].payload.clone().into_bytes();
    slice.reject_item(1, Rejection::new(Code::RefusedByDatabase, Stage::Write, "no"), 7);
    assert_eq!((slice.items(), slice.dead.len()), (1, 2));
    let headers = vec![("trace".to_owned(), Some(b"1".to_vec())), ("none".to_owned(), None)];
    for (letter, offset, payload) in
        [(&slice.dead[0], 51, payload), (&slice.dead[1], 52, b"nonsense".to_vec())]
    {
        assert_eq!((letter.offset, letter.partition, &*letter.topic), (offset, 2, "c"));
        assert_eq!(letter.payload.as_deref(), Some(&*payload));
        assert_eq!(letter.key.as_deref(), Some(&b"\xffk"[..]));
        assert_eq!(letter.headers, headers);
    }
    assert_eq!((slice.dead[0].generation, slice.dead[1].generation), (7, 0));
}

#[test]
fn a_click_that_was_read_before_is_the_same_click() {
    let payload = r#"{"event_type":"CLICK","timestamp":"2026-01-15T10:30:00Z","campaign_id":"c","advertiser_id":"a",
        "device_id":"d","category":"x\"y","bid_price":0.25,"placement":"HOME"}"#;
    let source = Source { topic: "t".into(), partition: 0, incarnation: 0, epoch: 0 };
    let limits = DecodeLimits::default();
    let mut read = SliceBuilder::new(Arc::new(source.clone()), 3, Reading::Clicks);
    let mut known = SliceBuilder::new(Arc::new(source), 3, Reading::Clicks);
    let event = crate::event::decode(payload, -1, &limits).unwrap().unwrap();
    for offset in [3, 3, 7] {
        let payload = Some(payload.as_bytes());
        read.push(&Record { offset, at_ms: -1, key: None, payload, headers: &[] }, &limits);
        known.push_known(offset, -1, &event);
    }
    let (read, known) = (read.finish(), known.finish());
    assert_eq!((known.first_offset, known.next_offset, known.absent), (3, 8, 3));
    assert_eq!((known.clicks.len(), read.clicks.len()), (2, 2));
    for (read_one, known_one) in read.clicks.iter().zip(&known.clicks) {
        let texts = |slice: &Slice, click: &Click| {
            let party = slice.parties[click.party as usize];
            [party.campaign, party.advertiser, click.device, click.ad, click.category]
                .map(|text| slice.text(text).to_owned())
        };
        assert_eq!(texts(&read, read_one), texts(&known, known_one));
        let rest = |click: &Click| (click.offset, click.occurred_at_us, click.bid, click.placement);
        assert_eq!(rest(read_one), rest(known_one));
    }
}

#[test]
fn bytes_of_compensations_count() {
    let (one, two) = (compensations(&[0]).bytes(), compensations(&[0, 0]).bytes());
    assert!(one > 100 && two == 2 * one, "{one} {two}");
}

proptest! {
    #[test]
    fn a_cut_loses_nothing(kinds in prop::collection::vec(0..4_u8, 2..30), at in 1..30_usize) {
        let whole = slice(&kinds);
        prop_assume!(whole.clicks.len() >= 2);
        let at = at % (whole.clicks.len() - 1) + 1;
        let (left, right) = whole.clone().split_at_item(at);
        prop_assert!(is_whole(&left) && is_whole(&right));
        prop_assert_eq!((left.first_offset, left.next_offset), (whole.first_offset, right.first_offset));
        prop_assert_eq!(right.next_offset, whole.next_offset);
        prop_assert_eq!(left.clicks.len() + right.clicks.len(), whole.clicks.len());
        prop_assert_eq!(left.dead.len() + right.dead.len(), whole.dead.len());
        prop_assert_eq!(right.text(right.clicks[0].ad), "x");
    }

    #[test]
    fn a_cut_loses_no_compensation(kinds in prop::collection::vec(0..5_u8, 2..30), at in 1..30_usize) {
        let whole = compensations(&kinds);
        prop_assume!(whole.items() >= 2);
        let at = at % (whole.items() - 1) + 1;
        let (left, right) = whole.clone().split_at_item(at);
        for part in [&left, &right] {
            let known = (part.items() + part.dead.len()) as i64;
            prop_assert!(part.skipped >= 0 && part.absent >= 0);
            prop_assert_eq!(known + part.skipped + part.absent, part.len());
        }
        prop_assert_eq!(left.items(), at);
        prop_assert_eq!(left.next_offset, right.first_offset);
        let joined = [left.compensations, right.compensations].concat();
        prop_assert_eq!(joined, whole.compensations);
        prop_assert_eq!([left.dead, right.dead].concat(), whole.dead);
    }
}
