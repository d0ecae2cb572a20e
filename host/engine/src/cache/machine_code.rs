//! The one place where machine code is taken as it stands.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The caller vouches for the bytes: `Component::serialize` has written them and nobody has changed them since.
#[expect(
    unsafe_code,
    reason = "wasmtime runs these bytes unchecked; they come from a folder that only this user can write, and their \
              digest was compared"
)]
pub(super) fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `Component::serialize` gave to this user, as `cache` makes sure of; wasmtime itself
    // refuses those of another version or of other settings.
    unsafe { Component::deserialize(engine, code) }
}
