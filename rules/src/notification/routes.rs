//! Who is told: routes by severity, and by advertiser.

use tollgate_sdk::about::Given;
use tollgate_sdk::happening::{Channel, Severity};

/// Longest name of a route that the host takes, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Most routes of one advertiser, each of which is a message about every happening of theirs.
const ROUTES_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) channel: Channel,
    pub(super) name: String,
}

#[derive(Clone, Debug)]
pub(super) struct Routes {
    info: Vec<Route>,
    warning: Vec<Route>,
    critical: Vec<Route>,
    /// Instead of those by severity.
    advertisers: Vec<(String, Vec<Route>)>,
}

impl Routes {
    /// The routes, and the entries of `advertiser_routes` that cannot be read.
    pub(super) fn read(given: &Given) -> (Self, Vec<&str>) {
        let routes = |slack, email| {
            let both = [(Channel::Slack, slack), (Channel::Email, email)];
            let named = both.map(|(channel, param)| (channel, given.text(param).trim()));
            let named = named.into_iter().filter(|(_, name)| !name.is_empty());
            named.map(|(channel, name)| Route { channel, name: name.to_owned() }).collect()
        };
        let (advertisers, unreadable) = advertisers(given.text("advertiser_routes"));
        let routes = Self {
            info: routes("slack_info", "email_info"),
            warning: routes("slack_warning", "email_warning"),
            critical: routes("slack_critical", "email_critical"),
            advertisers,
        };
        (routes, unreadable)
    }

    pub(super) fn of(&self, advertiser: &str, severity: Severity) -> &[Route] {
        if let Some((_, routes)) = self.advertisers.iter().find(|(id, _)| id == advertiser) {
            return routes;
        }
        match severity {
            Severity::Info => &self.info,
            Severity::Warning => &self.warning,
            Severity::Critical => &self.critical,
        }
    }
}

/// Reads `advertiser_50=slack:team-a+email:finance, advertiser_7=email:desk`. An advertiser that is named twice keeps
/// its first entry.
fn advertisers(text: &str) -> (Vec<(String, Vec<Route>)>, Vec<&str>) {
    let (mut advertisers, mut unreadable) = (Vec::<(String, Vec<Route>)>::new(), Vec::new());
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match advertiser(entry) {
            Some((id, routes)) if advertisers.iter().all(|(known, _)| known != id) => {
                advertisers.push((id.to_owned(), routes));
            }
            _ => unreadable.push(entry),
        }
    }
    (advertisers, unreadable)
}

fn advertiser(entry: &str) -> Option<(&str, Vec<Route>)> {
    let (id, routes) = entry.split_once('=')?;
    let routes = routes.split('+').map(route).collect::<Option<Vec<_>>>()?;
    let id = id.trim();
    (!id.is_empty() && routes.len() <= ROUTES_MAX).then_some((id, routes))
}

fn route(text: &str) -> Option<Route> {
    let (channel, name) = text.split_once(':')?;
    let channel = match channel.trim() {
        "slack" => Channel::Slack,
        "email" => Channel::Email,
        _ => return None,
    };
    let name = name.trim();
    let plain = |letter: char| !letter.is_control() && !matches!(letter, ':' | '=' | ' ');
    let good = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(plain);
    good.then(|| Route { channel, name: name.to_owned() })
}
