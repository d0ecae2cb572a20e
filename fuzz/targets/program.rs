//! Any program that exports what a world demands: it is admitted or not, and what it answers is held to the fence.
#![no_main]

#[path = "../../host/engine/tests/support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use support::Guest;
use wasm_smith::{Config, Module};

fuzz_target!(|data: &[u8]| {
    let Some((world, program)) = data.split_first() else { return };
    let guests = [Guest::pricing, Guest::threshold, Guest::refund, Guest::notification];
    // What it would answer does not matter: only its exports are taken, and this is a program in every world.
    let guest = guests[usize::from(*world) % guests.len()]("(unreachable)");
    let Some(component) = component(&guest, program) else { return };
    let data = [&[*world][..], &component].concat();
    let run = AssertUnwindSafe(|| support::echo::admission(&data));
    if let Err(panic) = catch_unwind(run) {
        // The bytes mean something to this version of the generator only; the module is what has to be kept.
        std::fs::write("module", &data).expect("the module is kept");
        resume_unwind(panic);
    }
});

/// A program of functions that the bytes choose, with the exports of the guest.
fn component(guest: &Guest, program: &[u8]) -> Option<Vec<u8>> {
    let config = Config {
        exports: Some(guest.core()),
        allow_floats: false,
        simd_enabled: false,
        relaxed_simd_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        multi_value_enabled: true,
        max_imports: 0,
        max_memories: 1,
        memory_max_size_required: true,
        max_memory32_bytes: 8 << 20,
        max_tables: 2,
        table_max_size_required: true,
        max_table_elements: 1_000,
        max_funcs: 12,
        max_instructions: 200,
        ..Config::default()
    };
    let module = Module::new(config, &mut Unstructured::new(program)).ok()?;
    guest.wrap(module.to_bytes())
}
