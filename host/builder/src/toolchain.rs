//! Finds a compiler for `wasm32-unknown-unknown`, or installs one when it is asked to.
//!
//! The first choice is the pinned toolchain with its WASM target from rustup. Where that cannot be downloaded, Debian's
//! compiler builds the standard library from source.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::said::{answer, quietly};

/// What modules are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "lld-22"];

/// A compiler for WASM: what cargo needs in order to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmToolchain {
    /// Name and version, for messages and for noticing a change.
    pub name: String,
    pub(crate) envs: Vec<(&'static str, OsString)>,
    pub(crate) args: Vec<&'static str>,
}

impl WasmToolchain {
    /// Finds a compiler for the sources in `folder`; nothing is downloaded. `TOLLGATE_WASM_TOOLCHAIN` (`rustup` or
    /// `debian`) demands one of the two.
    ///
    /// # Errors
    /// There is none; the message says what to install.
    pub fn find(folder: &Path) -> Result<Self> {
        Self::of(&demanded(), folder, false)
    }

    /// The same, and what is missing is downloaded.
    ///
    /// # Errors
    /// There is none and none can be installed; the message says what to install.
    pub fn find_or_install(folder: &Path) -> Result<Self> {
        Self::of(&demanded(), folder, true)
    }

    fn of(demanded: &str, folder: &Path, install: bool) -> Result<Self> {
        if demanded != "debian"
            && let Some(found) = rustup(folder, install)
        {
            return Ok(found);
        }
        if demanded != "rustup" {
            if let Some(found) = debian() {
                return Ok(found);
            }
            if install {
                install_debian();
                if let Some(found) = debian() {
                    return Ok(found);
                }
            }
        }
        bail!(
            "there is no compiler for {TARGET}. Run `rustup target add {TARGET}` in this folder, or on Debian, as \
             root, `apt-get install --no-install-recommends {}`; then run the command again",
            DEBIAN_PACKAGES.join(" ")
        )
    }
}

fn demanded() -> String {
    std::env::var("TOLLGATE_WASM_TOOLCHAIN").unwrap_or_default()
}

/// The toolchain of the folder, when it has the target.
fn rustup(folder: &Path, install: bool) -> Option<WasmToolchain> {
    let rustc = |arg: &[&str]| answer(Command::new("rustc").args(arg).current_dir(folder));
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    let target = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if install && !target.is_dir() {
        eprintln!("adding the target {TARGET} by rustup");
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1").current_dir(folder);
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
    let name = answer(Command::new(rustc).arg("--version"))?;
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
    let root = answer(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
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
