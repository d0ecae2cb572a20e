//! A private Apache Flink: a job manager and a task manager on free ports, with the statements of `config/flink`.

pub mod rest;
pub mod statements;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use super::free_port;
use super::process::{Launch, Process};
use crate::wait::wait_until;
use rest::{Job, Rest};
use statements::{Parameters, Statement};

/// Folder with Flink's jars when they are not in `target/flink/lib`.
pub const LIB_ENV: &str = "TOLLGATE_FLINK_LIB";

const JOB_MANAGER: &str = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint";
const TASK_MANAGER: &str = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner";
const CLIENT: &str = "org.apache.flink.table.client.SqlClient";

/// Packages of Java 17 that Flink looks into.
const OPENED: [&str; 12] = [
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "sun.nio.ch",
    "java.lang.reflect",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
];

const EXPORTED: [&str; 2] = ["java.rmi/sun.rmi.registry", "java.security.jgss/sun.security.krb5"];

/// The machine compiles quickly rather than well.
const QUICK: &str = "-XX:TieredStopAtLevel=1";

/// How large the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Tasks at once: every statement takes as many slots as it has tasks that read.
    pub slots: u32,
    /// Heap of the task manager for statements and their state.
    pub heap_mb: u32,
    /// Whether it is there for minutes, so that it pays to let the virtual machines optimize themselves.
    pub is_lasting: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self { slots: 10, heap_mb: 512, is_lasting: false }
    }
}

/// A running cluster.
pub struct Flink {
    /// Stopped before the job manager, whose loss it would report.
    task_manager: Process,
    job_manager: Process,
    rest: Rest,
    size: Size,
    parameters: Parameters,
    folder: Folder,
}

impl Flink {
    /// Starts a cluster whose statements get `parameters`; checkpoints go to its folder, which lives as long as it.
    ///
    /// # Errors
    /// Java or Flink's jars are missing, or the cluster does not come up.
    pub fn start(size: Size, parameters: Parameters) -> Result<Self> {
        let folder = Folder::new("flink")?;
        let checkpoints = format!("file://{}", folder.file("checkpoints").display());
        let parameters = parameters.with("CHECKPOINT_DIR", checkpoints)?;
        fs::create_dir(folder.file("tmp"))?;
        let rest = Rest::new(free_port()?);
        fs::write(folder.file("config.yaml"), settings(size, free_port()?, rest.port, &folder))?;
        fs::write(folder.file("log4j.properties"), LOGGING)?;
        let (job_manager, task_manager) = launch(size, &folder)?;
        let mut flink = Self { task_manager, job_manager, rest, size, parameters, folder };
        flink.wait_ready()?;
        Ok(flink)
    }

    /// Starts statements, all in one session of the SQL client. A statement goes on at its newest checkpoint, if there is one.
    ///
    /// # Errors
    /// The cluster refuses one, or it does not run; the sentence ends with what the client said.
    pub fn submit(&self, statements: &[Statement]) -> Result<()> {
        self.start_jobs(statements, |statement| self.newest_checkpoint(statement))
    }

    /// As `submit`, without checkpoints: the statements read their topics from the beginning.
    ///
    /// # Errors
    /// As `submit`.
    pub fn submit_afresh(&self, statements: &[Statement]) -> Result<()> {
        self.start_jobs(statements, |_| None)
    }

