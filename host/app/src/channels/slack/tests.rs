use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response as Answer};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "/services/T0/B0/hunter2";
const DEADLINE: Duration = Duration::from_secs(20);

fn message<'a>(key: &'a str, title: &'a str, body: &'a str) -> Outgoing<'a> {
    Outgoing { key, severity: "warning", title, body, occurred_at_us: 1_768_473_000_000_000 }
}

fn slack(address: &str, deadline: Duration) -> Slack {
    // The process has one from its start.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{address}{SECRET}");
    Slack::new(BTreeMap::from([("default".to_owned(), url)]), deadline).unwrap()
}

/// What a webhook does.
#[derive(Clone, Copy)]
struct Script {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

#[derive(Clone)]
struct Hook {
    script: Script,
    /// Whether it was asked at its path, and the bodies it got.
    posted: Arc<Mutex<Vec<Value>>>,
}

async fn answer(State(hook): State<Hook>, headers: HeaderMap, body: String) -> Answer {
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    hook.posted.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    let status = StatusCode::from_u16(hook.script.status).unwrap();
    let mut answer = (status, hook.script.body).into_response();
    for (name, value) in hook.script.headers {
        answer.headers_mut().insert(*name, value.parse().unwrap());
    }
    answer
}

async fn serve(script: Script) -> (SocketAddr, Hook) {
    let hook = Hook { script, posted: Arc::default() };
    let router = Router::new().fallback(answer).with_state(hook.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, hook)
}

/// The kind of the attempt, its wait in seconds, and its error.
fn seen(attempt: &Attempt) -> (&'static str, u64, &str) {
    match attempt {
        Attempt::Sent => ("sent", 0, ""),
        Attempt::Busy { wait, error } => ("busy", wait.as_secs(), error),
        Attempt::Failed { error } => ("failed", 0, error),
        Attempt::Refused { error } => ("refused", 0, error),
    }
}

async fn check(script: Script, kind: &str, wait_s: u64, error: &str) {
    let (address, hook) = serve(script).await;
    let slack = slack(&address.to_string(), DEADLINE);
    let attempt = slack.send("default", &[message("k1", "title", "body")]).await;
    let (found, found_wait_s, found_error) = seen(&attempt);
    assert_eq!((found, found_wait_s), (kind, wait_s), "{attempt:?}");
    assert!(found_error.contains(error), "{attempt:?}");
    assert!(!found_error.contains("hunter2") && found_error.len() < 300, "{attempt:?}");
    assert_eq!(hook.posted.lock().unwrap().len(), 1, "asked once, and no redirect is followed");
}

#[tokio::test]
async fn the_answer_decides_what_becomes_of_a_message() {
    let script = |status, body| Script { status, headers: &[], body };
    let busy = |headers| Script { status: 429, headers, body: "rate_limited" };
    check(script(200, "ok"), "sent", 0, "").await;
    check(script(204, ""), "sent", 0, "").await;
    check(busy(&[("retry-after", "7")]), "busy", 7, "429").await;
    check(busy(&[("retry-after", "86400")]), "busy", 600, "429").await;
    check(busy(&[("retry-after", "0")]), "busy", 1, "429").await;
    check(busy(&[("retry-after", "soon")]), "busy", 1, "429").await;
    check(busy(&[]), "busy", 1, "rate_limited").await;
    check(script(500, "rollback_error"), "failed", 0, "500: rollback_error").await;
    check(script(503, ""), "failed", 0, "503").await;
    check(script(408, ""), "failed", 0, "408").await;
    check(script(400, "invalid_payload"), "refused", 0, "400: invalid_payload").await;
    check(script(403, "action_prohibited"), "refused", 0, "403").await;
    check(script(404, "no_service"), "refused", 0, "404: no_service").await;
    check(script(410, "channel_is_archived"), "refused", 0, "410").await;
    check(script(404, "no such path: /services/T0/B0/hunter2"), "refused", 0, "/***").await;
    let moved = Script { status: 302, headers: &[("location", "/elsewhere")], body: "" };
    check(moved, "failed", 0, "302").await;
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "가\n".repeat(5_000));
    check(script(400, &LONG), "refused", 0, "400: 가 가").await;
}

/// A server that takes connections and does with them as it likes.
async fn failure(deadline: Duration, answers: bool) -> Attempt {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slack = slack(&listener.local_addr().unwrap().to_string(), deadline);
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Either closed at once, or held open in silence.
            held.extend((!answers).then_some(stream));
        }
    });
    let attempt = slack.send("default", &[message("k1", "title", "body")]).await;
    server.abort();
    attempt
}

