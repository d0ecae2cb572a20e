//! Pure billing: from the bytes of an event to the plan of a batch.
//!
//! This crate knows no clock, no socket, no database and no WASM. Whatever it needs is handed in, and the same
//! inputs give the same plan. `decide` is its centre; the other modules are the words it speaks.
#![forbid(unsafe_code)]

pub mod batch;
pub mod book;
pub mod compensation;
pub mod day;
pub mod dead;
pub mod decide;
pub mod event;
pub mod facts;
pub mod fence;
pub mod money;
pub mod notice;
pub mod plan;
pub mod refund;
pub mod rule;
pub mod slice;
pub mod transcript;
pub mod trial;