    /// The jobs that have not ended.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let jobs = self.rest.jobs()?;
        Ok(jobs.into_iter().filter(|job| !job.is_over()).collect())
    }

    /// The job of a statement.
    ///
    /// # Errors
    /// It does not run.
    pub fn job(&self, statement: Statement) -> Result<Job> {
        let job = self.jobs()?.into_iter().find(|job| job.name == statement.job_name());
        job.with_context(|| format!("{} does not run", statement.job_name()))
    }

    /// Ends a statement; its last checkpoint stays.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn cancel(&self, statement: Statement) -> Result<()> {
        let job = self.job(statement)?;
        self.rest.cancel(&job.id)?;
        wait_until("the job to end", Duration::from_secs(60), || {
            self.job(statement).is_err().then_some(())
        })
    }

    /// Waits until each of some statements has completed a checkpoint that began after this call, and so covers what was
    /// read before.
    ///
    /// # Errors
    /// A statement does not run, or cannot complete a checkpoint.
    pub fn wait_checkpoints(&self, statements: &[Statement]) -> Result<()> {
        let begin_ms = crate::harness::now_us() / 1_000;
        statements.iter().try_for_each(|statement| {
            let job = self.job(*statement)?;
            wait_until("a checkpoint", Duration::from_secs(120), || {
                let newest = self.rest.checkpoint_ms(&job.id).ok()??;
                (newest > begin_ms).then_some(())
            })
        })
    }

    /// When the newest checkpoint of a statement began, in milliseconds since 1970; `None` before its first.
    ///
    /// # Errors
    /// The statement does not run, or the cluster does not answer.
    pub fn checkpoint_ms(&self, statement: Statement) -> Result<Option<i64>> {
        self.rest.checkpoint_ms(&self.job(statement)?.id)
    }

    /// Sum over all operators and subtasks of a statement of a metric, by the end of its name, such as `pendingRecords`
    /// (lag of the sources) or `numLateRecordsDropped`.
    ///
    /// # Errors
    /// The statement does not run, or the cluster does not answer.
    pub fn metric(&self, statement: Statement, name: &str) -> Result<i64> {
        self.rest.metric(&self.job(statement)?.id, name)
    }

    /// `kill -9` of the whole cluster. Checkpoints stay.
    pub fn kill(&mut self) {
        self.task_manager.kill();
        self.job_manager.kill();
    }

    /// Kills the cluster and starts it again, without statements; `submit` lets them go on at their checkpoints.
    ///
    /// # Errors
    /// As `start`.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        (self.job_manager, self.task_manager) = launch(self.size, &self.folder)?;
        self.wait_ready()
    }

    /// Resident memory of job manager and task manager in bytes.
    ///
    /// # Errors
    /// One of them is gone.
    pub fn memory(&self) -> Result<(u64, u64)> {
        Ok((resident(self.job_manager.id())?, resident(self.task_manager.id())?))
    }

    /// Where a browser finds the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest.port)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The newest checkpoint of a statement that is whole.
    #[must_use]
    pub fn newest_checkpoint(&self, statement: Statement) -> Option<PathBuf> {
        let of_jobs = entries(&self.folder.file("checkpoints").join(statement.name()));
        let checkpoints = of_jobs.iter().flat_map(|job| entries(job));
        let whole = checkpoints.filter_map(|path| {
            let written = fs::metadata(path.join("_metadata")).and_then(|file| file.modified());
            Some((
                written.unwrap_or(SystemTime::UNIX_EPOCH),
                path.join("_metadata").is_file().then_some(path)?,
            ))
        });
        whole.max().map(|(_, path)| path)
    }

    fn start_jobs(
        &self,
        statements: &[Statement],
        checkpoint: impl Fn(Statement) -> Option<PathBuf>,
    ) -> Result<()> {
        let mut script = "SET 'execution.target' = 'remote';\n".to_owned();
        script += &self.parameters.render(&statements::tables()?)?;
        for statement in statements {
            let recovery = checkpoint(*statement).map(|path| {
                format!("SET 'execution.state-recovery.path' = 'file://{}';\n", path.display())
            });
            script += &recovery.unwrap_or("RESET 'execution.state-recovery.path';\n".to_owned());
            script += &self.parameters.render(&statement.sql()?)?;
        }
        let file = self.folder.file("submit.sql");
        fs::write(&file, script)?;
        let said = java(&self.folder, "client", &["-Xmx384m", QUICK])
            .args([CLIENT, "-f"])
            .args([&file])
            .run()?;
        if said.contains("[ERROR]") {
            bail!("Flink refuses a statement:\n{said}");
        }
        statements.iter().try_for_each(|statement| self.wait_running(*statement))
    }

    fn wait_running(&self, statement: Statement) -> Result<()> {
        let what = format!("{} to run", statement.job_name());
        wait_until(&what, Duration::from_secs(120), || {
            let job = self.job(statement).ok()?;
            (job.state == "RUNNING" && self.rest.all_tasks_run(&job.id).ok()?).then_some(())
        })
    }

    fn wait_ready(&mut self) -> Result<()> {
        let ready = wait_until("Flink to answer", Duration::from_secs(120), || {
            let servers = [&mut self.job_manager, &mut self.task_manager];
            if let Some(status) = servers.into_iter().find_map(Process::ended) {
                return Some(Err(status));
            }
            (self.rest.slots().ok()? >= u64::from(self.size.slots)).then_some(Ok(()))
        })?;
        if let Err(status) = ready {
            let log = |name: &str| fs::read_to_string(self.folder.file(name)).unwrap_or_default();
            bail!("Flink ended ({status}):\n{}{}", log("jobmanager.out"), log("taskmanager.out"));
        }
        Ok(())
    }
}

