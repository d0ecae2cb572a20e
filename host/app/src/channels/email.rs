//! E-mail by SMTP.

mod server;
mod session;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use sha2::{Digest as _, Sha256};

use self::server::Server;
use self::session::{Session, Trouble};
use super::{Attempt, Outgoing, one_line, rfc3339};

/// Sends mails, over one connection that is kept between mails.
#[derive(Debug)]
pub struct Email {
    server: Server,
    from: Mailbox,
    routes: BTreeMap<String, Vec<Mailbox>>,
    deadline: Duration,
    idle: Mutex<Option<Session>>,
}

impl Email {
    /// `url` is `smtp://user:password@host:587?tls=required` (STARTTLS), `smtps://user:password@host:465` (TLS), or
    /// `smtp://host:25` for a server that wants neither TLS nor a login. Letters that mean something in a URL are
    /// written as `%40`. `ca_pem` holds certificates to trust besides the system's. An attempt takes `deadline` at
    /// most.
    ///
    /// # Errors
    /// Names the route or the setting that is wrong; never holds the password.
    pub fn new(
        url: &str,
        from: &str,
        ca_pem: Option<&str>,
        routes: BTreeMap<String, Vec<String>>,
        deadline: Duration,
    ) -> anyhow::Result<Self> {
        let server = Server::new(url, ca_pem)?;
        let from = address(from).context("email.from")?;
        let route = |(name, addresses): (String, Vec<String>)| {
            anyhow::ensure!(!addresses.is_empty(), "email.routes.{name} has nobody to write to");
            let mailboxes = addresses.iter().map(|text| address(text)).collect::<Result<_, _>>();
            let mailboxes = mailboxes.with_context(|| format!("email.routes.{name}"))?;
            Ok((name, mailboxes))
        };
        let routes = routes.into_iter().map(route).collect::<Result<_, _>>()?;
        Ok(Self { server, from, routes, deadline, idle: Mutex::new(None) })
    }

    /// Sends one mail to everybody of the route.
    pub async fn send(&self, route: &str, message: &Outgoing<'_>) -> Attempt {
        let Some(to) = self.routes.get(route) else {
            return Attempt::failed(format!("e-mail has no route {route:?}; configure it"));
        };
        let mail = match compose(&self.from, to, message) {
            Ok(mail) => mail,
            Err(error) => return Attempt::refused(format!("the mail cannot be composed: {error}")),
        };
        // Whatever is cut off by the deadline takes its connection with it, so that no answer is taken for another's.
        match tokio::time::timeout(self.deadline, self.deliver(route, &mail)).await {
            Ok(Ok(())) => Attempt::Sent,
            Ok(Err(Trouble::Passing(error))) => Attempt::Failed { error },
            Ok(Err(Trouble::Lasting(error))) => Attempt::Refused { error },
            Err(_) => Attempt::failed(format!(
                "the mail server did not answer within {} ms; see whether it hangs",
                self.deadline.as_millis()
            )),
        }
    }

    async fn deliver(&self, route: &str, mail: &Message) -> Result<(), Trouble> {
        let mut session = match self.kept().await {
            Some(session) => session,
            None => Session::open(&self.server).await?,
        };
        let left_out = session.deliver(mail.envelope(), &mail.formatted()).await?;
        *self.idle() = Some(session);
        for answer in left_out {
            tracing::warn!(route, "the mail server refused one recipient of several: {answer}");
        }
        Ok(())
    }

    /// The kept connection, if it still can be used.
    async fn kept(&self) -> Option<Session> {
        let mut session = self.idle().take()?;
        session.is_alive().await.then_some(session)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads `name@host`, or `Somebody <name@host>`.
fn address(text: &str) -> anyhow::Result<Mailbox> {
    let mailbox: Mailbox = text
        .parse()
        .map_err(|error| anyhow::anyhow!("{text:?} is not an e-mail address ({error})"))?;
    let is_ascii = mailbox.email.user().is_ascii() && mailbox.email.domain().is_ascii();
    anyhow::ensure!(is_ascii, "{text:?} is not ASCII; write its domain as xn--");
    Ok(mailbox)
}

fn compose(from: &Mailbox, to: &[Mailbox], message: &Outgoing<'_>) -> anyhow::Result<Message> {
    let mut builder = Message::builder()
        .from(from.clone())
        .date_now()
        .subject(one_line(message.title))
        .message_id(Some(message_id(message.key, from.email.domain())))
        .raw_header(header("X-Tollgate-Key", &one_line(message.key)))
        .raw_header(header("X-Tollgate-Occurred-At", &rfc3339(message.occurred_at_us)))
        // Asks those on holiday not to answer.
        .raw_header(header("Auto-Submitted", "auto-generated"));
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    if message.severity == "critical" {
        builder =
            builder.raw_header(header("X-Priority", "1")).raw_header(header("Importance", "high"));
    }
    Ok(builder.singlepart(SinglePart::plain(message.body.to_owned()))?)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Stable, so that a mail that arrives twice can be seen to be one.
fn message_id(key: &str, domain: &str) -> String {
    let mut id = String::with_capacity(34 + domain.len());
    for byte in &Sha256::digest(key.as_bytes())[..16] {
        // Writing to a string cannot fail.
        let _written = write!(id, "{byte:02x}");
    }
    format!("<{id}@{domain}>")
}

#[cfg(test)]
mod tests;
