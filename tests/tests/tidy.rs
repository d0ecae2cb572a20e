//! House rules that a machine can see: which crate may know which, how long files are, what must not be committed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our crates and, for each, those of ours it may know. Development dependencies count, too.
const ARROWS: [(&str, &[&str]); 10] = [
    ("tollgate-builder", &[]),
    ("tollgate-domain", &[]),
    ("tollgate-engine", &["tollgate-domain"]),
    ("tollgate-ledger", &["tollgate-domain"]),
    ("tollgate-stream", &["tollgate-domain"]),
    ("tollgate-workbench", &["tollgate-builder", "tollgate-domain", "tollgate-engine"]),
    (
        "tollgate",
        &[
            "tollgate-builder",
            "tollgate-domain",
            "tollgate-engine",
            "tollgate-ledger",
            "tollgate-stream",
            "tollgate-workbench",
        ],
    ),
    ("tollgate-rules", &["tollgate-sdk"]),
    ("tollgate-sdk", &[]),
    ("tollgate-xtask", &["tollgate-builder"]),
];

/// Libraries that only these crates of the host may know.
const OWNERS: [(&str, &[&str]); 11] = [
    ("wasmtime", &["tollgate-engine"]),
    ("wasmparser", &["tollgate-engine"]),
    ("sqlx", &["tollgate-ledger"]),
    ("rdkafka", &["tollgate-stream"]),
    ("rdkafka-sys", &["tollgate-stream"]),
    ("ed25519-dalek", &["tollgate"]),
    ("redis", &["tollgate"]),
    ("reqwest", &["tollgate"]),
    ("lettre", &["tollgate"]),
    ("axum", &["tollgate"]),
    ("tokio", &["tollgate", "tollgate-ledger"]),
];

const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let names = |package: &cargo_metadata::Package| {
        package.dependencies.iter().map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), names(package))).collect()
}

/// Paths inside the repository: where it stands says nothing about its files.
fn tracked_files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    let text = String::from_utf8(output.stdout).expect("file names are UTF-8");
    text.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

fn source(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("source")
}

/// Fails where a filter has come to let nothing through.
fn check_looked_at(count: usize, least: usize) {
    assert!(count > least, "only {count} files were looked at");
}

#[test]
fn crates_know_only_whom_they_may() {
    let dependencies = dependencies();
    let ours: BTreeSet<_> = dependencies.keys().cloned().collect();
    for (name, allowed) in ARROWS {
        let known = &dependencies[name];
        let wrong: Vec<_> = known
            .iter()
            .filter(|known| ours.contains(*known) && !allowed.contains(&known.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{name} must not know {wrong:?}");
    }
    let listed: BTreeSet<_> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unlisted: Vec<_> = ours.difference(&listed).filter(|n| *n != "tollgate-tests").collect();
    assert!(unlisted.is_empty(), "{unlisted:?} have no line in ARROWS");
}

#[test]
fn libraries_stay_with_their_owners() {
    let dependencies = dependencies();
    for (library, owners) in OWNERS {
        for (name, known) in &dependencies {
            let is_host = ARROWS.iter().any(|(ours, _)| ours == name) && name != "tollgate-xtask";
            let allowed = !is_host || owners.contains(&name.as_str());
            assert!(allowed || !known.contains(library), "{name} must not know {library}");
        }
    }
}

#[test]
fn files_stay_short() {
    let (mut long, mut looked) = (Vec::new(), 0);
    for path in tracked_files() {
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let is_generated = path.contains("/sdk/src/module/") && path.ends_with("/bindings.rs");
        if !path.ends_with(".rs") || is_test || is_generated {
            continue;
        }
        looked += 1;
        // Tests at the end of a file do not count.
        let whole = source(&path);
        let lines = whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or("").lines().count();
        if lines > LINES_MAX {
            long.push(format!("{path}: {lines} lines"));
        }
    }
    check_looked_at(looked, 300);
    assert!(long.is_empty(), "longer than {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_open() {
    let marks = ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "todo".to_owned() + "!("];
    let mut found = Vec::new();
    for path in tracked_files() {
        let Ok(source) = std::fs::read_to_string(root().join(&path)) else { continue };
        let is_lock = path.ends_with("Cargo.lock");
        found.extend(
            source
                .lines()
                .enumerate()
                .filter(|(_, line)| !is_lock && marks.iter().any(|mark| line.contains(mark)))
                .map(|(at, _)| format!("{path}:{}", at + 1)),
        );
    }
    assert!(found.is_empty(), "left open:\n{}", found.join("\n"));
}

#[test]
fn money_never_touches_a_float() {
    let (mut found, mut looked) = (Vec::new(), 0);
    for path in tracked_files() {
        let guarded = [
            "host/domain/src",
            "host/ledger/src",
            "host/engine/src",
            "rules/src",
            "rules/sdk/src",
            "wit/",
        ];
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        if is_test || !guarded.iter().any(|part| path.starts_with(part)) {
            continue;
        }
        looked += 1;
        for (at, line) in source(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if words.into_iter().any(|word| word == "f64" || word == "f32") && !code.contains('"') {
                found.push(format!("{path}:{}: {line}", at + 1));
            }
        }
    }
    check_looked_at(looked, 100);
    assert!(found.is_empty(), "floats near money:\n{}", found.join("\n"));
}

#[test]
fn one_name_one_top_folder() {
    let allowed = ["config", "fuzz", "host", "rules", "tests", "wit"];
    let folders: BTreeSet<_> = tracked_files()
        .iter()
        .filter_map(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    let folders: Vec<_> = folders.iter().map(String::as_str).collect();
    assert_eq!(folders, allowed);
}
