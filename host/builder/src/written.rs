//! Files that nobody ever sees a part of.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file at once: whoever opens it finds what was there before, or all of it.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).with_context(|| format!("write {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("write {}", path.display()))
}
