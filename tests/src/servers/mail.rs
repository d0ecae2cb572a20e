//! A private SMTP server with STARTTLS and a login: aiosmtpd, a process of its own.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::free_port;
use super::process::{Launch, Process};
use crate::wait::wait_until;

/// Python with aiosmtpd when it is none of the usual ones.
pub const PYTHON_ENV: &str = "TOLLGATE_TEST_PYTHON";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/servers/mail.py");
/// The one that `cargo xtask` makes where the system has no aiosmtpd.
const OWN_PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/mail/bin/python");

/// Whom the server knows. Not secret: it serves this machine for the length of a test.
const USER: &str = "tollgate";
const PASSWORD: &str = "a password: 50% @home";
/// The same as a URL has to write it.
const PASSWORD_IN_URL: &str = "a%20password%3A%2050%25%20%40home";

/// A running server.
pub struct Mail {
    server: Process,
    port: u16,
    folder: Folder,
    refusals: Vec<String>,
}

/// The folder of taken mail, which may outlive the server.
#[derive(Clone, Debug)]
pub struct Mailbox(PathBuf);

/// A mail that the server has taken.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Letter {
    /// When it was taken, in microseconds since 1970.
    pub at_us: i64,
    pub message_id: String,
    /// Header `X-Tollgate-Key`.
    pub key: String,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub body: String,
    /// Addresses of the envelope.
    pub recipients: Vec<String>,
}

/// An address that the server refuses.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'a> {
    /// For good, with 550.
    Reject(&'a str),
    /// For now, with 451.
    Later(&'a str),
}

impl Mail {
    /// # Errors
    /// There is no Python with aiosmtpd, or the server does not come up.
    pub fn start() -> Result<Self> {
        Self::refusing(&[])
    }

    /// As `start`, refusing some addresses.
    ///
    /// # Errors
    /// As `start`.
    pub fn refusing(refusals: &[Refusal<'_>]) -> Result<Self> {
        let (folder, port) = (Folder::new("mail")?, free_port()?);
        fs::create_dir(folder.file("new"))?;
        write_certificates(&folder)?;
        let refusals = refusals.iter().flat_map(|refusal| match refusal {
            Refusal::Reject(address) => ["--reject".to_owned(), (*address).to_owned()],
            Refusal::Later(address) => ["--later".to_owned(), (*address).to_owned()],
        });
        let refusals: Vec<String> = refusals.collect();
        let mut mail = Self { server: launch(&folder, port, &refusals)?, port, folder, refusals };
        mail.wait_ready()?;
        Ok(mail)
    }

    /// Address with user and password, demanding TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{USER}:{PASSWORD_IN_URL}@localhost:{}?tls=required", self.port)
    }

    /// Certificate of the authority that has signed the server's.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.file("ca.pem")
    }

    /// Every mail taken so far, oldest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn letters(&self) -> Result<Vec<Letter>> {
        self.mailbox().letters()
    }

    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        Mailbox(self.folder.file("new"))
    }

    /// Stops it from answering, while connections stay open and new ones are taken.
    ///
    /// # Errors
    /// The server is gone.
    pub fn freeze(&self) -> Result<()> {
        self.server.signal("STOP")
    }

    /// Lets it answer again.
    ///
    /// # Errors
    /// The server is gone.
    pub fn thaw(&self) -> Result<()> {
        self.server.signal("CONT")
    }

    /// Kills it; its port then refuses connections.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same port, with the mail it had.
    ///
    /// # Errors
    /// As `start`.
    pub fn restart(&mut self) -> Result<()> {
        self.server.kill();
        self.server = launch(&self.folder, self.port, &self.refusals)?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let ready = wait_until("the mail server to answer", Duration::from_secs(30), || {
            if let Some(status) = self.server.ended() {
                return Some(Err(status));
            }
            greets(self.port).then_some(Ok(()))
        })?;
        if let Err(status) = ready {
            let log = fs::read_to_string(self.folder.file("server.log")).unwrap_or_default();
            bail!("the mail server ended ({status}):\n{log}");
        }
        Ok(())
    }
}

impl Mailbox {
    /// Every mail taken so far, oldest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn letters(&self) -> Result<Vec<Letter>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("json")) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Ok(serde_json::from_slice(&fs::read(path)?)?)).collect()
    }
}

fn launch(folder: &Folder, port: u16, refusals: &[String]) -> Result<Process> {
    Launch::new(python()?)
        .args([SCRIPT, "--port", &port.to_string(), "--user", USER, "--password", PASSWORD])
        .args([Path::new("--folder"), &folder.file("new")])
        .args([Path::new("--certificate"), &folder.file("server.pem")])
        .args([Path::new("--private-key"), &folder.file("server.key")])
        .args(refusals)
        .folder(folder.path())
        .log(&folder.file("server.log"))?
        .start()
}

/// A Python that has aiosmtpd.
///
/// # Errors
/// There is none.
pub fn python() -> Result<PathBuf> {
    let named = env::var_os(PYTHON_ENV).map(PathBuf::from);
    let usual = [OWN_PYTHON, "python3", "/usr/bin/python3"].map(PathBuf::from);
    let has_it =
        |python: &PathBuf| Launch::new(python).args(["-c", "import aiosmtpd"]).run().is_ok();
    named
        .into_iter()
        .chain(usual)
        .find(has_it)
        .context("no Python has aiosmtpd: run `cargo xtask test`, which sees to it")
}

fn greets(port: u16) -> bool {
    let greeting = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        std::io::Result::Ok(line)
    };
    greeting().is_ok_and(|line| line.starts_with("220"))
}

/// An authority, and a certificate of it for `localhost`.
fn write_certificates(folder: &Folder) -> Result<()> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority of tollgate's suite");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
    fs::write(folder.file("ca.pem"), authority.pem())?;
    fs::write(folder.file("server.pem"), server.pem())?;
    Ok(fs::write(folder.file("server.key"), key.serialize_pem())?)
}