fn launch(size: Size, folder: &Folder) -> Result<(Process, Process)> {
    let start = |name: &str, class: &str, heap: &str| {
        let options = [heap, if size.is_lasting { "-XX:+TieredCompilation" } else { QUICK }];
        java(folder, name, &options)
            .args([class, "--configDir"])
            .args([folder.path()])
            .log(&folder.file(&format!("{name}.out")))?
            .start()
    };
    let job_manager = start("jobmanager", JOB_MANAGER, "-Xmx192m")?;
    // As much as the settings give to the framework and to tasks.
    let heap = format!("-Xmx{}m", size.heap_mb + FRAMEWORK_MB);
    let task_manager = start("taskmanager", TASK_MANAGER, &heap)?;
    Ok((job_manager, task_manager))
}

/// Java with Flink's classes; `name` is that of the log.
fn java(folder: &Folder, name: &str, options: &[&str]) -> Launch {
    let classes = format!("{}/*", lib().display());
    let log = format!("-Dlog.file={}", folder.file(&format!("{name}.log")).display());
    let logging =
        format!("-Dlog4j.configurationFile={}", folder.file("log4j.properties").display());
    let tmp = format!("-Djava.io.tmpdir={}", folder.file("tmp").display());
    Launch::new("java")
        .args(OPENED.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")))
        .args(EXPORTED.map(|package| format!("--add-exports={package}=ALL-UNNAMED")))
        .args(["-XX:+UseSerialGC"])
        .args(options)
        .args([log, logging, tmp])
        .args(["-cp", &classes])
        .env("FLINK_CONF_DIR", folder.path())
        .folder(folder.path())
}

fn lib() -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/flink/lib");
    env::var_os(LIB_ENV).map_or_else(|| PathBuf::from(built), PathBuf::from)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1_024)
}

fn settings(size: Size, rpc: u16, rest: u16, folder: &Folder) -> String {
    let Size { slots, heap_mb, .. } = size;
    let tmp = folder.file("tmp");
    format!(
        "jobmanager.rpc.address: 127.0.0.1\n\
         jobmanager.rpc.port: {rpc}\n\
         jobmanager.bind-host: 127.0.0.1\n\
         jobmanager.memory.heap.size: 192m\n\
         jobmanager.memory.off-heap.size: 64m\n\
         jobmanager.memory.jvm-metaspace.size: 128m\n\
         jobmanager.memory.jvm-overhead.min: 64m\n\
         jobmanager.memory.jvm-overhead.max: 64m\n\
         taskmanager.bind-host: 127.0.0.1\n\
         taskmanager.host: 127.0.0.1\n\
         taskmanager.numberOfTaskSlots: {slots}\n\
         taskmanager.cpu.cores: {slots}.0\n\
         taskmanager.memory.task.heap.size: {heap_mb}m\n\
         taskmanager.memory.task.off-heap.size: 0m\n\
         taskmanager.memory.managed.size: 128m\n\
         taskmanager.memory.network.min: 64m\n\
         taskmanager.memory.network.max: 64m\n\
         taskmanager.memory.framework.heap.size: {FRAMEWORK_MB}m\n\
         taskmanager.memory.framework.off-heap.size: 64m\n\
         taskmanager.memory.jvm-metaspace.size: 256m\n\
         taskmanager.memory.jvm-overhead.min: 64m\n\
         taskmanager.memory.jvm-overhead.max: 64m\n\
         rest.address: 127.0.0.1\n\
         rest.bind-address: 127.0.0.1\n\
         rest.port: {rest}\n\
         metrics.fetcher.update-interval: 1000\n\
         web.refresh-interval: 100\n\
         cluster.registration.error-delay: 500\n\
         state.backend.type: hashmap\n\
         io.tmp.dirs: {}\n",
        tmp.display()
    )
}

/// Heap of the task manager that is not for statements.
const FRAMEWORK_MB: u32 = 96;

const LOGGING: &str = "\
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = File
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c %m%n
";
