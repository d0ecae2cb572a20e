//! What the demo shows.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Options;
use super::story::{Crossings, Refunds};
use crate::harness::ledger::DeliveryRow;
use crate::harness::status::{DuplicateRate, Status};
use crate::pace::Tally;

/// Campaigns shown at most.
const CAMPAIGNS_SHOWN: usize = 5;
/// News that a terminal shows while the demo runs, and messages at the end.
const NEWS_SHOWN: usize = 6;
const MESSAGES_SHOWN: usize = 8;
const BAR_CHARS: u64 = 24;

/// The live view of a terminal, or a line every two seconds elsewhere.
pub(super) struct View {
    live: bool,
    seconds: u32,
    begin: Instant,
    /// Produced events and the instant when they were last counted.
    last: (i64, Instant),
    rate: i64,
    lines: usize,
    news: Vec<String>,
}

impl View {
    pub(super) fn new(options: &Options) -> Self {
        let now = Instant::now();
        let live = !options.plain && std::io::stdout().is_terminal();
        if live {
            println!(
                "tollgate demo: ad-events → pricing.wasm → threshold.wasm → ledger  (Ctrl-C ends it)\n"
            );
        }
        Self {
            live,
            seconds: options.seconds,
            begin: now,
            last: (0, now),
            rate: 0,
            lines: 0,
            news: Vec::new(),
        }
    }

    /// Time between two looks.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(if self.live { 200 } else { 500 })
    }

    pub(super) fn show(&mut self, tally: &Tally, status: &Status, refunds: Refunds) {
        let step = Duration::from_secs(if self.live { 1 } else { 2 });
        let (since, elapsed) = (tally.produced() - self.last.0, self.last.1.elapsed());
        let due = elapsed >= step;
        if due {
            self.rate = since * 1_000 / i64::try_from(elapsed.as_millis()).unwrap_or(1).max(1);
            self.last = (tally.produced(), Instant::now());
        }
        if self.live {
            self.redraw(&self.screen(tally, status, refunds));
        } else if due {
            println!("{}", self.line(tally, status, refunds));
        }
    }

    /// Shows something that the demo has done to a campaign.
    pub(super) fn tell_deed(&mut self, deed: &str) {
        self.add_news(format!("  ✎ {deed}"));
    }

    /// Shows a message that would have been sent.
    pub(super) fn tell(&mut self, message: &DeliveryRow) {
        self.add_news(format!("  ✉ {}", one_line(message)));
    }

    fn add_news(&mut self, line: String) {
        if self.live {
            self.news.push(line);
        } else {
            println!("{line}");
        }
    }

    pub(super) fn end(&mut self) {
        self.lines = 0;
        println!();
    }

    fn line(&self, tally: &Tally, status: &Status, refunds: Refunds) -> String {
        let near = status.near_budget.first().map_or(String::new(), |near| {
            format!("  {} at {} {}", near.campaign, percent(near.usage_ppm), near.status)
        });
        format!(
            "{:>3} s  {:>5} events/s  produced {:>7}  charged {:>7}  skipped {:>7}  dead {:>4}  refunds {:>4} (+{} waiting)  p50 {:.2} ms  p99 {:.2} ms  rules {:.0} ns/click{near}",
            self.begin.elapsed().as_secs(),
            self.rate,
            tally.produced(),
            status.charged,
            status.skipped,
            status.dead_letters,
            refunds.paid,
            refunds.waiting,
            status.latency_ms.p50,
            status.latency_ms.p99,
            rule_ns(status),
        )
    }

    fn screen(&self, tally: &Tally, status: &Status, refunds: Refunds) -> Vec<String> {
        let gone = self.begin.elapsed().as_secs().min(u64::from(self.seconds));
        let latency = status.latency_ms;
        let mut lines = vec![
            format!(
                "  time     {gone:>9} s of {} s        rate      {:>9} events/s",
                self.seconds, self.rate
            ),
            format!(
                "  produced {:>9}               charged   {:>9} clicks",
                tally.produced(),
                status.charged
            ),
            format!(
                "  skipped  {:>9}               dead      {:>9} letters",
                status.skipped, status.dead_letters
            ),
            format!(
                "  money    {:>16}        rules     {:>9.0} ns a click",
                money(status.charged_micros),
                rule_ns(status)
            ),
            format!(
                "  latency, event to commit: p50 {:.2} ms   p99 {:.2} ms   max {:.1} ms",
                latency.p50, latency.p99, latency.max
            ),
            format!(
                "  duplicates: {} refunds of {}, {} waiting for clicks",
                refunds.paid,
                money(refunds.micros),
                refunds.waiting
            ),
            duplicate_rate(status),
            format!("  budgets: {} warned, {} paused", status.warned, status.paused),
        ];
        for near in status.near_budget.iter().take(CAMPAIGNS_SHOWN) {
            let (bar, usage) = (bar(near.usage_ppm), percent(near.usage_ppm));
            lines.push(format!("    {:<14} {bar} {usage:>7}  {}", near.campaign, near.status));
        }
        lines.push(String::new());
        lines.extend_from_slice(&self.news[self.news.len().saturating_sub(NEWS_SHOWN)..]);
        lines
    }

    fn redraw(&mut self, screen: &[String]) {
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines));
        }
        for line in screen {
            text.push_str(&format!("\x1b[2K{line}\n"));
        }
        text.push_str("\x1b[J");
        self.lines = screen.len();
        let mut out = std::io::stdout().lock();
        // A terminal that is gone has nobody to show anything to.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// How it ended.
