//! Modules that bring an interpreter along: rules in JavaScript or Python.
//!
//! An interpreter computes with floats, is large, and does not bound its memory itself. So such modules have an engine
//! and limits of their own, and only worlds that move no money can be theirs. Their answers are as deterministic as all
//! others: there are no imports, a result that is no number has one bit pattern, and fuel is the verdict.

use std::sync::Arc;

use tollgate_domain::rule::World;

use crate::engine::{self, Compiler, EngineError, Shared};
use crate::limits::EngineLimits;

/// Stack of a call of an interpreter, in bytes.
const STACK_BYTES_MAX: usize = 1 << 20;

/// Limits of modules that bring an interpreter along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpretedLimits {
    /// Worlds in which they are admitted; one that moves money counts for nothing.
    pub worlds: Vec<World>,
    /// Largest module, in bytes.
    pub module_bytes_max: usize,
    /// Most linear memory of an instance, in bytes.
    pub memory_bytes_max: usize,
    /// Most fuel that a module may declare for a call of any size.
    pub fuel_base_max: u64,
    /// Most fuel that a module may declare for each row.
    pub fuel_per_item_max: u64,
}

impl Default for InterpretedLimits {
    fn default() -> Self {
        Self {
            worlds: vec![World::Threshold, World::Notification],
            module_bytes_max: 32 << 20,
            memory_bytes_max: 64 << 20,
            fuel_base_max: 1_000_000_000,
            fuel_per_item_max: 20_000_000,
        }
    }
}

impl InterpretedLimits {
    /// Whether modules of this world may bring an interpreter along.
    #[must_use]
    pub fn allow(&self, world: World) -> bool {
        let moves_money = matches!(world, World::Pricing | World::Refund);
        !moves_money && self.worlds.contains(&world)
    }
}

/// What such modules share, when the limits allow any.
pub(crate) fn shared(limits: &EngineLimits) -> Result<Option<Arc<Shared>>, EngineError> {
    let Some(interpreted) = &limits.interpreted else { return Ok(None) };
    let limits = EngineLimits {
        module_bytes_max: interpreted.module_bytes_max,
        memory_bytes_max: interpreted.memory_bytes_max,
        fuel_base_max: interpreted.fuel_base_max,
        fuel_per_item_max: interpreted.fuel_per_item_max,
        stack_bytes_max: STACK_BYTES_MAX,
        ..limits.clone()
    };
    let mut config = engine::config(&limits, Compiler::Optimizing, false);
    config.cranelift_nan_canonicalization(true);
    let wasm = wasmtime::Engine::new(&config)
        .map_err(|error| EngineError::Configuration(format!("{error:#}")))?;
    Shared::new(wasm, limits, true, false).map(|shared| Some(Arc::new(shared)))
}
