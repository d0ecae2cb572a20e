//! Rules as WASM: admission, limits, calls.
//!
//! `Engine::admit` judges the bytes of a module before anything of it runs, then compiles it and asks it what it is.
//! `Rule` is an admitted module with its parameters; `RuleSet` answers the pipeline's questions, `Refunder` decides about
//! compensations, `Notifier` words messages. Every call gets a fresh instance and a fixed amount of fuel, so the same
//! facts give the same answers on any machine.
//!
//! This crate knows no database, no broker and no clock but the stopwatch of its own statistics.
#![deny(unsafe_code)]

mod admission;
mod bindings;
mod cache;
mod columns;
mod convert;
mod engine;
mod interpreted;
mod limits;
mod module;
mod notifier;
mod profile;
mod refunder;
mod rule;
mod stats;

pub use admission::{AdmissionError, Survey};
pub use cache::CacheError;
pub use engine::{Compiler, Engine, EngineError};
pub use interpreted::InterpretedLimits;
pub use limits::{EngineLimits, ShapeLimits};
pub use module::{Module, digest};
pub use notifier::Notifier;
pub use profile::{Profile, Question};
pub use refunder::Refunder;
pub use rule::{BindError, Rule, RuleSet};
pub use stats::CallStats;
