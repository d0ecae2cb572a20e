//! Any bytes: admission gives a verdict, and what it admits is asked.
#![no_main]

#[path = "../../host/engine/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::echo::admission(data));
