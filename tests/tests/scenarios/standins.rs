//! The stand-in for Slack and the mail server behave as those that they stand for.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::mail::{self, Mail, Refusal};
use tollgate_tests::servers::process::Launch;
use tollgate_tests::servers::slack::{Mode, Slack};
use tollgate_tests::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(30);

/// Sends a request, and gives the stream on which the answer will come.
fn ask(url: &str, kind: &str, body: &str) -> TcpStream {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// The whole answer; empty when there was none.
fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.to_lowercase()
}

fn post(url: &str, message: &Value) -> String {
    answer(ask(url, "application/json", &message.to_string()))
}

fn message(key: &str) -> Value {
    json!({"text": "paused", "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": "*paused*"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": format!("key: {key}")}]},
    ]})
}

#[test]
fn slack_takes_one_message_a_second_from_each_hook() {
    let slack = Slack::with_pace(1, Duration::from_secs(3_600)).unwrap();
    let (first, second) = (slack.url("first"), slack.url("second"));
    assert!(post(&first, &message("a:1#0")).ends_with("ok"));
    assert!(post(&second, &message("b&amp;c")).starts_with("http/1.1 200"));
    let hurried = post(&first, &message("a:2#0"));
    assert!(hurried.starts_with("http/1.1 429"), "{hurried}");
    assert!(hurried.contains("\r\nretry-after: 1\r\n"), "{hurried}");
    assert_eq!(slack.hurried(), 1);
    let taken: Vec<_> = slack.taken().iter().flat_map(|asked| asked.keys()).collect();
    assert_eq!(taken, ["a:1#0", "b&c"]);

    let slack = Slack::start().unwrap();
    let url = slack.url("first");
    assert!(post(&url, &message("a:1#0")).ends_with("ok"));
    wait_until("the second to pass", LIMIT, || {
        post(&url, &message("a:2#0")).ends_with("ok").then_some(())
    })
    .unwrap();
}

#[test]
fn slack_takes_a_burst_when_told_to() {
    let slack = Slack::with_pace(3, Duration::from_secs(3_600)).unwrap();
    let url = slack.url("any");
    let codes: Vec<String> = (0..4).map(|_| post(&url, &message("k"))[9..12].to_owned()).collect();
    assert_eq!(codes, ["200", "200", "200", "429"]);
}

#[test]
fn slack_fails_in_every_way_it_is_told_to() {
    let slack = Slack::start().unwrap();
    let url = slack.url("any");
    let check = |mode: Mode, begin: &str, taken: usize| {
        slack.set("any", mode);
        let answer = post(&url, &message("k"));
        assert!(
            answer.starts_with(begin) && answer.is_empty() == begin.is_empty(),
            "{mode:?}: {answer}"
        );
        assert_eq!(slack.taken().len(), taken, "{mode:?}");
    };
    check(Mode::Failing, "http/1.1 500", 0);
    check(Mode::Gone, "http/1.1 404", 0);
    check(Mode::Busy(7), "http/1.1 429", 0);
    check(Mode::Dropping, "", 1);
    slack.set("any", Mode::Hanging);
    let hanging = ask(&url, "application/json", &message("k").to_string());
    wait_until("the request to be read", LIMIT, || (slack.asked().len() == 5).then_some(()))
        .unwrap();
    slack.set("any", Mode::Taking);
    assert_eq!(answer(hanging), "");
    assert_eq!(slack.taken().len(), 1);
}

#[test]
fn slack_refuses_what_is_no_message() {
    let slack = Slack::start().unwrap();
    let check = |kind: &str, body: &Value, word: &str| {
        let answer = answer(ask(&slack.url("any"), kind, &body.to_string()));
        assert!(answer.starts_with("http/1.1 400") && answer.ends_with(word), "{body}: {answer}");
    };
    let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let holding = |blocks: Value| json!({"text": "t", "blocks": blocks});
    check("text/plain", &message("k"), "invalid_payload");
    check("application/json", &json!([1]), "invalid_payload");
    check("application/json", &json!({"blocks": []}), "no_text");
    check("application/json", &holding(json!([section("")])), "invalid_blocks");
    check("application/json", &holding(json!([section(&"가".repeat(3_001))])), "invalid_blocks");
    check("application/json", &holding(json!(vec![section("s"); 51])), "invalid_blocks");
    check("application/json", &holding(json!([{"type": "nonsense"}])), "invalid_blocks");
    let header = json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(151)}});
    check("application/json", &holding(json!([header])), "invalid_blocks");
    assert!(slack.taken().is_empty());
    let fits = holding(json!(vec![section(&"가".repeat(3_000)); 50]));
    assert!(post(&slack.url("any"), &fits).ends_with("ok"));
}

