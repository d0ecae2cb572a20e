//! The registry of rules in the ledger.

use crate::cli::rule::registry::Registry;
use crate::exit::Exit;

pub(super) fn execute(command: &Registry) -> anyhow::Result<Exit> {
    match command {
        Registry::List(_) => Ok(Exit::Ok),
    }
}
