//! The engine: one compiler, one pool of instances and one ticking thread for all rules of a process.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tollgate_domain::rule::World;
use wasmtime::component::Component;
use wasmtime::{
    Config, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, Strategy,
};

use crate::admission::{self, AdmissionError, Survey};
use crate::cache::{Cache, CacheError};
use crate::interpreted;
use crate::limits::EngineLimits;
use crate::module::Module;

/// Ticks in the time of the backstop.
const BACKSTOP_TICKS: u64 = 4;

/// Compiles and runs rules. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    /// For modules that bring an interpreter along, when there may be any.
    interpreted: Option<Arc<Shared>>,
}

/// What makes machine code of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Cranelift, optimizing: what charges.
    Optimizing,
    /// Winch, in a single pass. It shares next to nothing with the other one, so that two compilations that answer the
    /// same are right in all likelihood. Only for x86-64 and ARM64.
    SinglePass,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the WASM engine refused its configuration: {0}")]
    Configuration(String),
    #[error("the thread that guards rule calls could not be started: {0}")]
    Thread(std::io::Error),
}

impl EngineError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "ENGINE_CONFIGURATION",
            Self::Thread(_) => "ENGINE_THREAD",
        }
    }
}

pub(crate) struct Shared {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) limits: EngineLimits,
    /// Whether its modules bring an interpreter along.
    pub(crate) interprets: bool,
    pooled: bool,
    cache: OnceLock<Cache>,
    _ticker: Ticker,
}

impl Shared {
    pub(crate) fn new(
        wasm: wasmtime::Engine,
        limits: EngineLimits,
        interprets: bool,
        pooled: bool,
    ) -> Result<Self, EngineError> {
        let ticker = Ticker::start(&wasm, limits.backstop_ms).map_err(EngineError::Thread)?;
        let cache = OnceLock::new();
        Ok(Self { wasm, limits, interprets, pooled, cache, _ticker: ticker })
    }

    /// Machine code of a module that was scanned.
    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        match self.cache.get() {
            Some(cache) => cache.component(&self.wasm, bytes),
            None => Component::from_binary(&self.wasm, bytes),
        }
    }
}

impl Engine {
    /// An engine with these limits. Instances are pooled; where the address space for that is not to be had, each
    /// call reserves its own memory, which is slower and changes nothing else.
    ///
    /// # Errors
    /// The limits contradict each other, or no thread can be started.
    pub fn new(limits: EngineLimits) -> Result<Self, EngineError> {
        Self::with_compiler(limits, Compiler::Optimizing)
    }

    /// As `new`, with another compiler.
    ///
    /// # Errors
    /// As `new`; and this machine has no such compiler.
    pub fn with_compiler(
        mut limits: EngineLimits,
        compiler: Compiler,
    ) -> Result<Self, EngineError> {
        if compiler == Compiler::SinglePass {
            // It knows no single bit pattern of what is no number, which interpreters need.
            limits.interpreted = None;
        }
        let pooled = wasmtime::Engine::new(&config(&limits, compiler, true));
        let (wasm, pooled) = match pooled {
            Ok(wasm) => (wasm, true),
            Err(_) => {
                let wasm = wasmtime::Engine::new(&config(&limits, compiler, false))
                    .map_err(|error| EngineError::Configuration(format!("{error:#}")))?;
                (wasm, false)
            }
        };
        let interpreted = interpreted::shared(&limits)?;
        Ok(Self { shared: Arc::new(Shared::new(wasm, limits, false, pooled)?), interpreted })
    }

    /// Keeps compiled modules in a private folder from now on, and takes them from there.
    ///
    /// # Errors
    /// The folder cannot be used, or others can write to it.
    pub fn keep_compiled(&self, folder: &Path) -> Result<(), CacheError> {
        for shared in std::iter::once(&self.shared).chain(&self.interpreted) {
            // A second folder changes nothing: the first one is in use.
            drop(shared.cache.set(Cache::open(folder)?));
        }
        Ok(())
    }

