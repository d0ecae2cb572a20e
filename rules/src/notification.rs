//! Messages about budgets and failures: one for each route, in English or Korean, held back at night. Everything that
//! operators usually change is a parameter.

mod routes;
mod words;

use tollgate_sdk::about::{Description, Given, Param};
use tollgate_sdk::happening::{Happening, Kind, Message, Severity};
use tollgate_sdk::shown::{cut, one_line};

use routes::Routes;
use words::Language;

const MINUTES_OF_DAY: u32 = 24 * 60;
/// The host refuses longer titles and bodies.
const TITLE_BYTES_MAX: usize = 300;
const BODY_BYTES_MAX: usize = 8_000;
const ROUTE_BYTES_MAX: i64 = routes::NAME_BYTES_MAX as i64;

const PARAMS: &[Param] = &[
    Param::text("language", "en", 8).help("Language of the messages: en or ko."),
    Param::minutes("quiet_from", 0)
        .between(0, 1_439)
        .help("Local time at which quiet hours begin, such as 22:00; equal to quiet_until: none."),
    Param::minutes("quiet_until", 0)
        .between(0, 1_439)
        .help("Local time at which quiet hours end; what was held back is sent then."),
    Param::toggle("quiet_spares_critical", true)
        .help("Whether critical messages are sent at once in quiet hours as well."),
    Param::minutes("min_gap", 0)
        .between(0, 10_080)
        .help("Silence until the last message of a campaign and kind is this old; never for pause and resume."),
    Param::text("slack_info", "default", ROUTE_BYTES_MAX)
        .help("Slack route of info: resumed, crossings of a day that is over; empty: none."),
    Param::text("slack_warning", "default", ROUTE_BYTES_MAX)
        .help("Slack route of warnings: budget warnings, dead letters, duplicates; empty: none."),
    Param::text("slack_critical", "default", ROUTE_BYTES_MAX)
        .help("Slack route of what is critical: pauses and everything that failed; empty: none."),
    Param::text("email_info", "", ROUTE_BYTES_MAX).help("E-mail route of info; empty: none."),
    Param::text("email_warning", "default", ROUTE_BYTES_MAX)
        .help("E-mail route of warnings; empty: none."),
    Param::text("email_critical", "default", ROUTE_BYTES_MAX)
        .help("E-mail route of what is critical; empty: none."),
    Param::text("advertiser_routes", "", 4_000).help(
        "Routes of single advertisers instead of those above: \
         advertiser_50=slack:team-a+email:finance, advertiser_7=email:desk",
    ),
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    language: Language,
    quiet_from: u32,
    quiet_until: u32,
    quiet_spares_critical: bool,
    min_gap_minutes: u32,
    routes: Routes,
    /// Ends every body: parameters that could not be read, so that operators see them at once. Mostly empty.
    complaint: String,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        let (routes, unreadable) = Routes::read(given);
        let (language, known) = Language::read(given.text("language"));
        let unknown = (!known).then(|| given.text("language"));
        Self {
            language,
            quiet_from: given.whole("quiet_from"),
            quiet_until: given.whole("quiet_until"),
            quiet_spares_critical: given.toggle("quiet_spares_critical"),
            min_gap_minutes: given.whole("min_gap"),
            routes,
            complaint: words::complaint(language, unknown, &unreadable),
        }
    }
}

/// The fuel is for the longest texts: reading the parameters takes up to half of the base, wording a happening for as
/// many routes as one advertiser can have up to two thirds of a row's.
#[must_use]
pub fn describe() -> Description {
    Description::new("budget-messages", "1.0.0").params(PARAMS).fuel(5_000_000, 100_000)
}

/// Words one happening; any number of messages, none for silence.
#[must_use]
pub fn compose(happening: &Happening, params: &Params) -> Vec<Message> {
    if is_too_soon(happening, params) {
        return Vec::new();
    }
    let severity = severity(happening);
    let title = one_line(&words::title(params.language, happening));
    let title = cut(&title, TITLE_BYTES_MAX);
    let body = words::body(params.language, happening);
    let body = cut(&body, BODY_BYTES_MAX - params.complaint.len()) + &*params.complaint;
    let delay_minutes = delay_minutes(happening, severity, params);
    let routes = params.routes.of(&happening.advertiser, severity).iter();
    routes
        .map(|route| Message {
            channel: route.channel,
            route: route.name.clone(),
            severity,
            title: title.to_string(),
            body: body.to_string(),
            delay_minutes,
        })
        .collect()
}

fn severity(happening: &Happening) -> Severity {
    match happening.kind {
        _ if happening.is_late() => Severity::Info,
        Kind::Resumed => Severity::Info,
        Kind::Warning | Kind::DeadLetters | Kind::DuplicateRate => Severity::Warning,
        Kind::Paused
        | Kind::RefundFailed
        | Kind::RuleFault
        | Kind::PauseRefused
        | Kind::DeliveryFailed
        | Kind::AuditMismatch
        | Kind::PartitionHalted => Severity::Critical,
    }
}

/// Whether people have just heard of the like. What starts and stops a campaign is always told.
fn is_too_soon(happening: &Happening, params: &Params) -> bool {
    let always = matches!(happening.kind, Kind::Paused | Kind::Resumed);
    let since_last = happening.minutes_since_last;
    !always && since_last.is_some_and(|minutes| minutes < params.min_gap_minutes)
}

/// Minutes to the end of the quiet hours by the local clock; a change to or from summer time in between is not
/// counted.
fn delay_minutes(happening: &Happening, severity: Severity, params: &Params) -> u32 {
    if severity == Severity::Critical && params.quiet_spares_critical {
        return 0;
    }
    let after = |from: u32, to: u32| (to + MINUTES_OF_DAY - from) % MINUTES_OF_DAY;
    let now = u32::from(happening.local_minute) % MINUTES_OF_DAY;
    let quiet = after(params.quiet_from, params.quiet_until);
    if after(params.quiet_from, now) < quiet { after(now, params.quiet_until) } else { 0 }
}

#[cfg(test)]
mod tests;
