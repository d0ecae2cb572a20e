//! A stand-in for Slack's incoming webhooks, as they are documented: one message a second for a hook, limits of what a
//! message may hold, and the ways in which Slack fails. It keeps every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::http::{Dropped, Http};
use crate::harness::now_us;

/// Shortest time between two messages of a hook: Slack's second, less what clocks and networks add to it.
const PACE: Duration = Duration::from_millis(950);

/// What Slack takes in one message.
const BLOCKS_MAX: usize = 50;
const SECTION_CHARS_MAX: usize = 3_000;
const HEADER_CHARS_MAX: usize = 150;
const ELEMENTS_MAX: usize = 10;

/// How a hook behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Takes one message a second.
    #[default]
    Taking,
    /// 429 with `Retry-After` in seconds, whatever the pace is.
    Busy(u32),
    /// 500.
    Failing,
    /// Reads the request and never answers; the connection ends when the mode does.
    Hanging,
    /// Takes the message and closes the connection instead of answering.
    Dropping,
    /// 404 `no_service`, as for a hook that was deleted.
    Gone,
}

/// A request, and what was answered.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    pub hook: String,
    /// When the whole request was there, in microseconds since 1970.
    pub at_us: i64,
    /// The message; null when the request was not JSON.
    pub message: Value,
    /// HTTP code of the answer; `None` when there was none.
    pub code: Option<u16>,
    /// Whether a channel would now show the message.
    pub taken: bool,
}

/// Hooks at `/hooks/NAME`, for any name.
#[derive(Debug)]
pub struct Slack {
    http: Http,
    hooks: Arc<Hooks>,
}

#[derive(Debug)]
struct Hooks {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
    /// Messages that a hook takes at once after a quiet time.
    burst: u32,
    /// Shortest time between two messages of a hook that go on and on.
    pace: Duration,
}

#[derive(Debug, Default)]
struct Known {
    modes: HashMap<String, Mode>,
    /// Instants from which the next message is within the pace.
    free_at: HashMap<String, Instant>,
    asked: Vec<Asked>,
    hurried: usize,
}

/// What a hook says, and whether it keeps the message.
struct Verdict {
    code: Option<u16>,
    text: &'static str,
    retry_after_s: Option<u32>,
    taken: bool,
}

impl Slack {
    /// Hooks that take one message a second, and not one more.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start() -> Result<Self> {
        Self::with_pace(1, PACE)
    }

    /// Hooks that take a message each `pace`, and up to `burst` at once after a quiet time, as Slack's do.
    ///
    /// # Errors
    /// There is no free port.
    pub fn with_pace(burst: u32, pace: Duration) -> Result<Self> {
        let hooks = Arc::new(Hooks {
            known: Mutex::default(),
            changed: watch::Sender::new(()),
            burst: burst.max(1),
            pace,
        });
        let serving = Arc::clone(&hooks);
        let http = Http::serve(move |request| {
            let hooks = Arc::clone(&serving);
            async move { hooks.answer(request).await }
        })?;
        Ok(Self { http, hooks })
    }

    /// Address of a hook.
    #[must_use]
    pub fn url(&self, hook: &str) -> String {
        self.http.url(&format!("/hooks/{hook}"))
    }

    /// Changes how a hook behaves; requests that hang there end.
    pub fn set(&self, hook: &str, mode: Mode) {
        self.hooks.lock().modes.insert(hook.to_owned(), mode);
        self.hooks.changed.send_replace(());
    }

    /// Every request so far, in the order in which they came.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.hooks.lock().asked.clone()
    }

    /// Requests whose messages were taken.
    #[must_use]
    pub fn taken(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.taken).collect()
    }

    /// Messages that came faster than a hook takes them.
    #[must_use]
    pub fn hurried(&self) -> usize {
        self.hooks.lock().hurried
    }
}

impl Asked {
    /// Stable keys of the messages in the request: `key: KEY` in elements of context blocks.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let elements = blocks(&self.message)
            .iter()
            .filter(|block| block["type"] == "context")
            .flat_map(|block| block["elements"].as_array().into_iter().flatten());
        let keys = elements.filter_map(|element| element["text"].as_str()?.strip_prefix("key: "));
        keys.map(|key| unescaped(key.trim_matches('`'))).collect()
    }
}

