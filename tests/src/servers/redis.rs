//! A private Redis, and the few words of its protocol that tests need.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use super::free_port;
use super::process::{Launch, Process};
use crate::wait::wait_until;

/// A running server.
pub struct Redis {
    server: Process,
    port: u16,
    folder: Folder,
    /// Whether it writes down what it answers, so that a restart loses nothing.
    is_durable: bool,
}

impl Redis {
    /// Without persistence.
    ///
    /// # Errors
    /// Redis is not installed or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(false)
    }

    /// With an append-only file.
    ///
    /// # Errors
    /// As `start`.
    pub fn durable() -> Result<Self> {
        Self::start_with(true)
    }

    fn start_with(is_durable: bool) -> Result<Self> {
        let (folder, port) = (Folder::new("redis")?, free_port()?);
        let server = launch(&folder, port, is_durable)?;
        let redis = Self { server, port, folder, is_durable };
        redis.wait_ready()?;
        Ok(redis)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs one command; gives the text of a simple, numeric or bulk answer, `None` for a null.
    ///
    /// # Errors
    /// The server does not answer or answers with an error.
    pub fn command(&self, words: &[&str]) -> Result<Option<String>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        (&stream).write_all(encode(words).as_bytes())?;
        read_answer(&mut BufReader::new(&stream))
    }

    /// Sets many keys in one round trip.
    ///
    /// # Errors
    /// As `command`.
    pub fn set_all(&self, pairs: &[(String, String)]) -> Result<()> {
        for part in pairs.chunks(1_000).filter(|part| !part.is_empty()) {
            let words = part.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
            let words: Vec<&str> = std::iter::once("MSET").chain(words).collect();
            self.command(&words)?;
        }
        Ok(())
    }

    /// Stops it from answering, while connections stay open.
    ///
    /// # Errors
    /// The server is gone.
    pub fn freeze(&self) -> Result<()> {
        self.server.signal("STOP")
    }

    /// Lets it answer again.
    ///
    /// # Errors
    /// The server is gone.
    pub fn thaw(&self) -> Result<()> {
        self.server.signal("CONT")
    }

    /// Kills it; its port then refuses connections.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Keys that begin with `prefix`.
    ///
    /// # Errors
    /// As `command`.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        self.list("return table.concat(redis.call('KEYS', ARGV[1]), '\\n')", &format!("{prefix}*"))
    }

    /// Members and scores of a sorted set, one after the other, by score.
    ///
    /// # Errors
    /// As `command`.
    pub fn ranked(&self, key: &str) -> Result<Vec<String>> {
        let script =
            "return table.concat(redis.call('ZRANGE', ARGV[1], 0, -1, 'WITHSCORES'), '\\n')";
        self.list(script, key)
    }

    /// Names and values of a hash, one after the other.
    ///
    /// # Errors
    /// As `command`.
    pub fn hash(&self, key: &str) -> Result<Vec<String>> {
        self.list("return table.concat(redis.call('HGETALL', ARGV[1]), '\\n')", key)
    }

    /// The lines of a script's answer.
    fn list(&self, script: &str, argument: &str) -> Result<Vec<String>> {
        let answer = self.command(&["EVAL", script, "0", argument])?.unwrap_or_default();
        Ok(answer.lines().map(str::to_owned).collect())
    }

    /// Starts it again on the same port: empty, or as it was when it is durable.
    ///
    /// # Errors
    /// As `start`.
    pub fn restart(&mut self) -> Result<()> {
        self.server.kill();
        self.server = launch(&self.folder, self.port, self.is_durable)?;
        self.wait_ready()
    }

    fn wait_ready(&self) -> Result<()> {
        wait_until("Redis to answer", Duration::from_secs(30), || self.command(&["PING"]).ok())?;
        Ok(())
    }
}

fn launch(folder: &Folder, port: u16, is_durable: bool) -> Result<Process> {
    Launch::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", if is_durable { "yes" } else { "no" }])
        .args(["--appendfsync", "always"])
        .folder(folder.path())
        .log(&folder.file("server.log"))?
        .start()
        .context("install the package redis-server")
}

fn encode(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text
}

fn read_answer(answer: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else { bail!("Redis closed the connection") };
    match kind {
        "+" | ":" => Ok(Some(rest.to_owned())),
        "$" if rest == "-1" => Ok(None),
        "$" => {
            let mut bytes = vec![0; rest.parse()?];
            answer.read_exact(&mut bytes)?;
            Ok(Some(String::from_utf8(bytes)?))
        }
        _ => bail!("Redis answers {line}"),
    }
}
