//! The author's own commands: offline, no server.

mod bench;
mod build;
mod check;
mod new;
mod run;
mod test;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use tollgate_domain::rule::World;
use tollgate_engine::{Engine, EngineLimits, Module, Rule};
use tollgate_workbench::project::ProjectError;

use crate::cli::rule::author::{Author, Params};
use crate::config::Config;
use crate::exit::{Exit, ExitError};
use crate::rules::engine_limits;

pub(super) fn execute(command: &Author) -> anyhow::Result<Exit> {
    match command {
        Author::New(arguments) => new::execute(arguments),
        Author::Build(arguments) => build::execute(arguments),
        Author::Check(arguments) => check::execute(arguments),
        Author::Test(arguments) => test::execute(arguments),
        Author::Run(arguments) => run::execute(arguments),
        Author::Bench(arguments) => bench::execute(arguments),
    }
}

fn of_project(error: &ProjectError) -> ExitError {
    let exit = match error {
        ProjectError::NotAdmitted(_) => Exit::Findings,
        ProjectError::Build(_) | ProjectError::Io { .. } => Exit::Failed,
        _ => Exit::Usage,
    };
    ExitError::new(exit, format!("{error} ({})", error.code()))
}

/// The engine that charges, with the limits of the configuration. Rules with an interpreter are let in, so that one can be
/// tried before an operator decides whether a host may run it.
fn engine(config: &Config) -> anyhow::Result<Engine> {
    Engine::new(limits(config)).context("the rule engine cannot start")
}

fn limits(config: &Config) -> EngineLimits {
    let limits = engine_limits(config);
    let interpreted = limits.interpreted.clone().unwrap_or_default();
    EngineLimits { interpreted: Some(interpreted), ..limits }
}

fn read(path: &Path) -> Result<Vec<u8>, ExitError> {
    std::fs::read(path).map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// A module of whatever world it is.
fn admit(engine: &Engine, path: &Path, bytes: &[u8]) -> Result<Module, ExitError> {
    engine.survey(None::<World>, bytes).verdict.map_err(|problems| {
        let problem = problems
            .first()
            .map_or_else(String::new, |problem| format!("{problem} ({})", problem.code()));
        let path = path.display();
        usage(format!("{path}: {problem}; `tollgate rule check {path}` says more"))
    })
}

fn bind(module: Module, params: &Params) -> Result<Rule, ExitError> {
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in &params.params {
        let Some((name, value)) = text.split_once('=') else {
            return Err(usage(format!("--params is {text:?}, expected NAME=VALUE")));
        };
        // As configuration reads them from the environment.
        let values = value.split(',').map(|value| value.trim().to_owned()).collect();
        given.insert(name.trim().to_owned(), values);
    }
    Rule::bind(module, &given).map_err(|error| usage(format!("{error} ({})", error.code())))
}

fn usage(sentence: String) -> ExitError {
    ExitError::new(Exit::Usage, sentence)
}
