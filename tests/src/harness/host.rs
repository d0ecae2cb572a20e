//! A host process: its configuration, its start, its end and its admin listener.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::servers::folder::Folder;
use crate::servers::free_port;
use crate::servers::mail::Mail;
use crate::servers::process::{Launch, Process};
use crate::wait::wait_until;

/// Path of the host's binary when it is not the one that was built beside the suite.
pub const HOST_ENV: &str = "TOLLGATE_BIN";

/// How long a host may take until it is ready, machines being what they are.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What a host is configured with; everything else stays at its default.
#[derive(Clone, Debug)]
pub struct Setup {
    pub brokers: String,
    pub topic: String,
    pub group: String,
    pub ledger_url: String,
    /// Empty: without Redis.
    pub redis_url: String,
    pub rules_dir: PathBuf,
    pub first_sight: &'static str,
    /// Further keys, as `("fence.charge_max", "5000")`; the value is TOML.
    pub keys: Vec<(&'static str, String)>,
}

/// A running host. Dropping it kills it.
pub struct Host {
    process: Process,
    port: u16,
    log: PathBuf,
    _folder: Folder,
}

/// A command that runs. Dropping it kills it.
pub struct Running {
    process: Process,
    log: PathBuf,
    _folder: Folder,
}

/// Figures of `/status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub ready: bool,
    pub charged: i64,
    pub skipped: i64,
    pub dead_letters: i64,
    pub absent: i64,
    pub charged_micros: i64,
    pub warned: i64,
    pub paused: i64,
    pub batches: i64,
    pub lag: i64,
    pub latency_ms: Latency,
    pub refund_latency_ms: Latency,
    pub rules: Rules,
    pub near_budget: Vec<NearBudget>,
    pub watch: Watch,
    pub partitions: Vec<Partition>,
    pub compensation_partitions: Vec<Partition>,
}

/// What the running audit says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Whether this host is the one that watches.
    pub watcher: bool,
    /// Offsets that were left at the last lap.
    pub behind: Option<i64>,
    pub findings: Vec<Finding>,
    /// By window: 5m, 1h, 1d.
    pub duplicates: BTreeMap<String, DuplicateRate>,
}

/// A place where the ledger does not add up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub claim: String,
    pub subject: String,
    pub advertiser: String,
}

/// Duplicates among the charged clicks of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DuplicateRate {
    pub clicks: i64,
    pub duplicates: i64,
    pub rate_ppm: i64,
}

/// A partition in the hands of this host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    pub lane: usize,
    pub next_offset: Option<i64>,
    /// Why it is not read, and how to go on.
    pub halted: Option<String>,
}

/// Time from the event's timestamp to the commit.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rules {
    pub pricing: RuleCost,
    pub threshold: RuleCost,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RuleCost {
    pub ns_per_row: f64,
    pub calls: u64,
}

/// A campaign that has used much of its budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NearBudget {
    pub campaign: String,
    pub usage_ppm: u64,
    pub spent_micros: i64,
    pub budget_micros: i64,
    pub status: String,
}

