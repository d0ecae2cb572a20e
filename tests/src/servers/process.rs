//! Children that die with this process, whatever ends it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, Result, anyhow, bail};

use crate::wait::wait_until;

/// A user of this machine, by its numbers.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// A program about to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    name: String,
}

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    name: String,
}

impl User {
    /// Looks a user up; `None` when there is none of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let number = |option| {
            let id = Command::new("id").args([option, name]).output().ok()?;
            String::from_utf8(id.stdout).ok()?.trim().parse().ok()
        };
        Some(Self { uid: number("-u")?, gid: number("-g")? })
    }
}

impl Launch {
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::prepare(program.as_ref(), &[])
    }

    /// Runs the program as `user` when this process is root, for servers that refuse root.
    #[must_use]
    pub fn unprivileged(program: impl AsRef<OsStr>, user: &User) -> Self {
        if !is_root() {
            return Self::new(program);
        }
        let (uid, gid) = (format!("--reuid={}", user.uid), format!("--regid={}", user.gid));
        Self::prepare(program.as_ref(), &[&uid, &gid, "--clear-groups"])
    }

    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Appends both outputs to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn log(mut self, path: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(path);
        self.command.stdout(open()?).stderr(open()?);
        Ok(self)
    }

    /// Starts the program and lets it run.
    ///
    /// # Errors
    /// The program is not installed.
    pub fn start(self) -> Result<Process> {
        let Self { command, name } = self;
        let child = spawn(command).with_context(|| format!("start {name}"))?;
        Ok(Process { child, name })
    }

    /// Runs the program to its end and gives its standard output.
    ///
    /// # Errors
    /// The program is not installed or fails; the sentence ends with what it printed.
    pub fn run(mut self) -> Result<String> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let Self { command, name } = self;
        let child = spawn(command).with_context(|| format!("start {name}"))?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{name} failed ({}):\n{text}{errors}", output.status);
        }
        Ok(text)
    }

    fn prepare(program: &OsStr, options: &[&str]) -> Self {
        let name = Path::new(program).file_name().unwrap_or(program);
        // The group of its own keeps a Ctrl-C for this process, which then ends its children in order.
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL").args(options).arg("--").arg(program);
        command.stdin(Stdio::null()).process_group(0);
        Self { command, name: name.to_string_lossy().into_owned() }
    }
}

impl Process {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .stderr(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { bail!("{} is gone", self.name) }
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_until(&what, limit, || self.ended())
    }

    /// Asks it to end with a signal, and kills it when it does not follow.
    pub fn stop(&mut self, signal: &str, limit: Duration) {
        let asked = self.ended().is_none() && self.signal(signal).is_ok();
        if !asked || self.wait(limit).is_err() {
            self.kill();
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        // A process that is already gone needs no killing.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

type Request = (Command, Sender<io::Result<std::process::Child>>);

/// A child is told of its parent's death when the thread that started it ends, so one thread that never ends
/// starts them all.
fn spawn(command: Command) -> Result<std::process::Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                // Whoever asked and left does not want the child either.
                if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(command.spawn()) {
                    drop(orphan.kill());
                }
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    spawner.send((command, answer)).map_err(|_| anyhow!("the spawner has ended"))?;
    Ok(child.recv()??)
}
