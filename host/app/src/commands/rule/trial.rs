//! Candidates beside the rules in force.

use crate::cli::rule::trial::Trial;
use crate::exit::Exit;

pub(super) fn execute(command: &Trial) -> anyhow::Result<Exit> {
    match command {
        Trial::Shadow(_) => Ok(Exit::Ok),
    }
}
