//! Projects of rule authors: a folder with a rule, its cases, and everything that is needed to build it offline.

mod building;
mod embedded;
mod making;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tollgate_domain::rule::World;

use crate::cases::CasesError;

pub use building::Built;
pub use embedded::sdk;

/// What `tollgate rule` has to know about a project.
const MANIFEST: &str = "rule.toml";
const CASES: &str = "cases";
const NAME_BYTES_MAX: usize = 64;

/// Names that a Rust library cannot have.
const RESERVED: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv proc-macro pub ref return \
    self static std struct super test tollgate-sdk trait true try type typeof union unsafe unsized use virtual where \
    while yield";

/// What a rule is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Language {
    #[serde(rename = "rust")]
    Rust,
    #[serde(rename = "js")]
    JavaScript,
    #[serde(rename = "python")]
    Python,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// As on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A folder with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    folder: PathBuf,
    name: String,
    kind: World,
    language: Language,
}

/// Why something cannot be done with a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error(
        "`{0}` cannot be the name of a rule; take lower-case letters and digits in words with `-` between them, at most \
         64 letters, and no word that Rust keeps for itself"
    )]
    BadName(String),
    #[error("{0} is there already; take another name, or remove it first")]
    Exists(PathBuf),
    #[error(
        "a {kind} rule cannot be written in {language}, because it moves money and interpreters work with floats; write \
         it in Rust"
    )]
    NotInThisLanguage { kind: World, language: Language },
    #[error("{folder} is no rule project: {sentence}; `tollgate rule new` makes one")]
    NotAProject { folder: PathBuf, sentence: String },
    /// In the words of whoever builds.
    #[error("{0}")]
    Build(String),
    #[error(transparent)]
    Cases(#[from] CasesError),
    #[error("the host would not admit the module: {0} ({code})", code = .0.code())]
    NotAdmitted(tollgate_engine::AdmissionError),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
}

impl ProjectError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadName(_) => "BAD_NAME",
            Self::Exists(_) => "PROJECT_EXISTS",
            Self::NotInThisLanguage { .. } => "NOT_IN_THIS_LANGUAGE",
            Self::NotAProject { .. } => "NOT_A_PROJECT",
            Self::Build(_) => "BUILD_FAILED",
            Self::Cases(error) => error.code(),
            Self::NotAdmitted(_) => "NOT_ADMITTED",
            Self::Io { .. } => "PROJECT_IO",
        }
    }

    fn build(error: impl fmt::Display) -> Self {
        // The alternate form of the builder's errors has their causes, too.
        Self::Build(format!("{error:#}"))
    }

    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// `rule.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    kind: String,
    lang: Language,
}

impl Project {
    /// Makes a new project in a folder of its name below `parent`.
    ///
    /// # Errors
    /// The name cannot be used, the folder is there already, or it cannot be written.
    pub fn make(
        parent: &Path,
        name: &str,
        kind: World,
        language: Language,
    ) -> Result<Self, ProjectError> {
        if !is_name(name) {
            return Err(ProjectError::BadName(name.to_owned()));
        }
        let project = Self { folder: parent.join(name), name: name.to_owned(), kind, language };
        making::make(&project)?;
        Ok(project)
    }

    /// The project of this folder.
    ///
    /// # Errors
    /// There is none.
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let no =
            |sentence: String| ProjectError::NotAProject { folder: folder.to_owned(), sentence };
        let text = std::fs::read_to_string(folder.join(MANIFEST))
            .map_err(|error| no(format!("{MANIFEST}: {error}")))?;
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|error| no(format!("{MANIFEST} cannot be used: {}", error.message())))?;
        let kind = World::named(&manifest.kind);
        let kind = kind.ok_or_else(|| no(format!("{MANIFEST} names no kind of rule")))?;
        if !is_name(&manifest.name) {
            return Err(ProjectError::BadName(manifest.name));
        }
        let (name, language) = (manifest.name, manifest.lang);
        Ok(Self { folder: folder.to_owned(), name, kind, language })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn kind(&self) -> World {
        self.kind
    }

    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// Where its module is put unless somebody says otherwise.
    #[must_use]
    pub fn module(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// Its files of cases and their texts, in the order of their names; empty when it has none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn cases(&self) -> Result<Vec<(PathBuf, String)>, ProjectError> {
        let folder = self.folder.join(CASES);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&folder).map_err(ProjectError::io(&folder))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let paths: Result<Vec<PathBuf>, _> = paths.collect();
        let mut paths = paths.map_err(ProjectError::io(&folder))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let read = |path: PathBuf| match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(ProjectError::io(&path)(error)),
        };
        paths.into_iter().map(read).collect()
    }
}

/// Lower-kebab-case that can also be the name of a package.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        let letters = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        letters && !word.is_empty()
    };
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
        && !RESERVED.split_whitespace().any(|reserved| reserved == name)
}

#[cfg(test)]
mod tests;
