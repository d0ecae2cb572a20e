//! What the watch has found, for the admin listener.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tollgate_ledger::{ClickCount, DuplicateRates, Finding, RateScope, WatchState, Window};

use crate::channels::rfc3339;
use crate::metrics::{Metric, escaped};

/// Findings that `/status` lists at most.
const LISTED_MAX: usize = 100;

/// Safe to share.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    findings: Vec<Finding>,
    state: Option<WatchState>,
    /// Only on the host that watches.
    rates: Option<DuplicateRates>,
}

/// As `/status` shows it.
#[derive(Debug, Serialize)]
pub struct WatchPage {
    /// Whether this host is the one that watches.
    watcher: bool,
    /// Offsets that were left at the last lap, and the age of the last complete view.
    behind: Option<i64>,
    caught_up_s: Option<i64>,
    findings: Vec<FindingLine>,
    /// Clicks and duplicates of all advertisers, by window; empty on other hosts.
    duplicates: BTreeMap<&'static str, RateLine>,
}

#[derive(Debug, Serialize)]
struct FindingLine {
    claim: String,
    subject: String,
    advertiser: String,
    expected: i64,
    found: Option<i64>,
    detail: String,
    found_at: String,
}

#[derive(Debug, Serialize)]
struct RateLine {
    clicks: i64,
    duplicates: i64,
    rate_ppm: u32,
}

impl Board {
    pub fn set_findings(&self, findings: Vec<Finding>, state: WatchState) {
        let mut inner = self.lock();
        inner.findings = findings;
        inner.state = Some(state);
    }

    pub fn set_rates(&self, rates: Option<DuplicateRates>) {
        self.lock().rates = rates;
    }

    /// Why the host is not ready: a sentence for each advertiser, and for each place that belongs to none.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let inner = self.lock();
        let mut by_owner: BTreeMap<String, (usize, &Finding)> = BTreeMap::new();
        for finding in &inner.findings {
            by_owner.entry(owner(finding)).or_insert((0, finding)).0 += 1;
        }
        let sentence = |(owner, (count, first)): (String, (usize, &Finding))| {
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            format!(
                "the ledger does not add up for {owner}: {}{more}; run `tollgate audit`",
                first.detail
            )
        };
        by_owner.into_iter().map(sentence).collect()
    }

    #[must_use]
    pub fn page(&self) -> WatchPage {
        let inner = self.lock();
        let totals = inner.rates.as_ref().map(|rates| rates.totals);
        let line = |(window, count): (Window, ClickCount)| (window.as_str(), RateLine::from(count));
        WatchPage {
            watcher: totals.is_some(),
            behind: inner.state.map(|state| state.behind),
            caught_up_s: inner.state.and_then(|state| state.caught_up_s),
            findings: inner.findings.iter().take(LISTED_MAX).map(FindingLine::from).collect(),
            duplicates: totals
                .into_iter()
                .flat_map(|totals| Window::ALL.into_iter().zip(totals))
                .map(line)
                .collect(),
        }
    }

    /// The duplicate rates as Prometheus reads them. Written here, because a rate that is no longer among the first has to
    /// go, and the recorder keeps whatever it has once seen.
    #[must_use]
    pub fn metrics(&self) -> String {
        let inner = self.lock();
        let mut text = String::new();
        let Some(rates) = &inner.rates else { return text };
        for metric in [Metric::WindowClicks, Metric::WindowDuplicates] {
            head(&mut text, metric);
            for (window, count) in Window::ALL.iter().zip(&rates.totals) {
                let is_clicks = matches!(metric, Metric::WindowClicks);
                let value = if is_clicks { count.clicks } else { count.duplicates };
                line(&mut text, metric, &format!("window=\"{}\"", window.as_str()), value);
            }
        }
        head(&mut text, Metric::DuplicateRatePpm);
        for rate in &rates.rates {
            let is_campaign = rate.scope == RateScope::Campaign;
            let id = if is_campaign { &rate.campaign } else { &rate.advertiser };
            let labels = format!(
                "scope=\"{}\",id=\"{}\",window=\"{}\"",
                rate.scope.as_str(),
                escaped(id),
                rate.window.as_str()
            );
            line(&mut text, Metric::DuplicateRatePpm, &labels, rate.count.rate_ppm().into());
        }
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose money is concerned, in words.
fn owner(finding: &Finding) -> String {
    if finding.advertiser.is_empty() {
        format!("{} {}", finding.claim, finding.subject).trim_end().to_owned()
    } else {
        format!("advertiser {}", finding.advertiser)
    }
}

fn head(text: &mut String, metric: Metric) {
    let (name, help) = (metric.name(), metric.help());
    *text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(text: &mut String, metric: Metric, labels: &str, value: i64) {
    *text += &format!("{}{{{labels}}} {value}\n", metric.name());
}

impl From<&Finding> for FindingLine {
    fn from(finding: &Finding) -> Self {
        Self {
            claim: finding.claim.clone(),
            subject: finding.subject.clone(),
            advertiser: finding.advertiser.clone(),
            expected: finding.expected,
            found: finding.found,
            detail: finding.detail.clone(),
            found_at: rfc3339(finding.found_at_us),
        }
    }
}

impl From<ClickCount> for RateLine {
    fn from(count: ClickCount) -> Self {
        Self { clicks: count.clicks, duplicates: count.duplicates, rate_ppm: count.rate_ppm() }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_ledger::DuplicateRate;

    use super::*;

    fn finding(claim: &str, subject: &str, advertiser: &str) -> Finding {
        Finding {
            source: "WATCH".to_owned(),
            claim: claim.to_owned(),
            subject: subject.to_owned(),
            advertiser: advertiser.to_owned(),
            campaign: String::new(),
            day: None,
            expected: 1,
            found: Some(2),
            detail: format!("{subject} is wrong"),
            found_at_us: 0,
        }
    }

    #[test]
    fn each_advertiser_has_one_sentence() {
        let board = Board::default();
        assert!(board.complaints().is_empty());
        let findings = vec![
            finding("balances", "a", "a"),
            finding("spend", "c 2026-11-21", "a"),
            finding("balances", "b", "b"),
            finding("fates", "t/0/1", ""),
        ];
        board.set_findings(findings, WatchState::default());
        let expected = [
            "the ledger does not add up for advertiser a: a is wrong (and 1 more); run `tollgate audit`",
            "the ledger does not add up for advertiser b: b is wrong; run `tollgate audit`",
            "the ledger does not add up for fates t/0/1: t/0/1 is wrong; run `tollgate audit`",
        ];
        assert_eq!(board.complaints(), expected);
    }

    #[test]
    fn rates_are_metrics_while_this_host_watches() {
        let board = Board::default();
        assert_eq!(board.metrics(), "");
        let count = ClickCount { clicks: 4, duplicates: 1 };
        let rate = DuplicateRate {
            scope: RateScope::Campaign,
            window: Window::Hour,
            advertiser: "a".to_owned(),
            campaign: "c\"\\\n".to_owned(),
            count,
        };
        board.set_rates(Some(DuplicateRates {
            as_of_us: 0,
            totals: [count; 3],
            rates: vec![rate],
        }));
        let text = board.metrics();
        for line in [
            "tollgate_clicks{window=\"5m\"} 4",
            "tollgate_duplicate_clicks{window=\"1d\"} 1",
            "tollgate_duplicate_rate_ppm{scope=\"campaign\",id=\"c\\\"\\\\\\n\",window=\"1h\"} 250000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        board.set_rates(None);
        assert_eq!(board.metrics(), "");
    }
}
