//! Ranges are read whole, in the order of their records' times, and nobody joins a group for it.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::producer::{BaseRecord, Producer};
use tollgate_stream::{Bound, Range, RangeReader, RangeRecord, StreamConfig, StreamError};

use crate::support::kafka::brokers;
use crate::support::topics::Topic;

/// Timestamp of the first record: an hour ago, because brokers refuse what is far ahead and drop what is old.
fn begin_ms() -> i64 {
    static BEGIN_MS: OnceLock<i64> = OnceLock::new();
    *BEGIN_MS.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() - 3_600_000
    })
}

/// Records of three partitions whose times interleave: one each millisecond, in turn.
fn interleaved(topic: &Topic, count: i64) {
    let producer = topic.producer();
    for number in 0..count {
        let payload = number.to_string();
        let record = BaseRecord::<str, str>::to(&topic.name)
            .partition(i32::try_from(number % 3).unwrap())
            .timestamp(begin_ms() + number)
            .payload(&payload);
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn read(topic: &Topic, range: Range) -> Result<Vec<RangeRecord>, StreamError> {
    let config = StreamConfig { brokers: topic.brokers.clone(), ..StreamConfig::default() };
    let mut reader = RangeReader::open(&config, &Range { topic: topic.name.clone(), ..range })?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    let (done, total) = reader.progress();
    assert_eq!(done, total);
    Ok(records)
}

/// Numbers of the records, which are their times as well.
fn check(topic: &Topic, range: Range, expected: impl Iterator<Item = i64>) {
    let found: Vec<_> = read(topic, range.clone()).unwrap();
    let numbers: Vec<i64> = found
        .iter()
        .map(|record| String::from_utf8(record.payload.clone().unwrap()).unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, expected.collect::<Vec<_>>(), "{range:?}");
    for (record, number) in found.iter().zip(numbers) {
        assert_eq!((record.at_ms, record.offset), (begin_ms() + number, number / 3));
    }
}

#[test]
fn a_range_is_read_in_the_order_of_time() {
    let topic = Topic::new(&brokers(), "ranges", 4);
    check(&topic, Range::default(), 0..0);
    interleaved(&topic, 3_000);
    let all = Range::default();
    let at = |number| Some(Bound::AtMs(begin_ms() + number));
    check(&topic, all.clone(), 0..3_000);
    check(&topic, Range { from: at(1_000), ..all.clone() }, 1_000..3_000);
    check(&topic, Range { from: at(7), until: at(2_000), ..all.clone() }, 7..2_000);
    check(&topic, Range { from: at(9_000), ..all.clone() }, 0..0);
    check(&topic, Range { until: at(9_000), ..all.clone() }, 0..3_000);
    check(&topic, Range { until: Some(Bound::Offset(10)), ..all.clone() }, 0..30);
    check(&topic, Range { from: Some(Bound::Offset(990)), ..all.clone() }, 2_970..3_000);
    let one = Range { partition: Some(2), ..all.clone() };
    check(&topic, one, (0..3_000).filter(|number| number % 3 == 2));
    assert!(read(&topic, Range { partition: Some(9), ..all }).is_err());
}

#[test]
fn a_range_ends_where_no_records_are() {
    let topic = Topic::new(&brokers(), "range-markers", 3);
    interleaved(&topic, 30);
    // A transaction leaves a marker behind its records, and an aborted one leaves only markers to be read.
    let producer = topic.producer_with(&[("transactional.id", &topic.name)]);
    producer.init_transactions(Duration::from_secs(60)).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<str, str>::to(&topic.name).partition(0).payload("aborted");
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
    producer.abort_transaction(Duration::from_secs(60)).unwrap();
    check(&topic, Range::default(), 0..30);
    topic.delete_records(1, 5);
    let found = read(&topic, Range { from: Some(Bound::Offset(4)), ..Range::default() });
    assert_eq!(found.unwrap_err().code(), "KAFKA_UNAVAILABLE");
    assert_eq!(read(&topic, Range::default()).unwrap().len(), 25);
}
