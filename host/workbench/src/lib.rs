//! What rule authors use, offline: projects, cases, runs, benchmarks, and replays of clicks.
#![forbid(unsafe_code)]

pub mod bench;
pub mod cases;
pub mod check;
pub mod project;
pub mod replay;
pub mod run;
pub mod watch;
