//! Everything that can be said about a module, for its author: not only the first problem.

use std::collections::HashMap;

use tollgate_domain::rule::World;
use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, KnownCustom, Name, Parser, Payload,
    TypeRef, ValidPayload, Validator, ValidatorResources,
};

use super::{AdmissionError, description, interpreted, judge_exports, load, scan};
use crate::convert;
use crate::engine::Engine;
use crate::limits::EngineLimits;
use crate::module::Module;

/// Functions with refused instructions that are named at most.
const PLACES_MAX: usize = 8;

/// What a module is, as far as it can be told.
#[derive(Debug)]
pub struct Survey {
    /// Names of the interfaces that the component exports.
    pub exports: Vec<String>,
    /// The world that was asked for, else the one that the exports say.
    pub world: Option<World>,
    /// Most bytes that any of its memories may grow to; nothing when there is none or one has no maximum.
    pub memory_bytes_max: Option<u64>,
    /// The module when it is admitted, else everything that was found, at least one problem.
    pub verdict: Result<Module, Vec<AdmissionError>>,
}

/// `admit` has the say; the rest is for what it does not admit.
pub(crate) fn survey(engine: &Engine, world: Option<World>, bytes: &[u8]) -> Survey {
    let mut seen = Seen::default();
    seen.look(engine.limits(), bytes);
    let world = world.or_else(|| world_among(&seen.exports));
    let verdict = match world {
        None => Err(problems(engine, None, bytes, &seen)),
        Some(world) => engine.admit(world, bytes).map_err(|first| {
            let mut problems = problems(engine, Some(world), bytes, &seen);
            if !problems.iter().any(|problem| problem.code() == first.code()) {
                problems.insert(0, first);
            }
            problems
        }),
    };
    let memory_bytes_max = seen.memory_bytes_max.filter(|_| seen.is_bounded);
    Survey { world, memory_bytes_max, exports: seen.exports, verdict }
}

/// What the bytes tell; when that is nothing, what the exports do; and when that is nothing, what the description does.
fn problems(
    engine: &Engine,
    world: Option<World>,
    bytes: &[u8],
    seen: &Seen,
) -> Vec<AdmissionError> {
    let shared = world.map(|world| engine.shared_for(world, bytes));
    let mut problems = Vec::new();
    // Other things are demanded of an interpreter, and admission names the first.
    let interprets = shared.is_some_and(|shared| shared.interprets);
    if !interprets {
        problems.extend(seen.problems.iter().cloned());
    }
    if problems.is_empty() {
        let names = seen.exports.iter().map(String::as_str);
        let names = names.filter(|name| !(interprets && interpreted::is_of_tools(name)));
        let expected = convert::interface(world.unwrap_or(World::Pricing)).0;
        problems.extend(judge_exports(&names.collect::<Vec<_>>(), expected).err());
    }
    if let (Some(shared), Some(world), true) = (shared, world, problems.is_empty())
        && let Ok(module) = load(shared, world, bytes)
    {
        problems = description::problems(module.description(), world, &shared.limits);
    }
    problems
}

/// The world of which the bytes export an interface, in whatever version of the contract.
pub(crate) fn world_of(limits: &EngineLimits, bytes: &[u8]) -> Option<World> {
    let mut seen = Seen::default();
    seen.sections(limits, bytes).ok()?;
    world_among(&seen.exports)
}

fn world_among(exports: &[String]) -> Option<World> {
    let is_of = |name: &str, world| {
        let plain = |name: &str| name.split('@').next().map(str::to_owned);
        plain(name) == plain(convert::interface(world).0)
    };
    World::ALL.into_iter().find(|world| exports.iter().any(|name| is_of(name, *world)))
}

/// What the bytes alone tell.
#[derive(Default)]
struct Seen {
    problems: Vec<AdmissionError>,
    exports: Vec<String>,
    memory_bytes_max: Option<u64>,
    is_bounded: bool,
}

impl Seen {
    fn look(&mut self, limits: &EngineLimits, bytes: &[u8]) {
        self.problems.extend(scan::check_size(bytes, limits).err());
        if let Err(problem) = scan::check_kind(bytes) {
            self.problems.push(problem);
            return;
        }
        self.is_bounded = true;
        if let Err(error) = self.sections(limits, bytes) {
            self.problems.push(scan::invalid(error));
            return;
        }
        self.instructions(bytes);
    }

    /// Imports and exports of the component itself, and the memories of all modules in it.
    fn sections(
        &mut self,
        limits: &EngineLimits,
        bytes: &[u8],
    ) -> Result<(), wasmparser::BinaryReaderError> {
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        self.problems.extend(scan::refused_import(&import?));
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let maximum = memory?.maximum;
                        self.is_bounded &= maximum.is_some();
                        let most = maximum.map(|pages| pages.saturating_mul(scan::PAGE_BYTES));
                        self.memory_bytes_max = self.memory_bytes_max.max(most);
                        self.problems.extend(scan::bounded(maximum, limits).err());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Every function on its own, so that all are found that use what is refused.
    fn instructions(&mut self, bytes: &[u8]) {
        let mut validator = Validator::new_with_features(scan::FEATURES);
        let mut functions = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.and_then(|payload| validator.payload(&payload)) {
                Ok(ValidPayload::Func(function, body)) => functions.push((function, body)),
                Ok(_) => {}
                Err(error) => {
                    self.problems.push(scan::refused(&error, None));
                    return;
                }
            }
        }
        let names = Names::read(bytes);
        let found = functions.into_iter().filter_map(|function| wrong(function, &names));
        self.problems.extend(found.take(PLACES_MAX));
    }
}

fn wrong(
    (function, body): (FuncToValidate<ValidatorResources>, FunctionBody<'_>),
    names: &Names,
) -> Option<AdmissionError> {
    let at = body.range().start;
    let mut validator = function.into_validator(FuncValidatorAllocations::default());
    let error = validator.validate(&body).err()?;
    Some(scan::refused(&error, names.at.get(&at).map(String::as_str)))
}

/// Names of functions by the places of their bodies.
#[derive(Default)]
struct Names {
    at: HashMap<usize, String>,
}

impl Names {
    /// As far as the module names its functions; without names, problems have places only.
    fn read(bytes: &[u8]) -> Self {
        let mut names = Self::default();
        let mut imports = 0;
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ModuleSection { .. } => (imports, bodies) = (0, Vec::new()),
                Payload::ImportSection(section) => {
                    let functions = section.into_imports().map_while(Result::ok);
                    imports += functions.filter(|i| matches!(i.ty, TypeRef::Func(_))).count();
                }
                Payload::CodeSectionEntry(body) => bodies.push(body.range().start),
                Payload::CustomSection(section) => {
                    let KnownCustom::Name(section) = section.as_known() else { continue };
                    for name in section.into_iter().map_while(Result::ok) {
                        let Name::Function(functions) = name else { continue };
                        for function in functions.into_iter().map_while(Result::ok) {
                            let at = (function.index as usize).checked_sub(imports);
                            if let Some(at) = at.and_then(|at| bodies.get(at)) {
                                names.at.insert(*at, function.name.to_owned());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }
}
