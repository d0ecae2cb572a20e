//! Generations of rules; what is the same in both databases.

use crate::dialect::Cells;
use crate::error::{LedgerError, Result};
use crate::rows::{Generation, Part};

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

/// Rows of number, author, note and one part each; the part may be missing.
pub(crate) fn generation(rows: &[impl Cells]) -> Option<Generation> {
    rows.first().map(|first| Generation {
        number: first.cell::<i64>(0) as u64,
        author: first.cell(1),
        note: first.cell(2),
        parts: rows.iter().filter_map(part).collect(),
    })
}

fn part(row: &impl Cells) -> Option<Part> {
    let world: Option<String> = row.cell(3);
    world.map(|world| Part { world, digest: row.cell(4), params: row.cell(5) })
}
