//! `tollgate rule new`

use std::path::Path;

use tollgate_workbench::project::{Language, Project};

use super::of_project;
use crate::cli::rule::author::NewRule;
use crate::exit::Exit;

pub(super) fn execute(arguments: &NewRule) -> anyhow::Result<Exit> {
    let (kind, language) = (arguments.kind.into(), arguments.lang.into());
    let project = Project::make(Path::new(""), &arguments.name, kind, language)
        .map_err(|error| of_project(&error))?;
    let name = project.name();
    println!("{name}/ holds a {kind} rule in {}; README.md says how to go on", shown(language));
    println!("  cd {name}");
    match language {
        Language::Rust => println!("  cargo test"),
        Language::JavaScript => println!("  npm install"),
        Language::Python => {
            println!("  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt");
        }
    }
    println!("  tollgate rule build");
    Ok(Exit::Ok)
}

fn shown(language: Language) -> &'static str {
    match language {
        Language::Rust => "Rust",
        Language::JavaScript => "JavaScript",
        Language::Python => "Python",
    }
}
