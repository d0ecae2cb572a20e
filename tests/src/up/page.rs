//! The page on which the messages can be seen that a host has sent to the stand-ins.

use std::sync::Arc;

use anyhow::Result;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use crate::servers::http::{Dropped, Http};
use crate::servers::mail::Mailbox;
use crate::servers::slack::Slack;

const PAGE: &str = include_str!("page.html");
/// Messages of a kind that are shown, the newest ones.
const SHOWN_MAX: usize = 200;

/// Serves the page and what it asks for.
///
/// # Errors
/// There is no free port.
pub(crate) fn serve(slack: Slack, mailbox: Mailbox) -> Result<Http> {
    let sources = Arc::new((slack, mailbox));
    Http::serve(move |request| {
        let sources = Arc::clone(&sources);
        async move {
            let answer = |kind: &str, text: String| {
                Response::builder().header(CONTENT_TYPE, kind).body(text).map_err(|_| Dropped)
            };
            match request.uri().path() {
                "/" => answer("text/html; charset=utf-8", PAGE.to_owned()),
                "/messages.json" => answer("application/json", messages(&sources.0, &sources.1)?),
                _ => Response::builder().status(404).body(String::new()).map_err(|_| Dropped),
            }
        }
    })
}

/// Newest first.
fn messages(slack: &Slack, mailbox: &Mailbox) -> Result<String, Dropped> {
    let (taken, letters) = (slack.taken(), mailbox.letters().map_err(|_| Dropped)?);
    let found = json!({
        "slack_count": taken.len(),
        "mail_count": letters.len(),
        "slack": taken.iter().rev().take(SHOWN_MAX).collect::<Vec<_>>(),
        "mail": letters.iter().rev().take(SHOWN_MAX).collect::<Vec<_>>(),
    });
    Ok(found.to_string())
}
