//! The real binary against real servers, judged by the reference model. One program, so that all scenarios share
//! one Kafka and one Postgres.

mod activations;
mod candidates;
mod crowds;
mod dead_letters;
mod duties;
mod exact;
mod explain;
#[path = "../../../host/engine/tests/support/mod.rs"]
mod guests;
mod harness;
mod hostile;
mod messages;
mod operations;
mod outbox;
mod policy;
mod prices;
mod redis;
mod refunds;
mod registry;
mod replays;
mod rules;
mod servers;
mod standins;
mod topics;
mod trials;
mod watch;
