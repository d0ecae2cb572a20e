//! What rule authors use, offline: projects, cases, runs, benchmarks, and replays of clicks.
#![forbid(unsafe_code)]

pub mod replay;
