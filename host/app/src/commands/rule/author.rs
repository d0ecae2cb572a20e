//! The author's own commands: offline, no server.

use crate::cli::rule::author::Author;
use crate::exit::Exit;

pub(super) fn execute(command: &Author) -> anyhow::Result<Exit> {
    match command {
        Author::Check(_) => Ok(Exit::Ok),
    }
}
