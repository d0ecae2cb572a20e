//! What a rule's author works with: descriptions, row views with plain types, and integer ratios.
//!
//! The columns of the contract, the allocator and the generated bindings stay behind these modules. There is no other
//! dependency, so that a project which brings this crate along builds offline.

pub mod about;
pub mod campaign;
pub mod click;
pub mod compensation;
pub mod day;
#[cfg(not(target_arch = "wasm32"))]
pub mod example;
pub mod happening;
pub mod ratio;
pub mod shown;

#[cfg(any(
    feature = "pricing",
    feature = "threshold",
    feature = "refund",
    feature = "notification"
))]
pub mod module;
#[cfg(any(
    feature = "pricing",
    feature = "threshold",
    feature = "refund",
    feature = "notification"
))]
mod rt;

#[cfg(target_arch = "wasm32")]
mod heap;

/// Value of an absent amount in a column of micros.
const ABSENT_MICROS: i64 = -1;

/// Micros in one unit of the account's currency.
pub const UNIT_MICROS: i64 = 1_000_000;

/// The element of a column that the rule asked for.
///
/// A rule that reads a fact it did not ask for is wrong, and a wrong price is worse than none: it stops here, which
/// its first test shows.
fn asked<T: Copy>(column: &[T], row: u32, fact: &str) -> T {
    match column.get(row as usize) {
        Some(value) => *value,
        None => not_asked(fact),
    }
}

/// An amount that may be absent.
fn amount(micros: i64) -> Option<i64> {
    (micros != ABSENT_MICROS).then_some(micros)
}

#[cold]
fn not_asked(fact: &str) -> ! {
    panic!("the rule reads `{fact}` and has to ask for it in `describe`")
}
