//! `watch`: wakes for what is watched, and for nothing else.

use std::path::Path;

use tollgate_workbench::watch::Watch;

#[test]
fn changes_of_what_is_watched_are_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().canonicalize().expect("a path").join(name);
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
    std::fs::create_dir(at("cases")).expect("a folder");
    write(&at("rule.wasm"), "1");
    let watch = Watch::new(&[at("rule.wasm"), at("cases")]).expect("watched");

    write(&at("other.wasm"), "1");
    write(&at("rule.wasm"), "2");
    assert_eq!(watch.next(), Some(at("rule.wasm")));

    // As editors save: a new file takes the place of the old one.
    write(&at("rule.part"), "3");
    std::fs::rename(at("rule.part"), at("rule.wasm")).expect("renamed");
    assert_eq!(watch.next(), Some(at("rule.wasm")));

    write(&at("cases/new.toml"), "");
    assert_eq!(watch.next(), Some(at("cases/new.toml")));
}

#[test]
fn what_does_not_exist_cannot_be_watched() {
    let error = Watch::new(&["/nowhere/at/all".into()]).expect_err("nothing is there");
    assert_eq!(error.code(), "NOT_WATCHABLE");
    assert!(error.to_string().starts_with("/nowhere/at/all: cannot be watched"), "{error}");
}