pub(super) struct Summary<'a> {
    pub(super) tally: &'a Tally,
    pub(super) status: &'a Status,
    pub(super) audit: &'a Result<String>,
    pub(super) messages: &'a [DeliveryRow],
    pub(super) crossings: Crossings,
    pub(super) refunds: Refunds,
    /// Of the last hour.
    pub(super) duplicates: DuplicateRate,
}

impl Summary<'_> {
    /// Whether every event had its one right fate, and the ledger adds up.
    pub(super) fn exact(&self) -> bool {
        let (tally, status) = (self.tally, self.status);
        self.audit.is_ok()
            && status.charged == tally.clicks()
            && status.dead_letters == tally.poison()
            && status.charged + status.skipped + status.dead_letters == tally.produced()
            && status.charged_micros == tally.price_micros()
            && self.refunds.paid == tally.compensations()
            && self.refunds.micros == tally.claimed_micros()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let (tally, status, crossings) = (self.tally, self.status, self.crossings);
        json!({
            "produced": tally.produced(),
            "clicks": tally.clicks(),
            "charged": status.charged,
            "skipped": status.skipped,
            "dead_letters": status.dead_letters,
            "warned": crossings.warned,
            "paused": crossings.paused,
            "resumed": crossings.resumed,
            "messages": self.messages.iter().map(as_json).collect::<Vec<_>>(),
            "charged_micros": status.charged_micros,
            "refunds": self.refunds.paid,
            "refunded_micros": self.refunds.micros,
            "parked": self.refunds.parked,
            "duplicates": self.duplicates.duplicates,
            "duplicates_of_clicks": self.duplicates.clicks,
            "duplicate_rate_ppm": self.duplicates.rate_ppm,
            "audit_exact": self.exact(),
            "p50_ms": status.latency_ms.p50,
            "p99_ms": status.latency_ms.p99,
        })
    }

    pub(super) fn print(&self) {
        let (tally, status) = (self.tally, self.status);
        let fates = status.charged + status.skipped + status.dead_letters;
        let row = |name: &str, produced: i64, ledger: i64| {
            let mark = if produced == ledger { "=" } else { "≠" };
            println!("  {name:<22} {produced:>14} {mark} {ledger:<14}");
        };
        println!("  {:<22} {:>14}   ledger", "", "produced");
        row("events", tally.produced(), fates);
        row("clicks charged", tally.clicks(), status.charged);
        row("dead letters", tally.poison(), status.dead_letters);
        row("micros charged", tally.price_micros(), status.charged_micros);
        row("refunds", tally.compensations(), self.refunds.paid);
        row("micros refunded", tally.claimed_micros(), self.refunds.micros);
        println!("  {:<22} {:>14}", "parked for a while", self.refunds.parked);
        let DuplicateRate { clicks, duplicates, rate_ppm } = self.duplicates;
        let rate = percent(u64::try_from(rate_ppm).unwrap_or(0));
        println!(
            "  {:<22} {rate:>14}   ({duplicates} of {clicks} clicks)",
            "duplicate rate, 1 hour"
        );
        println!("  {:<22} {:>14}", "skipped", status.skipped);
        let Crossings { warned, paused, resumed } = self.crossings;
        let crossings = format!("{warned} / {paused} / {resumed}");
        println!("  {:<22} {crossings:>14}", "warned/paused/resumed");
        let latency = status.latency_ms;
        println!("  {:<22} {:>11.2} ms / {:.2} ms", "latency p50 / p99", latency.p50, latency.p99);
        println!("  {:<22} {:>11.0} ns a click\n", "rules", rule_ns(status));
        self.print_messages();
        match self.audit {
            Ok(report) => println!("{}", report.trim_end()),
            Err(error) => println!("{error:#}"),
        }
        let verdict = if self.exact() {
            "Exact: every event has one fate and the ledger adds up to the last micro."
        } else {
            "Not exact: see the differences above."
        };
        println!("\n{verdict}");
    }

    /// What was to be told, once for all the routes it would have taken.
    fn print_messages(&self) {
        let mut told: Vec<&DeliveryRow> = self.messages.iter().collect();
        told.dedup_by_key(|message| &message.happening);
        let counts = ["slack", "email"]
            .map(|channel| self.messages.iter().filter(|row| row.channel == channel).count());
        let [slack, email] = counts;
        println!(
            "  Would have sent {slack} messages to Slack and {email} e-mails, were they configured:"
        );
        for message in told.iter().take(MESSAGES_SHOWN) {
            println!("    [{}] {}", message.severity, message.title);
            message.body.lines().for_each(|line| println!("      {line}"));
        }
        if told.len() > MESSAGES_SHOWN {
            println!("    … and {} more", told.len() - MESSAGES_SHOWN);
        }
        println!();
    }
}

