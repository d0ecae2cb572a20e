use std::collections::BTreeMap;

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files_of(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("inside").to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(&path).expect("a text"));
        }
    }
    files
}

#[test]
fn names_are_kebab_case_and_free() {
    let check = |name: &str, expected| assert_eq!(is_name(name), expected, "{name:?}");
    check("night-discount", true);
    check("a", true);
    check("tier-2-prices", true);
    check(&"a".repeat(64), true);
    check(&"a".repeat(65), false);
    check("", false);
    check("2-tier", false);
    check("Night", false);
    check("night_discount", false);
    check("night--discount", false);
    check("-night", false);
    check("night-", false);
    check("night/../day", false);
    check(".", false);
    check("할인", false);
    check("match", false);
    check("tollgate-sdk", false);
}

#[test]
fn projects_carry_the_sdk_and_the_contract_of_the_repository() {
    let parent = tempfile::tempdir().expect("a folder");
    let project = Project::make(parent.path(), "night", World::Pricing, Language::Rust);
    let made = files_of(project.expect("a project").folder());
    let under = |prefix: &str| -> BTreeMap<String, String> {
        let inside = |(path, text): (&String, &String)| {
            Some((path.strip_prefix(prefix)?.to_owned(), text.clone()))
        };
        made.iter().filter_map(inside).collect()
    };
    assert_eq!(under("sdk/"), files_of(&root().join("rules/sdk")));
    let contract = std::fs::read_to_string(root().join("wit/rules.wit")).expect("the contract");
    assert_eq!(under("wit/"), BTreeMap::from([("rules.wit".to_owned(), contract)]));
}

#[test]
fn every_kind_and_language_has_its_files() {
    let check = |kind: World, language: Language, rule: &str| {
        let parent = tempfile::tempdir().expect("a folder");
        let project = Project::make(parent.path(), "night", kind, language).expect("a project");
        let made = files_of(project.folder());
        for file in [rule, "rule.toml", ".gitignore", "README.md", "cases/night.toml"] {
            assert!(made.contains_key(file), "{kind} in {language} has no {file}");
        }
        for (path, text) in &made {
            assert!(!text.contains("{{"), "{path} has a mark that was not filled");
        }
        assert_eq!(Project::open(project.folder()).expect("it opens"), project);
        assert_eq!(project.cases().expect("its cases").len(), 1);
        assert_eq!(std::fs::read_dir(parent.path()).expect("a folder").count(), 1);
    };
    for kind in World::ALL {
        check(kind, Language::Rust, "src/lib.rs");
    }
    for kind in [World::Threshold, World::Notification] {
        check(kind, Language::JavaScript, "rule.js");
        check(kind, Language::Python, "rule.py");
    }
}

#[test]
fn nothing_is_overwritten_and_money_stays_with_rust() {
    let check = |before: &[&str], name: &str, kind, language, code: &str| {
        let parent = tempfile::tempdir().expect("a folder");
        for folder in before {
            std::fs::create_dir(parent.path().join(folder)).expect("a folder");
        }
        let error = Project::make(parent.path(), name, kind, language).expect_err("a refusal");
        assert_eq!(error.code(), code, "{error}");
        let left = std::fs::read_dir(parent.path()).expect("a folder").count();
        assert_eq!(left, before.len(), "{name} left something behind");
    };
    check(&["night"], "night", World::Refund, Language::Rust, "PROJECT_EXISTS");
    check(&[], "Night", World::Refund, Language::Rust, "BAD_NAME");
    check(&[], "night", World::Pricing, Language::JavaScript, "NOT_IN_THIS_LANGUAGE");
    check(&[], "night", World::Refund, Language::Python, "NOT_IN_THIS_LANGUAGE");
}

#[test]
fn a_folder_without_a_manifest_is_no_project() {
    let check = |manifest: Option<&str>, words: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(text) = manifest {
            std::fs::write(folder.path().join(MANIFEST), text).expect("a file");
        }
        let error = Project::open(folder.path()).expect_err("a refusal");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(None, "`tollgate rule new` makes one");
    check(Some("name = 'a'"), "cannot be used");
    check(Some("name = 'a'\nkind = 'price'\nlang = 'rust'"), "no kind of rule");
    check(Some("name = 'a'\nkind = 'pricing'\nlang = 'go'"), "cannot be used");
    check(Some("name = '../a'\nkind = 'pricing'\nlang = 'js'"), "cannot be the name");
}
