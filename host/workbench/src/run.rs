//! Asks a rule about events or facts of a file, one by one, and says what each answer cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use tollgate_domain::day::Zone;
use tollgate_domain::event::{self, ClickEvent, DecodeLimits};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::{self, Micros};
use tollgate_domain::rule::World;
use tollgate_engine::Rule;

use crate::cases::{self, Campaigns, Facts};
use crate::check::grouped;

/// How events are read and judged.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub decode: DecodeLimits,
    pub fence: FenceLimits,
    /// Time zone of campaigns that name none.
    pub zone: Zone,
}

/// Asks one rule.
#[derive(Debug)]
pub struct Runner {
    rule: Rule,
    /// What is known of campaigns; without it every campaign costs the same and belongs to whom the event says.
    campaigns: Option<Campaigns>,
    surroundings: Surroundings,
    totals: Totals,
}

/// What became of one line.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub line: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    /// The rows of the answer, field by field.
    pub rows: Vec<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub ns: u64,
}

/// Why a line got no answer.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub code: String,
    pub sentence: String,
}

/// Sums over all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub lines: u64,
    pub answered: u64,
    /// Events that are well understood and not clicks.
    pub skipped: u64,
    /// Lines that cannot be read, and calls that failed.
    pub failed: u64,
    /// Sum of the charges or refunds; nothing in worlds that move no money, or when it fits no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip)]
    sum: Option<Micros>,
    /// Rows of answers by their reasons.
    pub reasons: BTreeMap<String, u64>,
    pub codes: BTreeMap<String, u64>,
    pub fuel: u64,
    /// Most fuel of one call.
    pub fuel_max: u64,
    /// Most memory of one call, in bytes.
    pub memory_bytes_max: u64,
    pub ns: u64,
}

impl Runner {
    #[must_use]
    pub fn new(rule: Rule, campaigns: Option<Campaigns>, surroundings: Surroundings) -> Self {
        let totals = Totals { sum: Some(Micros::ZERO), ..Totals::default() };
        Self { rule, campaigns, surroundings, totals }
    }

    /// Asks about one line: an event of `ad-events` for a pricing rule, for the others facts as cases give them, as
    /// JSON. `None`: the line is empty, or an event that is not a click.
    pub fn ask(&mut self, text: &str) -> Option<Answer> {
        self.totals.lines += 1;
        let line = self.totals.lines;
        if text.trim().is_empty() {
            return None;
        }
        let mut answer = Answer {
            line,
            campaign: String::new(),
            rows: Vec::new(),
            failure: None,
            fuel: 0,
            memory_bytes: 0,
            ns: 0,
        };
        match self.facts(text) {
            Ok(None) => {
                self.totals.skipped += 1;
                return None;
            }
            Ok(Some((campaign, facts))) => {
                answer.campaign = campaign;
                self.answer(&facts, &mut answer);
            }
            Err(failure) => answer.failure = Some(failure),
        }
        self.totals.take(&answer);
        Some(answer)
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let moves_money = matches!(self.rule.module().world(), World::Pricing | World::Refund);
        let amount = self.totals.sum.filter(|_| moves_money).map(|sum| sum.to_string());
        Totals { amount, ..self.totals.clone() }
    }

    fn facts(&self, text: &str) -> Result<Option<(String, Facts)>, Failure> {
        let world = self.rule.module().world();
        if world != World::Pricing {
            let facts = Facts::of_json(world, text)
                .map_err(|sentence| Failure { code: "FACTS_UNREADABLE".to_owned(), sentence })?;
            return Ok(Some((String::new(), facts)));
        }
        let decoded = event::decode(text, -1, &self.surroundings.decode);
        let click = decoded.map_err(|rejection| Failure {
            code: rejection.code.as_str().to_owned(),
            sentence: rejection.sentence,
        })?;
        let Some(click) = click else { return Ok(None) };
        let facts = self.click(&click)?;
        Ok(Some((click.campaign.into_owned(), facts)))
    }

    fn click(&self, click: &ClickEvent<'_>) -> Result<Facts, Failure> {
        let zone = &self.surroundings.zone;
        let Some(campaigns) = &self.campaigns else {
            return Ok(Facts::of_click(click, None, zone));
        };
        let Some(campaign) = campaigns.find(&click.campaign) else {
            let sentence = format!("campaign {:?} is not in the file of campaigns", click.campaign);
            return Err(Failure { code: "UNKNOWN_CAMPAIGN".to_owned(), sentence });
        };
        if campaign.advertiser() != click.advertiser {
            let (known, named) = (campaign.advertiser(), &click.advertiser);
            let sentence = format!("the campaign belongs to {known:?}, the event names {named:?}");
            return Err(Failure { code: "ADVERTISER_MISMATCH".to_owned(), sentence });
        }
        Ok(Facts::of_click(click, Some(campaign), zone))
    }

