//! The suite: everything that runs tollgate from outside and judges what it did.
//!
//! It starts real servers, generates traffic, runs the real binary as a child, and holds the ledger against a
//! reference model that shares no code with the host.
#![forbid(unsafe_code)]

pub mod bench;
pub mod demo;
pub mod generator;
pub mod harness;
pub mod interrupt;
pub mod model;
pub mod pace;
pub mod servers;
pub mod up;
pub mod wait;
pub mod whole;
