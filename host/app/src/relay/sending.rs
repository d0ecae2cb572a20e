//! Messages on their way: one task a route, so that a neighbour that hangs delays nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::task::JoinSet;
use tollgate_domain::notice::Channel;
use tollgate_ledger::{Delivery, DueRoute, Ledger, Sending};

use super::routes::{Routes, TOPIC};
use crate::channels::{Attempt, Outgoing};
use crate::config;
use crate::metrics::Metric;
use crate::pipeline::clock::host_us;
use crate::pipeline::stats::Stats;

/// Messages of a route taken at once, when they are not sent as one.
const MESSAGES_MAX: usize = 20;

/// Names a route: its channel and its own name.
type Place = (String, String);

pub(super) struct Sender {
    routes: Arc<Routes>,
    stats: Arc<Stats>,
    settings: config::Notify,
    busy: HashSet<Place>,
    /// How many messages of a route go out one by one, because their digest was refused and one of them may be why.
    alone: HashMap<Place, usize>,
    tasks: JoinSet<Report>,
    /// What tasks have reported and the ledger does not know yet.
    reports: Vec<Report>,
}

/// What became of the messages that a task took.
struct Report {
    place: Place,
    failures: u32,
    /// Messages, in their order, with what became of them; those after a failure were not tried.
    results: Vec<(Vec<i64>, Attempt)>,
    /// Messages of a digest that was refused; they wait for another turn.
    refused_digest: usize,
}

impl Sender {
    pub(super) fn new(routes: Arc<Routes>, stats: Arc<Stats>, settings: &config::Notify) -> Self {
        Self {
            routes,
            stats,
            settings: settings.clone(),
            busy: HashSet::new(),
            alone: HashMap::new(),
            tasks: JoinSet::new(),
            reports: Vec::new(),
        }
    }

    /// Starts sending what is due on routes that are free.
    pub(super) async fn send(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let limit = MESSAGES_MAX.max(self.routes.slack_digest_max);
        let busy = self.busy.clone();
        let is_busy = |channel: &str, route: &str| {
            busy.iter().any(|place| (place.0.as_str(), place.1.as_str()) == (channel, route))
        };
        for due in ledger.due(limit, &is_busy).await? {
            let place = (due.channel.clone(), due.route.clone());
            let due = self.cut(due);
            let ids: Vec<_> = due.deliveries.iter().map(|delivery| delivery.id).collect();
            let is_slack = due.channel == Channel::Slack.as_str();
            let gap = if is_slack { self.routes.slack_gap } else { Duration::ZERO };
            if !ledger.begin_sending(&due.channel, &due.route, &ids, gap).await? {
                continue;
            }
            self.busy.insert(place);
            self.tasks.spawn(deliver(Arc::clone(&self.routes), due));
        }
        Ok(())
    }

    /// Whether nothing is on its way, and what became of everything else is written down.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.reports.is_empty()
    }

    /// Waits until a task has something to report.
    pub(super) async fn finished(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(report)) => self.reports.push(report),
            Some(Err(error)) => {
                // A panic; its route is free again and its messages are due.
                tracing::error!(%error, "a sending task ended unexpectedly");
                self.busy.clear();
            }
            None => std::future::pending().await,
        }
    }

    /// Writes down what became of messages.
    pub(super) async fn settle(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        while let Some(joined) = self.tasks.try_join_next() {
            match joined {
                Ok(report) => self.reports.push(report),
                Err(error) => {
                    tracing::error!(%error, "a sending task ended unexpectedly");
                    self.busy.clear();
                }
            }
        }
        while let Some(report) = self.reports.last() {
            let (channel, route) = (&report.place.0, &report.place.1);
            for (ids, attempt) in &report.results {
                let sending = self.sending(attempt, report.failures);
                let given_up = ledger.settle(channel, route, ids, &sending).await?;
                note(channel, route, ids.len(), attempt, given_up);
                let sent = if matches!(attempt, Attempt::Sent) { ids.len() as u64 } else { 0 };
                self.stats.delivered(sent, given_up);
            }
            if report.refused_digest > 0 {
                self.alone.insert(report.place.clone(), report.refused_digest);
            }
            self.busy.remove(&report.place);
            self.reports.pop();
        }
        Ok(())
    }

    /// Waits for what is on its way, and writes it down.
    pub(super) async fn finish(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        while let Some(joined) = self.tasks.join_next().await {
            self.reports.extend(joined.ok());
        }
        self.settle(ledger).await
    }

    /// Slack takes many messages as one digest; other channels take them one by one.
    fn cut(&mut self, mut due: DueRoute) -> DueRoute {
        let is_slack = due.channel == Channel::Slack.as_str();
        let most = if is_slack { self.routes.slack_digest_max } else { MESSAGES_MAX };
        let alone = self.alone.get_mut(&(due.channel.clone(), due.route.clone()));
        let most = match alone {
            Some(left) if *left > 0 => {
                *left -= 1;
                1
            }
            _ => most.max(1),
        };
        due.deliveries.truncate(most);
        due
    }

    fn sending(&self, attempt: &Attempt, failures: u32) -> Sending {
        match attempt {
            Attempt::Sent => Sending::Sent,
            Attempt::Busy { wait, error } => Sending::Busy { wait: *wait, error: error.clone() },
            Attempt::Failed { error } => Sending::Failed {
                error: error.clone(),
                wait: self.wait_after(failures),
                attempts_max: self.settings.attempts_max,
            },
            Attempt::Refused { error } => Sending::Refused { error: error.clone() },
        }
    }

    /// Doubles with each failure in a row.
    fn wait_after(&self, failures: u32) -> Duration {
        let least = Duration::from_millis(self.settings.retry_ms_min.into());
        let most = Duration::from_millis(self.settings.retry_ms_max.into());
        least.saturating_mul(1 << failures.min(20)).min(most)
    }
}