#[tokio::test]
async fn a_webhook_that_fails_may_do_better_later_and_its_url_stays_secret() {
    let closed = slack("127.0.0.1:1", DEADLINE).send("default", &[message("k", "t", "b")]).await;
    let unknown = slack("127.0.0.1:1", DEADLINE).send("other", &[message("k", "t", "b")]).await;
    let many = vec![message("k", "t", "b"); Slack::DIGEST_MAX + 1];
    let many = slack("127.0.0.1:1", DEADLINE).send("default", &many).await;
    let hangs = failure(Duration::from_millis(200), false).await;
    let drops = failure(DEADLINE, true).await;
    for (attempt, part) in [
        (closed, "refused"),
        (unknown, "no route \"other\""),
        (many, "digest_max"),
        (hangs, "timed out"),
        (drops, "reached"),
    ] {
        let (kind, _, error) = seen(&attempt);
        assert!(kind == "failed" && error.contains(part), "{part}: {attempt:?}");
        assert!(!error.contains("hunter2") && !error.contains("://"), "{attempt:?}");
    }
}

#[test]
fn a_url_that_is_none_is_told_without_repeating_it() {
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    for url in ["", "hunter2", "ftp://hooks.slack.com/hunter2", "https://[hunter2"] {
        let routes = BTreeMap::from([("ops".to_owned(), url.to_owned())]);
        let error = format!("{:#}", Slack::new(routes, DEADLINE).unwrap_err());
        assert!(error.contains("slack.routes.ops") && !error.contains("hunter2"), "{error}");
    }
    let shown = format!("{:?}", slack("127.0.0.1:1", DEADLINE));
    assert!(shown.contains("127.0.0.1") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slack = slack(&listener.local_addr().unwrap().to_string(), DEADLINE);
    let connections = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&connections);
    let listener =
        axum::serve::ListenerExt::tap_io(listener, move |_| *counted.lock().unwrap() += 1);
    tokio::spawn(
        async move { axum::serve(listener, Router::new().fallback(|| async { "ok" })).await },
    );
    for _ in 0..3 {
        assert_eq!(slack.send("default", &[message("k1", "t", "b")]).await, Attempt::Sent);
    }
    assert_eq!(*connections.lock().unwrap(), 1);
}

/// Texts of all blocks, in order.
fn texts(payload: &Value) -> Vec<String> {
    let text = |value: &Value| value["text"].as_str().unwrap().to_owned();
    let blocks = payload["blocks"].as_array().unwrap().iter();
    let texts = blocks.flat_map(|block| match block["elements"].as_array() {
        Some(elements) => elements.iter().map(text).collect(),
        None => vec![text(&block["text"])],
    });
    texts.collect()
}

#[test]
fn one_message_is_shown_as_itself() {
    let payload = payload(&[message("pause:c1", "예산\n<!channel> & more", "Spent 1 > 0")]);
    assert_eq!(payload["text"], "🟡 예산 &lt;!channel&gt; &amp; more");
    assert_eq!(
        texts(&payload),
        [
            "🟡 *예산 &lt;!channel&gt; &amp; more*",
            "Spent 1 &gt; 0",
            "key: pause:c1",
            "<!date^1768473000^{date_num} {time_secs}|2026-01-15T10:30:00Z>",
        ]
    );
}

#[test]
fn several_messages_are_a_digest_within_the_limits() {
    let keys: Vec<_> = (0..Slack::DIGEST_MAX).map(|number| format!("warning:c{number}")).collect();
    let long = "<".repeat(20_000);
    let messages: Vec<_> = keys.iter().map(|key| message(key, &long, &long)).collect();
    let payload = payload(&messages);
    let blocks = payload["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert!(payload["text"].as_str().unwrap().starts_with("24 messages: &lt;"));
    let texts = texts(&payload);
    assert_eq!(texts[0], "*24 messages*");
    assert!(texts.iter().all(|text| text.chars().count() <= SECTION_CHARS_MAX));
    for key in &keys {
        assert_eq!(texts.iter().filter(|text| **text == format!("key: {key}")).count(), 1);
    }
    assert!(texts[1].ends_with("&lt;…"), "{}", texts[1]);
}

#[test]
fn texts_are_cut_visibly_and_entities_stay_whole() {
    let check = |text: &str, chars_max: usize, expected: &str| {
        assert_eq!(escaped(text, chars_max), expected, "{text:?} {chars_max}");
    };
    check("abc", 3, "abc");
    check("abcd", 3, "ab…");
    check("가나다라", 3, "가나…");
    check("a&b", 7, "a&amp;b");
    check("a&b", 6, "a&amp;b".get(..1).map(|start| format!("{start}…")).unwrap().as_str());
    check("<<", 8, "&lt;&lt;");
    check("<<", 7, "&lt;…");
    check("<<<", 8, "&lt;…");
    check("", 3, "");
    check("  a  ", 3, "a");
}