impl Hooks {
    async fn answer(&self, request: Request<Bytes>) -> Result<Response<String>, Dropped> {
        let at_us = now_us();
        let message = serde_json::from_slice(request.body()).unwrap_or_default();
        let hook = request.uri().path().strip_prefix("/hooks/").unwrap_or_default().to_owned();
        let fault = fault(&request, &message);
        let mode = self.mode(&hook);
        let Verdict { code, text, retry_after_s, taken } = self.judge(&hook, mode, fault);
        self.lock().asked.push(Asked { hook: hook.clone(), at_us, message, code, taken });
        if mode == Mode::Hanging {
            self.until_released(&hook).await;
        }
        let mut response = Response::builder().status(code.ok_or(Dropped)?);
        if let Some(seconds) = retry_after_s {
            response = response.header(RETRY_AFTER, seconds);
        }
        response.body(text.to_owned()).map_err(|_| Dropped)
    }

    fn judge(&self, hook: &str, mode: Mode, fault: Option<&'static str>) -> Verdict {
        let says = |code, text| Verdict { code, text, retry_after_s: None, taken: false };
        let busy =
            |seconds| Verdict { retry_after_s: Some(seconds), ..says(Some(429), "rate_limited") };
        match (mode, fault) {
            (Mode::Gone, _) => says(Some(404), "no_service"),
            _ if hook.is_empty() => says(Some(404), "no_service"),
            (Mode::Failing, _) => says(Some(500), "internal_error"),
            (Mode::Hanging, _) => says(None, ""),
            (Mode::Busy(seconds), _) => busy(seconds),
            (Mode::Taking | Mode::Dropping, Some(fault)) => says(Some(400), fault),
            (Mode::Taking | Mode::Dropping, None) if !self.within_pace(hook) => busy(1),
            (Mode::Taking, None) => Verdict { taken: true, ..says(Some(200), "ok") },
            (Mode::Dropping, None) => Verdict { taken: true, ..says(None, "") },
        }
    }

    fn within_pace(&self, hook: &str) -> bool {
        let (now, mut known) = (Instant::now(), self.lock());
        let free_at = known.free_at.get(hook).copied().unwrap_or(now).max(now);
        let within = free_at - now <= self.pace * (self.burst - 1);
        if within {
            known.free_at.insert(hook.to_owned(), free_at + self.pace);
        } else {
            known.hurried += 1;
        }
        within
    }

    async fn until_released(&self, hook: &str) {
        let mut changes = self.changed.subscribe();
        while self.mode(hook) == Mode::Hanging && changes.changed().await.is_ok() {}
    }

    fn mode(&self, hook: &str) -> Mode {
        self.lock().modes.get(hook).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slack's word for what is wrong with a message, if anything is.
fn fault(request: &Request<Bytes>, message: &Value) -> Option<&'static str> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    if request.method() != Method::POST || !is_json || !message.is_object() {
        return Some("invalid_payload");
    }
    if message["text"].as_str().is_none_or(str::is_empty) {
        return Some("no_text");
    }
    let blocks = blocks(message);
    let sound = blocks.len() <= BLOCKS_MAX && blocks.iter().all(is_sound);
    (!sound).then_some("invalid_blocks")
}

fn is_sound(block: &Value) -> bool {
    let text_fits = |most: usize| {
        block["text"]["text"]
            .as_str()
            .is_some_and(|text| (1..=most).contains(&text.chars().count()))
    };
    match block["type"].as_str() {
        Some("section") => text_fits(SECTION_CHARS_MAX),
        Some("header") => text_fits(HEADER_CHARS_MAX),
        Some("context") => block["elements"].as_array().is_some_and(|elements| {
            (1..=ELEMENTS_MAX).contains(&elements.len())
                && elements.iter().all(|element| element["text"].is_string())
        }),
        Some("divider") => true,
        _ => false,
    }
}

fn blocks(message: &Value) -> &[Value] {
    message["blocks"].as_array().map_or(&[], Vec::as_slice)
}

/// Slack wants these three letters escaped.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