impl Setup {
    /// A host on `topic` with the shipped rules, reading the topic from its beginning. It has no topics for
    /// compensations and dead letters.
    #[must_use]
    pub fn new(brokers: &str, topic: &str, ledger_url: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            group: format!("{topic}-group"),
            ledger_url: ledger_url.to_owned(),
            redis_url: String::new(),
            rules_dir: workspace().join("target/rules"),
            first_sight: "earliest",
            keys: vec![
                ("compensation.enabled", "false".to_owned()),
                ("dead_letters.publish", "false".to_owned()),
            ],
        }
    }

    /// Pays back what compensations of this topic say, from its beginning.
    #[must_use]
    pub fn compensations(self, topic: &str) -> Self {
        self.key("compensation.enabled", "true")
            .key("compensation.topic", format!("{topic:?}"))
            .key("compensation.group", format!("\"{topic}-group\""))
            .key("compensation.first_sight", "\"earliest\"")
    }

    /// Writes dead letters to topics of their own, which have to exist.
    #[must_use]
    pub fn dead_letter_topics(self) -> Self {
        self.key("dead_letters.publish", "true")
    }

    /// Adds or replaces a further key; `value` is TOML.
    #[must_use]
    pub fn key(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, value.into()));
        self
    }

    /// Sends Slack messages of these routes to these addresses.
    #[must_use]
    pub fn slack(self, routes: &[(&str, String)]) -> Self {
        let route = |(name, url): &(&str, String)| format!("{name} = {{ url = {url:?} }}");
        self.key("slack.routes", inline(routes.iter().map(route)))
    }

    /// Sends e-mails of these routes to these addresses, through `mail`.
    #[must_use]
    pub fn email(self, mail: &Mail, routes: &[(&str, &[&str])]) -> Self {
        let route = |(name, to): &(&str, &[&str])| format!("{name} = {{ to = {to:?} }}");
        self.key("email.url", format!("{:?}", mail.url()))
            .key("email.from", r#""tollgate <billing@example.com>""#)
            .key("email.ca_file", format!("{:?}", mail.ca_file()))
            .key("email.routes", inline(routes.iter().map(route)))
    }

    /// Tells the ranking about paused and resumed campaigns through this topic.
    #[must_use]
    pub fn campaign_events(self, topic: &str) -> Self {
        self.key("campaign_events.topic", format!("{topic:?}"))
    }

    #[must_use]
    pub fn redis(mut self, url: &str) -> Self {
        url.clone_into(&mut self.redis_url);
        self
    }

    /// The configuration file.
    #[must_use]
    pub fn toml(&self, port: u16) -> String {
        let text = |value: &str| format!("{value:?}");
        let mut keys = vec![
            ("kafka.brokers", text(&self.brokers)),
            ("kafka.topic", text(&self.topic)),
            ("kafka.group", text(&self.group)),
            ("kafka.first_sight", text(self.first_sight)),
            ("ledger.url", text(&self.ledger_url)),
            ("redis.url", text(&self.redis_url)),
            ("rules.source", text("folder")),
            ("rules.dir", text(&self.rules_dir.display().to_string())),
            ("admin.listen", text(&format!("127.0.0.1:{port}"))),
            ("log.format", text("json")),
        ];
        keys.retain(|(key, _)| self.keys.iter().all(|(other, _)| other != key));
        keys.extend(self.keys.iter().cloned());
        keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }

    /// Runs one of the host's commands to its end and gives its output.
    ///
    /// # Errors
    /// The command fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let folder = Folder::new("cmd")?;
        let config = folder.file("tollgate.toml");
        fs::write(&config, self.toml(0))?;
        Launch::new(binary()?).args(arguments).args([Path::new("--config"), &config]).run()
    }

    /// Starts one of the host's commands and does not wait.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn launch(&self, arguments: &[&str]) -> Result<Running> {
        let folder = Folder::new("cmd")?;
        let (config, log) = (folder.file("tollgate.toml"), folder.file("output.log"));
        fs::write(&config, self.toml(0))?;
        let launch = Launch::new(binary()?).args(arguments).args([Path::new("--config"), &config]);
        Ok(Running { process: launch.log(&log)?.start()?, log, _folder: folder })
    }

    /// Creates or updates the ledger's tables.
    ///
    /// # Errors
    /// The host cannot reach the ledger.
    pub fn migrate(&self) -> Result<()> {
        self.run(&["migrate"]).map(drop)
    }
}

impl Running {
    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Waits for the end; gives the exit code and what was printed.
    ///
    /// # Errors
    /// It still runs after `limit`, or was killed.
    pub fn finish(&mut self, limit: Duration) -> Result<(i32, String)> {
        let status = self.process.wait(limit)?;
        let output = fs::read_to_string(&self.log)?;
        Ok((status.code().with_context(|| format!("{status}:\n{output}"))?, output))
    }
}

