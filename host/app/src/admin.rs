//! The admin listener: `/livez`, `/readyz`, `/metrics`, `/status`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;
use tollgate_stream::{Lanes, PartitionStatus, Status};

use crate::metrics::Metric;
use crate::pipeline::stats::{Figures, Latency, NearBudget, RuleCost, Stats};
use crate::rules::RuleLoader;
use crate::rules::board::RulePage;
use crate::trials::Trials;
use crate::watch::{Board, WatchPage};

/// The lanes of both topics.
#[derive(Clone)]
pub struct Streams {
    /// By these the host is judged to be ready.
    pub clicks: Arc<Lanes>,
    pub compensations: Option<Arc<Lanes>>,
}

/// What the pages are made from.
pub struct Admin {
    pub prometheus: PrometheusHandle,
    pub stats: Arc<Stats>,
    pub board: Arc<Board>,
    pub loader: Arc<RuleLoader>,
    pub trials: Arc<Trials>,
    /// Becomes `Some` once the host has started.
    pub lanes: watch::Receiver<Option<Streams>>,
}

/// The page `/status`.
#[derive(Debug, Serialize)]
struct StatusPage {
    ready: bool,
    /// Why not, in words.
    waiting_for: Vec<String>,
    #[serde(flatten)]
    figures: Figures,
    latency_ms: Latency,
    refund_latency_ms: Latency,
    rules: std::collections::BTreeMap<&'static str, RuleCost>,
    generation_in_force: RulePage,
    near_budget: Vec<NearBudget>,
    watch: WatchPage,
    /// Of clicks.
    lag: i64,
    partitions: Vec<PartitionLine>,
    compensation_partitions: Vec<PartitionLine>,
}

#[derive(Debug, Serialize)]
struct PartitionLine {
    topic: String,
    partition: i32,
    lane: usize,
    next_offset: Option<i64>,
    lag: Option<i64>,
    /// Why it is not read, and how to go on.
    halted: Option<String>,
}

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(listen: SocketAddr, admin: Arc<Admin>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("admin.listen: cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "admin listener");
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_page))
        .route("/status", get(status_page))
        .with_state(admin);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Ok(())
}

async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let waiting = admin.waiting_for(admin.status().as_ref());
    if waiting.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n")
    }
}

async fn metrics_page(State(admin): State<Arc<Admin>>) -> String {
    let status = admin.status();
    gauge!(Metric::Ready.name())
        .set(f64::from(u8::from(admin.waiting_for(status.as_ref()).is_empty())));
    let compensations = admin.compensation_status();
    status.iter().chain(&compensations).for_each(publish);
    let Admin { prometheus, board, loader, trials, .. } = &*admin;
    prometheus.render() + &board.metrics() + &loader.costs.metrics() + &trials.metrics()
}

async fn status_page(State(admin): State<Arc<Admin>>) -> Json<StatusPage> {
    let status = admin.status();
    let waiting_for = admin.waiting_for(status.as_ref());
    let partitions = lines(status);
    Json(StatusPage {
        ready: waiting_for.is_empty(),
        waiting_for,
        figures: admin.stats.figures(),
        latency_ms: admin.stats.latency(),
        refund_latency_ms: admin.stats.refund_latency(),
        rules: admin.stats.rule_costs(),
        generation_in_force: admin.loader.board.page(),
        near_budget: admin.stats.near_budget(),
        watch: admin.board.page(),
        lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
        partitions,
        compensation_partitions: lines(admin.compensation_status()),
    })
}

impl Admin {
    fn status(&self) -> Option<Status> {
        self.lanes.borrow().as_ref().map(|streams| streams.clicks.status())
    }

    /// `None` while the host starts, and where compensations are off.
    fn compensation_status(&self) -> Option<Status> {
        let streams = self.lanes.borrow();
        streams.as_ref()?.compensations.as_ref().map(|lanes| lanes.status())
    }

    /// What the host still waits for before it is ready.
    fn waiting_for(&self, status: Option<&Status>) -> Vec<String> {
        let mut waiting = Vec::new();
        if self.stats.is_outage() {
            waiting.push("the ledger is not available".to_owned());
        }
        waiting.extend(self.board.complaints());
        waiting.extend(self.loader.board.complaint());
        let Some(status) = status else {
            waiting.push("the host is starting".to_owned());
            return waiting;
        };
        if status.is_ready() {
            return waiting;
        }
        waiting.push(format!("topic: {}", status.topic.code()));
        waiting.extend(status.topic_error.clone());
        let lanes = status.lanes.iter();
        waiting.extend(lanes.map(|lane| format!("lane {}: {}", lane.lane, lane.state.as_str())));
        waiting
    }
}

fn lines(status: Option<Status>) -> Vec<PartitionLine> {
    let Some(Status { topic_name, partitions, .. }) = status else { return Vec::new() };
    partitions.into_iter().map(|partition| PartitionLine::new(&topic_name, partition)).collect()
}

impl PartitionLine {
    fn new(topic: &str, status: PartitionStatus) -> Self {
        Self {
            topic: topic.to_owned(),
            partition: status.partition,
            lane: status.lane,
            next_offset: status.next_offset,
            lag: status.lag,
            halted: status.halt.map(|halt| halt.reason()),
        }
    }
}

fn publish(status: &Status) {
    let topic = &status.topic_name;
    for partition in &status.partitions {
        let labels = [("topic", topic.clone()), ("partition", partition.partition.to_string())];
        if let Some(lag) = partition.lag {
            gauge!(Metric::KafkaLag.name(), &labels).set(lag as f64);
        }
        let halted = f64::from(u8::from(partition.halt.is_some()));
        gauge!(Metric::KafkaHalted.name(), &labels).set(halted);
    }
    let sum = |of: fn(&tollgate_stream::LaneStatus) -> u64| status.lanes.iter().map(of).sum();
    let count = |metric: Metric, sum: u64| {
        counter!(metric.name(), "topic" => topic.clone()).absolute(sum);
    };
    count(Metric::KafkaRecords, sum(|lane| lane.records));
    count(Metric::KafkaRebalances, sum(|lane| lane.rebalances));
    count(Metric::KafkaCommitFailures, sum(|lane| lane.commit_failures));
}
