use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// What a mail server answers instead of its usual words: the first line of a script that a command begins with.
/// An empty answer is silence, `-` ends the connection.
type Script = &'static [(&'static str, &'static str)];

/// What it has seen.
#[derive(Default)]
struct Seen {
    connections: usize,
    mails: Vec<String>,
}

async fn serve(script: Script) -> (u16, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.lock().unwrap().connections += 1;
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { talk(stream, script, &shared).await });
        }
    });
    (port, seen)
}

/// One connection, until either side has had enough.
async fn talk(stream: TcpStream, script: Script, seen: &Mutex<Seen>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut command = "CONNECT".to_owned();
    loop {
        let usual = match command.split_whitespace().next().unwrap_or_default() {
            "CONNECT" => "220 ready",
            "EHLO" => "250-here\r\n250 AUTH PLAIN LOGIN",
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let scripted = script.iter().find(|(start, _)| command.starts_with(start));
        match scripted.map_or(usual, |(_, answer)| answer) {
            "" => {}
            "-" => return None,
            answer => writer.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?,
        }
        command = lines.next_line().await.ok()??;
        if usual.starts_with("354") && scripted.is_none() {
            let mut mail = String::new();
            while command != "." {
                mail.push_str(&command);
                mail.push('\n');
                command = lines.next_line().await.ok()??;
            }
            seen.lock().unwrap().mails.push(mail);
            command = "CONTENT".to_owned();
        }
    }
}

fn routes(addresses: &[&str]) -> BTreeMap<String, Vec<String>> {
    let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
    BTreeMap::from([("default".to_owned(), addresses)])
}

fn email(port: u16, to: &[&str], deadline: Duration) -> Email {
    let url = format!("smtp://tollgate:hunter2%40home@127.0.0.1:{port}");
    Email::new(&url, "tollgate <billing@example.com>", None, routes(to), deadline).unwrap()
}

fn message<'a>(title: &'a str, severity: &'a str) -> Outgoing<'a> {
    let (key, body) = ("pause:c1:2026-01-15#1", "예산을 모두 썼습니다.\nSpent 1,000.");
    Outgoing { key, severity, title, body, occurred_at_us: 1_768_473_000_000_000 }
}

fn shown(attempt: &Attempt) -> (&'static str, &str) {
    match attempt {
        Attempt::Sent => ("sent", ""),
        Attempt::Busy { error, .. } => ("busy", error),
        Attempt::Failed { error } => ("failed", error),
        Attempt::Refused { error } => ("refused", error),
    }
}

/// Sends one mail to two recipients.
async fn check(script: Script, kind: &str, error: &str) {
    let (port, seen) = serve(script).await;
    let email = email(port, &["one@example.com", "two@example.com"], DEADLINE);
    let attempt = email.send("default", &message("title", "warning")).await;
    let (found, found_error) = shown(&attempt);
    assert!(found == kind && found_error.contains(error), "{script:?}: {attempt:?}");
    assert!(!found_error.contains("hunter2") && found_error.len() < 400, "{attempt:?}");
    if kind == "sent" {
        assert_eq!(seen.lock().unwrap().mails.len(), 1, "{script:?}");
    }
}

#[tokio::test]
async fn who_refuses_what_decides_what_becomes_of_a_mail() {
    check(&[], "sent", "").await;
    // Trouble with the server, which an operator mends.
    check(&[("CONNECT", "554 no service")], "failed", "554").await;
    check(&[("CONNECT", "550 blocked")], "failed", "blocked").await;
    check(&[("CONNECT", "421 busy")], "failed", "421").await;
    check(&[("CONNECT", "-")], "failed", "cannot be used").await;
    check(&[("EHLO", "550 who are you")], "failed", "who are you").await;
    check(&[("AUTH", "535 no such user, you sent hunter2@home")], "failed", "login (535)").await;
    check(&[("AUTH", "550 no")], "failed", "login (550)").await;
    check(&[("MAIL", "530 must issue a STARTTLS command first")], "failed", "STARTTLS").await;
    check(&[("MAIL", "553 not your address")], "failed", "sender").await;
    check(&[("RCPT", "530 authentication required")], "failed", "530").await;
    check(&[("RCPT", "503 bad sequence")], "failed", "503").await;
    // Later.
    check(&[("RCPT", "451 greylisted")], "failed", "greylisted").await;
    check(&[("RCPT TO:<two", "452 full")], "failed", "452").await;
    check(&[("DATA", "451 later")], "failed", "later").await;
    check(&[("CONTENT", "452 no space")], "failed", "no space").await;
    check(&[("CONTENT", "-")], "failed", "the mail").await;
    // Never.
    check(&[("RCPT", "550 no such user")], "refused", "no such user").await;
    check(&[("DATA", "554 no")], "refused", "554").await;
    check(&[("CONTENT", "552 too large")], "refused", "too large").await;
    // One recipient of two does not keep the other from knowing.
    check(&[("RCPT TO:<one", "550 no such user")], "sent", "").await;
}

#[tokio::test]
async fn a_server_that_hangs_or_is_away_is_tried_again() {
    const SILENCES: [Script; 4] =
        [&[("CONNECT", "")], &[("AUTH", "")], &[("RCPT", "")], &[("CONTENT", "")]];
    for script in SILENCES {
        let (port, _) = serve(script).await;
        let email = email(port, &["one@example.com"], Duration::from_millis(200));
        let attempt = email.send("default", &message("title", "warning")).await;
        assert!(
            shown(&attempt).0 == "failed" && shown(&attempt).1.contains("hangs"),
            "{attempt:?}"
        );
        assert!(email.idle().is_none(), "a connection that owes an answer is never used again");
    }
    let away = email(1, &["one@example.com"], DEADLINE);
    let attempt = away.send("default", &message("title", "warning")).await;
    assert!(shown(&attempt).0 == "failed" && shown(&attempt).1.contains("cannot be used"));
    let attempt = away.send("other", &message("title", "warning")).await;
    assert!(shown(&attempt).0 == "failed" && shown(&attempt).1.contains("\"other\""));
}

#[tokio::test]
async fn a_connection_is_kept_and_one_that_was_closed_is_replaced() {
    let (port, seen) = serve(&[]).await;
    let email = email(port, &["one@example.com"], DEADLINE);
    for _ in 0..3 {
        assert_eq!(email.send("default", &message("title", "info")).await, Attempt::Sent);
    }
    assert_eq!(seen.lock().unwrap().connections, 1);
    let (port, seen) = serve(&[("NOOP", "-")]).await;
    let email = self::email(port, &["one@example.com"], DEADLINE);
    for _ in 0..3 {
        assert_eq!(email.send("default", &message("title", "info")).await, Attempt::Sent);
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen.connections, seen.mails.len()), (3, 3));
}

