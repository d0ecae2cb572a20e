//! Happenings to messages, by the notification rule. A happening is worded once; what the rule fails on, the host
//! says in its own plain words, so that nothing goes untold.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tollgate_domain::book::Status;
use tollgate_domain::day::Zone;
use tollgate_domain::notice::{
    Channel, Happening, HappeningFacts, HappeningKind, Message, Severity,
};
use tollgate_domain::rule::{Fault, RuleError};
use tollgate_ledger::{HappeningRow, Ledger, NewDelivery, Outcome, Worded};

use super::routes::{Reach, Routes, TOPIC};
use crate::channels::campaign_events::status_changed;
use crate::config;
use crate::metrics::Metric;
use crate::rules::faults::{self, Leave};
use crate::rules::{ActiveNotifier, RuleLoader};

/// Happenings of one call of the rule at most.
const HAPPENINGS_MAX: usize = 100;

pub(super) struct Wording {
    routes: Arc<Routes>,
    loader: Arc<RuleLoader>,
    active: Option<ActiveNotifier>,
    /// What the rule has failed with since it was last judged.
    failed: Vec<Fault>,
    /// Name of this host.
    owner: String,
    /// For happenings that concern no campaign.
    zone: String,
}

/// A happening of the outbox, understood.
struct Told {
    row: HappeningRow,
    happening: Happening,
}

impl Wording {
    pub(super) fn new(
        routes: Arc<Routes>,
        loader: Arc<RuleLoader>,
        owner: &str,
        settings: &config::Notify,
    ) -> Self {
        let (owner, zone) = (owner.to_owned(), settings.zone.clone());
        Self { routes, loader, active: None, failed: Vec::new(), owner, zone }
    }

    /// Words what waits, and gives the number of happenings.
    pub(super) async fn word(&mut self, ledger: &mut Ledger) -> anyhow::Result<usize> {
        let waiting = ledger.happenings(HAPPENINGS_MAX).await?;
        if waiting.rows.is_empty() {
            return Ok(0);
        }
        self.load(ledger, waiting.generation).await?;
        let now_us = waiting.now_us;
        let told: Vec<_> = waiting.rows.into_iter().map(|row| self.tell(row, now_us)).collect();
        let messages = self.compose(&told)?;
        self.judge_rule(ledger).await?;
        let generation = waiting.generation;
        let mut worded = Vec::with_capacity(told.len());
        for (told, messages) in told.iter().zip(messages) {
            let deliveries = self.deliveries(told, messages, generation);
            worded.push(Worded { happening: told.row.id, deliveries });
        }
        ledger.word(&worded).await?;
        Ok(worded.len())
    }

    async fn load(&mut self, ledger: &mut Ledger, generation: u64) -> anyhow::Result<()> {
        if self.active.as_ref().is_none_or(|active| active.generation != generation) {
            self.active = Some(self.loader.load_notifier(ledger).await?);
        }
        Ok(())
    }

    /// Counts what the rule has cost, and leaves rules that fail too often.
    async fn judge_rule(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let Some(ActiveNotifier { notifier, generation }) = &mut self.active else { return Ok(()) };
        let (loader, generation) = (&self.loader, *generation);
        loader.costs.called(generation, notifier.rule_mut());
        let failed = std::mem::take(&mut self.failed);
        for fault in &failed {
            loader.costs.failed(generation, notifier.rule_mut(), fault.code, 1);
        }
        let Some(fault) = failed.last().map(ToString::to_string) else { return Ok(()) };
        if let Some(faults) = loader.faults.note(generation, failed.len() as u64) {
            let wish = Leave { generation, faults, fault: &fault, actor: &self.owner };
            faults::leave(&loader.faults, ledger, &wish).await?;
        }
        Ok(())
    }

    fn tell(&self, row: HappeningRow, now_us: i64) -> Told {
        let facts: HappeningFacts = serde_json::from_str(&row.payload).unwrap_or_else(|error| {
            // Only a newer host can have written something else.
            let detail = format!("the facts cannot be read ({error}): {}", row.payload);
            HappeningFacts {
                detail,
                occurred_at_us: row.created_at_us,
                ..HappeningFacts::default()
            }
        });
        let zone = row.campaign.as_ref().map_or(&self.zone, |campaign| &campaign.time_zone);
        let local =
            Zone::new(zone).or_else(|_| Zone::new("UTC")).map(|zone| zone.local_time(now_us));
        let (local_minute, weekday) = local.map_or((0, 1), |local| (local.minute, local.weekday));
        let minutes =
            |at_us: i64| u32::try_from((now_us - at_us).max(0) / 60_000_000).unwrap_or(u32::MAX);
        let kind = HappeningKind::from_name(&row.kind).unwrap_or(HappeningKind::RuleFault);
        let happening = Happening {
            kind,
            facts,
            local_minute,
            weekday,
            sent_today: row.sent_today,
            minutes_since_last: row.last_sent_us.map(minutes),
        };
        Told { row, happening }
    }

