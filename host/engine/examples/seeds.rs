//! Writes what fuzzing begins with: the hostile modules, the shipped ones, and good answers.
//!
//! `cargo run --release -p tollgate-engine --example seeds -- FOLDER`; `cargo xtask fuzz` does it.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use support::{GOOD, Guest, bombs, corpus, echo, shipped};
use tollgate_domain::rule::World;

/// Larger modules teach a fuzzer little and take long.
const BYTES_MAX: usize = 64 << 10;
/// Seeds for the generator of programs, which reads them as numbers: any will do.
const PROGRAMS: u32 = 32;
const PROGRAM_BYTES: u32 = 2_048;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("name the folder")?);
    write(&folder.join("admission"), &modules())?;
    write(&folder.join("conversion"), &echo::conversion_seeds())?;
    write(&folder.join("program"), &(1..=PROGRAMS).map(program).collect::<Vec<_>>())
}

/// Modules, each behind a byte that chooses its world.
fn modules() -> Vec<Vec<u8>> {
    let of = |world: World, module: Vec<u8>| {
        let at = World::ALL.iter().position(|it| *it == world).unwrap_or_default();
        [vec![at as u8], module].concat()
    };
    let files = corpus::names();
    let mut modules: Vec<_> =
        files.iter().map(|name| of(corpus::world(name), corpus::module(name))).collect();
    let made = [bombs::broken(), bombs::descriptions(), bombs::bombs()].concat();
    modules.extend(made.into_iter().map(|(_, module)| of(World::Pricing, module)));
    modules.extend(World::ALL.map(|world| of(world, shipped(world))));
    modules.push(of(World::Pricing, Guest::pricing(GOOD).build()));
    modules.retain(|module| module.len() <= BYTES_MAX);
    modules
}

fn program(seed: u32) -> Vec<u8> {
    let byte = |at: u32| (seed.wrapping_mul(2_654_435_761) ^ at.wrapping_mul(40_503)) >> 7;
    (0..PROGRAM_BYTES).map(|at| byte(at) as u8).collect()
}

fn write(folder: &Path, seeds: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (at, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{at:03}")), seed)?;
    }
    Ok(())
}
