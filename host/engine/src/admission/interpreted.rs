//! What can be told from the bytes of a module that brings an interpreter along.

use wasmparser::WasmFeatures;

use super::{AdmissionError, scan};
use crate::limits::EngineLimits;

/// Beyond what every rule may use, what interpreters are compiled to. Vectors, threads and 64-bit memories are not here.
const FEATURES: WasmFeatures = super::scan::FEATURES
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::TAIL_CALL);

/// A memory need not be bounded by the module, because the limit ends a call that asks for more.
///
/// # Errors
/// The first reason found not to run the module.
pub(super) fn scan(bytes: &[u8], limits: &EngineLimits) -> Result<(), AdmissionError> {
    scan::check_size(bytes, limits)?;
    scan::check_kind(bytes)?;
    let types = scan::validate(bytes, FEATURES)?;
    scan::imports(bytes)?.iter().try_for_each(|name| scan::import(types.as_ref(), name))
}

/// What the tools of a language export for themselves has a plain name; the host never calls it.
pub(super) fn is_of_tools(export: &str) -> bool {
    !export.contains(':')
}
