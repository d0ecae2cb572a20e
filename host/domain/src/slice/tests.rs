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
}
