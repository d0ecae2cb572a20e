//! Names that rules may send to, and what stands behind them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tollgate_domain::notice::Channel;
use tollgate_stream::Publisher;

use crate::channels::campaign_events::CampaignEvents;
use crate::channels::email::Email;
use crate::channels::slack::Slack;
use crate::config::Config;

/// Name of the channel of `campaign-events` in deliveries; their route is the topic.
pub(super) const TOPIC: &str = "topic";

/// Every channel that is configured.
pub struct Routes {
    pub slack: Option<Slack>,
    pub email: Option<Email>,
    pub campaign_events: Option<CampaignEvents>,
    slack_names: Vec<String>,
    email_names: Vec<String>,
    /// Pace of a Slack channel, and how many messages one digest may hold.
    pub slack_gap: Duration,
    pub slack_digest_max: usize,
}

/// Whether a message can go where its rule sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Open,
    /// The whole channel is not configured.
    Off,
    /// The channel is, but it has no such route.
    NoRoute,
}

impl Routes {
    /// # Errors
    /// An address cannot be used; the sentence names its key.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let deadline = Duration::from_millis(config.notify.deadline_ms.into());
        let hooks: BTreeMap<_, _> = config
            .slack
            .routes
            .iter()
            .map(|(name, route)| (name.clone(), route.url.clone()))
            .collect();
        let slack_names: Vec<_> = hooks.keys().cloned().collect();
        let slack = (!hooks.is_empty()).then(|| Slack::new(hooks, deadline));
        let (email, email_names) = email(config, deadline)?;
        Ok(Self {
            slack: slack.transpose().context("slack.routes")?,
            email,
            campaign_events: campaign_events(config, deadline)?,
            slack_names,
            email_names,
            slack_gap: Duration::from_millis(config.slack.gap_ms.into()),
            slack_digest_max: config.slack.digest_max as usize,
        })
    }

    #[must_use]
    pub fn reach(&self, channel: Channel, route: &str) -> Reach {
        let (is_on, names) = match channel {
            Channel::Slack => (self.slack.is_some(), &self.slack_names),
            Channel::Email => (self.email.is_some(), &self.email_names),
        };
        match names.iter().any(|name| name == route) {
            _ if !is_on => Reach::Off,
            true => Reach::Open,
            false => Reach::NoRoute,
        }
    }

    /// Where the host itself sends what its rule could not word: `default` of every channel, else its first route.
    #[must_use]
    pub fn own(&self) -> Vec<(Channel, &str)> {
        let slack = first_choice(&self.slack_names).map(|route| (Channel::Slack, route));
        let email = first_choice(&self.email_names).map(|route| (Channel::Email, route));
        let routes: Vec<_> = slack.into_iter().chain(email).collect();
        if routes.is_empty() { vec![(Channel::Slack, "default")] } else { routes }
    }
}

fn first_choice(names: &[String]) -> Option<&str> {
    let default = names.iter().find(|name| *name == "default");
    default.or(names.first()).map(String::as_str)
}

fn email(config: &Config, deadline: Duration) -> anyhow::Result<(Option<Email>, Vec<String>)> {
    let email = &config.email;
    if email.url.is_empty() || email.routes.is_empty() {
        return Ok((None, Vec::new()));
    }
    let authority = match email.ca_file.as_str() {
        "" => None,
        file => Some(
            std::fs::read_to_string(Path::new(file))
                .with_context(|| format!("email.ca_file: the file {file:?} cannot be read"))?,
        ),
    };
    let routes = email.routes.iter().map(|(name, route)| (name.clone(), route.to.clone()));
    let made =
        Email::new(&email.url, &email.from, authority.as_deref(), routes.collect(), deadline);
    Ok((Some(made.context("email")?), email.routes.keys().cloned().collect()))
}

fn campaign_events(config: &Config, deadline: Duration) -> anyhow::Result<Option<CampaignEvents>> {
    let (kafka, topic) = (&config.kafka, &config.campaign_events.topic);
    if topic.is_empty() {
        return Ok(None);
    }
    let publisher = Publisher::start(&kafka.brokers, &kafka.client_id, &kafka.properties, deadline)
        .context("the producer of campaign_events.topic cannot start")?;
    Ok(Some(CampaignEvents { publisher, topic: topic.clone() }))
}
