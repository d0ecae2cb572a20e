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
    /// Time after which a call is broken off, in milliseconds, beyond the time that its fuel may take. Fuel ends every
    /// call long before; this is for a host that stands still, and what it breaks off is the host's failure and never
    /// the rule's.
    pub backstop_ms: u64,
    /// Longest time that a unit of fuel may take, in nanoseconds. Most take less than one; what waits for memory takes
    /// some tens. A call that could be broken off before its fuel is used up would be tried again for ever.
    pub fuel_ns_max: u64,
    /// Calls that can run at the same time.
    pub instances_max: u32,
    /// Memory of a finished instance that is wiped by writing zeros instead of being handed back to the system.
    pub keep_resident_bytes: usize,
    /// Most parameters and most reasons that a module may declare.
    pub declarations_max: usize,
    /// Limits of modules that bring an interpreter along; without them there are none.
    pub interpreted: Option<InterpretedLimits>,
    pub shape: ShapeLimits,
}

/// How large and how nested a module may be. Compiling cannot be interrupted, so this is what bounds its time and its
/// memory: within these limits a module of the greatest size compiles in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeLimits {
    /// Core modules in a component, and components in it; a component in a component has none of its own.
    pub modules_max: u64,
    /// Instances that a component makes of them.
    pub instances_max: u64,
    /// Functions that one part of a component takes from another through the component model. Each is an adapter to be
    /// compiled, and a rule that imports nothing needs none.
    pub adapters_max: u64,
    /// Types of the component and of its core modules.
    pub types_max: u64,
    /// Imports, exports and aliases of all parts.
    pub names_max: u64,
    pub functions_max: u64,
    pub globals_max: u64,
    /// Data and element segments.
    pub segments_max: u64,
    /// Memories and tables of an instance; the pool has room for no more.
    pub memories_max: u32,
    pub tables_max: u32,
    /// Size of one function's code in bytes, its local variables, and what its `br_table`s can jump to.
    pub function_bytes_max: u64,
    pub locals_max: u64,
    pub branches_max: u64,
    /// Blocks of a function times its variables, summed over all functions: the compiler finds out for each block which
    /// values its variables can have there.
    pub joins_max: u64,
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
            fuel_ns_max: 50,
            instances_max: 32,
            keep_resident_bytes: 1 << 20,
            declarations_max: 64,
            interpreted: None,
            shape: ShapeLimits::default(),
        }
    }
}

impl Default for ShapeLimits {
    fn default() -> Self {
        Self {
            modules_max: 4,
            instances_max: 16,
            adapters_max: 0,
            types_max: 2_000,
            names_max: 2_000,
            functions_max: 5_000,
            globals_max: 1_000,
            segments_max: 1_000,
            memories_max: 1,
            tables_max: 2,
            function_bytes_max: 64 << 10,
            locals_max: 2_000,
            branches_max: 4_000,
            joins_max: 2_000_000,
        }
    }
}
