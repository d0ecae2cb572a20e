//! Any bytes as a description, and as the answer of a rule.
#![no_main]

#[path = "../../host/engine/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::echo::conversion(data));
