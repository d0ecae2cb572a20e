//! Rules in JavaScript and Python: their interpreter and the source become one component, without imports.
//!
//! The tools come from npm and PyPI, into the project; this only finds and runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::said::{Said, answer, run};

/// What a rule is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `rule.js`, run by SpiderMonkey through componentize-js.
    JavaScript,
    /// `rule.py`, run by CPython through componentize-py.
    Python,
}

/// Makes a component of the rule in `folder` for a world of the contract in its folder `wit`. Gives the name of the tool,
/// too. Equal sources need not give equal bytes.
///
/// # Errors
/// The tool is not installed, or it fails.
pub fn build(
    language: Language,
    folder: &Path,
    world: &str,
    said: Said,
) -> Result<(Vec<u8>, String)> {
    let tool = find(language, folder)?;
    let out = folder.join(".rule.wasm.part");
    let mut command = Command::new(&tool);
    command.current_dir(folder);
    match language {
        Language::JavaScript => {
            command.args(["rule.js", "--wit", "wit", "--world-name", world]);
            command.args(["--disable", "stdio", "random", "clocks", "http", "fetch-event"]);
            command.arg("--out");
        }
        Language::Python => {
            command.args(["--quiet", "--wit-path", "wit", "--world", world]);
            command.args(["componentize", "--stub-wasi", "rule", "--output"]);
        }
    }
    run(command.arg(&out), said)?;
    let bytes = std::fs::read(&out).with_context(|| format!("read {}", out.display()))?;
    std::fs::remove_file(&out).with_context(|| format!("remove {}", out.display()))?;
    let version = answer(Command::new(&tool).arg("--version"));
    Ok((bytes, version.unwrap_or_else(|| tool_name(language).to_owned())))
}

fn tool_name(language: Language) -> &'static str {
    match language {
        Language::JavaScript => "componentize-js",
        Language::Python => "componentize-py",
    }
}

/// The tool of the project, or the one on the path.
fn find(language: Language, folder: &Path) -> Result<PathBuf> {
    let name = tool_name(language);
    let own = match language {
        Language::JavaScript => folder.join("node_modules/.bin"),
        Language::Python => folder.join(".venv/bin"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::iter::once(own).chain(std::env::split_paths(&path));
    if let Some(found) = folders.find(|folder| folder.join(name).is_file()) {
        return Ok(found.join(name));
    }
    let install = match language {
        Language::JavaScript => "npm install",
        Language::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    };
    bail!("{name} is not installed; run `{install}` in {}, then build again", folder.display())
}
