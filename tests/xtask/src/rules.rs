//! Builds the shipped rules into components: `target/rules/{pricing,threshold,refund,notification}.wasm`, one module
//! for each world, and alternatives to them in `target/rules/others`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use crate::toolchain::{self, TARGET, WasmToolchain};

/// Names of the shipped rules and the files of their modules. A host takes the modules of the folder itself, each for
/// the world of its name; alternatives lie deeper.
pub(crate) const RULES: [(&str, &str); 5] = [
    ("pricing", "pricing.wasm"),
    ("threshold", "threshold.wasm"),
    ("refund", "refund.wasm"),
    ("notification", "notification.wasm"),
    ("terse-notification", "others/terse_notification.wasm"),
];

/// Makes calls cheap: the stack and the first blocks share pages that are wiped by copying, and memory is bounded, as
/// the host demands. 8 MiB is the host's own default limit.
const LINK_ARGS: [&str; 2] = ["-zstack-size=16384", "--max-memory=8388608"];

/// A module that was built, or found to be up to date.
#[derive(Clone, Debug)]
pub(crate) struct BuiltRule {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    /// Size of the module.
    pub(crate) bytes: u64,
}

/// Builds every rule whose sources have changed since the last time.
///
/// # Errors
/// There is no compiler for WASM, a rule does not compile, or a folder cannot be written.
pub(crate) fn build_rules(root: &Path) -> Result<Vec<BuiltRule>> {
    let folder = root.join("target/rules");
    let stamp_path = folder.join("stamp");
    let sources = fingerprint(root)?;
    let stamp = std::fs::read_to_string(&stamp_path).unwrap_or_default();
    if stamp == sources
        && let Ok(built) = built(&folder)
    {
        return Ok(built);
    }
    let toolchain = WasmToolchain::find(root)?;
    eprintln!("building the rules with {}", toolchain.name);
    for (name, file) in RULES {
        let core = compile(root, &folder.join("build"), &toolchain, name)?;
        let component =
            componentize(&core).with_context(|| format!("make a component of {name}"))?;
        write_whole(&folder.join(file), &component)?;
    }
    write_whole(&stamp_path, sources.as_bytes())?;
    built(&folder)
}

fn built(folder: &Path) -> Result<Vec<BuiltRule>> {
    let rule = |(name, file)| {
        let path = folder.join(file);
        let bytes = path.metadata().with_context(|| format!("read {}", path.display()))?.len();
        Ok(BuiltRule { name, path, bytes })
    };
    RULES.into_iter().map(rule).collect()
}

/// Compiles one rule to a core module and returns its bytes.
fn compile(root: &Path, target: &Path, wasm: &WasmToolchain, name: &str) -> Result<Vec<u8>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo.args(["rustc", "--release", "--package", "tollgate-rules", "--lib"]);
    cargo.args(["--crate-type", "cdylib", "--target", TARGET, "--features"]);
    cargo.arg(format!("{name}-module")).arg("--target-dir").arg(target).args(&wasm.args);
    // Flags for the machine that builds have no business in a module, and would win over those below.
    for foreign in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_TARGET_DIR"] {
        cargo.env_remove(foreign);
    }
    let link = LINK_ARGS.map(|arg| format!("-Clink-arg={arg}"));
    let flags = link.into_iter().chain(remaps(root)).collect::<Vec<_>>().join(" ");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
    for (key, value) in [
        ("CODEGEN_UNITS", "1"),
        ("DEBUG", "false"),
        ("INCREMENTAL", "false"),
        ("LTO", "fat"),
        ("PANIC", "abort"),
        ("STRIP", "debuginfo"),
    ] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    cargo.envs(wasm.envs.iter().map(|(key, value)| (key, value)));
    toolchain::run(&mut cargo).with_context(|| format!("compile the rule {name}"))?;
    let path = target.join(TARGET).join("release/tollgate_rules.wasm");
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// Keeps this machine's folders out of modules, so that equal sources give equal bytes.
fn remaps(root: &Path) -> impl Iterator<Item = String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    });
    let folders = [(Some(root.to_owned()), "tollgate"), (home, "cargo")];
    folders.into_iter().filter_map(|(folder, name)| {
        let folder = folder?;
        let plain = !folder.as_os_str().to_str()?.contains(char::is_whitespace);
        plain.then(|| format!("--remap-path-prefix={}=/{name}", folder.display()))
    })
}

fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().module(core)?.validate(true).encode()
}

/// Writes a file so that nobody ever sees a part of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).with_context(|| format!("write {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("write {}", path.display()))
}

/// Stands for everything that a module is made of, this file included.
fn fingerprint(root: &Path) -> Result<String> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    for folder in ["rules", "wit"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    (include_str!("rules.rs"), include_str!("toolchain.rs")).hash(&mut hasher);
    std::env::var("TOLLGATE_WASM_TOOLCHAIN").unwrap_or_default().hash(&mut hasher);
    for file in files {
        file.hash(&mut hasher);
        std::fs::read(&file).with_context(|| format!("read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} holds no sources", folder.display());
    }
    Ok(())
}
