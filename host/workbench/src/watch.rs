//! Waits until files change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Editors write a file in several steps, and builds several files; what comes this close together is one change.
const SETTLED: Duration = Duration::from_millis(50);

/// Watches files and folders. The system tells about changes, so nothing is read in between and an author waits for no
/// next look; a file is watched through its folder, because editors put a new file in the place of the old one.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    changed: Receiver<PathBuf>,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be watched: {error}")]
pub struct WatchError {
    path: String,
    error: notify::Error,
}

impl WatchError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "NOT_WATCHABLE"
    }
}

impl Watch {
    /// # Errors
    /// A path does not exist, or the system watches no more.
    pub fn new(paths: &[PathBuf]) -> Result<Self, WatchError> {
        let (changes, changed) = mpsc::channel();
        let wanted: Vec<PathBuf> = paths.iter().map(|path| real(path)).collect();
        let is_wanted = move |path: &Path| wanted.iter().any(|wanted| path.starts_with(wanted));
        let tell = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let written = match event.kind {
                EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
                _ => true,
            };
            for path in event.paths.into_iter().filter(|path| written && is_wanted(path)) {
                // Nobody listens any more when the watch is gone.
                let _told = changes.send(path);
            }
        };
        let failed = |path: &Path, error| WatchError { path: path.display().to_string(), error };
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        let mut watcher = notify::recommended_watcher(tell).map_err(|e| failed(first, e))?;
        for path in paths {
            let real = real(path);
            let (folder, mode) = match real.is_dir() {
                true => (real.as_path(), RecursiveMode::Recursive),
                false => (real.parent().unwrap_or(&real), RecursiveMode::NonRecursive),
            };
            watcher.watch(folder, mode).map_err(|error| failed(path, error))?;
        }
        Ok(Self { _watcher: watcher, changed })
    }

    /// Waits for the next change and until the files are at rest. `None`: nothing can come any more.
    #[must_use]
    pub fn next(&self) -> Option<PathBuf> {
        let first = self.changed.recv().ok()?;
        loop {
            match self.changed.recv_timeout(SETTLED) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Some(first),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
