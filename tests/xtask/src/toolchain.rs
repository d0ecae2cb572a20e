//! Finds a compiler for `wasm32-unknown-unknown`, or installs one.
//!
//! The first choice is the pinned toolchain with its WASM target from rustup. Where that cannot be downloaded, Debian's
//! compiler builds the standard library from source.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "lld-22"];

/// A compiler for WASM: what cargo needs in order to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WasmToolchain {
    /// Name and version, for messages and for noticing a change.
    pub(crate) name: String,
    pub(crate) envs: Vec<(&'static str, OsString)>,
    pub(crate) args: Vec<&'static str>,
}

impl WasmToolchain {
    /// Finds or installs a compiler. `TOLLGATE_WASM_TOOLCHAIN` (`rustup` or `debian`) demands one of the two.
    ///
    /// # Errors
    /// There is none and none can be installed; the message says what to install.
    pub(crate) fn find(root: &Path) -> Result<Self> {
        let demanded = std::env::var("TOLLGATE_WASM_TOOLCHAIN").unwrap_or_default();
        if demanded != "debian"
            && let Some(found) = rustup(root)
        {
            return Ok(found);
        }
        if demanded != "rustup" {
            if let Some(found) = debian() {
                return Ok(found);
            }
            install_debian();
            if let Some(found) = debian() {
                return Ok(found);
            }
        }
        bail!(
            "there is no compiler for {TARGET}. Run `rustup target add {TARGET}` in this folder, or on Debian, as \
             root, `apt-get install --no-install-recommends {}`; then run the command again",
            DEBIAN_PACKAGES.join(" ")
        )
    }
}

/// The pinned toolchain, with the target added when it is missing and can be downloaded.
fn rustup(root: &Path) -> Option<WasmToolchain> {
    let rustc = |arg: &[&str]| output(Command::new("rustc").args(arg).current_dir(root));
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    let target = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if !target.is_dir() {
        eprintln!("adding the target {TARGET} by rustup");
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1").current_dir(root);
        if !quietly(&mut add) {
            eprintln!("rustup could not add the target; looking for Debian's compiler");
        }
    }
    let name = rustc(&["--version"])?;
    target.is_dir().then(|| WasmToolchain { name, envs: Vec::new(), args: Vec::new() })
}

/// Debian's compiler with its source and a matching linker, when they are installed.
fn debian() -> Option<WasmToolchain> {
    let rustc = "/usr/bin/rustc";
    let name = output(Command::new(rustc).arg("--version"))?;
    let version = name.split_whitespace().nth(1)?;
    let library = PathBuf::from(format!("/usr/src/rustc-{version}/library"));
    let linker = linker()?;
    library.is_dir().then(|| WasmToolchain {
        envs: vec![
            ("RUSTC", rustc.into()),
            // Building the standard library is an unstable feature of cargo, and this is its way to allow that on a
            // stable compiler and to name the source.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("__CARGO_TESTS_ONLY_SRC_ROOT", library.into()),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()),
        ],
        args: vec!["-Zbuild-std=std,panic_abort"],
        name,
    })
}

/// The newest `wasm-ld` of Debian's versioned ones.
fn linker() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/bin").ok()?;
    let versions = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix("wasm-ld-")?.parse::<u32>().ok()
    });
    versions.max().map(|version| PathBuf::from(format!("/usr/bin/wasm-ld-{version}")))
}

fn install_debian() {
    let root = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !root {
        return;
    }
    eprintln!("installing {} by apt-get", DEBIAN_PACKAGES.join(" "));
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        quietly(command.env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    let install = || {
        let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
        args.extend(DEBIAN_PACKAGES);
        apt(&args)
    };
    if !install() && apt(&["update", "-qq"]) && !install() {
        eprintln!("apt-get could not install them");
    }
}

/// What the command prints, without the end of the line; `None` when it fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether the command succeeds; what it says is shown only when it does not.
fn quietly(command: &mut Command) -> bool {
    let Ok(output) = command.stdin(Stdio::null()).output() else { return false };
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    output.status.success()
}

/// Runs a command and shows what it said when it fails.
///
/// # Errors
/// The command cannot be started, or it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}
