//! The documents are true: every command they show exists, and every folder they name is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents() -> Vec<(PathBuf, String)> {
    let folders =
        ["", "host", "rules", "wit", "config", "config/events", "config/flink", "fuzz", "tests"]
            .map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let documents =
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "md"));
    documents.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Words after each `prefix` that begins a line of a block, or stands behind a quote or a path, up to the first that is no
/// plain word.
fn commands(prefix: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (_, text) in documents() {
        let mut is_block = false;
        for line in text.lines() {
            is_block ^= line.starts_with("```");
            let line = line.strip_prefix("$ ").unwrap_or(line);
            for (at, _) in line.match_indices(prefix) {
                let is_start = if is_block { at == 0 } else { line[..at].ends_with('`') };
                if is_start || line[..at].ends_with('/') {
                    found.insert(words(&line[at + prefix.len()..]));
                }
            }
        }
    }
    found
}

fn words(rest: &str) -> Vec<String> {
    let rest = rest.split('`').next().unwrap_or_default();
    let is_word =
        |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    let words = rest.split([' ', ',']).take_while(is_word).filter(|word| !word.is_empty());
    words.take_while(|word| !word.starts_with('-')).map(str::to_owned).collect()
}

fn knows(program: &Path, words: &[String]) -> bool {
    let output =
        Command::new(program).args(words).arg("--help").output().expect("the program is built");
    output.status.success()
}

#[test]
fn every_command_of_tollgate_exists() {
    let program = root().join("target/release/tollgate");
    let commands = commands("tollgate ");
    assert!(commands.len() >= 30, "the documents show few commands: {commands:?}");
    for words in commands {
        assert!(knows(&program, &words), "tollgate {words:?}");
    }
}

#[test]
fn every_task_exists() {
    let program = root().join("target/debug/tollgate-xtask");
    let commands = commands("cargo xtask ");
    assert!(commands.len() >= 5, "the documents show few tasks: {commands:?}");
    for words in commands {
        assert!(knows(&program, &words[..words.len().min(1)]), "cargo xtask {words:?}");
    }
}

#[test]
fn every_place_that_is_named_exists() {
    for (document, text) in documents() {
        let folder = document.parent().unwrap();
        for place in text.split('`').skip(1).step_by(2) {
            let is_place = place.contains('/')
                && place.is_ascii()
                && !place.contains([' ', ':', '{', '<', '*', '$']);
            if !is_place || place.starts_with("target/") || place.starts_with('/') {
                continue;
            }
            let exists = [folder.join(place), root().join(place), root().join("host").join(place)];
            assert!(exists.iter().any(|path| path.exists()), "{}: {place}", document.display());
        }
    }
}
