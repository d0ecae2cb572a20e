use tollgate_domain::dead::{Rejection, Stage};
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::plan::Advance;
use tollgate_domain::slice::{Reading, Record, SliceBuilder};

use super::*;

fn source(partition: i32, epoch: i64) -> Arc<Source> {
    Arc::new(Source { topic: "ad-events".into(), partition, incarnation: 0, epoch })
}

/// A plan that moves partitions, each with dead letters at these offsets.
fn plan(moves: &[(&Arc<Source>, &[i64])]) -> Plan<'static> {
    let letters = |(source, offsets): &(&Arc<Source>, &[i64])| {
        let letter = |offset: &i64| DeadLetter {
            topic: Arc::clone(&source.topic),
            partition: source.partition,
            offset: *offset,
            record_at_ms: -1,
            campaign: None,
            key: None,
            payload: None,
            headers: vec![],
            rejection: Rejection::new(Code::NotJson, Stage::Decode, "no JSON"),
            generation: 0,
        };
        offsets.iter().map(letter).collect::<Vec<_>>()
    };
    let advance = |(source, offsets): &(&Arc<Source>, &[i64])| Advance {
        dead: offsets.len() as i64,
        ..Advance::nowhere(source, 0)
    };
    Plan {
        advances: moves.iter().map(advance).collect(),
        dead: moves.iter().flat_map(letters).collect(),
        ..Plan::nothing(1)
    }
}

fn valve(window: u32, percent: u32) -> Valve {
    Valve::new(ValveLimits { window, percent })
}

/// Where dead letters pass the limit, whatever batches they come in.
#[test]
fn the_share_of_the_last_records_counts() {
    fn check(window: u32, percent: u32, dead: &[i64], expected: Option<i64>) {
        for size in 1..=dead.len() {
            let (mut valve, source) = (valve(window, percent), source(3, 1));
            let found = dead.chunks(size).find_map(|part| {
                let plan = plan(&[(&source, part)]);
                let flood = valve.floods(&plan).pop();
                valve.committed(&plan);
                flood
            });
            let found = found.map(|flood| flood.offset);
            assert_eq!(found, expected, "{percent} % of {window}, by {size}: {dead:?}");
        }
    }
    check(10, 50, &[0, 1, 2, 3, 4], None);
    check(10, 50, &[0, 1, 2, 3, 4, 5], Some(5));
    check(10, 50, &[0, 2, 4, 6, 8, 10, 12], None);
    check(10, 50, &[0, 2, 4, 6, 8, 9], Some(9));
    check(10, 50, &[0, 1, 2, 3, 4, 10], None);
    check(10, 50, &[0, 1, 2, 3, 4, 9], Some(9));
    // Flooded at first, and long gone at the end of the batch.
    check(10, 50, &[0, 1, 2, 3, 4, 5, 1_000], Some(5));
    check(10, 100, &(0..50).collect::<Vec<_>>(), None);
    check(10, 99, &(0..50).collect::<Vec<_>>(), Some(9));
    // One is always let through, so that a person can go on.
    check(10, 1, &[7], None);
    check(10, 1, &[7, 8], Some(8));
    check(10, 1, &[7, 17], None);
}

#[test]
fn partitions_and_acquisitions_count_for_themselves() {
    let mut valve = valve(10, 50);
    let (three, four) = (source(3, 1), source(4, 1));
    let half = [0, 1, 2];
    valve.committed(&plan(&[(&three, &half), (&four, &half)]));
    let rest = [3, 4, 5];
    let floods = valve.floods(&plan(&[(&three, &[3, 4]), (&four, &rest)]));
    assert_eq!(
        floods.iter().map(|flood| (&flood.source, flood.offset)).collect::<Vec<_>>(),
        [(&four, 5)]
    );
    assert_eq!((floods[0].dead, floods[0].code, floods[0].code_count), (6, Code::NotJson, 6));
    // Whoever lets it go on accepts what was there.
    let again = source(4, 3);
    assert_eq!(valve.floods(&plan(&[(&again, &rest)])), []);
    valve.committed(&plan(&[(&again, &rest)]));
    assert_eq!(valve.floods(&plan(&[(&again, &[6, 7])])), []);
    assert_eq!(valve.floods(&plan(&[(&again, &[6, 7, 8])]))[0].offset, 8);
}

/// A slice of records that are no clicks.
fn slice(source: &Arc<Source>, offsets: std::ops::Range<i64>) -> Slice {
    let limits = DecodeLimits {
        payload_bytes_max: 100,
        text_bytes_max: 100,
        age_ms_max: 1,
        ahead_ms_max: 1,
    };
    let mut slice = SliceBuilder::new(Arc::clone(source), offsets.start, Reading::Clicks);
    for offset in offsets {
        let payload = Some(&b"{\"event_type\": \"IMPRESSION\"}"[..]);
        slice.push(&Record { offset, at_ms: -1, key: None, payload, headers: &[] }, &limits);
    }
    slice.finish()
}

#[test]
fn a_flood_is_cut_off_where_it_begins() {
    let (three, four) = (source(3, 1), source(4, 1));
    let flood = |offset| Flood {
        source: Arc::clone(&three),
        offset,
        dead: 6,
        code: Code::UnknownCampaign,
        code_count: 5,
        window: 10,
    };
    let check = |offset: i64, expected: &[(i32, i64, i64)]| {
        let slices = vec![slice(&three, 5..10), slice(&four, 0..30), slice(&three, 10..20)];
        let left = flood(offset).cut_off(slices);
        let left: Vec<_> = left
            .iter()
            .map(|left| (left.source.partition, left.first_offset, left.next_offset))
            .collect();
        assert_eq!(left, expected, "{offset}");
    };
    check(5, &[(4, 0, 30)]);
    check(6, &[(3, 5, 6), (4, 0, 30)]);
    check(10, &[(3, 5, 10), (4, 0, 30)]);
    check(19, &[(3, 5, 10), (4, 0, 30), (3, 10, 19)]);

    let halt = flood(7).halt();
    assert_eq!(halt.code, "DEAD_LETTERS");
    let said = "6 of the last 10 records are dead letters, 5 of them UNKNOWN_CAMPAIGN. Load";
    assert!(halt.sentence.starts_with(said), "{}", halt.sentence);
    assert!(halt.command.contains("--partition 3 --offset 7 "));
    assert_eq!(flood(7).message(1).key, "partition-halted:ad-events:0:3:7");
}
