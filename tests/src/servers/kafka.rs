//! A private Apache Kafka: one process that is broker and controller, on free ports.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::folder::Folder;
use super::free_port;
use super::process::{Launch, Process};
use crate::wait::wait_until;

/// Folder with Kafka's jars when they are not in `target/kafka/lib`.
pub const LIB_ENV: &str = "TOLLGATE_KAFKA_LIB";

/// A name for the cluster's storage; any 16 bytes in base64 do, since each cluster is alone.
const CLUSTER_ID: &str = "dG9sbGdhdGUtc3VpdGUtMQ";

/// A broker lives for minutes here and shares few cores with what is tested: it has to be quick at once and quiet.
const JVM: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Largest record, so that a 20 MB event can be produced.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A running broker.
pub struct Kafka {
    server: Process,
    port: u16,
    folder: Folder,
}

impl Kafka {
    /// # Errors
    /// Java or Kafka's jars are missing, or the broker does not come up.
    pub fn start() -> Result<Self> {
        let classes = format!("{}/*", lib()?.display());
        let folder = Folder::new("kafka")?;
        let (port, controller) = (free_port()?, free_port()?);
        let properties = folder.file("server.properties");
        fs::write(&properties, settings(port, controller, &folder))?;
        Launch::new("java")
            .args(["-cp", &classes, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID])
            .args(["--standalone", "-c"])
            .args([&properties])
            .folder(folder.path())
            .run()
            .context("install the package default-jre")?;
        let server = Launch::new("java")
            .args(JVM)
            .args(["-cp", &classes, "kafka.Kafka"])
            .args([&properties])
            .folder(folder.path())
            .log(&folder.file("server.log"))?
            .start()?;
        let mut kafka = Self { server, port, folder };
        kafka.wait_ready()?;
        Ok(kafka)
    }

    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let probe: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create()?;
        let ready = wait_until("Kafka to answer", Duration::from_secs(90), || {
            if let Some(status) = self.server.ended() {
                return Some(Err(status));
            }
            let metadata = probe.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!metadata.brokers().is_empty()).then_some(Ok(()))
        })?;
        if let Err(status) = ready {
            let log = fs::read_to_string(self.folder.file("server.log")).unwrap_or_default();
            bail!("Kafka ended ({status}):\n{log}");
        }
        Ok(())
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // An orderly shutdown takes seconds and has nothing to save.
        self.server.kill();
    }
}

/// Creates a topic and waits until it has leaders.
///
/// # Errors
/// The broker refuses, for example because the topic exists.
pub fn create_topic(brokers: &str, name: &str, partitions: i32, retention_days: u32) -> Result<()> {
    create_limited_topic(brokers, name, (partitions, retention_days), MESSAGE_BYTES_MAX)
}

/// As `create_topic`, with the most bytes that a batch of records may have; Kafka's own default is 1,048,588.
///
/// # Errors
/// As `create_topic`.
pub fn create_limited_topic(
    brokers: &str,
    name: &str,
    (partitions, retention_days): (i32, u32),
    bytes_max: usize,
) -> Result<()> {
    let retention_ms = (u64::from(retention_days) * 24 * 3_600_000).to_string();
    let bytes_max = bytes_max.to_string();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
        .set("retention.ms", &retention_ms)
        .set("max.message.bytes", &bytes_max);
    let (admin, runtime) = admin(brokers)?;
    let answers = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    for answer in answers {
        answer.map_err(|(name, error)| anyhow::anyhow!("create topic {name}: {error}"))?;
    }
    wait_until("the topic to have leaders", Duration::from_secs(30), || {
        let metadata = admin.inner().fetch_metadata(Some(name), Duration::from_secs(5)).ok()?;
        let parts = metadata.topics().first()?.partitions();
        let led = parts.iter().filter(|part| part.leader() >= 0).count();
        (led == usize::try_from(partitions).unwrap_or(0)).then_some(())
    })
}

/// Number of partitions and `retention.ms` of a topic.
///
/// # Errors
/// The broker does not know it.
pub fn describe(brokers: &str, name: &str) -> Result<(usize, String)> {
    let (admin, runtime) = admin(brokers)?;
    let metadata = admin.inner().fetch_metadata(Some(name), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let resource = ResourceSpecifier::Topic(name);
    let answers = runtime.block_on(admin.describe_configs([&resource], &AdminOptions::new()))?;
    let config = answers.into_iter().next().context("the broker describes nothing")??;
    let retention = config.get("retention.ms").and_then(|entry| entry.value.clone());
    Ok((partitions, retention.unwrap_or_default()))
}

/// Deletes a topic and waits until the broker no longer knows it.
///
/// # Errors
/// The broker refuses.
pub fn delete_topic(brokers: &str, name: &str) -> Result<()> {
    let (admin, runtime) = admin(brokers)?;
    let answers = runtime.block_on(admin.delete_topics(&[name], &AdminOptions::new()))?;
    for answer in answers {
        answer.map_err(|(name, error)| anyhow::anyhow!("delete topic {name}: {error}"))?;
    }
    wait_until("the topic to be gone", Duration::from_secs(30), || {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(5)).ok()?;
        metadata.topics().iter().all(|topic| topic.name() != name).then_some(())
    })
}

fn admin(brokers: &str) -> Result<(AdminClient<DefaultClientContext>, tokio::runtime::Runtime)> {
    let admin = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    Ok((admin, tokio::runtime::Builder::new_current_thread().enable_all().build()?))
}

fn lib() -> Result<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/kafka/lib");
    let lib = env::var_os(LIB_ENV).map_or_else(|| PathBuf::from(built), PathBuf::from);
    if !lib.is_dir() {
        bail!(
            "Kafka's jars are not in {}: run `cargo xtask test`, which fetches them",
            lib.display()
        );
    }
    Ok(lib)
}

fn settings(port: u16, controller: u16, folder: &Folder) -> String {
    let logs = folder.file("logs");
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         num.partitions=8\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         message.max.bytes={MESSAGE_BYTES_MAX}\n\
         socket.request.max.bytes={}\n",
        logs.display(),
        MESSAGE_BYTES_MAX * 2,
    )
}
