//! Calls cargo, showing its progress in one line and its words only when it fails.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::{Step, Steps};

/// Builds the host and the suite, in the one way that lets all tasks share their dependencies.
///
/// # Errors
/// They do not compile.
pub(crate) fn host_and_suite(root: &Path, steps: &Steps) -> Result<()> {
    let step = steps.begin("host and suite", "the first time compiles wasmtime, some minutes");
    let packages = ["--package", "tollgate", "--package", "tollgate-tests", "--bins"];
    let compiled = cargo(root, &step, &[&["build", "--release"], &packages[..]].concat())?;
    step.done(&match compiled {
        0 => "up to date".to_owned(),
        1 => "1 crate compiled".to_owned(),
        count => format!("{count} crates compiled"),
    });
    Ok(())
}

/// Formatting and lints of the whole workspace.
///
/// # Errors
/// Something is not as it should be.
pub(crate) fn check(root: &Path, steps: &Steps) -> Result<()> {
    let step = steps.begin("formatting", "cargo fmt --check");
    cargo(root, &step, &["fmt", "--all", "--check"])?;
    step.done("clean");
    let step = steps.begin("lints", "cargo clippy on everything");
    let everything = ["--workspace", "--all-targets", "--release", "--", "-D", "warnings"];
    cargo(root, &step, &[&["clippy"], &everything[..]].concat())?;
    step.done("clean");
    Ok(())
}

/// Takes away what `cargo run` says of this package. Some dependencies are compiled again when it changes, so tasks and bare
/// cargo commands would undo each other's work.
pub(crate) fn forget_package(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let about_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name.to_str().is_some_and(|name| about_package.iter().any(|one| name.starts_with(one))) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs cargo and counts the crates that it compiled.
fn cargo(root: &Path, step: &Step, arguments: &[&str]) -> Result<usize> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut child = forget_package(&mut Command::new(program))
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let (mut words, mut compiled) = (String::new(), 0);
    let output = child.stderr.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
            compiled += 1;
            step.detail(&format!("{compiled} compiled, now {name}"));
        }
        words.push_str(&line);
        words.push('\n');
    }
    if !child.wait()?.success() {
        bail!("cargo {} failed:\n{words}", arguments.join(" "));
    }
    Ok(compiled)
}
