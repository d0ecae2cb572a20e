//! Runs other people's programs, and what becomes of their words.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What becomes of the words of a compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// They are shown as they are, while they come.
    AtOnce,
    /// They are shown when the compiler fails.
    OnFailure,
}

/// Runs a command and returns what it wrote to its standard output.
///
/// # Errors
/// The command cannot be started, or it fails; then the error ends with its words, unless they were shown at once.
pub fn run(command: &mut Command, said: Said) -> Result<Vec<u8>> {
    let shown = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    if said == Said::AtOnce {
        command.stderr(Stdio::inherit());
    }
    let output = command.output().with_context(|| format!("start {shown}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    match said {
        Said::AtOnce => bail!("it does not compile; what {shown} says stands above"),
        Said::OnFailure => {
            bail!("{shown} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end())
        }
    }
}

/// What the command prints, without the end of the line; `None` when it fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether the command succeeds; what it says is shown only when it does not.
pub(crate) fn quietly(command: &mut Command) -> bool {
    let Ok(output) = command.stdin(Stdio::null()).output() else { return false };
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    output.status.success()
}
