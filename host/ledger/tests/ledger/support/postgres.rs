//! A private Postgres for tests and measurements. It ends with the process that started it, however that ends.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server; dropping it stops the server and removes its files.
pub(crate) struct Server {
    pub(crate) url: String,
    /// The server stops when this process' input is closed.
    child: Option<Child>,
}

impl Server {
    /// The server that `TOLLGATE_TEST_POSTGRES_URL` names, or a private one. `durable`: with fsync, as in production.
    pub(crate) fn start(durable: bool) -> Self {
        if let Ok(url) = std::env::var("TOLLGATE_TEST_POSTGRES_URL") {
            return Self { url, child: None };
        }
        let dir = std::env::temp_dir().join(format!("tollgate-pg-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let user = unprivileged();
        if let Some(user) = &user {
            assert!(Command::new("chown").arg(user).arg(&dir).status().unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = command(user.as_deref())
            .args(["sh", "-c", SCRIPT])
            .env("BIN", binaries())
            .env("DIR", &dir)
            .env("PORT", port.to_string())
            .env("FSYNC", if durable { "on" } else { "off" })
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 1];
        let started = child.stdout.as_mut().unwrap().read_exact(&mut ready).is_ok();
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(started, "Postgres did not start:\n{log}");
        Self {
            url: format!("postgres://tollgate@127.0.0.1:{port}/postgres?sslmode=disable"),
            child: Some(child),
        }
    }

    /// The address of another database on the same server.
    pub(crate) fn database(&self, name: &str) -> String {
        let (base, options) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let base = base.rsplit_once('/').unwrap().0;
        format!("{base}/{name}?{options}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

/// Waits for the end of its input, which comes with the end of the test whatever ends it.
const SCRIPT: &str = r#"
set -e
"$BIN/initdb" -D "$DIR/data" -U tollgate --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$DIR/log" 2>&1
"$BIN/postgres" -D "$DIR/data" -p "$PORT" -k "$DIR" -h 127.0.0.1 -c fsync="$FSYNC" -c shared_buffers=256MB \
  -c max_wal_size=2GB -c max_connections=60 </dev/null >>"$DIR/log" 2>&1 &
server=$!
until "$BIN/pg_isready" -q -h 127.0.0.1 -p "$PORT"; do kill -0 $server; sleep 0.05; done
printf x
cat >/dev/null || true
kill -INT $server
wait $server || true
rm -rf "$DIR"
"#;

fn command(user: Option<&str>) -> Command {
    match user {
        None => Command::new("env"),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={}", group(user))]);
            command.args(["--clear-groups", "env"]);
            command
        }
    }
}

/// Postgres refuses to run as root; then another user runs it.
fn unprivileged() -> Option<String> {
    let id = |args: &[&str]| Command::new("id").args(args).output().unwrap();
    let root = id(&["-u"]).stdout == b"0\n";
    let known = |user: &&str| id(&["-u", user]).status.success();
    root.then(|| ["postgres", "nobody"].into_iter().find(known).unwrap().to_owned())
}

fn group(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.pop().filter(|folder| folder.join("postgres").exists()).unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has_it = |folder: &PathBuf| Path::new(folder).join("postgres").exists();
        std::env::split_paths(&path).find(has_it).expect("install PostgreSQL's server")
    })
}