/// Where a message goes and what it is about.
fn one_line(message: &DeliveryRow) -> String {
    let DeliveryRow { channel, route, severity, title, .. } = message;
    format!("{channel} {route} ({severity}): {title}")
}

fn as_json(message: &DeliveryRow) -> serde_json::Value {
    let DeliveryRow { channel, route, severity, title, body, key, .. } = message;
    json!({
        "channel": channel,
        "route": route,
        "severity": severity,
        "title": title,
        "body": body,
        "key": key,
    })
}

fn duplicate_rate(status: &Status) -> String {
    let rate = |window: &str| {
        let rate = status.watch.duplicates.get(window).copied().unwrap_or_default();
        percent(u64::try_from(rate.rate_ppm).unwrap_or(0))
    };
    format!("  duplicate rate: {} within 5 minutes, {} within 1 hour", rate("5m"), rate("1h"))
}

fn rule_ns(status: &Status) -> f64 {
    status.rules.pricing.ns_per_row + status.rules.threshold.ns_per_row
}

fn percent(ppm: u64) -> String {
    format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10)
}

fn bar(ppm: u64) -> String {
    let full = (ppm * BAR_CHARS / 1_000_000).min(BAR_CHARS);
    let full = usize::try_from(full).unwrap_or(0);
    let rest = usize::try_from(BAR_CHARS).unwrap_or(0) - full;
    format!("{}{}", "█".repeat(full), "░".repeat(rest))
}

/// Whole currency units with thousands separated.
fn money(micros: i64) -> String {
    let digits = (micros / 1_000_000).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
