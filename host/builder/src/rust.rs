//! Rules in Rust: compiles a package to a core module and makes a component of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use wit_component::ComponentEncoder;

use crate::said::{self, Said};
use crate::toolchain::{TARGET, WasmToolchain};

/// Makes calls cheap: the stack and the first blocks share pages that are wiped by copying, and memory is bounded, as
/// the host demands. 8 MiB is the host's own default limit.
const LINK_ARGS: [&str; 2] = ["-zstack-size=16384", "--max-memory=8388608"];

/// The profile of every module, whatever the package says of its own.
const PROFILE: [(&str, &str); 9] = [
    ("CODEGEN_UNITS", "1"),
    ("DEBUG", "false"),
    ("DEBUG_ASSERTIONS", "false"),
    ("INCREMENTAL", "false"),
    ("LTO", "fat"),
    ("OPT_LEVEL", "3"),
    // A sum that does not fit stops the rule instead of charging what is left of it.
    ("OVERFLOW_CHECKS", "true"),
    ("PANIC", "abort"),
    ("STRIP", "debuginfo"),
];

/// Flags for the machine that builds have no business in a module, and would win over those below.
const FOREIGN: [&str; 5] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
];

/// Rust sources of one rule.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// The folder that holds everything that is the rule's own. Its path does not get into the module.
    pub folder: &'a Path,
    /// The package when the folder is a workspace; without one, it is the package of the folder.
    pub package: Option<&'a str>,
    pub features: &'a [String],
    /// Where the compiler keeps what it has made so far.
    pub target: &'a Path,
}

/// Compiles the sources and makes a component. Equal sources give equal bytes, wherever they lie.
///
/// # Errors
/// The sources do not compile, or what they export is no world of the contract.
pub fn build(sources: &Sources<'_>, wasm: &WasmToolchain, said: Said) -> Result<Vec<u8>> {
    let messages = said::run(&mut compiler(sources, wasm), said)?;
    let path = artifact(&messages).ok_or_else(|| {
        anyhow!("the package has no library for WASM; its Cargo.toml needs a [lib] section")
    })?;
    let core = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    componentize(&core).context(
        "no component can be made of it; end src/lib.rs with the line of its kind, such as \
         `tollgate_sdk::pricing_module!(crate);`, and leave out crates that call the system",
    )
}

fn compiler(sources: &Sources<'_>, wasm: &WasmToolchain) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(sources.folder);
    cargo.args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.args(sources.package.iter().flat_map(|package| ["--package", package]));
    cargo.args(sources.features.iter().flat_map(|feature| ["--features", feature]));
    cargo.arg("--target-dir").arg(sources.target).args(&wasm.args);
    for foreign in FOREIGN {
        cargo.env_remove(foreign);
    }
    for (key, value) in PROFILE {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let link = LINK_ARGS.map(|arg| OsString::from(format!("-Clink-arg={arg}")));
    let flags: Vec<OsString> = link.into_iter().chain(remaps(sources.folder)).collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(std::ffi::OsStr::new("\u{1f}")));
    cargo.envs(wasm.envs.iter().map(|(key, value)| (key, value)));
    cargo
}

/// Keeps this machine's folders out of modules.
fn remaps(folder: &Path) -> impl Iterator<Item = OsString> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    });
    let folders = [(Some(folder.to_owned()), "=/rule"), (home, "=/cargo")];
    folders.into_iter().filter_map(|(folder, name)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder?);
        flag.push(name);
        Some(flag)
    })
}

/// The last module that the compiler says it has made.
fn artifact(messages: &[u8]) -> Option<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n');
    let mut made = messages.filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let files = message.get("filenames")?.as_array()?;
        let mut files = files.iter().filter_map(|file| file.as_str());
        files.find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    made.next_back()
}

fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().module(core)?.validate(true).encode()
}
