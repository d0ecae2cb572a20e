//! What can be told from a module's bytes alone: its size, its shape, its features and its plainest imports.

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{ComponentImport, ComponentTypeRef, Parser, Payload, Validator, WasmFeatures};

use super::AdmissionError;
use super::shape::Shape;
use crate::limits::EngineLimits;

pub(super) const PAGE_BYTES: u64 = 64 * 1024;

/// Everything that a rule may use. Floats, vectors, threads, 64-bit memories and garbage collection are not here.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
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
    check_size(bytes, limits)?;
    check_kind(bytes)?;
    let imports = imports(bytes)?;
    let shape = shape(bytes, limits)?;
    let types = validate(bytes, FEATURES)?;
    imports.iter().try_for_each(|name| import(types.as_ref(), name))?;
    shape.finish()
}

pub(super) fn check_size(bytes: &[u8], limits: &EngineLimits) -> Result<(), AdmissionError> {
    let bytes_max = limits.module_bytes_max;
    if bytes.len() > bytes_max {
        return Err(AdmissionError::TooLarge { bytes: bytes.len(), bytes_max });
    }
    Ok(())
}

pub(super) fn check_kind(bytes: &[u8]) -> Result<(), AdmissionError> {
    if !Parser::is_component(bytes) {
        let sentence = "it is a core module or no WASM at all; make a component of it";
        return Err(AdmissionError::NotAComponent(sentence.to_owned()));
    }
    Ok(())
}

/// Names of the component's own imports. Only instances may be imported.
pub(super) fn imports(bytes: &[u8]) -> Result<Vec<&str>, AdmissionError> {
    let (mut names, mut depth) = (Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import.map_err(invalid)?;
                    if let Some(refused) = refused_import(&import) {
                        return Err(refused);
                    }
                    names.push(import.name.name);
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Counts what all parts of the module have.
fn shape<'a>(bytes: &'a [u8], limits: &'a EngineLimits) -> Result<Shape<'a>, AdmissionError> {
    let mut shape = Shape::new(limits);
    for payload in Parser::new(0).parse_all(bytes) {
        shape.add(payload.map_err(invalid)?)?;
    }
    Ok(shape)
}

/// An import that cannot be one of types only.
pub(super) fn refused_import(import: &ComponentImport<'_>) -> Option<AdmissionError> {
    let types = matches!(import.ty, ComponentTypeRef::Instance(_));
    (!types).then(|| AdmissionError::ImportRefused(format!("`{}`", import.name.name)))
}

/// Holds the most pages of a memory to the limit.
pub(super) fn bounded(
    maximum_pages: Option<u64>,
    limits: &EngineLimits,
) -> Result<(), AdmissionError> {
    let bytes_max = limits.memory_bytes_max;
    let Some(pages) = maximum_pages else {
        return Err(AdmissionError::MemoryUnbounded { bytes_max });
    };
    let bytes = pages.saturating_mul(PAGE_BYTES);
    if bytes > bytes_max as u64 {
        return Err(AdmissionError::MemoryTooLarge { bytes, bytes_max });
    }
    Ok(())
}

/// Instances of types may be imported: that is how a world names the types of another interface.
pub(super) fn import(types: TypesRef<'_>, name: &str) -> Result<(), AdmissionError> {
    let refused = |what: String| Err(AdmissionError::ImportRefused(what));
    let imported = types.component_item_for_import(name).map(|import| import.ty);
    let Some(ComponentEntityType::Instance(instance)) = imported else {
        return refused(format!("`{name}`"));
    };
    let plain = |ty: &ComponentEntityType| match ty {
        ComponentEntityType::Type { referenced, .. } => {
            !matches!(referenced, ComponentAnyTypeId::Resource(_))
        }
        _ => false,
    };
    match types[instance].exports.iter().find(|(_, item)| !plain(&item.ty)) {
        Some((item, _)) => refused(format!("`{item}` of `{name}`")),
        None => Ok(()),
    }
}

/// Validates with nothing but the allowed features, so that no instruction, type, local or constant of another one
/// can hide anywhere.
pub(super) fn validate(bytes: &[u8], allowed: WasmFeatures) -> Result<Types, AdmissionError> {
    let verdict = Validator::new_with_features(allowed).validate_all(bytes);
    verdict.map_err(|error| refused(&error, None))
}

/// What the validator found, in the function of this name.
pub(super) fn refused(
    error: &wasmparser::BinaryReaderError,
    function: Option<&str>,
) -> AdmissionError {
    let message = error.message();
    let function = function.map_or_else(String::new, |name| format!("in `{name}` "));
    let place = format!("{function}at byte {:#x}", error.offset());
    if message.contains("float") {
        AdmissionError::FloatRefused(place)
    } else if message.contains("SIMD") {
        AdmissionError::VectorRefused(place)
    } else {
        AdmissionError::NotAComponent(format!("{message} {place}"))
    }
}

pub(super) fn invalid(error: wasmparser::BinaryReaderError) -> AdmissionError {
    AdmissionError::NotAComponent(error.to_string())
}
