//! What writing a batch costs in Postgres over TCP: `cargo run --release -p tollgate-ledger --example write_cost`.
//!
//! The server is private and durable unless `TOLLGATE_TEST_POSTGRES_URL` names another. Arguments choose batch sizes;
//! any other argument is SQL for the empty tables, to see what something in them costs.

mod charging;

use std::time::{Duration, Instant};

use charging::{Memory, Way, hold, open, postgres, write};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

const ROWS: [usize; 10] = [1, 8, 32, 64, 100, 200, 400, 1_000, 5_000, 20_000];
const TIME_PER_FIGURE: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = || std::env::args().skip(1);
    let chosen: Vec<usize> = arguments().filter_map(|rows| rows.parse().ok()).collect();
    let sizes = if chosen.is_empty() { ROWS.to_vec() } else { chosen };
    let server = postgres::Server::start(true);
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    admin.execute("DROP DATABASE IF EXISTS write_cost").await.unwrap();
    admin.execute("CREATE DATABASE write_cost").await.unwrap();
    let url = server.database("write_cost");
    let mut memory = charging::seed(&url, charging::plans::DAY).await;
    for sql in arguments().filter(|text| text.parse::<usize>().is_err()) {
        PgConnection::connect(&url).await.unwrap().execute(&*sql).await.unwrap();
    }
    println!("median of a batch          one statement                    COPY");
    println!(
        "{:<12} {:>6} {:>11} {:>9} {:>14} {:>9}",
        "way", "rows", "rows/s", "us", "rows/s", "us"
    );
    for rows in sizes {
        for way in [Way::HistoryOnly, Way::Optimistic, Way::Recorded, Way::Locked] {
            let [small, large] = measure(&url, &mut memory, way, rows).await;
            let per_second = |us: u128| rows as u128 * 1_000_000 / us.max(1);
            let (small_rate, large_rate) = (per_second(small), per_second(large));
            let way = format!("{way:?}");
            println!("{way:<12} {rows:>6} {small_rate:>11} {small:>9} {large_rate:>14} {large:>9}");
        }
    }
    drop(admin);
}

/// Median time of a batch in microseconds, without the time to decide it, as one statement and with COPY. The two take
/// turns, so that other work on the machine meets both.
async fn measure(url: &str, memory: &mut Memory, way: Way, rows: usize) -> [u128; 2] {
    let mut small = open(url, usize::MAX).await;
    let mut large = open(url, 0).await;
    let mut held = hold(&mut small).await;
    let mut took = [vec![], vec![]];
    let started = Instant::now();
    while started.elapsed() < TIME_PER_FIGURE || took[1].len() < 9 {
        took[0].push(write(&mut small, memory, way, rows, &mut held).await.as_micros());
        took[1].push(write(&mut large, memory, way, rows, &mut held).await.as_micros());
    }
    took.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}
