//! Compiled modules on disk, so that a host that starts, or meets a large module again, need not compile it again.
//!
//! Machine code from a file is run as it stands, so the folder must belong to this user alone, and every file carries the
//! digest of its contents. What is damaged, of another engine or of another version is compiled anew. Nothing here can
//! make admission fail, and nothing here judges: a module is scanned, instantiated and asked what it is in any case.

mod machine_code;

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::module::digest;

/// First bytes of every file; then come the SHA-256 of the machine code and the machine code itself.
const MAGIC: &[u8; 16] = b"tollgate-code-1\n";
const HEADER_BYTES: usize = MAGIC.len() + 32;

/// Files kept; beyond that the oldest go.
const FILES_MAX: usize = 64;

/// Why compiled modules cannot be kept in a folder.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("{folder}: {error}; name a folder that this user can write")]
    Folder { folder: PathBuf, error: io::Error },
    #[error(
        "{folder} can be changed by others, who could have this host run anything; make it this user's alone \
         (chmod 700, chown)"
    )]
    NotPrivate { folder: PathBuf },
}

impl CacheError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "CACHE_FOLDER",
            Self::NotPrivate { .. } => "CACHE_NOT_PRIVATE",
        }
    }
}

/// A private folder of compiled modules.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Modules that were found compiled, and modules that were not.
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    /// Makes the folder when there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::Folder { folder: folder.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let found = fs::metadata(folder).map_err(failed)?;
        let own = fs::metadata("/proc/self").map_or(found.uid(), |process| process.uid());
        if found.mode() & 0o022 != 0 || found.uid() != own {
            return Err(CacheError::NotPrivate { folder: folder.to_owned() });
        }
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { folder: folder.to_owned(), hits, misses })
    }

    /// The module's machine code, from its file or from the compiler.
    pub(crate) fn component(
        &self,
        wasm: &wasmtime::Engine,
        bytes: &[u8],
    ) -> wasmtime::Result<Component> {
        let path = self.folder.join(format!("{}-{}.code", digest(bytes), engine_name(wasm)));
        if let Some(component) = read(wasm, &path) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(component);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let component = Component::from_binary(wasm, bytes)?;
        // A full disk costs the next start some time and nothing else.
        if let Ok(code) = component.serialize() {
            drop(self.write(&path, &code));
        }
        Ok(component)
    }

    /// Modules found compiled, and modules that had to be compiled.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let half = self.folder.join(format!(".{}-{number}.half", std::process::id()));
        let written = write_new(&half, code).and_then(|()| fs::rename(&half, path));
        if written.is_err() {
            drop(fs::remove_file(&half));
        }
        self.tidy()?;
        written
    }

    /// Removes the oldest files beyond what is kept.
    fn tidy(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "code") {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn write_new(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file: File =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    file.sync_all()
}

/// `None`: there is no file, or none that can be used.
fn read(wasm: &wasmtime::Engine, path: &Path) -> Option<Component> {
    let bytes = fs::read(path).ok()?;
    let (header, code) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, expected) = header.split_at(MAGIC.len());
    let is_whole = magic == MAGIC && expected == Sha256::digest(code).as_slice();
    is_whole.then(|| machine_code::component(wasm, code).ok()).flatten()
}

/// What machine code depends on besides the module: version, settings and processor of the engine.
fn engine_name(wasm: &wasmtime::Engine) -> String {
    struct Collect(Vec<u8>);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hashed = Collect(Vec::new());
    wasm.precompile_compatibility_hash().hash(&mut hashed);
    digest(&hashed.0)[..16].to_owned()
}
