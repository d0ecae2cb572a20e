//! The real binary against real servers, judged by the reference model. One program, so that all scenarios share
//! one Kafka and one Postgres.

mod exact;
mod harness;
mod operations;
mod prices;
mod servers;