impl Host {
    /// Starts a host and waits until it holds its partitions.
    ///
    /// # Errors
    /// It ends, or does not become ready.
    pub fn start(setup: &Setup) -> Result<Self> {
        let mut host = Self::launch(setup)?;
        host.wait_ready()?;
        Ok(host)
    }

    /// Starts a host and does not wait.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn launch(setup: &Setup) -> Result<Self> {
        let (folder, port) = (Folder::new("host")?, free_port()?);
        let (config, log) = (folder.file("tollgate.toml"), folder.file("host.log"));
        fs::write(&config, setup.toml(port))?;
        let process = Launch::new(binary()?)
            .args([Path::new("run"), Path::new("--config"), &config])
            .folder(folder.path())
            .log(&log)?
            .start()?;
        Ok(Self { process, port, log, _folder: folder })
    }

    /// Waits until `/readyz` agrees.
    ///
    /// # Errors
    /// The host ended, or was not ready in time; the sentence ends with its log.
    pub fn wait_ready(&mut self) -> Result<()> {
        let ready = wait_until("the host to be ready", READY_LIMIT, || {
            if let Some(status) = self.process.ended() {
                return Some(Err(status));
            }
            matches!(self.get("/readyz"), Ok((200, _))).then_some(Ok(()))
        });
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the host ended ({status}):\n{}", self.log_tail()),
            Err(error) => bail!("{error}:\n{}", self.log_tail()),
        }
    }

    /// # Errors
    /// The admin listener does not answer.
    pub fn status(&self) -> Result<Status> {
        let (code, body) = self.get("/status")?;
        serde_json::from_str(&body).with_context(|| format!("/status answers {code}: {body}"))
    }

    /// Waits until the figures of `/status` satisfy `wanted`.
    ///
    /// # Errors
    /// They do not in time; the sentence ends with the host's log.
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        wait_until(what, limit, || self.status().ok().filter(&wanted))
            .with_context(|| self.log_tail())
    }

    /// Waits until the lanes have shared out `partitions` and nothing has moved for a while: lanes join a group one
    /// after the other, and each time partitions move.
    ///
    /// # Errors
    /// They do not settle in time.
    pub fn wait_settled(&self, partitions: usize) -> Result<()> {
        const CALM: Duration = Duration::from_secs(3);
        let mut since = (Vec::new(), Instant::now());
        wait_until("the partitions to settle", Duration::from_secs(60), || {
            let held = self.status().ok()?.partitions;
            if held.len() != partitions || held.iter().any(|one| one.next_offset.is_none()) {
                return None;
            }
            let lanes: Vec<usize> = held.iter().map(|one| one.lane).collect();
            if since.0 != lanes {
                since = (lanes, Instant::now());
            }
            (since.1.elapsed() >= CALM).then_some(())
        })
    }

    /// Where the admin listener answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Code and body of an answer of the admin listener.
    ///
    /// # Errors
    /// It does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
        let code = head.split(' ').nth(1).context("no status code")?.parse()?;
        Ok((code, body.to_owned()))
    }

    /// A figure of `/metrics`, by its name and labels as they stand there; `None` before its first value.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics").ok()?;
        body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Memory of the process that is in use, in kibibytes.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident_kib(&self) -> Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// The most memory that the process has had in use, in kibibytes.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident_kib_most(&self) -> Result<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        kib.with_context(|| format!("no {field}"))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal by its name.
    ///
    /// # Errors
    /// The host is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits for the host to end on its own.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit).with_context(|| self.log_tail())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait_end(limit)
    }

    /// How the host ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// The whole log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// A TOML table in one line.
fn inline(entries: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// Root of the workspace that the suite was built from.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The host's binary: named by the environment, else the one in the folder of this program.
///
/// # Errors
/// It is not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os(HOST_ENV) {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    // Test programs are in `deps`, one folder further down.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("tollgate"));
    found
        .into_iter()
        .find(|path| path.is_file())
        .context("the host is not built: run `cargo build --release -p tollgate`")
}
