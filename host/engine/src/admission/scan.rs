//! What can be told from a module's bytes alone: its size, its shape, its features and its plainest imports.

use wasmparser::{ComponentTypeRef, Parser, Payload, Validator, WasmFeatures};

use super::AdmissionError;
use super::shape::Shape;
use crate::limits::EngineLimits;

/// Everything that a rule may use. Floats, vectors, threads, 64-bit memories and garbage collection are not here.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

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
    sections(bytes, limits)?;
    validate(bytes)
}

/// Looks at imports of the component itself and at the shape of all its parts.
fn sections(bytes: &[u8], limits: &EngineLimits) -> Result<(), AdmissionError> {
    let mut shape = Shape::new(limits);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        if let Payload::ComponentImportSection(imports) = &payload
            && shape.is_outermost()
        {
            for import in imports.clone() {
                let import = import.map_err(invalid)?;
                if !matches!(import.ty, ComponentTypeRef::Instance(_)) {
                    let name = format!("`{}`", import.name.name);
                    return Err(AdmissionError::ImportRefused(name));
                }
            }
        }
        shape.add(payload)?;
    }
    Ok(())
}

/// Validates with nothing but the allowed features, so that no instruction, type, local or constant of another one
/// can hide anywhere.
fn validate(bytes: &[u8]) -> Result<(), AdmissionError> {
    let verdict = Validator::new_with_features(FEATURES).validate_all(bytes);
    let Err(error) = verdict else { return Ok(()) };
    let message = error.message();
    let place = format!("at byte {:#x}", error.offset());
    Err(if message.contains("float") {
        AdmissionError::FloatRefused(place)
    } else if message.contains("SIMD") {
        AdmissionError::VectorRefused(place)
    } else {
        AdmissionError::NotAComponent(format!("{message} {place}"))
    })
}

pub(super) fn invalid(error: wasmparser::BinaryReaderError) -> AdmissionError {
    AdmissionError::NotAComponent(error.to_string())
}
