//! The tollgate host: clicks from Kafka, rules in WASM, exact money in the ledger.
#![forbid(unsafe_code)]

pub mod admin;
pub mod candidates;
pub mod channels;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dead_letters;
pub mod exit;
pub mod explain;
pub mod looks;
pub mod metrics;
pub mod pipeline;
pub mod positions;
pub mod reach;
pub mod records;
pub mod refunds;
pub mod relay;
pub mod replays;
pub mod rules;
pub mod statement;
pub mod telemetry;
pub mod trials;
pub mod upkeep;
pub mod watch;
