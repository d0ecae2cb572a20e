//! How large and how nested a module is, counted while its sections pass by and refused as soon as it is too much.

use wasmparser::{CanonicalFunction, FunctionBody, MemoryType, Operator, Payload, Table};

use super::AdmissionError;
use super::scan::{bounded, invalid};
use crate::limits::{EngineLimits, ShapeLimits};

/// A component that exports an interface wraps it in a component of its own.
const DEPTH_MAX: u64 = 1;

/// What was counted so far, over all parts of the module.
pub(super) struct Shape<'l> {
    limits: &'l EngineLimits,
    /// For each part that is open whether it is a component; the outermost one is not among them.
    open: Vec<bool>,
    counts: [u64; COUNTED],
}

/// What is counted.
#[derive(Clone, Copy)]
enum What {
    Modules,
    Instances,
    Adapters,
    Types,
    Names,
    Functions,
    Globals,
    Segments,
    Memories,
    Tables,
    Joins,
}

const COUNTED: usize = What::Joins as usize + 1;

impl<'l> Shape<'l> {
    pub(super) fn new(limits: &'l EngineLimits) -> Self {
        Self { limits, open: Vec::new(), counts: [0; COUNTED] }
    }

    /// # Errors
    /// A part cannot be read, or it is one too many.
    pub(super) fn add(&mut self, payload: Payload<'_>) -> Result<(), AdmissionError> {
        match payload {
            Payload::ModuleSection { .. } => self.enter(false),
            Payload::ComponentSection { .. } => self.enter(true),
            Payload::End(_) => {
                self.open.pop();
                Ok(())
            }
            Payload::MemorySection(memories) => {
                memories.into_iter().try_for_each(|memory| self.memory(&memory.map_err(invalid)?))
            }
            Payload::TableSection(tables) => {
                tables.into_iter().try_for_each(|table| self.table(&table.map_err(invalid)?))
            }
            Payload::ComponentCanonicalSection(functions) => functions
                .into_iter()
                .try_for_each(|function| self.canonical(&function.map_err(invalid)?)),
            Payload::CodeSectionEntry(body) => self.function(&body),
            other => match size(&other) {
                Some((what, entries)) => self.count(what, entries),
                None => Ok(()),
            },
        }
    }

    /// # Errors
    /// The parts call each other too often.
    pub(super) fn finish(mut self) -> Result<(), AdmissionError> {
        self.count(What::Adapters, 0)
    }

    fn enter(&mut self, is_component: bool) -> Result<(), AdmissionError> {
        self.open.push(is_component);
        let depth = self.open.iter().filter(|is_component| **is_component).count();
        within("components in each other", depth as u64, DEPTH_MAX)?;
        self.count(What::Modules, 1)
    }

    fn memory(&mut self, memory: &MemoryType) -> Result<(), AdmissionError> {
        bounded(memory.maximum, self.limits)?;
        self.count(What::Memories, 1)
    }

    fn table(&mut self, table: &Table<'_>) -> Result<(), AdmissionError> {
        let (elements, elements_max) = (table.ty.initial, self.limits.table_elements_max);
        if elements > elements_max as u64 {
            return Err(AdmissionError::TableTooLarge { elements, elements_max });
        }
        self.count(What::Tables, 1)
    }

    fn canonical(&mut self, function: &CanonicalFunction) -> Result<(), AdmissionError> {
        match function {
            CanonicalFunction::Lift { .. } => Ok(()),
            // What is imported is lowered as well, and is refused as an import.
            _ => {
                self.counts[What::Adapters as usize] += 1;
                Ok(())
            }
        }
    }

    /// What compiling a function costs grows faster than its size.
    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), AdmissionError> {
        let limits = &self.limits.shape;
        let range = body.range();
        let bytes = (range.end - range.start) as u64;
        within("bytes in one function", bytes, limits.function_bytes_max)?;
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(invalid)? {
            let (many, _) = group.map_err(invalid)?;
            locals = locals.saturating_add(many.into());
        }
        within("local variables in one function", locals, limits.locals_max)?;
        let (mut variables, mut blocks, mut branches) = (1_u64, 1_u64, 0_u64);
        for operator in body.get_operators_reader().map_err(invalid)? {
            match operator.map_err(invalid)? {
                Operator::BrTable { targets } => branches += u64::from(targets.len()),
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => blocks += 1,
                Operator::LocalGet { local_index }
                | Operator::LocalSet { local_index }
                | Operator::LocalTee { local_index } => {
                    variables = variables.max(u64::from(local_index) + 1);
                }
                _ => {}
            }
        }
        within("table branches in one function", branches, limits.branches_max)?;
        self.count(What::Joins, variables * blocks)
    }

    fn count(&mut self, what: What, added: u64) -> Result<(), AdmissionError> {
        let (name, allowed) = what.limit(&self.limits.shape);
        let counted = &mut self.counts[what as usize];
        *counted = counted.saturating_add(added);
        within(name, *counted, allowed)
    }
}

impl What {
    /// Its name, and how many there may be.
    fn limit(self, limits: &ShapeLimits) -> (&'static str, u64) {
        match self {
            Self::Modules => ("core modules and components", limits.modules_max),
            Self::Instances => ("instances", limits.instances_max),
            Self::Adapters => ("calls between its own parts", limits.adapters_max),
            Self::Types => ("types", limits.types_max),
            Self::Names => ("imports, exports and aliases", limits.names_max),
            Self::Functions => ("functions", limits.functions_max),
            Self::Globals => ("globals", limits.globals_max),
            Self::Segments => ("segments", limits.segments_max),
            Self::Memories => ("memories", limits.memories_max.into()),
            Self::Tables => ("tables", limits.tables_max.into()),
            Self::Joins => ("joins of variables and blocks", limits.joins_max),
        }
    }
}

/// Entries of a section of which nothing but their number matters.
fn size(section: &Payload<'_>) -> Option<(What, u64)> {
    let (what, entries) = match section {
        Payload::InstanceSection(it) => (What::Instances, it.count()),
        Payload::ComponentInstanceSection(it) => (What::Instances, it.count()),
        Payload::TypeSection(it) => (What::Types, it.count()),
        Payload::CoreTypeSection(it) => (What::Types, it.count()),
        Payload::ComponentTypeSection(it) => (What::Types, it.count()),
        Payload::ImportSection(it) => (What::Names, it.count()),
        Payload::ExportSection(it) => (What::Names, it.count()),
        Payload::ComponentImportSection(it) => (What::Names, it.count()),
        Payload::ComponentExportSection(it) => (What::Names, it.count()),
        Payload::ComponentAliasSection(it) => (What::Names, it.count()),
        Payload::FunctionSection(it) => (What::Functions, it.count()),
        Payload::GlobalSection(it) => (What::Globals, it.count()),
        Payload::DataSection(it) => (What::Segments, it.count()),
        Payload::ElementSection(it) => (What::Segments, it.count()),
        _ => return None,
    };
    Some((what, entries.into()))
}

fn within(what: &'static str, found: u64, allowed: u64) -> Result<(), AdmissionError> {
    if found > allowed {
        return Err(AdmissionError::TooComplex { what, found, allowed });
    }
    Ok(())
}
