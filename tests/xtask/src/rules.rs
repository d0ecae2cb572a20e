//! Builds the shipped rules into components: `target/rules/{pricing,threshold,refund,notification}.wasm`, one module
//! for each world, and alternatives to them in `target/rules/others`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tollgate_builder::{Said, WasmToolchain, cases, rust, write_whole};

/// Names of the shipped rules and the files of their modules. A host takes the modules of the folder itself, each for
/// the world of its name; alternatives lie deeper.
pub(crate) const RULES: [(&str, &str); 5] = [
    ("pricing", "pricing.wasm"),
    ("threshold", "threshold.wasm"),
    ("refund", "refund.wasm"),
    ("notification", "notification.wasm"),
    ("terse-notification", "others/terse_notification.wasm"),
];

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
    let toolchain = WasmToolchain::find_or_install(root)?;
    eprintln!("building the rules with {}", toolchain.name);
    for (name, file) in RULES {
        let sources = rust::Sources {
            folder: root,
            package: Some("tollgate-rules"),
            features: &[format!("{name}-module")],
            target: &folder.join("build"),
        };
        let module = rust::build(&sources, &toolchain, Said::OnFailure)
            .with_context(|| format!("build the rule {name}"))?;
        write_whole(&folder.join(file), &with_cases(root, name, &module)?)?;
    }
    write_whole(&stamp_path, sources.as_bytes())?;
    built(&folder)
}

/// The module with the rule's cases inside, when it has any.
fn with_cases(root: &Path, name: &str, module: &[u8]) -> Result<Vec<u8>> {
    let path = root.join(format!("rules/cases/{name}.toml"));
    if !path.exists() {
        return Ok(module.to_vec());
    }
    let cases = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    cases::embed(module, &[&cases])
}

fn built(folder: &Path) -> Result<Vec<BuiltRule>> {
    let rule = |(name, file)| {
        let path = folder.join(file);
        let bytes = path.metadata().with_context(|| format!("read {}", path.display()))?.len();
        Ok(BuiltRule { name, path, bytes })
    };
    RULES.into_iter().map(rule).collect()
}

/// Stands for everything that a module is made of, this file included.
fn fingerprint(root: &Path) -> Result<String> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    for folder in ["rules", "host/builder"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    include_str!("rules.rs").hash(&mut hasher);
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
