//! Generations of rules; what is the same in both databases.

use crate::error::{LedgerError, Result};
use crate::rows::Part;

/// The parts in the order in which generations are compared.
///
/// # Errors
/// `NotAllowed` when a world has two rules.
pub(crate) fn sorted(parts: &[Part]) -> Result<Vec<Part>> {
    let mut parts = parts.to_vec();
    parts.sort();
    match parts.windows(2).find(|pair| pair[0].world == pair[1].world) {
        None => Ok(parts),
        Some(pair) => Err(LedgerError::NotAllowed(format!(
            "a generation has one rule of the world {}, this one has two",
            pair[0].world
        ))),
    }
}

pub(crate) fn no_such_module(parts: &[Part]) -> LedgerError {
    let digests: Vec<_> = parts.iter().map(|part| part.digest.as_str()).collect();
    LedgerError::NotFound(format!(
        "one of the rule modules {} is not in the ledger; publish it first",
        digests.join(", ")
    ))
}