    /// Modules that were found compiled, and modules that were not; zeros when they are not kept.
    #[must_use]
    pub fn compiled_counts(&self) -> (u64, u64) {
        let counts = |shared: &Arc<Shared>| shared.cache.get().map_or((0, 0), Cache::counts);
        let all = std::iter::once(&self.shared).chain(&self.interpreted).map(counts);
        all.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// Judges a module of `world`, compiles it and asks it what it is.
    ///
    /// # Errors
    /// The first reason not to run it.
    pub fn admit(&self, world: World, bytes: &[u8]) -> Result<Module, AdmissionError> {
        admission::admit(self.shared_for(world, bytes), world, bytes)
    }

    /// The engine of a module: the plain one, unless the module needs the other one and may have it.
    pub(crate) fn shared_for(&self, world: World, bytes: &[u8]) -> &Arc<Shared> {
        let allowed = self.shared.limits.interpreted.as_ref();
        let allowed = allowed.is_some_and(|interpreted| interpreted.allow(world));
        match &self.interpreted {
            Some(interpreted) if allowed && !admission::is_plain(&self.shared, bytes) => {
                interpreted
            }
            _ => &self.shared,
        }
    }

    /// Judges a module as `admit` does and goes on after the first problem, as far as that makes sense. Without a
    /// `world` the module's own one is taken.
    #[must_use]
    pub fn survey(&self, world: Option<World>, bytes: &[u8]) -> Survey {
        admission::survey(self, world, bytes)
    }

    /// The world of which a module exports the interface, in whatever version of the contract. Whether it may run is for
    /// `admit` to say.
    #[must_use]
    pub fn world_of(&self, bytes: &[u8]) -> Option<World> {
        admission::world_of(self.limits(), bytes)
    }

    #[must_use]
    pub fn limits(&self) -> &EngineLimits {
        &self.shared.limits
    }

    /// Whether instances come from the pool.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.shared.pooled
    }

    /// Makes the first call of a thread as fast as the others; worth calling where a writer thread starts.
    pub fn prepare_thread() {
        wasmtime::Engine::tls_eager_initialize();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("limits", &self.shared.limits)
            .field("pooled", &self.shared.pooled)
            .finish_non_exhaustive()
    }
}

pub(crate) fn config(limits: &EngineLimits, compiler: Compiler, pooled: bool) -> Config {
    let mut config = Config::new();
    config.strategy(match compiler {
        Compiler::Optimizing => Strategy::Cranelift,
        Compiler::SinglePass => Strategy::Winch,
    });
    config.cranelift_opt_level(OptLevel::Speed);
    config.consume_fuel(true);
    config.operator_cost(costs());
    config.epoch_interruption(true);
    config.max_wasm_stack(limits.stack_bytes_max);
    config.wasm_backtrace_max_frames(None);
    // Admission refuses these as well; a module that slipped through would not compile either.
    config.wasm_relaxed_simd(false).wasm_simd(false).wasm_memory64(false);
    if pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    }
    config
}

/// One unit an operator, and one a byte or element that it moves; what asks the host for memory has a price of its own,
/// because asking for none takes time, too.
fn costs() -> OperatorCost {
    OperatorCost { MemoryGrow: u8::MAX, TableGrow: u8::MAX, ..OperatorCost::new() }
}

fn pool(limits: &EngineLimits) -> PoolingAllocationConfig {
    let instances = limits.instances_max;
    let (memories, tables) = (limits.shape.memories_max, limits.shape.tables_max);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 4)
        .total_memories(instances * memories)
        .total_tables(instances * tables)
        .max_core_instances_per_component(4)
        .max_memories_per_component(memories)
        .max_tables_per_component(tables)
        .table_elements(limits.table_elements_max)
        .max_memory_size(limits.memory_bytes_max)
        .linear_memory_keep_resident(limits.keep_resident_bytes)
        .table_keep_resident(limits.keep_resident_bytes)
        .max_unused_warm_slots(instances);
    pool
}

/// Ticks that a call may last: a tick may come at once, so it is one more than its time holds.
pub(crate) fn deadline(limits: &EngineLimits, fuel: u64) -> u64 {
    let fuel_time = Duration::from_nanos(fuel.saturating_mul(limits.fuel_ns_max));
    let ticks = fuel_time.as_nanos() / tick(limits.backstop_ms).as_nanos();
    u64::try_from(ticks).unwrap_or(u64::MAX >> 1).saturating_add(BACKSTOP_TICKS + 1)
}

fn tick(backstop_ms: u64) -> Duration {
    Duration::from_millis((backstop_ms / BACKSTOP_TICKS).max(1))
}

/// Advances the engine's epoch until it is dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(wasm: &wasmtime::Engine, backstop_ms: u64) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let period = tick(backstop_ms);
        let wasm = wasm.weak();
        let tick = move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                let Some(wasm) = wasm.upgrade() else { return };
                wasm.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("rule-backstop".to_owned()).spawn(tick)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and counts; there is nothing to learn from how it ended.
            drop(thread.join());
        }
    }
}