/// Sends what one route has, in order, until something fails.
async fn deliver(routes: Arc<Routes>, due: DueRoute) -> Report {
    let place = (due.channel.clone(), due.route.clone());
    let failures = due.failures;
    if due.channel == Channel::Slack.as_str() {
        let outgoing: Vec<_> = due.deliveries.iter().map(outgoing).collect();
        let attempt = match &routes.slack {
            Some(slack) => slack.send(&due.route, &outgoing).await,
            None => not_configured(&due.channel),
        };
        let ids: Vec<_> = due.deliveries.iter().map(|delivery| delivery.id).collect();
        if let Attempt::Refused { error } = &attempt
            && ids.len() > 1
        {
            // One message may be the reason; the others shall not suffer for it.
            tracing::warn!(error, "a digest was refused; its messages are sent one by one");
            let refused_digest = ids.len();
            let again = Attempt::Busy { wait: routes.slack_gap, error: String::new() };
            return Report { place, failures, results: vec![(ids, again)], refused_digest };
        }
        record_latency(&due.deliveries, &attempt);
        return Report { place, failures, results: vec![(ids, attempt)], refused_digest: 0 };
    }
    one_by_one(&routes, due, place, failures).await
}

async fn one_by_one(routes: &Routes, due: DueRoute, place: Place, failures: u32) -> Report {
    let mut results: Vec<(Vec<i64>, Attempt)> = Vec::new();
    let mut stopped = false;
    for delivery in &due.deliveries {
        let attempt = if stopped {
            // Not tried, so the attempt does not count.
            Attempt::Busy { wait: Duration::ZERO, error: String::new() }
        } else {
            let attempt = send_one(routes, &due.channel, &due.route, delivery).await;
            stopped = matches!(attempt, Attempt::Busy { .. } | Attempt::Failed { .. });
            record_latency(std::slice::from_ref(delivery), &attempt);
            attempt
        };
        results.push((vec![delivery.id], attempt));
    }
    // The failure goes last, because it decides when the route is open again.
    results.sort_by_key(|(_, attempt)| match attempt {
        Attempt::Sent | Attempt::Refused { .. } => 0,
        Attempt::Busy { wait, .. } if wait.is_zero() => 1,
        Attempt::Busy { .. } | Attempt::Failed { .. } => 2,
    });
    Report { place, failures, results, refused_digest: 0 }
}

async fn send_one(routes: &Routes, channel: &str, route: &str, delivery: &Delivery) -> Attempt {
    let message = outgoing(delivery);
    if channel == Channel::Email.as_str() {
        match &routes.email {
            Some(email) => email.send(route, &message).await,
            None => not_configured(channel),
        }
    } else {
        match &routes.campaign_events {
            Some(events) if channel == TOPIC && events.topic == route => {
                events.send(&message).await
            }
            _ => not_configured(channel),
        }
    }
}

fn not_configured(channel: &str) -> Attempt {
    let error = format!(
        "{channel} is not configured on this host; configure it, then `tollgate outbox retry`"
    );
    Attempt::Refused { error }
}

fn outgoing(delivery: &Delivery) -> Outgoing<'_> {
    Outgoing {
        key: &delivery.key,
        severity: &delivery.severity,
        title: &delivery.title,
        body: &delivery.body,
        occurred_at_us: delivery.occurred_at_us,
    }
}

/// Messages that were held back on purpose say nothing about the relay.
fn record_latency(deliveries: &[Delivery], attempt: &Attempt) {
    if !matches!(attempt, Attempt::Sent) {
        return;
    }
    let now_us = host_us();
    for delivery in deliveries.iter().filter(|delivery| !delivery.was_put_off()) {
        let seconds = (now_us - delivery.occurred_at_us).max(0) as f64 / 1e6;
        let channel = delivery.channel.clone();
        histogram!(Metric::DeliveryLatency.name(), "channel" => channel).record(seconds);
    }
}

fn note(channel: &str, route: &str, messages: usize, attempt: &Attempt, given_up: u64) {
    let outcome = match attempt {
        Attempt::Sent => "sent",
        // Messages that were not tried.
        Attempt::Busy { error, .. } if error.is_empty() => return,
        Attempt::Busy { .. } => "busy",
        Attempt::Failed { .. } => "failed",
        Attempt::Refused { .. } => "refused",
    };
    let count = |outcome: &'static str, messages: u64| {
        counter!(Metric::Deliveries.name(), "channel" => channel.to_owned(), "outcome" => outcome)
            .increment(messages);
    };
    count(outcome, messages as u64);
    match attempt {
        Attempt::Sent => tracing::debug!(channel, route, messages, "sent"),
        Attempt::Busy { error, wait } => tracing::debug!(channel, route, ?wait, error, "busy"),
        Attempt::Failed { error } => {
            tracing::warn!(channel, route, messages, error, "not sent; trying again")
        }
        Attempt::Refused { error } => tracing::error!(channel, route, messages, error, "refused"),
    }
    if given_up > 0 {
        count("given_up", given_up);
        tracing::error!(
            channel,
            route,
            given_up,
            "messages given up; see `tollgate outbox list --state dead`"
        );
    }
}
