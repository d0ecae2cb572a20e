//! What can be told from the bytes of a module that brings an interpreter along.

use wasmparser::{Parser, Validator, WasmFeatures};

use super::AdmissionError;
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
    let bytes_max = limits.module_bytes_max;
    if bytes.len() > bytes_max {
        return Err(AdmissionError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    if !Parser::is_component(bytes) {
        let sentence = "it is a core module or no WASM at all; make a component of it";
        return Err(AdmissionError::NotAComponent(sentence.to_owned()));
    }
    let verdict = Validator::new_with_features(FEATURES).validate_all(bytes);
    verdict.map(drop).map_err(|error| {
        let place = format!("at byte {:#x}", error.offset());
        match error.message().contains("SIMD") {
            true => AdmissionError::VectorRefused(place),
            false => AdmissionError::NotAComponent(format!("{} {place}", error.message())),
        }
    })
}

/// What the tools of a language export for themselves has a plain name; the host never calls it.
pub(super) fn is_of_tools(export: &str) -> bool {
    !export.contains(':')
}
