//! A connection to the mail server. Commands are given one by one, because who refuses what decides whether the
//! mail, or the server, is to blame.

use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt};

use super::server::{Security, Server};
use crate::channels::excerpt;

/// Servers end connections that are idle for minutes.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Why a mail was not taken.
pub(super) enum Trouble {
    /// It may be taken later: the server is away, or an operator has to mend something.
    Passing(String),
    /// This mail will never be taken.
    Lasting(String),
}

/// A connection that is ready for a mail. One that is dropped is closed.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    used: Instant,
}

impl Session {
    /// Connects and logs in. Whatever goes wrong is no mail's fault.
    pub(super) async fn open(server: &Server) -> Result<Self, Trouble> {
        let unreachable = |error: Error| {
            Trouble::Passing(format!(
                "the mail server cannot be used: {}",
                excerpt(&error.to_string())
            ))
        };
        let address = (server.host.as_str(), server.port);
        let wrapper = match &server.security {
            Security::Tls(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, None, &server.hello, wrapper, None)
                .await
                .map_err(unreachable)?;
        if let Some(parameters) = start_tls(&server.security, &connection) {
            connection.starttls(parameters, &server.hello).await.map_err(unreachable)?;
        }
        if let Some(login) = &server.login {
            // The answer is left out, because it may repeat what was sent.
            connection.auth(DEFAULT_MECHANISMS, login).await.map_err(|error| {
                let code = error.status().map_or_else(|| "no code".to_owned(), |code| code.to_string());
                Trouble::Passing(format!(
                    "the mail server did not accept the login ({code}); check user and password in email.url"
                ))
            })?;
        }
        Ok(Self { connection, used: Instant::now() })
    }

    /// Whether the server still listens.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.used.elapsed() < IDLE_MAX && self.connection.command(Noop).await.is_ok()
    }

    /// Hands a mail over. Recipients that the server refuses for good are left out as long as others remain; gives
    /// back what it said about them.
    pub(super) async fn deliver(
        &mut self,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Vec<String>, Trouble> {
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        // The sender is configured, so it can be mended.
        self.connection.command(sender).await.map_err(|error| {
            Trouble::Passing(format!(
                "the mail server refused the sender: {}",
                excerpt(&error.to_string())
            ))
        })?;
        let mut left_out = Vec::new();
        for recipient in envelope.to() {
            let answer = self.connection.command(Rcpt::new(recipient.clone(), Vec::new())).await;
            match answer.map_err(|error| judge(&error, "a recipient")) {
                Ok(_) => {}
                Err(Trouble::Lasting(answer)) => left_out.push(answer),
                Err(passing) => return Err(passing),
            }
        }
        if left_out.len() == envelope.to().len() {
            return Err(Trouble::Lasting(left_out.swap_remove(0)));
        }
        let refused = |error: Error| judge(&error, "the mail");
        self.connection.command(Data).await.map_err(refused)?;
        self.connection.message(mail).await.map_err(refused)?;
        self.used = Instant::now();
        Ok(left_out)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("used", &self.used).finish_non_exhaustive()
    }
}

fn start_tls(security: &Security, connection: &AsyncSmtpConnection) -> Option<TlsParameters> {
    match security {
        Security::StartTls(parameters) => Some(parameters.clone()),
        Security::IfOffered(parameters) if connection.can_starttls() => Some(parameters.clone()),
        _ => None,
    }
}

/// Only a permanent refusal that is about a recipient or the mail is lasting. The codes that are left out speak of
/// the dialogue, the server as a whole, TLS and the login.
fn judge(error: &Error, what: &str) -> Trouble {
    let code = error.status().map(u16::from).unwrap_or_default();
    let text = format!("the mail server refused {what}: {}", excerpt(&error.to_string()));
    match code {
        550..=559 => Trouble::Lasting(text),
        _ => Trouble::Passing(text),
    }
}
