//! The tollgate host: clicks from Kafka, rules in WASM, exact money in the ledger.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod commands;
pub mod config;
pub mod exit;
pub mod metrics;
pub mod pipeline;
pub mod positions;
pub mod rules;
pub mod telemetry;
