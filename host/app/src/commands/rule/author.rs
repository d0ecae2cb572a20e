//! The author's own commands: offline, no server.

mod build;
mod new;

use tollgate_workbench::project::ProjectError;

use crate::cli::rule::author::Author;
use crate::exit::{Exit, ExitError};

pub(super) fn execute(command: &Author) -> anyhow::Result<Exit> {
    match command {
        Author::New(arguments) => new::execute(arguments),
        Author::Build(arguments) => build::execute(arguments),
        Author::Check(_) => Ok(Exit::Ok),
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
