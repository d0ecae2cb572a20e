//! A real broker: the one that `TOLLGATE_TEST_BROKERS` names, or one started from Maven's jars.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use super::until;

const POM: &str = "<project>\
<modelVersion>4.0.0</modelVersion><groupId>tollgate</groupId><artifactId>kafka</artifactId>\
<version>1</version><dependencies>\
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>\
<version>4.1.1</version></dependency>\
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>\
<version>4.1.1</version></dependency></dependencies></project>";

/// Addresses of the broker that tests share.
pub(crate) fn brokers() -> String {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    std::env::var("TOLLGATE_TEST_BROKERS")
        .unwrap_or_else(|_| SHARED.get_or_init(Kafka::start).brokers.clone())
}

/// A broker of its own. It ends with this process at the latest: its keeper waits for our end of a pipe to close.
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Kafka {
    pub(crate) fn start() -> Self {
        let jars = jars();
        let dir = tempfile::tempdir().unwrap().keep();
        let (port, controller) = (free_port(), free_port());
        let file = dir.join("server.properties");
        fs::write(&file, settings(&dir, port, controller)).unwrap();
        // The keeper formats, runs, and on the end of its input kills the broker and removes its folder.
        let script = "java -cp \"$1/*\" kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw \
             -c \"$2/server.properties\" --standalone >\"$2/log\" 2>&1 && { \
             java -Xmx512m -XX:+UseSerialGC -cp \"$1/*\" kafka.Kafka \"$2/server.properties\" >>\"$2/log\" 2>&1 & \
             pid=$!; cat >/dev/null; kill -9 $pid; wait $pid; rm -rf \"$2\"; }";
        let mut keeper = Command::new("sh")
            .args(["-c", script, "keeper"])
            .args([&jars, &dir])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = keeper.stdin.take();
        let brokers = format!("127.0.0.1:{port}");
        until("the broker listens", || TcpStream::connect(&brokers).is_ok());
        Self { brokers, keeper, pipe }
    }

    /// Kills the broker at once.
    pub(crate) fn kill(&mut self) {
        drop(self.pipe.take());
        self.keeper.wait().unwrap();
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.pipe.is_some() {
            self.kill();
        }
    }
}

fn settings(dir: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
         message.max.bytes=70000000\nsocket.request.max.bytes=110000000\n\
         log.initial.task.delay.ms=500\nfile.delete.delay.ms=1000\n",
        dir.join("data").display()
    )
}

/// The jars, fetched through Maven when they are not there.
fn jars() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("kafka");
    let lib = target.join("lib");
    if lib.join("kafka_2.13-4.1.1.jar").exists() {
        return lib;
    }
    let work = tempfile::tempdir_in({
        fs::create_dir_all(&target).unwrap();
        &target
    })
    .unwrap();
    fs::File::create(work.path().join("pom.xml")).unwrap().write_all(POM.as_bytes()).unwrap();
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"])
        .current_dir(work.path())
        .status()
        .expect("install Maven and Java, or set TOLLGATE_TEST_BROKERS");
    assert!(status.success(), "Maven could not fetch Kafka's jars");
    // Another test process may have been faster; its jars are as good.
    if fs::rename(work.path().join("lib"), &lib).is_err() {
        assert!(lib.join("kafka_2.13-4.1.1.jar").exists());
    }
    lib
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
