//! Measures one process against a real broker: records a second from a preloaded topic to decoded slices, and
//! the time from producing a record to its slice. `cargo bench -p tollgate-stream -- --records 2000000`

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rdkafka::producer::{BaseRecord, Producer};
use support::book::Book;
use support::kafka::brokers;
use support::member::config;
use support::topics::{Topic, click};
use support::until;
use tollgate_stream::{Delivery, FirstSight, Lanes, StreamConfig};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: i64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments[at + 1].parse().ok()).unwrap_or(default)
    };
    let (records, clicks_percent) = (number("--records", 1_000_000), number("--clicks", 30));
    let brokers = brokers();
    throughput(&brokers, records, clicks_percent, number("--lanes", 3));
    latency("one at a time", &brokers, number("--samples", 2_000), Duration::from_millis(3));
    latency("1,000 a second", &brokers, number("--samples", 5_000), Duration::from_millis(1));
}

fn throughput(brokers: &str, records: i64, clicks_percent: i64, lanes: i64) {
    let topic = Topic::new(brokers, "throughput", 8);
    let producer = topic.producer_with(&[("linger.ms", "20"), ("compression.type", "none")]);
    let mut bytes = 0;
    for number in 0..records {
        let mut value = click((number % 8) as i32, number);
        if number % 100 >= clicks_percent {
            value = value.replace("CLICK", "IMPRESSION");
        }
        bytes += value.len();
        topic.send(&producer, (number % 8) as i32, &value);
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    let began = Instant::now();
    let mut config = start_config(&topic, FirstSight::Earliest);
    config.lanes = lanes as usize;
    let (lanes, slices) = start(config);
    let (mut seen, mut clicks, mut count, mut first) = (0, 0, 0, None);
    let before = cpu_ms();
    while seen < records {
        let Delivery { slice, ticket } = slices.recv().unwrap();
        first.get_or_insert_with(Instant::now);
        seen += slice.len();
        clicks += slice.clicks.len();
        count += 1;
        lanes.committed(&slice.source, slice.next_offset);
        drop(ticket);
    }
    let took = first.unwrap().elapsed().as_secs_f64();
    println!(
        "throughput: {records} records of {} bytes, {clicks} clicks, {count} slices: {:.0} records/s \
         after {:.2} s of joining, {:.2} us of CPU a record",
        bytes as i64 / records,
        records as f64 / took,
        first.unwrap().duration_since(began).as_secs_f64(),
        (cpu_ms() - before) * 1e3 / records as f64,
    );
    assert_eq!(lanes.stop(Duration::from_secs(10)).unfinished, Vec::<String>::new());
}

fn latency(what: &str, brokers: &str, samples: i64, pause: Duration) {
    let topic = Topic::new(brokers, "latency", 8);
    let (lanes, slices) = start(start_config(&topic, FirstSight::Latest));
    until("partitions are shared out", || {
        let partitions = lanes.status().partitions;
        let share = |lane| partitions.iter().filter(|p| p.lane == lane && p.lag.is_some()).count();
        (0..3).map(share).sum::<usize>() == 8 && (0..3).all(|lane| share(lane) >= 2)
    });
    let producer = topic.producer_with(&[("linger.ms", "0"), ("acks", "1")]);
    let began = Instant::now();
    let receiver = std::thread::spawn(move || receive(&slices, samples + samples / 9, began));
    let before = cpu_ms();
    // The first tenth is not counted: the producer connects and the broker warms up.
    let samples = samples + samples / 9;
    for number in 0..samples {
        // Written as nanoseconds since the start, so that the receiver can tell how old a record is.
        let at = began.elapsed().as_nanos() as i64;
        let value = click((number % 8) as i32, at);
        let record = BaseRecord::<str, str>::to(&topic.name).partition((number % 8) as i32);
        producer.send(record.payload(&value)).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
        std::thread::sleep(pause.saturating_sub(Duration::from_micros(60)));
    }
    let mut ages_us = receiver.join().unwrap().split_off(samples as usize / 10);
    let cpu = (cpu_ms() - before) / began.elapsed().as_secs_f64() / 10.0;
    ages_us.sort_unstable();
    let at = |part: usize| ages_us[ages_us.len() * part / 1_000] as f64 / 1e3;
    println!(
        "latency, {what}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {cpu:.0} % of a CPU",
        at(500),
        at(900),
        at(990),
        at(999)
    );
    assert_eq!(lanes.stop(Duration::from_secs(10)).unfinished, Vec::<String>::new());
}

fn receive(slices: &Receiver<Delivery>, samples: i64, began: Instant) -> Vec<u64> {
    let mut ages_us = Vec::new();
    while (ages_us.len() as i64) < samples {
        let Delivery { slice, .. } = slices.recv().unwrap();
        let now = began.elapsed().as_nanos() as i64;
        for click in &slice.clicks {
            let (_, at) = slice.text(click.device).split_once('-').unwrap();
            ages_us.push((now - at.parse::<i64>().unwrap()) as u64 / 1_000);
        }
    }
    ages_us
}

/// The tests' settings with those properties that are given as `name=value` arguments.
fn start_config(topic: &Topic, first_sight: FirstSight) -> StreamConfig {
    let mut config = StreamConfig { first_sight, ..config(topic) };
    for (name, value) in std::env::args().filter_map(|argument| {
        argument.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    }) {
        config.properties.insert(name, value);
    }
    config
}

fn start(config: StreamConfig) -> (Lanes, Receiver<Delivery>) {
    let (out, slices) = crossbeam_channel::bounded(64);
    let book = Arc::new(Book::default());
    (Lanes::start(config, book, out).unwrap(), slices)
}

/// CPU time of this process.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(12) + ticks(13)) * 10.0
}
