//! Admission: whether a module may run at all, judged before any of it runs.

mod description;
mod interpreted;
mod scan;
mod shape;
mod survey;

use std::sync::Arc;

use tollgate_domain::rule::{RuleError, World};
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker};

use crate::convert::{
    self, ComposeArguments, DecideArguments, JudgeArguments, PriceArguments, WireDecisions,
    WireDescription, WireMessages, WireQuotes, WireVerdicts,
};
use crate::engine::Shared;
use crate::module::{self, Host, Module};

pub use survey::Survey;
pub(crate) use survey::{survey, world_of};

/// Why a module is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    #[error("the module has {bytes} bytes, allowed are {bytes_max}; leave debugging symbols out")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("this is not a valid component of the features that rules may use: {0}")]
    NotAComponent(String),
    #[error("the module exports {found}, expected exactly `{expected}`; build it for that world")]
    WrongWorld { expected: &'static str, found: String },
    #[error(
        "the module is built for the contract {found}, this host speaks {expected}; build it with the `wit/` of this \
         version of tollgate"
    )]
    OtherContract { expected: &'static str, found: String },
    #[error("the module imports {0}; a rule gets everything it may know as arguments")]
    ImportRefused(String),
    #[error("the module uses floating-point numbers ({0}); work with whole micros and ppm")]
    FloatRefused(String),
    #[error("the module uses vector instructions ({0}); build it without SIMD")]
    VectorRefused(String),
    #[error("the module's memory has no maximum; link it with `--max-memory={bytes_max}` or less")]
    MemoryUnbounded { bytes_max: usize },
    #[error("the module's memory may grow to {bytes} bytes, allowed are {bytes_max}")]
    MemoryTooLarge { bytes: u64, bytes_max: usize },
    #[error("a table of the module starts with {elements} elements, allowed are {elements_max}")]
    TableTooLarge { elements: u64, elements_max: usize },
    #[error("the module has {found} {what}, allowed are {allowed}; make it smaller or plainer")]
    TooComplex { what: &'static str, found: u64, allowed: u64 },
    #[error("the module declares {what} = {declared}, allowed is {allowed}")]
    FuelTooHigh { what: &'static str, declared: u64, allowed: u64 },
    #[error("the module's description cannot be used: {0}")]
    BadDescription(String),
    /// Nothing is held against the module; it may be tried again.
    #[error("the host could not run the module's `describe`: {0}")]
    Host(String),
}

impl AdmissionError {
    /// Stable code of the refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "MODULE_TOO_LARGE",
            Self::NotAComponent(_) => "NOT_A_COMPONENT",
            Self::WrongWorld { .. } => "WRONG_WORLD",
            Self::OtherContract { .. } => "WRONG_WORLD",
            Self::ImportRefused(_) => "IMPORT_REFUSED",
            Self::FloatRefused(_) => "FLOAT_REFUSED",
            Self::VectorRefused(_) => "VECTOR_REFUSED",
            Self::MemoryUnbounded { .. } => "MEMORY_UNBOUNDED",
            Self::MemoryTooLarge { .. } => "MEMORY_TOO_LARGE",
            Self::TableTooLarge { .. } => "TABLE_TOO_LARGE",
            Self::TooComplex { .. } => "MODULE_TOO_COMPLEX",
            Self::FuelTooHigh { .. } => "FUEL_TOO_HIGH",
            Self::BadDescription(_) => "BAD_DESCRIPTION",
            Self::Host(_) => "HOST_FAILURE",
        }
    }
}

/// Judges, compiles and asks. A start function needs no rule of its own, because instances start on the call's fuel.
pub(crate) fn admit(
    shared: &Arc<Shared>,
    world: World,
    bytes: &[u8],
) -> Result<Module, AdmissionError> {
    match shared.interprets {
        true => interpreted::scan(bytes, &shared.limits)?,
        false => scan::scan(bytes, &shared.limits)?,
    }
    let module = load(shared, world, bytes)?;
    description::check(&module.description, world, &shared.limits)?;
    Ok(module)
}