fn composed(to: &[&str], message: &Outgoing<'_>) -> String {
    let email = email(25, to, DEADLINE);
    let mail = compose(&email.from, &email.routes["default"], message).unwrap();
    String::from_utf8(mail.formatted()).unwrap()
}

#[test]
fn a_mail_has_a_stable_id_and_its_key() {
    let to = ["one@example.com", "Two <two@example.org>"];
    let mail = composed(&to, &message("Paused\r\nBcc: evil@example.com", "critical"));
    let id = "Message-ID: <9448d46007e6ba5077098f06a2c929e5@example.com>\r\n";
    for line in [
        "From: tollgate <billing@example.com>\r\n",
        "To: one@example.com, Two <two@example.org>\r\n",
        "Subject: Paused  Bcc: evil@example.com\r\n",
        "X-Tollgate-Key: pause:c1:2026-01-15#1\r\n",
        "X-Tollgate-Occurred-At: 2026-01-15T10:30:00Z\r\n",
        "X-Priority: 1\r\n",
        "Importance: high\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Date: ",
        id,
    ] {
        assert!(mail.contains(line), "{line} in {mail}");
    }
    assert!(!mail.contains("\r\nBcc"), "{mail}");
    let quiet = composed(&to, &message("예산 소진", "warning"));
    assert!(quiet.is_ascii() && !quiet.contains("X-Priority"), "{quiet}");
    assert!(quiet.contains("Subject: =?utf-8?b?7JiI7IKwIOyGjOynhA==?=\r\n"), "{quiet}");
    assert!(quiet.contains(id), "the same key has the same id");
}

fn check_setup(url: &str, from: &str, ca_pem: Option<&str>, to: &[&str], error: Option<&str>) {
    let made = Email::new(url, from, ca_pem, routes(to), DEADLINE);
    let found = made.map(|_| ()).map_err(|error| format!("{error:#}"));
    match (&found, error) {
        (Ok(()), None) => {}
        (Err(text), Some(part)) => {
            assert!(text.contains(part) && !text.contains("hunter2"), "{url} {text}");
        }
        _ => panic!("{url} {from} {to:?}: {found:?}"),
    }
}

#[test]
fn settings_that_cannot_work_are_told_by_name() {
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    const URL: &str = "smtp://127.0.0.1:25";
    const FROM: &str = "billing@example.com";
    let to: &[&str] = &["one@example.com"];
    check_setup(URL, FROM, None, to, None);
    check_setup("smtp://u:hunter2@h:587?tls=required", FROM, None, to, None);
    check_setup("smtp://u:hunter2@h?tls=opportunistic", FROM, None, to, None);
    check_setup("smtps://u:hunter2@h/name", FROM, None, to, None);
    check_setup("", FROM, None, to, Some("email.url"));
    check_setup("u:hunter2@h", FROM, None, to, Some("email.url"));
    check_setup("http://u:hunter2@h", FROM, None, to, Some("email.url"));
    check_setup("smtp://u:hunter2@h?tls=maybe", FROM, None, to, Some("email.url"));
    check_setup("smtp://u:hunter2%ff@h", FROM, None, to, Some("UTF-8"));
    check_setup(URL, "nobody", None, to, Some("email.from"));
    check_setup(URL, "", None, to, Some("email.from"));
    check_setup(URL, FROM, None, &[], Some("email.routes.default"));
    check_setup(URL, FROM, None, &["one@example.com", "two"], Some("email.routes.default"));
    check_setup(URL, FROM, None, &["하나@example.com"], Some("ASCII"));
    check_setup("smtps://h", FROM, Some("no certificate"), to, Some("email.ca_file"));
    let shown = format!("{:?}", email(25, to, DEADLINE));
    assert!(!shown.contains("hunter2"), "{shown}");
}
