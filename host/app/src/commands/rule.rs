//! `tollgate rule`.

mod author;
mod registry;
mod replay;
mod trial;

use crate::cli::rule::Rule;
use crate::exit::Exit;

pub(super) fn execute(command: &Rule) -> anyhow::Result<Exit> {
    match command {
        Rule::Author(command) => author::execute(command),
        Rule::Replay(command) => replay::execute(command),
        Rule::Registry(command) => registry::execute(command),
        Rule::Trial(command) => trial::execute(command),
    }
}
