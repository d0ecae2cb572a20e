//! Coverage-guided fuzzing of what strangers can give to the host: modules, and the answers of modules.
//!
//! The targets lie in `fuzz`, a workspace of its own, because all of it is compiled for coverage. That takes no other
//! compiler than the pinned one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::steps::Steps;

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Any bytes as a module
    Admission,
    /// Any program as a module
    Program,
    /// Any bytes as a module's description and as its answers
    Conversion,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Admission, Self::Program, Self::Conversion];

    fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Program => "program",
            Self::Conversion => "conversion",
        }
    }
}

/// When a target ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Seconds(u32),
    Runs(u32),
}

/// Counts each edge and shows each comparison to the fuzzer.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// More than this, or longer, is a find: a module of this size is compiled in a fraction of it.
const MEMORY_MIB_MAX: u32 = 2_048;
const SECONDS_MAX: u32 = 20;
const INPUT_BYTES_MAX: u32 = 64 << 10;

/// Fuzzes the targets one after the other. What is interesting stays in `target/fuzz/corpus` for the next time.
///
/// # Errors
/// Something does not compile, or something was found; the error says where it is kept.
pub(crate) fn fuzz(root: &Path, steps: &Steps, targets: &[Target], until: Until) -> Result<()> {
    let folder = root.join("target/fuzz");
    let step = steps.begin("seeds", "the hostile modules, the shipped ones, good answers");
    let seeds = folder.join("seeds");
    let arguments = ["run", "--release", "--quiet", "--package", "tollgate-engine"];
    let mut command = cargo(root);
    finish(command.args(arguments).args(["--example", "seeds", "--"]).arg(&seeds))?;
    step.done(&format!("{}", seeds.strip_prefix(root).unwrap_or(&seeds).display()));
    let step =
        steps.begin("targets", "the first time compiles wasmtime for coverage, some minutes");
    let programs = build(root, &folder)?;
    step.done("up to date");
    targets.iter().try_for_each(|target| run(&folder, &programs, *target, until))
}

/// Compiles the targets and returns the folder of their programs.
fn build(root: &Path, folder: &Path) -> Result<PathBuf> {
    let triple = host(root)?;
    let mut command = cargo(root);
    // With a target named, build scripts and macros are compiled as always.
    command.args(["build", "--release", "--quiet", "--bins", "--target", &triple]);
    command.arg("--manifest-path").arg(root.join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(folder.join("build"));
    command.env("RUSTFLAGS", COVERAGE.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    finish(&mut command)?;
    Ok(folder.join("build").join(triple).join("release"))
}

fn run(folder: &Path, programs: &Path, target: Target, until: Until) -> Result<()> {
    let name = target.name();
    let corpus = folder.join("corpus").join(name);
    let found = folder.join("found").join(name);
    for folder in [&corpus, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let mut command = Command::new(programs.join(name));
    command.current_dir(&found);
    command.arg(match until {
        Until::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Until::Runs(runs) => format!("-runs={runs}"),
    });
    command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    command.arg(format!("-timeout={SECONDS_MAX}"));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.args(["-print_final_stats=1", "-use_value_profile=0"]);
    command.arg(&corpus).arg(folder.join("seeds").join(name));
    let status = command.status().with_context(|| format!("start the target {name}"))?;
    if !status.success() {
        bail!(
            "{name} has found something: it is kept in {}. Mend what it shows, and put it into the hostile corpus \
             (`host/engine/tests/support/corpus.rs`), which the tests repeat",
            found.display()
        );
    }
    Ok(())
}

/// The triple of this machine.
fn host(root: &Path) -> Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(root).output();
    let output = output.context("start rustc")?.stdout;
    let text = String::from_utf8_lossy(&output);
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("rustc does not name its host")?.to_owned())
}

fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    crate::build::forget_package(&mut command).current_dir(root);
    command
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().context("start cargo")?;
    if !status.success() {
        bail!("cargo ended with {status}");
    }
    Ok(())
}
