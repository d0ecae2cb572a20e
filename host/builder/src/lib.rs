//! From a rule's sources to a module: finds a compiler for WASM, compiles, and makes a component.
#![forbid(unsafe_code)]
