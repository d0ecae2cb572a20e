//! Temporary folders that go away with this process, also when it is killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Removes the folder when its input ends, which the system sees to however this process ends. It tries again
/// while dying servers still write.
const JANITOR: &str = r#"cat >/dev/null; until rm -rf -- "$1"; do sleep 0.2; done"#;

/// A folder with a short path, because the paths of sockets are limited.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    janitor: Child,
}

impl Folder {
    /// `name` becomes a part of the path.
    ///
    /// # Errors
    /// The temporary folder of the system cannot be written.
    pub fn new(name: &str) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(&format!("tollgate-{name}-"))
            .tempdir()
            .context("make a temporary folder")?
            .keep();
        // An unprivileged server has to be able to pass.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("start sh to clean up a temporary folder")?;
        Ok(Self { path, janitor })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Waiting also closes the janitor's input, which is its sign to begin.
        if let Err(error) = self.janitor.wait() {
            eprintln!("{} was not removed: {error}", self.path.display());
        }
    }
}
