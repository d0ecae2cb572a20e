//! From a rule's sources to a module: finds a compiler, compiles, and makes a component.
//!
//! `rust` is for rules that are written with the SDK, `interpreted` for JavaScript and Python. What comes out has no
//! imports, a bounded memory and a small stack; whether it is admitted is the engine's to say.
#![forbid(unsafe_code)]

pub mod cases;
pub mod interpreted;
pub mod rust;
mod said;
mod toolchain;
mod written;

pub use said::{Said, run};
pub use toolchain::{TARGET, WasmToolchain};
pub use written::write_whole;
