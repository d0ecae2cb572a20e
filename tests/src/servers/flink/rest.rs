//! What Flink says about itself over HTTP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The REST interface of a job manager.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    pub port: u16,
}

/// A job as the cluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    pub name: String,
    /// As Flink calls it, such as `RUNNING`.
    pub state: String,
}

impl Job {
    /// Whether it has ended, in whatever way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        ["CANCELED", "FAILED", "FINISHED"].contains(&self.state.as_str())
    }
}

impl Rest {
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port }
    }

    /// Slots of the task managers that have registered.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn slots(&self) -> Result<u64> {
        self.get("/overview")?["slots-total"].as_u64().context("an overview has slots")
    }

    /// # Errors
    /// The cluster does not answer.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let overview = self.get("/jobs/overview")?;
        let text = |job: &Value, name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let jobs = overview["jobs"].as_array().context("an overview has jobs")?;
        let job =
            |job| Job { id: text(job, "jid"), name: text(job, "name"), state: text(job, "state") };
        Ok(jobs.iter().map(job).collect())
    }

    /// Whether every task of a job is at work.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn all_tasks_run(&self, job: &str) -> Result<bool> {
        let vertices = self.vertices(job)?;
        Ok(vertices.iter().all(|vertex| vertex["status"] == "RUNNING"))
    }

    /// When the newest completed checkpoint of a job began, in milliseconds since 1970; `None` when there is none.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn checkpoint_ms(&self, job: &str) -> Result<Option<i64>> {
        let checkpoints = self.get(&format!("/jobs/{job}/checkpoints"))?;
        Ok(checkpoints["latest"]["completed"]["trigger_timestamp"].as_i64())
    }

    /// Sum of a metric over all operators and subtasks of a job, by the end of its name.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn metric(&self, job: &str, name: &str) -> Result<i64> {
        let mut sum = 0;
        for vertex in self.vertices(job)? {
            let id = vertex["id"].as_str().context("a vertex has an id")?;
            let path = format!("/jobs/{job}/vertices/{id}/metrics");
            let known = self.get(&path)?;
            let ids = known.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
            let wanted: Vec<_> = ids.filter(|id| id.ends_with(name)).collect();
            if wanted.is_empty() {
                continue;
            }
            let values = self.get(&format!("{path}?get={}", wanted.join(",")))?;
            let values = values.as_array().into_iter().flatten();
            sum += values.filter_map(|one| one["value"].as_str()?.parse::<i64>().ok()).sum::<i64>();
        }
        Ok(sum)
    }

    /// # Errors
    /// The cluster does not answer or does not know the job.
    pub fn cancel(&self, job: &str) -> Result<()> {
        self.ask("PATCH", &format!("/jobs/{job}?mode=cancel")).map(drop)
    }

    fn vertices(&self, job: &str) -> Result<Vec<Value>> {
        let job = self.get(&format!("/jobs/{job}"))?;
        Ok(job["vertices"].as_array().context("a job has vertices")?.clone())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let body = self.ask("GET", path)?;
        serde_json::from_str(&body).with_context(|| format!("Flink answers {path} with {body:?}"))
    }

    fn ask(&self, method: &str, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // Names of metrics have characters that a path may not have.
        let path = path.replace('[', "%5B").replace(']', "%5D").replace(' ', "%20");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("Flink closed the connection")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("Flink answers {path} with {status}: {body}");
        }
        Ok(body.to_owned())
    }
}
