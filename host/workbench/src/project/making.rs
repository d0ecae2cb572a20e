//! Writes a new project: all of it or nothing.

use std::path::Path;

use tollgate_domain::rule::World;

use super::embedded::{FORMAT, contract, sdk, template};
use super::{Language, MANIFEST, Project, ProjectError};

/// What the templates say about a kind of rule.
struct Words {
    asked: &'static str,
    function: &'static str,
    /// The SDK's file about its rows.
    rows: &'static str,
}

pub(super) fn make(project: &Project) -> Result<(), ProjectError> {
    if !can_be_written_in(project.kind, project.language) {
        let (kind, language) = (project.kind, project.language);
        return Err(ProjectError::NotInThisLanguage { kind, language });
    }
    let folder = &project.folder;
    if folder.symlink_metadata().is_ok() {
        return Err(ProjectError::Exists(folder.clone()));
    }
    let unfinished = folder.with_file_name(format!(".{}.new-{}", project.name, std::process::id()));
    let made = write(&unfinished, &files(project))
        .and_then(|()| std::fs::rename(&unfinished, folder).map_err(ProjectError::io(folder)));
    if made.is_err() && unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(ProjectError::io(&unfinished))?;
    }
    made
}

/// Interpreters compute with floats, so worlds that move money are not theirs.
fn can_be_written_in(kind: World, language: Language) -> bool {
    language == Language::Rust || matches!(kind, World::Threshold | World::Notification)
}

/// Paths in the project's folder, and texts.
fn files(project: &Project) -> Vec<(String, String)> {
    let (kind, language) = (project.kind, project.language);
    let of_language = |name: &str| filled(template(&format!("{language}/{name}")), project);
    let of_kind = |name: &str| filled(template(&format!("{language}/{kind}/{name}")), project);
    let cases = filled(template(&format!("rust/{kind}/cases.toml")), project);
    let mut files = vec![
        (MANIFEST.to_owned(), filled(template("rule.toml"), project)),
        (".gitignore".to_owned(), of_language("gitignore")),
        ("README.md".to_owned(), of_language("README.md")),
    ];
    match language {
        Language::Rust => {
            files.push(("Cargo.toml".to_owned(), of_language("Cargo.toml")));
            files.push(("rustfmt.toml".to_owned(), FORMAT.to_owned()));
            files.push(("src/lib.rs".to_owned(), of_kind("lib.rs")));
            files.extend(
                sdk().iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())),
            );
        }
        Language::JavaScript => {
            files.push(("package.json".to_owned(), of_language("package.json")));
            files.push(("rule.js".to_owned(), of_kind("rule.js")));
        }
        Language::Python => {
            files.push(("requirements.txt".to_owned(), of_language("requirements.txt")));
            files.push(("rule.py".to_owned(), of_kind("rule.py")));
        }
    }
    files.push((format!("cases/{}.toml", project.name), cases));
    let contract = contract().iter().filter(|(path, _)| path.ends_with(".wit"));
    files.extend(contract.map(|(path, text)| (format!("wit/{path}"), (*text).to_owned())));
    files
}

fn filled(template: &str, project: &Project) -> String {
    let Words { asked, function, rows } = words(project.kind);
    let texts = [
        ("{{name}}", project.name.as_str()),
        ("{{kind}}", project.kind.as_str()),
        ("{{lang}}", project.language.as_str()),
        ("{{asked}}", asked),
        ("{{function}}", function),
        ("{{rows}}", rows),
    ];
    texts.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

fn words(kind: World) -> Words {
    let (asked, function, rows) = match kind {
        World::Pricing => ("it says what a click costs", "price", "click"),
        World::Threshold => {
            ("it says when a campaign is warned about, paused and resumed", "judge", "day")
        }
        World::Refund => ("it says whether a compensation is paid", "decide", "compensation"),
        World::Notification => ("it says who is told what", "compose", "happening"),
    };
    Words { asked, function, rows }
}

fn write(folder: &Path, files: &[(String, String)]) -> Result<(), ProjectError> {
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(ProjectError::io(folder))?;
        }
        std::fs::write(&path, text).map_err(ProjectError::io(&path))?;
    }
    Ok(())
}