/// Sends a mail as a client would, with Python's own one, and prints `sent` or the code that the server gave.
const SEND: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit
url, ca_file, to, login = sys.argv[1:]
url = urlsplit(url)
mail = EmailMessage()
mail["From"], mail["To"], mail["Subject"] = "a@example.com", to, "캠페인 일시중지"
mail["Message-ID"], mail["X-Tollgate-Key"] = "<1@example.com>", "k#0"
mail.set_content("일예산을 소진했습니다.\n")
try:
    with smtplib.SMTP(url.hostname, url.port, timeout=30) as smtp:
        if login != "plain":
            smtp.starttls(context=ssl.create_default_context(cafile=ca_file))
        if login == "good":
            smtp.login(url.username, unquote(url.password))
        elif login == "wrong":
            smtp.login(url.username, "wrong")
        smtp.send_message(mail)
    print("sent")
except smtplib.SMTPRecipientsRefused as error:
    print(error.recipients[to][0])
except smtplib.SMTPResponseException as error:
    print(error.smtp_code)
except OSError:
    print("unreachable")
"#;

#[test]
fn the_mail_server_takes_mail_after_tls_and_login_only() {
    let refusals = [Refusal::Reject("gone@example.com"), Refusal::Later("full@example.com")];
    let mut mail = Mail::refusing(&refusals).unwrap();
    let (folder, python) = (Folder::new("smtp").unwrap(), mail::python().unwrap());
    let script = folder.file("send.py");
    fs::write(&script, SEND).unwrap();
    let send = |mail: &Mail, to: &str, login: &str| {
        let launch = Launch::new(&python).args([&script]).args([mail.url()]);
        let output = launch.args([mail.ca_file()]).args([to, login]).run().unwrap();
        output.trim().to_owned()
    };
    assert_eq!(send(&mail, "ops@example.com", "good"), "sent");
    assert_eq!(send(&mail, "ops@example.com", "plain"), "530");
    assert_eq!(send(&mail, "ops@example.com", "none"), "530");
    assert_eq!(send(&mail, "ops@example.com", "wrong"), "535");
    assert_eq!(send(&mail, "gone@example.com", "good"), "550");
    assert_eq!(send(&mail, "full@example.com", "good"), "451");
    mail.kill();
    assert_eq!(send(&mail, "ops@example.com", "good"), "unreachable");
    mail.restart().unwrap();
    assert_eq!(send(&mail, "desk@example.com", "good"), "sent");
    let letters = mail.letters().unwrap();
    let recipients: Vec<_> = letters.iter().flat_map(|letter| &letter.recipients).collect();
    assert_eq!(recipients, ["ops@example.com", "desk@example.com"]);
    let first = &letters[0];
    assert_eq!((first.key.as_str(), first.message_id.as_str()), ("k#0", "<1@example.com>"));
    assert_eq!((first.subject.as_str(), first.to.as_str()), ("캠페인 일시중지", "ops@example.com"));
    assert_eq!(first.body.trim(), "일예산을 소진했습니다.");
}

#[test]
fn a_frozen_mail_server_says_nothing_until_it_thaws() {
    let mail = Mail::start().unwrap();
    mail.freeze().unwrap();
    let url = mail.url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let address = format!("127.0.0.1:{}", port.split('?').next().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    // A moment is enough to see a greeting, and a frozen process never greets.
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silent = stream.read(&mut [0; 3]).unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    mail.thaw().unwrap();
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220");
}
