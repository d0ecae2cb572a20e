//! `tollgate rule build`

use anyhow::Context as _;
use tollgate_builder::Said;
use tollgate_engine::{Engine, EngineLimits, InterpretedLimits};
use tollgate_workbench::project::{Built, Language, Project};

use super::of_project;
use crate::cli::rule::author::BuildRule;
use crate::exit::Exit;

pub(super) fn execute(arguments: &BuildRule) -> anyhow::Result<Exit> {
    let project = Project::open(&arguments.folder).map_err(|error| of_project(&error))?;
    let interpreted = InterpretedLimits::default();
    let limits = EngineLimits { interpreted: Some(interpreted), ..EngineLimits::default() };
    let engine = Engine::new(limits).context("the rule engine cannot start")?;
    let out = arguments.out.clone().unwrap_or_else(|| project.module());
    let built = project.build(&out, &engine, Said::AtOnce).map_err(|error| of_project(&error))?;
    print(&project, &built);
    Ok(Exit::Ok)
}

fn print(project: &Project, built: &Built) {
    let path = built.path.strip_prefix(".").unwrap_or(&built.path).display();
    let module = &built.module;
    let description = module.description();
    println!("{path}: a host would admit it");
    let fuel = (description.fuel_base, description.fuel_per_item);
    for (what, value) in [
        ("name", description.name.clone()),
        ("version", description.version.clone()),
        ("world", module.world().to_string()),
        ("digest", module.digest().to_owned()),
        ("size", format!("{} bytes", module.bytes())),
        ("fuel", format!("{} a call and {} a row, at most", fuel.0, fuel.1)),
        ("built by", built.compiler.clone()),
    ] {
        println!("  {what:<9}{value}");
    }
    if project.language() != Language::Rust {
        println!(
            "It brings an interpreter along: a host takes it only when `rules.interpreted` names its world."
        );
    }
}
