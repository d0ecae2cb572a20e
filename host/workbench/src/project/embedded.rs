//! What a new project consists of, inside the program.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// How the SDK is formatted, so that the formatter leaves it as it is.
pub(super) const FORMAT: &str = include_str!("../../../../rustfmt.toml");

/// The files of the SDK: their paths in its folder, and their texts.
#[must_use]
pub fn sdk() -> &'static [(&'static str, &'static str)] {
    SDK
}

/// The files of the contract.
pub(super) fn contract() -> &'static [(&'static str, &'static str)] {
    CONTRACT
}

/// The text of a template.
///
/// # Panics
/// There is none; a test asks for all.
pub(super) fn template(path: &str) -> &'static str {
    let found = TEMPLATES.iter().find(|(name, _)| *name == path);
    found.map(|(_, text)| *text).unwrap_or_else(|| panic!("there is no template {path}"))
}
