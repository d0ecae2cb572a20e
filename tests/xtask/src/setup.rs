//! Finds the servers that tests need, or installs them.

mod flink;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tollgate_builder::Said;

use crate::steps::Steps;

/// Version of the real Kafka.
const KAFKA_VERSION: &str = "4.1.1";

/// Version of the mail server.
const AIOSMTPD_VERSION: &str = "1.4.6";

/// A server that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Kafka,
    Postgres,
    Redis,
    Mail,
    /// With the statements' extension.
    Flink,
}

/// Makes sure that everything needed is there.
///
/// # Errors
/// Something is missing and cannot be installed; the sentence says how to install it.
pub(crate) fn ensure(root: &Path, steps: &Steps, needs: &[Need]) -> Result<()> {
    let mut packages = Vec::new();
    for need in needs {
        match need {
            Need::Kafka if !kafka_is_there(root) => {
                packages.extend(missing("java", "default-jre-headless"));
                packages.extend(missing("mvn", "maven"));
            }
            Need::Kafka => packages.extend(missing("java", "default-jre-headless")),
            Need::Postgres => packages.extend((!postgres_is_there()).then_some("postgresql")),
            Need::Redis => packages.extend(missing("redis-server", "redis-server")),
            Need::Mail if mail_is_there(root) || make_mail(root, steps)? => {}
            Need::Mail => packages.push("python3-aiosmtpd"),
            Need::Flink => {
                packages.extend(missing("java", "default-jre-headless"));
                if flink::is_missing(root) {
                    packages.extend(missing("javac", "default-jdk-headless"));
                    packages.extend(missing("mvn", "maven"));
                }
            }
        }
    }
    if !packages.is_empty() {
        install(steps, &packages)?;
    }
    if needs.contains(&Need::Kafka) && !kafka_is_there(root) {
        fetch_kafka(root, steps)?;
    }
    if needs.contains(&Need::Flink) {
        flink::make(root, steps)?;
    }
    Ok(())
}

fn install(steps: &Steps, packages: &[&'static str]) -> Result<()> {
    let names = packages.join(" ");
    if !is_root() {
        bail!(
            "the tests run against real servers; install what is missing and try again:\n  \
             sudo apt-get install --no-install-recommends {names}"
        );
    }
    let step = steps.begin(&format!("install {names}"), "the tests run against real servers");
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())?;
    step.done("by apt-get");
    Ok(())
}

/// Kafka's own jars, resolved by Maven from the project file that is written here.
fn fetch_kafka(root: &Path, steps: &Steps) -> Result<()> {
    let step = steps.begin("Kafka's jars", "54 MB through Maven, once");
    let folder = kafka_folder(root);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(folder.join("pom.xml"), pom())?;
    // A copy that is cut short must not look like a whole one.
    let part = folder.join("lib.part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let mut maven = Command::new("mvn");
    maven.current_dir(&folder).args(["-q", "-B", "dependency:copy-dependencies"]);
    maven.arg(format!("-DoutputDirectory={}", part.display()));
    run(&mut maven).context("fetch Kafka through Maven")?;
    let lib = folder.join("lib");
    if lib.exists() {
        fs::remove_dir_all(&lib)?;
    }
    fs::rename(&part, &lib)?;
    if !kafka_is_there(root) {
        bail!("Maven has fetched no Kafka {KAFKA_VERSION} into {}", lib.display());
    }
    step.done(&format!("Kafka {KAFKA_VERSION}"));
    Ok(())
}

/// Puts the mail server into a virtual environment of its own; `false` where Python cannot make one.
fn make_mail(root: &Path, steps: &Steps) -> Result<bool> {
    let folder = root.join("target/mail");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let step = steps.begin("mail server", "aiosmtpd through pip, once");
    let mut venv = Command::new("python3");
    if run(venv.args(["-m", "venv"]).arg(&folder)).is_err() {
        return Ok(false);
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    if run(pip.arg(format!("aiosmtpd=={AIOSMTPD_VERSION}"))).is_err() {
        return Ok(false);
    }
    step.done(&format!("aiosmtpd {AIOSMTPD_VERSION}"));
    Ok(true)
}

fn pom() -> String {
    let dependencies: String = ["kafka_2.13", "kafka-tools"]
        .iter()
        .map(|name| {
            format!(
                "<dependency><groupId>org.apache.kafka</groupId><artifactId>{name}</artifactId>\
                 <version>{KAFKA_VERSION}</version></dependency>"
            )
        })
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>tollgate</groupId>\
         <artifactId>kafka</artifactId><version>1</version>\
         <dependencies>{dependencies}</dependencies></project>\n"
    )
}

fn kafka_folder(root: &Path) -> PathBuf {
    root.join("target/kafka")
}

fn kafka_is_there(root: &Path) -> bool {
    let lib = kafka_folder(root).join("lib");
    ["kafka_2.13", "kafka-tools"]
        .iter()
        .all(|name| lib.join(format!("{name}-{KAFKA_VERSION}.jar")).is_file())
}

fn postgres_is_there() -> bool {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    on_path("initdb") || debian.into_iter().any(|entry| entry.path().join("bin/initdb").is_file())
}

/// Whether one of the Pythons that the suite tries has the mail server.
fn mail_is_there(root: &Path) -> bool {
    let own = root.join("target/mail/bin/python");
    [own.as_path(), Path::new("python3"), Path::new("/usr/bin/python3")].into_iter().any(|python| {
        let mut import = Command::new(python);
        import.args(["-c", "import aiosmtpd"]).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    })
}

fn missing(program: &str, package: &'static str) -> Option<&'static str> {
    (!on_path(program)).then_some(package)
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// Runs a command and shows what it said when it fails.
fn run(command: &mut Command) -> Result<()> {
    tollgate_builder::run(command, Said::OnFailure).map(drop)
}
