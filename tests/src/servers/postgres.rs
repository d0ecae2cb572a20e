//! A private PostgreSQL: durable settings, one socket folder, TCP on the local host.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::folder::Folder;
use super::free_port;
use super::process::{Launch, Process, User, is_root};
use crate::wait::wait_until;

/// The user that owns the server's files when this process is root, which PostgreSQL refuses to be.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A running server.
pub struct Postgres {
    server: Process,
    port: u16,
    folder: Folder,
}

impl Postgres {
    /// # Errors
    /// PostgreSQL is not installed or does not come up.
    pub fn start() -> Result<Self> {
        let programs = programs()?;
        let folder = Folder::new("pg")?;
        let user = server_user()?;
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        let data = folder.file("data");
        Launch::unprivileged(programs.join("initdb"), &user)
            .args(["-U", "tollgate", "--auth=trust", "--encoding=UTF8", "--no-locale", "-N", "-D"])
            .args([&data])
            .folder(folder.path())
            .run()?;
        let port = free_port()?;
        let server = Launch::unprivileged(programs.join("postgres"), &user)
            .args([Path::new("-D"), &data, Path::new("-k"), folder.path()])
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .folder(folder.path())
            .log(&folder.file("server.log"))?
            .start()?;
        let mut postgres = Self { server, port, folder };
        postgres.wait_ready()?;
        Ok(postgres)
    }

    /// Address of a database over TCP.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tollgate@127.0.0.1:{}/{database}", self.port)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let url = self.url("postgres");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ready = wait_until("Postgres to answer", Duration::from_secs(60), || {
            if let Some(status) = self.server.ended() {
                return Some(Err(status));
            }
            runtime.block_on(PgConnection::connect(&url)).ok().map(|_| Ok(()))
        })?;
        if let Err(status) = ready {
            let log = fs::read_to_string(self.folder.file("server.log")).unwrap_or_default();
            bail!("Postgres ended ({status}):\n{log}");
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.stop("INT", Duration::from_secs(10));
    }
}

/// Settings of a small durable server; a commit is on disk when it is answered.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "max_connections=200",
    "lc_messages=C",
    "log_min_messages=warning",
];

/// Creates an empty database beside `maintenance_url`'s, replacing one of the same name, and gives its URL.
///
/// # Errors
/// The server refuses.
pub fn create_database(maintenance_url: &str, name: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = PgConnection::connect(maintenance_url).await?;
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        connection.execute(drop.as_str()).await?;
        connection.execute(format!("CREATE DATABASE {name}").as_str()).await?;
        connection.close().await
    })?;
    let (server, _) = maintenance_url.rsplit_once('/').context("a Postgres URL ends with /name")?;
    Ok(format!("{server}/{name}"))
}

/// The folder of PostgreSQL's programs: on the path, else the newest that Debian has installed.
fn programs() -> Result<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    installed.sort();
    let folders =
        env::split_paths(&on_path).chain(installed.into_iter().rev().map(|found| found.1));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .context("PostgreSQL's server is not installed: install the package postgresql")
}

fn server_user() -> Result<User> {
    USERS.into_iter().find_map(User::named).context("neither user postgres nor nobody exists")
}
