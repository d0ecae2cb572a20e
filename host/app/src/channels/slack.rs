//! Slack's incoming webhooks.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::{Attempt, Outgoing, excerpt, one_line, rfc3339};

/// Slack's limits, in characters.
const SECTION_CHARS_MAX: usize = 3_000;
const CONTEXT_CHARS_MAX: usize = 2_000;
/// Slack allows a header 150; titles get as many.
const TITLE_CHARS_MAX: usize = 150;
/// A digest as a whole has to stay readable.
const DIGEST_BODY_CHARS_MAX: usize = 1_000;
const FALLBACK_CHARS_MAX: usize = 300;

/// Bounds of the patience that a receiver may ask for.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(600);

/// Posts messages to webhooks. It goes straight to the webhook's host: no proxy, no redirect.
#[derive(Debug)]
pub struct Slack {
    client: Client,
    routes: BTreeMap<String, Webhook>,
}

impl Slack {
    /// Messages of one digest at most: two of Slack's 50 blocks each, and one that says how many there are.
    pub const DIGEST_MAX: usize = 24;

    /// Routes are names and the URLs of webhooks; an attempt takes `deadline` at most.
    ///
    /// # Errors
    /// Names the route whose URL cannot be one. TLS cannot be set up, for lack of root certificates perhaps.
    pub fn new(routes: BTreeMap<String, String>, deadline: Duration) -> anyhow::Result<Self> {
        let webhook = |(name, url): (String, String)| {
            let webhook = Webhook::new(&url)
                .with_context(|| format!("slack.routes.{name} is not the URL of a webhook"))?;
            anyhow::Ok((name, webhook))
        };
        let client = Client::builder()
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .timeout(deadline)
            .connect_timeout(deadline)
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| {
                anyhow::anyhow!("Slack's client cannot be set up: {}", causes(error))
            })?;
        Ok(Self { client, routes: routes.into_iter().map(webhook).collect::<Result<_, _>>()? })
    }

    /// Posts messages as one: a single message as itself, several as a digest of [`Self::DIGEST_MAX`] at most.
    pub async fn send(&self, route: &str, messages: &[Outgoing<'_>]) -> Attempt {
        let Some(webhook) = self.routes.get(route) else {
            return Attempt::failed(format!("Slack has no route {route:?}; configure it"));
        };
        if messages.len() > Self::DIGEST_MAX {
            let (count, max) = (messages.len(), Self::DIGEST_MAX);
            return Attempt::failed(format!(
                "{count} messages are too many, {max} fit; lower slack.digest_max"
            ));
        }
        let request = self
            .client
            .post(webhook.0.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(payload(messages).to_string());
        match request.send().await {
            Ok(response) => webhook.judge(response).await,
            Err(error) => Attempt::failed(
                webhook.redacted(&format!("Slack cannot be reached: {}", causes(error))),
            ),
        }
    }
}

/// Where to post. Everything but its host is a secret.
struct Webhook(Url);

impl Webhook {
    /// The parser's errors do not repeat the URL.
    fn new(url: &str) -> anyhow::Result<Self> {
        let url = Url::parse(url)?;
        anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "it has to begin with https://");
        anyhow::ensure!(url.has_host(), "it has no host");
        Ok(Self(url))
    }

    async fn judge(&self, mut response: Response) -> Attempt {
        let status = response.status();
        let wait = patience(&response);
        let answer = self.redacted(&answer(&mut response).await);
        let error = format!("Slack answered {}: {answer}", status.as_u16());
        match status {
            _ if status.is_success() => Attempt::Sent,
            StatusCode::TOO_MANY_REQUESTS => Attempt::Busy { wait, error },
            StatusCode::REQUEST_TIMEOUT => Attempt::Failed { error },
            _ if status.is_client_error() => Attempt::Refused { error },
            _ => Attempt::Failed { error },
        }
    }

    /// A server that repeats its path does not bring the secret into an error.
    fn redacted(&self, text: &str) -> String {
        let path = self.0.path();
        if path.len() > 1 { text.replace(path, "/***") } else { text.to_owned() }
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Webhook").field(&self.0.host_str()).finish()
    }
}

/// The seconds of `Retry-After`, within bounds.
fn patience(response: &Response) -> Duration {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.trim().parse().ok());
    seconds.map_or(PATIENCE_MIN, Duration::from_secs).clamp(PATIENCE_MIN, PATIENCE_MAX)
}

/// The beginning of the answer. A short one is read to its end, so that the connection can be used again.
async fn answer(response: &mut Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 4_096 {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            _ => break,
        }
    }
    excerpt(&String::from_utf8_lossy(&bytes))
}

/// The error and what caused it, without the URL.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text)
}

fn payload(messages: &[Outgoing<'_>]) -> Value {
    let count = messages.len();
    let is_digest = count > 1;
    let mut blocks = Vec::new();
    if is_digest {
        blocks.push(section(&format!("*{count} messages*")));
    }
    for message in messages {
        let body_max = if is_digest { DIGEST_BODY_CHARS_MAX } else { SECTION_CHARS_MAX };
        let body = section(&escaped(message.body, body_max));
        let title = format!("{} *{}*", mark(message.severity), title(message));
        if is_digest {
            blocks.push(section(&format!("{title}\n{}", escaped(message.body, body_max))));
        } else {
            blocks.push(section(&title));
            if !message.body.trim().is_empty() {
                blocks.push(body);
            }
        }
        blocks.push(context(message));
    }
    json!({ "text": fallback(messages), "blocks": blocks })
}

/// What notifications on a phone show.
fn fallback(messages: &[Outgoing<'_>]) -> String {
    match messages {
        [message] => format!("{} {}", mark(message.severity), title(message)),
        _ => {
            let titles: Vec<_> = messages.iter().map(|message| one_line(message.title)).collect();
            let text = format!("{} messages: {}", messages.len(), titles.join("; "));
            escaped(&text, FALLBACK_CHARS_MAX)
        }
    }
}

fn title(message: &Outgoing<'_>) -> String {
    escaped(&one_line(message.title), TITLE_CHARS_MAX)
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// The stable key as it is, and the time in the zone of whoever reads it.
fn context(message: &Outgoing<'_>) -> Value {
    let key = format!("key: {}", escaped(message.key, CONTEXT_CHARS_MAX - "key: ".len()));
    let second = message.occurred_at_us.div_euclid(1_000_000);
    let utc = rfc3339(message.occurred_at_us);
    let time = format!("<!date^{second}^{{date_num}} {{time_secs}}|{utc}>");
    json!({ "type": "context", "elements": [
        { "type": "plain_text", "text": key, "emoji": false },
        { "type": "mrkdwn", "text": time },
    ] })
}

fn mark(severity: &str) -> &'static str {
    match severity {
        "critical" => "🔴",
        "warning" => "🟡",
        _ => "🔵",
    }
}

/// The text as Slack wants it, in `chars_max` characters at most; what is cut off leaves an ellipsis.
fn escaped(text: &str, chars_max: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = 0;
    // Where to cut so that the ellipsis fits, without tearing an entity apart.
    let mut cut = 0;
    for letter in text.trim().chars() {
        let entity = match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        let added = entity.len().max(1);
        if chars + added > chars_max {
            escaped.truncate(cut);
            escaped.push('…');
            return escaped;
        }
        if entity.is_empty() {
            escaped.push(letter)
        } else {
            escaped.push_str(entity)
        }
        chars += added;
        if chars < chars_max {
            cut = escaped.len();
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
