//! Compiled modules on disk: found again, and never trusted when anything about them is odd.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::{GOOD, Guest};
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits};

/// Admits the same module with a new engine; gives how often it was found compiled, and how often not.
fn admit(folder: &Path, limits: EngineLimits) -> (u64, u64) {
    let engine = Engine::new(limits).unwrap();
    engine.keep_compiled(folder).unwrap();
    let module = engine.admit(World::Pricing, &Guest::pricing(GOOD).build()).unwrap();
    assert_eq!(module.description().name, "test-rule");
    engine.compiled_counts()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_module_is_compiled_once_for_all_engines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made").join("when-needed");
    assert_eq!(admit(&folder, EngineLimits::default()), (0, 1));
    assert_eq!(admit(&folder, EngineLimits::default()), (1, 0));
    let [file] = &files(&folder)[..] else { panic!("{:?}", files(&folder)) };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    // What is judged is judged every time: the bytes are the same, and the limits are not.
    let engine = Engine::new(EngineLimits { fuel_base_max: 1, ..EngineLimits::default() }).unwrap();
    engine.keep_compiled(&folder).unwrap();
    assert!(engine.admit(World::Pricing, &Guest::pricing(GOOD).build()).is_err());
}

#[test]
fn a_file_that_is_not_whole_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(admit(folder, EngineLimits::default()), (0, 1));
    let file = files(folder).remove(0);
    let whole = fs::read(&file).unwrap();
    let check = |what: &str, bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        assert_eq!(admit(folder, EngineLimits::default()), (0, 1), "{what}");
        assert_eq!(fs::read(&file).unwrap(), whole, "{what}: it is mended");
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    check("a flipped bit at the end", &flipped);
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    check("a flipped bit in the digest", &flipped);
    check("half of it", &whole[..whole.len() / 2]);
    check("nothing", &[]);
    check("something else", b"tollgate-code-1\nand nothing more");
    assert_eq!(admit(folder, EngineLimits::default()), (1, 0));
}

#[test]
fn a_folder_that_others_can_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineLimits::default()).unwrap();
    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = engine.keep_compiled(folder.path()).unwrap_err();
        assert_eq!(error.code(), "CACHE_NOT_PRIVATE", "{mode:o}");
    }
    fs::write(folder.path().join("file"), "").unwrap();
    let error = engine.keep_compiled(&folder.path().join("file")).unwrap_err();
    assert_eq!(error.code(), "CACHE_FOLDER");
}