    fn answer(&mut self, facts: &Facts, answer: &mut Answer) {
        let answered = cases::ask_facts(&mut self.rule, facts, &self.surroundings.fence);
        let stats = self.rule.take_stats();
        (answer.fuel, answer.memory_bytes, answer.ns) = (stats.fuel, stats.memory_bytes, stats.ns);
        match answered {
            Ok(rows) => answer.rows = rows.into_iter().map(BTreeMap::from_iter).collect(),
            Err((code, sentence)) => answer.failure = Some(Failure { code, sentence }),
        }
    }
}

impl Totals {
    fn take(&mut self, answer: &Answer) {
        self.fuel += answer.fuel;
        self.fuel_max = self.fuel_max.max(answer.fuel);
        self.memory_bytes_max = self.memory_bytes_max.max(answer.memory_bytes);
        self.ns += answer.ns;
        if let Some(failure) = &answer.failure {
            self.failed += 1;
            *self.codes.entry(failure.code.clone()).or_default() += 1;
            return;
        }
        self.answered += 1;
        for row in &answer.rows {
            if let Some(reason) = row.get("reason") {
                *self.reasons.entry(reason.clone()).or_default() += 1;
            }
            let moved = row.get("charge").or_else(|| row.get("refund"));
            let moved = moved.and_then(|text| money::parse_scaled(text).ok());
            self.sum = self.sum.and_then(|sum| sum.checked_add(Micros(moved.unwrap_or(0))));
        }
    }

    /// The sums as people read them.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _written = writeln!(text, "{name:<16} {value}");
        };
        line("answered", grouped(self.answered));
        if self.skipped > 0 {
            line("not clicks", grouped(self.skipped));
        }
        if self.failed > 0 {
            line("failed", grouped(self.failed));
        }
        for (code, count) in &self.codes {
            line(&format!("  {code}"), grouped(*count));
        }
        if let Some(amount) = &self.amount {
            line("sum", amount.clone());
        }
        for (reason, count) in &self.reasons {
            line(&format!("  {reason}"), grouped(*count));
        }
        let calls = self.answered.max(1);
        let (fuel, most) = (grouped(self.fuel / calls), grouped(self.fuel_max));
        line("fuel a call", format!("{fuel} on average, {most} at most"));
        line("memory a call", format!("{} bytes at most", grouped(self.memory_bytes_max)));
        line("time a call", format!("{} ns on average", grouped(self.ns / calls)));
        text
    }
}

impl Answer {
    /// Names of the columns that `columns` gives.
    #[must_use]
    pub fn header(world: World) -> String {
        let answer = match world {
            World::Pricing => format!("{:>12} {:<24}", "charge", "reason"),
            World::Threshold => format!("{:<8} {:>8} {:<24}", "action", "usage", "reason"),
            World::Refund => format!("{:<8} {:>12} {:<24}", "action", "refund", "reason"),
            World::Notification => format!("{:<24}", "messages"),
        };
        let campaign = if world == World::Pricing { "campaign" } else { "" };
        format!("{:>7} {campaign:<16} {answer} {:>9} {:>9} {:>9}", "line", "fuel", "bytes", "ns")
    }

    /// One line, or several when the answer has several rows.
    #[must_use]
    pub fn columns(&self, world: World) -> String {
        let (line, campaign) = (self.line, &self.campaign);
        if let Some(Failure { code, sentence }) = &self.failure {
            return format!("{line:>7} {campaign:<16} {code}: {sentence}");
        }
        let cost = format!("{:>9} {:>9} {:>9}", self.fuel, self.memory_bytes, self.ns);
        let row = |row: &BTreeMap<&'static str, String>| {
            let text = |name| row.get(name).map_or("", String::as_str);
            match world {
                World::Pricing => format!("{:>12} {:<24}", text("charge"), text("reason")),
                World::Threshold => {
                    format!("{:<8} {:>8} {:<24}", text("action"), text("usage"), text("reason"))
                }
                World::Refund => {
                    format!("{:<8} {:>12} {:<24}", text("action"), text("refund"), text("reason"))
                }
                World::Notification => {
                    format!("{}:{} {}", text("channel"), text("route"), text("title"))
                }
            }
        };
        let rows: Vec<String> = match self.rows.as_slice() {
            [] => vec![format!("{:<24}", "(none)")],
            rows => rows.iter().map(row).collect(),
        };
        let rows = rows.iter().map(|row| format!("{line:>7} {campaign:<16} {row} {cost}"));
        rows.collect::<Vec<_>>().join("\n")
    }
}