    /// The rule's messages for each happening. What makes the rule fail is found one by one.
    fn compose(&mut self, told: &[Told]) -> anyhow::Result<Vec<Vec<Message>>> {
        let all: Vec<_> = told.iter().map(|told| told.happening.clone()).collect();
        let mut sorted = vec![Vec::new(); told.len()];
        match self.ask(&all) {
            Ok(messages) => {
                for message in messages {
                    sorted[message.happening as usize].push(message);
                }
                count(told, "rule");
                return Ok(sorted);
            }
            Err(RuleError::Host(sentence)) => anyhow::bail!("the notification rule: {sentence}"),
            Err(RuleError::Fault(_)) => {}
        }
        for (at, (told, messages)) in told.iter().zip(&mut sorted).enumerate() {
            *messages = match self.ask(&all[at..=at]) {
                Ok(messages) => {
                    count(std::slice::from_ref(told), "rule");
                    messages
                }
                Err(RuleError::Host(sentence)) => {
                    anyhow::bail!("the notification rule: {sentence}")
                }
                Err(RuleError::Fault(fault)) => {
                    tracing::warn!(code = fault.code.as_str(), %fault, key = told.row.key, "the notification rule failed");
                    count(std::slice::from_ref(told), "host");
                    let words = self.own_words(told, &fault);
                    self.failed.push(fault);
                    words
                }
            };
        }
        Ok(sorted)
    }

    fn ask(&mut self, happenings: &[Happening]) -> Result<Vec<Message>, RuleError> {
        match &mut self.active {
            Some(active) => active.notifier.compose(happenings),
            None => Err(RuleError::Host("no notification rule is loaded".to_owned())),
        }
    }

    /// What the host says when the rule cannot.
    fn own_words(&self, told: &Told, fault: &Fault) -> Vec<Message> {
        let (kind, facts) = (&told.row.kind, &told.happening.facts);
        let campaign = &facts.campaign_id;
        let title = if campaign.is_empty() { kind.clone() } else { format!("{kind} {campaign}") };
        let body = format!(
            "{}\nThe notification rule could not word this ({}): {fault}. Mend the rule and activate it again.",
            told.row.payload,
            fault.code.as_str(),
        );
        let message = |(channel, route): (Channel, &str)| Message {
            happening: 0,
            channel,
            route: route.to_owned(),
            severity: Severity::Critical,
            title: title.clone(),
            body: body.clone(),
            delay_minutes: 0,
        };
        self.routes.own().into_iter().map(message).collect()
    }

    fn deliveries(&self, told: &Told, messages: Vec<Message>, generation: u64) -> Vec<NewDelivery> {
        let mut deliveries: Vec<_> = messages
            .into_iter()
            .enumerate()
            .map(|(at, message)| {
                self.delivery(format!("{}#{at}", told.row.key), message, generation)
            })
            .collect();
        deliveries.extend(self.status_event(told, generation));
        deliveries
    }

    fn delivery(&self, key: String, message: Message, generation: u64) -> NewDelivery {
        let (outcome, error) = match self.routes.reach(message.channel, &message.route) {
            Reach::Open => (None, None),
            Reach::Off => (Some(Outcome::Off), None),
            Reach::NoRoute => {
                let (channel, route) = (message.channel.as_str(), &message.route);
                let error = format!(
                    "there is no [{channel}.routes.{route}] in the configuration; add it, or change the \
                     parameters of the notification rule"
                );
                (Some(Outcome::Dead), Some(error))
            }
        };
        NewDelivery {
            key,
            channel: message.channel.as_str().to_owned(),
            route: message.route,
            severity: message.severity.as_str().to_owned(),
            title: message.title,
            body: message.body,
            delay: Duration::from_secs(u64::from(message.delay_minutes) * 60),
            outcome,
            error,
            generation,
        }
    }

    /// The event that tells the ranking about a pause or a resume.
    fn status_event(&self, told: &Told, generation: u64) -> Option<NewDelivery> {
        let topic = &self.routes.campaign_events.as_ref()?.topic;
        let status = match told.happening.kind {
            HappeningKind::Paused => Status::Paused,
            HappeningKind::Resumed => Status::Active,
            _ => return None,
        };
        let event = status_changed(told.row.campaign.as_ref()?, status, told.row.created_at_us);
        Some(NewDelivery {
            key: format!("{}#status", told.row.key),
            channel: TOPIC.to_owned(),
            route: topic.clone(),
            severity: Severity::Info.as_str().to_owned(),
            title: event.key,
            body: event.payload,
            delay: Duration::ZERO,
            outcome: None,
            error: None,
            generation,
        })
    }
}

fn count(told: &[Told], by: &'static str) {
    for told in told {
        let kind = told.happening.kind.as_str();
        counter!(Metric::Happenings.name(), "kind" => kind, "by" => by).increment(1);
    }
}
