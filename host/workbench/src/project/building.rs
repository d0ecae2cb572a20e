//! From a project to an admitted module.

use std::path::{Path, PathBuf};

use tollgate_builder::{Said, WasmToolchain, interpreted, rust, write_whole};
use tollgate_engine::{Engine, Module};

use crate::cases::{self, Cases};

use super::{Language, Project, ProjectError};

/// A module that was built.
#[derive(Debug)]
pub struct Built {
    pub module: Module,
    pub path: PathBuf,
    /// What compiled it.
    pub compiler: String,
}

impl Project {
    /// Builds the module with its cases inside, writes it to `out` and admits it. A module that is not admitted is
    /// written, too, so that it can be looked into.
    ///
    /// # Errors
    /// A tool is missing, the rule does not compile, its cases cannot be read, or its module is not admitted.
    pub fn build(&self, out: &Path, engine: &Engine, said: Said) -> Result<Built, ProjectError> {
        let (bytes, compiler) = match self.language {
            Language::Rust => self.build_rust(said)?,
            Language::JavaScript => {
                self.build_interpreted(interpreted::Language::JavaScript, said)?
            }
            Language::Python => self.build_interpreted(interpreted::Language::Python, said)?,
        };
        let bytes = self.with_cases(&bytes)?;
        write_whole(out, &bytes).map_err(ProjectError::build)?;
        let module = engine.admit(self.kind, &bytes).map_err(ProjectError::NotAdmitted)?;
        Ok(Built { module, path: out.to_owned(), compiler })
    }

    fn with_cases(&self, module: &[u8]) -> Result<Vec<u8>, ProjectError> {
        let files = self.cases()?;
        for (path, text) in &files {
            Cases::parse(self.kind, &path.display().to_string(), text)?;
        }
        let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
        Ok(cases::embed(module, &texts)?)
    }

    fn build_rust(&self, said: Said) -> Result<(Vec<u8>, String), ProjectError> {
        let folder = self.folder.canonicalize().map_err(ProjectError::io(&self.folder))?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let toolchain = WasmToolchain::find(&folder).map_err(ProjectError::build)?;
        let sources = rust::Sources {
            package: None,
            features: &[],
            target: &target.unwrap_or_else(|| folder.join("target")),
            folder: &folder,
        };
        let bytes = rust::build(&sources, &toolchain, said).map_err(ProjectError::build)?;
        Ok((bytes, toolchain.name))
    }

    fn build_interpreted(
        &self,
        language: interpreted::Language,
        said: Said,
    ) -> Result<(Vec<u8>, String), ProjectError> {
        let folder = self.folder.canonicalize().map_err(ProjectError::io(&self.folder))?;
        let world = format!("{}-rule", self.kind);
        interpreted::build(language, &folder, &world, said).map_err(ProjectError::build)
    }
}
