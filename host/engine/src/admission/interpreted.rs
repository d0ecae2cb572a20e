//! What can be told from the bytes of a module that brings an interpreter along.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

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
    let bytes_max = limits.module_bytes_max;
    if bytes.len() > bytes_max {
        return Err(AdmissionError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    if !Parser::is_component(bytes) {
        let sentence = "it is a core module or no WASM at all; make a component of it";
        return Err(AdmissionError::NotAComponent(sentence.to_owned()));
    }
    let types = Validator::new_with_features(FEATURES)
        .validate_all(bytes)
        .map_err(|error| scan::refused(&error, None))?;
    imports(bytes)?.iter().try_for_each(|name| scan::import(types.as_ref(), name))
}

/// Names of the component's own imports.
fn imports(bytes: &[u8]) -> Result<Vec<&str>, AdmissionError> {
    let (mut names, mut depth) = (Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(scan::invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.push(import.map_err(scan::invalid)?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// What the tools of a language export for themselves has a plain name; the host never calls it.
pub(super) fn is_of_tools(export: &str) -> bool {
    !export.contains(':')
}