/// Compiles what was scanned, and asks it what it is; nothing of that is judged yet.
fn load(shared: &Arc<Shared>, world: World, bytes: &[u8]) -> Result<Module, AdmissionError> {
    let component = shared
        .compile(bytes)
        .map_err(|error| AdmissionError::NotAComponent(format!("{error:#}")))?;
    check_exports(shared, &component, world)?;
    let linker: Linker<Host> = Linker::new(&shared.wasm);
    let pre = linker
        .instantiate_pre(&component)
        .map_err(|error| AdmissionError::NotAComponent(format!("{error:#}")))?;
    let description = describe(shared, &pre, world)?;
    let function = export(&component, world, convert::interface(world).1)?;
    Ok(Module {
        shared: Arc::clone(shared),
        pre,
        function,
        world,
        description: Arc::new(description),
        digest: module::digest(bytes).into(),
        bytes: bytes.len(),
    })
}

/// Whether the bytes are those of a plain module, as far as bytes tell.
pub(crate) fn is_plain(shared: &Shared, bytes: &[u8]) -> bool {
    scan::scan(bytes, &shared.limits).is_ok()
}

fn check_exports(
    shared: &Shared,
    component: &Component,
    world: World,
) -> Result<(), AdmissionError> {
    let expected = convert::interface(world).0;
    let component_type = component.component_type();
    let names = component_type.exports(&shared.wasm).map(|(name, _)| name);
    let names = names.filter(|name| !(shared.interprets && interpreted::is_of_tools(name)));
    judge_exports(&names.collect::<Vec<_>>(), expected)
}

fn judge_exports(names: &[&str], expected: &'static str) -> Result<(), AdmissionError> {
    if names == [expected] {
        return Ok(());
    }
    // The same interface of another version is no other world.
    let plain = |name: &str| name.split('@').next().map(str::to_owned);
    if let [name] = names
        && plain(name) == plain(expected)
    {
        return Err(AdmissionError::OtherContract { expected, found: format!("`{name}`") });
    }
    let names: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Err(AdmissionError::WrongWorld { expected, found })
}

/// Instantiates the module, holds its exports to the types of its world, and asks it what it is. Every later call relies
/// on this check of types.
fn describe(
    shared: &Shared,
    pre: &InstancePre<Host>,
    world: World,
) -> Result<tollgate_domain::rule::Description, AdmissionError> {
    let describe = export(pre.component(), world, "describe")?;
    let answer = export(pre.component(), world, convert::interface(world).1)?;
    let mut store = module::store(shared, shared.limits.fuel_base_max).map_err(refused)?;
    let instance = module::instantiate(&mut store, pre).map_err(refused)?;
    check_types(&mut store, &instance, world, [&describe, &answer]).map_err(|error| {
        AdmissionError::WrongWorld {
            expected: convert::interface(world).0,
            found: format!("functions of other types ({error:#})"),
        }
    })?;
    drop(store);
    let mut store = module::store(shared, shared.limits.fuel_base_max).map_err(refused)?;
    module::call::<(), WireDescription>(&mut store, pre, &describe, ())
        .map(convert::description)
        .map_err(refused)
}

fn check_types(
    store: &mut wasmtime::Store<Host>,
    instance: &Instance,
    world: World,
    [describe, answer]: [&ComponentExportIndex; 2],
) -> wasmtime::Result<()> {
    instance.get_typed_func::<(), WireDescription>(&mut *store, describe)?;
    match world {
        World::Pricing => {
            instance.get_typed_func::<PriceArguments<'_>, WireQuotes>(store, answer)?;
        }
        World::Threshold => {
            instance.get_typed_func::<JudgeArguments<'_>, WireVerdicts>(store, answer)?;
        }
        World::Refund => {
            instance.get_typed_func::<DecideArguments<'_>, WireDecisions>(store, answer)?;
        }
        World::Notification => {
            instance.get_typed_func::<ComposeArguments<'_>, WireMessages>(store, answer)?;
        }
    }
    Ok(())
}

fn export(
    component: &Component,
    world: World,
    function: &str,
) -> Result<ComponentExportIndex, AdmissionError> {
    let interface = convert::interface(world).0;
    component
        .get_export_index(None, interface)
        .and_then(|instance| component.get_export_index(Some(&instance), function))
        .ok_or_else(|| AdmissionError::WrongWorld {
            expected: interface,
            found: format!("no function `{function}`"),
        })
}

fn refused(error: RuleError) -> AdmissionError {
    match error {
        RuleError::Fault(fault) => {
            let code = fault.code.as_str();
            AdmissionError::BadDescription(format!("`describe` failed, {fault} ({code})"))
        }
        RuleError::Host(sentence) => AdmissionError::Host(sentence),
    }
}
