//! Who is told what: one message to Slack for everything, and one by e-mail for what cannot wait.
//!
//! A route is a name; the host's configuration knows the address behind it. An empty route is silence.

use tollgate_sdk::about::{Description, Given, Param};
use tollgate_sdk::happening::{Channel, Happening, Kind, Message, Severity};
use tollgate_sdk::shown::{amount, cut, one_line, percent};

// Makes a module of this file: `describe`, `Params` and `compose`.
tollgate_sdk::notification_module!(crate);

/// The host refuses longer bodies.
const BODY_BYTES_MAX: usize = 8_000;

// What operators may set without a new module: name, default, greatest length, and one line that explains it.
const PARAMS: &[Param] = &[
    Param::text("slack", "default", 64).help("Slack route of every message; empty: none."),
    Param::text("email", "", 64).help("E-mail route of what is critical; empty: none."),
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    pub slack: String,
    pub email: String,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { slack: given.text("slack").to_owned(), email: given.text("email").to_owned() }
    }
}

/// What the host reads when it admits the module. Words cost more fuel than figures: for one call, and for each
/// happening.
#[must_use]
pub fn describe() -> Description {
    Description::new("{{name}}", "0.1.0").params(PARAMS).fuel(500_000, 100_000)
}

/// Words one happening; any number of messages, none for silence.
#[must_use]
pub fn compose(happening: &Happening, params: &Params) -> Vec<Message> {
    let severity = severity(happening);
    let mut routes = vec![(Channel::Slack, &params.slack)];
    if severity == Severity::Critical {
        routes.push((Channel::Email, &params.email));
    }
    let routes = routes.into_iter().filter(|(_, route)| !route.is_empty());
    routes
        .map(|(channel, route)| Message {
            channel,
            route: route.clone(),
            severity,
            title: title(happening),
            body: cut(&body(happening), BODY_BYTES_MAX).into_owned(),
            delay_minutes: 0,
        })
        .collect()
}

fn severity(happening: &Happening) -> Severity {
    match happening.kind {
        // A crossing of a day that is over; nothing is paused by it.
        _ if happening.is_late() => Severity::Info,
        Kind::Resumed => Severity::Info,
        Kind::Warning | Kind::DeadLetters | Kind::DuplicateRate => Severity::Warning,
        _ => Severity::Critical,
    }
}

fn title(happening: &Happening) -> String {
    let campaign = one_line(&cut(&happening.campaign, 100));
    match happening.kind {
        Kind::Warning => {
            format!("{campaign} has used {} % of its budget", percent(happening.usage_ppm))
        }
        Kind::Paused => format!("{campaign} is paused: its budget is used up"),
        Kind::Resumed => format!("{campaign} runs again"),
        kind => format!("tollgate: {kind:?} ({})", happening.count),
    }
}

fn body(happening: &Happening) -> String {
    let spend = match (happening.spent_micros, happening.budget_micros) {
        (Some(spent), Some(budget)) => {
            format!("Spent {} of {} on {}. ", amount(spent), amount(budget), happening.day)
        }
        _ => String::new(),
    };
    spend + &happening.detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_critical_also_goes_by_mail() {
        let check = |kind, titles: &[&str]| {
            let params = Params { slack: "desk".to_owned(), email: "finance".to_owned() };
            let happening = Happening::example(kind, "campaign_1", "advertiser_1");
            let messages = compose(&happening, &params);
            let found: Vec<_> = messages.iter().map(|message| &*message.title).collect();
            assert_eq!(found, titles);
        };
        check(Kind::Resumed, &["campaign_1 runs again"]);
        let paused = "campaign_1 is paused: its budget is used up";
        check(Kind::Paused, &[paused, paused]);
    }
}
