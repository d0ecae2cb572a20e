//! What a rule may use.

use crate::interpreted::InterpretedLimits;

/// Limits of every module and every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Largest module, in bytes.
    pub module_bytes_max: usize,
    /// Most linear memory of an instance, in bytes; a module must declare a maximum within it. Everything that a call
    /// is given and answers has to fit, about 60 bytes a click and 40 bytes a movement.
    pub memory_bytes_max: usize,
    /// Most elements of a table of an instance.
    pub table_elements_max: usize,
    /// Most fuel that a module may declare for a call of any size. `describe` and the start of an instance get this.
    pub fuel_base_max: u64,
    /// Most fuel that a module may declare for each row. A click of the shipped rules uses about a hundred.
    pub fuel_per_item_max: u64,
    /// Bytes that the host may spend on reading one answer, which bounds an answer that names the same bytes twice.
    pub answer_bytes_max: usize,
    /// Stack of a call, in bytes.
    pub stack_bytes_max: usize,
    /// Time after which a call is broken off, in milliseconds. Fuel ends every call long before; this is for a host
    /// that stands still, and what it breaks off is the host's failure and never the rule's.
    pub backstop_ms: u64,
    /// Calls that can run at the same time.
    pub instances_max: u32,
    /// Memory of a finished instance that is wiped by writing zeros instead of being handed back to the system.
    pub keep_resident_bytes: usize,
    /// Most parameters and most reasons that a module may declare.
    pub declarations_max: usize,
    /// Limits of modules that bring an interpreter along; without them there are none.
    pub interpreted: Option<InterpretedLimits>,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            module_bytes_max: 1 << 20,
            memory_bytes_max: 8 << 20,
            table_elements_max: 10_000,
            fuel_base_max: 20_000_000,
            fuel_per_item_max: 200_000,
            answer_bytes_max: 32 << 20,
            stack_bytes_max: 256 << 10,
            backstop_ms: 1_000,
            instances_max: 32,
            keep_resident_bytes: 1 << 20,
            declarations_max: 64,
            interpreted: None,
        }
    }
}
