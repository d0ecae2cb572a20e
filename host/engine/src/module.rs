//! An admitted module, and the one way in which anything in it is called.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tollgate_domain::dead::Code;
use tollgate_domain::rule::{Description, Fault, RuleError, World};
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc,
};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, Trap};

use crate::engine::{Shared, deadline};
use crate::limits::EngineLimits;

/// A module that may run.
#[derive(Clone)]
pub struct Module {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pre: InstancePre<Host>,
    /// The world's function: `price`, `judge`, `decide` or `compose`.
    pub(crate) function: ComponentExportIndex,
    pub(crate) world: World,
    pub(crate) description: Arc<Description>,
    pub(crate) digest: Arc<str>,
    pub(crate) bytes: usize,
}

impl Module {
    /// SHA-256 of the module's bytes, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The limits that it runs under, which are others for an interpreter.
    #[must_use]
    pub fn limits(&self) -> &EngineLimits {
        &self.shared.limits
    }

    /// Size of the module's file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("world", &self.world)
            .field("name", &self.description.name)
            .field("version", &self.description.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// SHA-256 of `bytes`, in lower-case hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let halves =
        |byte: u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    Sha256::digest(bytes).iter().flat_map(|byte| halves(*byte)).collect()
}

/// The host's side of one instance.
pub(crate) struct Host {
    memory_bytes_max: usize,
    table_elements_max: usize,
    /// Size of the memory, which only grows.
    pub(crate) memory_bytes: usize,
    /// Whether the instance asked for more memory or a larger table than it may have.
    refused: bool,
}

/// A store for one call.
pub(crate) fn store(shared: &Shared, fuel: u64) -> Result<Store<Host>, RuleError> {
    let host = Host {
        memory_bytes_max: shared.limits.memory_bytes_max,
        table_elements_max: shared.limits.table_elements_max,
        memory_bytes: 0,
        refused: false,
    };
    let mut store = Store::new(&shared.wasm, host);
    store.limiter(|host| host);
    store.set_hostcall_fuel(shared.limits.answer_bytes_max);
    store.set_epoch_deadline(deadline(&shared.limits, fuel));
    store.set_fuel(fuel).map_err(|error| RuleError::Host(format!("{error:#}")))?;
    Ok(store)
}

/// Calls one function of a fresh instance. Admission has checked that it takes `P` and gives `R`, so that not every call
/// has to.
#[expect(unsafe_code, reason = "a call of a function whose type was checked before")]
pub(crate) fn call<P, R>(
    store: &mut Store<Host>,
    pre: &InstancePre<Host>,
    function: &ComponentExportIndex,
    arguments: P,
) -> Result<R, RuleError>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let instance = instantiate(store, pre)?;
    let Some(function) = instance.get_func(&mut *store, function) else {
        return Err(RuleError::Host("the function is not there any more".to_owned()));
    };
    // SAFETY: admission has looked the module's functions up with these very types before it calls any.
    let function = unsafe { TypedFunc::<P, R>::new_unchecked(function) };
    function.call(&mut *store, arguments).map_err(|error| failure(store, &error, false))
}

/// A fresh instance. What runs here, a start function, is paid from the call's fuel.
pub(crate) fn instantiate(
    store: &mut Store<Host>,
    pre: &InstancePre<Host>,
) -> Result<Instance, RuleError> {
    pre.instantiate(&mut *store).map_err(|error| failure(store, &error, true))
}

/// Who is to blame for a failed call.
fn failure(store: &Store<Host>, error: &wasmtime::Error, starting: bool) -> RuleError {
    let fault = |code, sentence| RuleError::Fault(Fault { code, sentence });
    if error.is::<PoolConcurrencyLimitError>() {
        return RuleError::Host(format!("no instance is free: {}", error.root_cause()));
    }
    if store.data().refused {
        let sentence = "it asked for more memory than it may have".to_owned();
        return fault(Code::RuleOutOfMemory, sentence);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => {
            RuleError::Host("the call took longer than the backstop allows".to_owned())
        }
        Some(Trap::OutOfFuel) => {
            fault(Code::RuleOutOfFuel, "it used up the fuel that it declares".to_owned())
        }
        Some(trap) => fault(Code::RuleTrap, format!("it trapped: {trap}")),
        None if starting => RuleError::Host(format!("{error:#}")),
        None => fault(Code::RuleWrongAnswers, format!("its answer is not valid: {error:#}")),
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.unwrap_or(usize::MAX).min(self.memory_bytes_max);
        self.grow(desired <= allowed).inspect(|_| self.memory_bytes = desired)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.unwrap_or(usize::MAX).min(self.table_elements_max);
        self.grow(desired <= allowed)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Err(error)
    }
}

impl Host {
    /// A refusal ends the call: a rule that went on without the memory it wanted could answer differently from one
    /// that got it.
    fn grow(&mut self, allowed: bool) -> wasmtime::Result<bool> {
        if allowed {
            return Ok(true);
        }
        self.refused = true;
        Err(wasmtime::format_err!("more than the limit was asked for"))
    }
}
