//! Budgets as a table: days, zones, daylight saving, late and early clicks, raised and lowered budgets, refunds,
//! people's pauses, resumes. Each line runs on both databases with the shipped rules.
//!
//! A line is `zone | budget | steps => crossings | status | days`.
//! - `@TIME` moves the present, in UTC. `N` is a click of N units now, `N@TIME` one that happened then.
//! - `budget=N`, `budget=none`, `zone=NAME`, `person` (a person pauses), `activate`, `delete`: what others do to the row.
//! - `counter=N` is what Redis counts, `counter=none` the end of it. `refund=N` gives N of the last click back.
//! - `look` is the host's look without a click, `restart` forgets everything that was remembered.
//! - crossings are `kind:day-of-month`; days are `day-of-month=spent`, with `+N` for what came after a pause.

#[expect(dead_code, reason = "the splits use more of it")]
mod desk;

use tollgate_domain::book::Status;
use tollgate_domain::money::Micros;
use tollgate_ledger::NewCampaign;
use tollgate_tests::servers::Servers;
use tollgate_tests::servers::folder::Folder;
use tollgate_tests::servers::postgres::create_database;

use desk::{Desk, UNIT};

const TABLE: &[&str] = &[
    // Levels.
    "Asia/Seoul | 100 | 89 => | ACTIVE | 15=89",
    "Asia/Seoul | 100 | 90 => WARN:15 | ACTIVE | 15=90",
    "Asia/Seoul | 100 | 89 1 1 => WARN:15 | ACTIVE | 15=91",
    "Asia/Seoul | 100 | 90 10 => WARN:15 PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 100 => PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 100 5 6 => PAUSE:15 | PAUSED | 15=111+11",
    "Asia/Seoul | 100 | 90 restart 1 restart 9 restart 1 => WARN:15 PAUSE:15 | PAUSED | 15=101+1",
    "Asia/Seoul | none | 100000 look => | ACTIVE | 15=100000",
    "Asia/Seoul | 0 | look => | ACTIVE |",
    "Asia/Seoul | 0 | 1 1 => PAUSE:15 | PAUSED | 15=2+1",
    // The day is the event's, in the campaign's zone.
    "Asia/Seoul | 100 | @2026-01-15T14:59:59Z 90 @2026-01-15T15:00:00Z 50 => WARN:15 | ACTIVE | 15=90 16=50",
    "UTC | 100 | @2026-01-15T23:59:59Z 90 @2026-01-16T00:00:00Z 10 => WARN:15 | ACTIVE | 15=90 16=10",
    "Asia/Kathmandu | 100 | @2026-01-15T18:14:59Z 60 @2026-01-15T18:15:00Z 60 => | ACTIVE | 15=60 16=60",
    "America/New_York | 100 | @2026-01-15T04:59:59Z 95 @2026-01-15T05:00:00Z 20 => WARN:14 | ACTIVE | 14=95 15=20",
    "Pacific/Apia | 100 | @2026-01-15T11:00:00Z 95 => WARN:16 | ACTIVE | 16=95",
    // A late click counts to its own day and pauses nothing today.
    "Asia/Seoul | 100 | @2026-01-15T15:10:00Z 100@2026-01-15T14:59:00Z => | ACTIVE | 15=100",
    "Asia/Seoul | 100 | @2026-01-15T15:10:00Z 95@2026-01-15T14:59:00Z => WARN:15 | ACTIVE | 15=95",
    "Asia/Seoul | 100 | @2026-01-15T15:10:00Z 100@2026-01-15T14:59:00Z 95 => WARN:16 | ACTIVE | 15=100 16=95",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:10:00Z 7@2026-01-15T14:59:00Z => PAUSE:15 | PAUSED | 15=107+7",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:10:00Z look 7@2026-01-15T14:59:00Z => PAUSE:15 RESUME:16 | ACTIVE | 15=107+7 16=0",
    // An early one (a clock that runs ahead) counts to tomorrow.
    "Asia/Seoul | 100 | @2026-01-15T14:59:00Z 95@2026-01-15T15:01:00Z => WARN:16 | ACTIVE | 16=95",
    "Asia/Seoul | 100 | @2026-01-15T14:59:00Z 100@2026-01-15T15:01:00Z => | ACTIVE | 16=100",
    "Asia/Seoul | 100 | @2026-01-15T14:59:00Z 100@2026-01-15T15:01:00Z @2026-01-15T15:02:00Z look => PAUSE:16 | PAUSED | 16=100",
    // Resume: a state, not an appointment.
    "Asia/Seoul | 100 | 100 look look => PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 100 @2026-01-15T14:59:59Z look => PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:00:00Z look => PAUSE:15 RESUME:16 | ACTIVE | 15=100 16=0",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:00:00Z look look restart look => PAUSE:15 RESUME:16 | ACTIVE | 15=100 16=0",
    "Asia/Seoul | 100 | 100 @2026-01-19T03:00:00Z restart look => PAUSE:15 RESUME:19 | ACTIVE | 15=100 19=0",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:00:01Z 30 look => PAUSE:15 RESUME:16 | ACTIVE | 15=100 16=30",
    "Asia/Seoul | 100 | 100 @2026-01-15T15:00:01Z 100 look => PAUSE:15 PAUSE:16 | PAUSED | 15=100 16=100",
    "Asia/Seoul | 100 | 100 @2026-01-15T16:00:00Z look 90 10 @2026-01-16T16:00:00Z look => PAUSE:15 RESUME:16 WARN:16 PAUSE:16 RESUME:17 | ACTIVE | 15=100 16=100 17=0",
    // Daylight saving: the day has 23 or 25 hours.
    "America/New_York | 100 | @2026-03-08T06:00:00Z 100 @2026-03-09T03:59:59Z look => PAUSE:08 | PAUSED | 08=100",
    "America/New_York | 100 | @2026-03-08T06:00:00Z 100 @2026-03-09T04:00:00Z look => PAUSE:08 RESUME:09 | ACTIVE | 08=100 09=0",
    "America/New_York | 100 | @2026-11-01T04:00:00Z 100 @2026-11-02T04:59:59Z look => PAUSE:01 | PAUSED | 01=100",
    "America/New_York | 100 | @2026-11-01T04:00:00Z 100 @2026-11-02T05:00:00Z look => PAUSE:01 RESUME:02 | ACTIVE | 01=100 02=0",
    "Europe/Berlin | 100 | @2026-10-25T00:30:00Z 50 @2026-10-25T01:30:00Z 45 @2026-10-25T22:59:59Z 5 => WARN:25 PAUSE:25 | PAUSED | 25=100",
    "America/Sao_Paulo | 100 | @2018-11-03T20:00:00Z 100 @2018-11-04T02:59:59Z look @2018-11-04T03:00:00Z look => PAUSE:03 RESUME:04 | ACTIVE | 03=100 04=0",
    // A raised budget resumes, and its levels count anew.
    "Asia/Seoul | 100 | 100 budget=200 look => PAUSE:15 RESUME:15 | ACTIVE | 15=100",
    "Asia/Seoul | 100 | 100 budget=200 look 80 20 => PAUSE:15 RESUME:15 WARN:15 PAUSE:15 | PAUSED | 15=200",
    "Asia/Seoul | 100 | 90 budget=200 89 1 => WARN:15 WARN:15 | ACTIVE | 15=180",
    "Asia/Seoul | 100 | 100 budget=200 50 => PAUSE:15 RESUME:15 | ACTIVE | 15=150",
    "Asia/Seoul | 100 | 120 budget=110 look look => PAUSE:15 PAUSE:15 | PAUSED | 15=120",
    "Asia/Seoul | 100 | 100 budget=none look => PAUSE:15 RESUME:15 | ACTIVE | 15=100",
    "Asia/Seoul | 100 | 100 budget=200 look budget=100 look => PAUSE:15 RESUME:15 PAUSE:15 | PAUSED | 15=100",
    // A lowered one pauses at the next click or look.
    "Asia/Seoul | 100 | 60 budget=50 look look => PAUSE:15 | PAUSED | 15=60",
    "Asia/Seoul | 100 | 60 budget=50 1 => PAUSE:15 | PAUSED | 15=61",
    "Asia/Seoul | 100 | 60 budget=65 look => WARN:15 | ACTIVE | 15=60",
    "Asia/Seoul | none | 60 budget=50 look => PAUSE:15 | PAUSED | 15=60",
    // Refunds give the day's spend back; a campaign that was paused stays paused until tomorrow.
    "Asia/Seoul | 100 | 89 refund=20 20 1 => WARN:15 | ACTIVE | 15=90",
    "Asia/Seoul | 100 | 90 refund=30 30 => WARN:15 | ACTIVE | 15=90",
    "Asia/Seoul | 100 | 100 refund=50 look => PAUSE:15 | PAUSED | 15=50",
    "Asia/Seoul | 100 | 100 refund=50 @2026-01-15T15:00:00Z look => PAUSE:15 RESUME:16 | ACTIVE | 15=50 16=0",
    // What people do is theirs.
    "Asia/Seoul | 100 | person 100 look => | PAUSED by a person | 15=100",
    "Asia/Seoul | 100 | person 100 @2026-01-16T15:00:00Z look => | PAUSED by a person | 15=100",
    "Asia/Seoul | 100 | 100 person @2026-01-15T15:00:00Z look => PAUSE:15 | PAUSED by a person | 15=100",
    "Asia/Seoul | 100 | 100 activate 5 look => PAUSE:15 | ACTIVE | 15=105+5",
    "Asia/Seoul | 100 | 100 activate 5 @2026-01-15T15:00:00Z 100 => PAUSE:15 PAUSE:16 | PAUSED | 15=105+5 16=100",
    "Asia/Seoul | 100 | 95 delete 10 look => WARN:15 | DELETED | 15=105",
    "Asia/Seoul | 100 | @2026-01-15T11:30:00Z 100 zone=Pacific/Apia look => PAUSE:15 RESUME:16 | ACTIVE | 15=100 16=0",
    // Redis' counter: believed when it is ahead, above the floor, about today, and not absurd.
    "Asia/Seoul | 100 | counter=90 60 => WARN:15 | ACTIVE | 15=60",
    "Asia/Seoul | 100 | counter=100 60 => PAUSE:15 | PAUSED | 15=60",
    "Asia/Seoul | 100 | counter=100 49 1 => PAUSE:15 | PAUSED | 15=50",
    "Asia/Seoul | 100 | counter=100 49 => | ACTIVE | 15=49",
    "Asia/Seoul | 100 | counter=5 90 => WARN:15 | ACTIVE | 15=90",
    "Asia/Seoul | 100 | counter=1001 60 => | ACTIVE | 15=60",
    "Asia/Seoul | 100 | counter=100 @2026-01-15T15:10:00Z 60@2026-01-15T14:59:00Z => | ACTIVE | 15=60",
];

/// Where the customer does not want to charge after a pause.
const WAIVING: &[&str] = &[
    "Asia/Seoul | 100 | 60 60 5 5 => PAUSE:15 | PAUSED | 15=120",
    "Asia/Seoul | 100 | 60 60 5 budget=200 look 5 => PAUSE:15 RESUME:15 | ACTIVE | 15=125",
    "Asia/Seoul | 100 | 100 5 @2026-01-15T15:00:00Z look 5 => PAUSE:15 RESUME:16 | ACTIVE | 15=100 16=5",
    "Asia/Seoul | none | 100 5 => | ACTIVE | 15=105",
];

/// Where the customer wants campaigns to run again when a refund makes room.
const RESUMING: &[&str] = &[
    "Asia/Seoul | 100 | 100 refund=50 look => PAUSE:15 RESUME:15 | ACTIVE | 15=50",
    "Asia/Seoul | 100 | 110 refund=10 look => PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 110 refund=10 refund=1 => PAUSE:15 RESUME:15 | ACTIVE | 15=99",
    // The room is used up again: a pause of its own, in a later round.
    "Asia/Seoul | 100 | 100 refund=50 restart 50 look => PAUSE:15 RESUME:15 PAUSE:15 | PAUSED | 15=100",
    "Asia/Seoul | 100 | 100 refund=50 restart 50 refund=50 => PAUSE:15 RESUME:15 PAUSE:15 RESUME:15 | ACTIVE | 15=50",
    // A look is no refund, and a person's pause is theirs.
    "Asia/Seoul | 100 | counter=100 60 counter=none look => PAUSE:15 | PAUSED | 15=60",
    "Asia/Seoul | 100 | 100 person refund=50 => PAUSE:15 | PAUSED by a person | 15=50",
    // A refund of a day that is over makes no room today.
    "Asia/Seoul | 100 | 100 @2026-01-15T15:10:00Z refund=50 => PAUSE:15 | PAUSED | 15=50",
];

fn campaign(zone: &str, budget: &str) -> NewCampaign {
    NewCampaign {
        id: "c".into(),
        advertiser: "a".into(),
        status: Status::Active,
        daily_budget: (budget != "none").then(|| units(budget)),
        cpc: Micros(UNIT),
        time_zone: zone.to_owned(),
        ad: Default::default(),
    }
}

fn units(text: &str) -> Micros {
    Micros(text.parse::<i64>().unwrap_or_else(|_| panic!("{text:?} is no amount")) * UNIT)
}

fn at_us(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap_or_else(|_| panic!("{text:?}")).as_microsecond()
}

fn step(desk: &mut Desk, step: &str) {
    let set = |desk: &mut Desk, change: &str| {
        desk.reader.execute(&format!("UPDATE campaigns SET {change}")).unwrap();
    };
    match step.split_once('=') {
        Some(("budget", "none")) => set(desk, "daily_budget_micros = NULL"),
        Some(("budget", amount)) => {
            set(desk, &format!("daily_budget_micros = {}", units(amount).0));
        }
        Some(("zone", zone)) => set(desk, &format!("time_zone = '{zone}'")),
        Some(("counter", "none")) => desk.hint.counter = None,
        Some(("counter", amount)) => desk.hint.counter = Some(units(amount)),
        Some(("refund", amount)) => desk.give_back(units(amount)),
        Some(_) => panic!("no step {step:?}"),
        None => match step {
            "look" => desk.look(&["c"]),
            "restart" => desk.book = Default::default(),
            "person" => set(desk, "status = 'PAUSED', paused_reason = 'FRAUD_SUSPECTED'"),
            "activate" => set(desk, "status = 'ACTIVE', paused_reason = NULL"),
            "delete" => set(desk, "status = 'DELETED'"),
            _ if step.starts_with('@') => desk.now_us = at_us(&step[1..]),
            _ => click(desk, step),
        },
    }
}

fn click(desk: &mut Desk, step: &str) {
    let (amount, at) = step.split_once('@').unwrap_or((step, ""));
    let at_us = if at.is_empty() { desk.now_us } else { at_us(at) };
    let at = jiff::Timestamp::from_microsecond(at_us).unwrap();
    desk.clicked_us = at_us;
    desk.hint.cached_price = Some(units(amount));
    let payload = format!(
        r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"c","advertiser_id":"a","device_id":"d"}}"#
    );
    let slice = desk.slice(0, &[payload]);
    desk.charge(vec![slice], false);
}

/// What the line's right side describes.
fn outcome(desk: &mut Desk) -> String {
    let day_of_month = |day: &str| day.rsplit('-').next().unwrap_or_default().to_owned();
    // The audit proves that each crossing has its message; messages know their order.
    let keys =
        desk.reader.texts("SELECT dedup_key FROM outbox WHERE kind <> 'PAUSE_REFUSED' ORDER BY id");
    let crossings: Vec<_> = keys
        .unwrap()
        .iter()
        .map(|key| {
            let parts: Vec<_> = key.split(':').collect();
            let kind = if parts[0] == "warning" { "WARN" } else { &parts[0].to_uppercase() };
            format!("{kind}:{}", day_of_month(parts[2]))
        })
        .collect();
    let campaigns = desk.reader.campaigns().unwrap();
    let status = match campaigns[0].paused_reason.as_deref() {
        Some("FRAUD_SUSPECTED") => format!("{} by a person", campaigns[0].status),
        _ => campaigns[0].status.clone(),
    };
    let days = desk.reader.texts(
        "SELECT CAST(day AS TEXT) || '=' || CAST(spent_micros / 1000000 AS TEXT) || \
         CASE overspent_micros WHEN 0 THEN '' ELSE '+' || CAST(overspent_micros / 1000000 AS TEXT) END \
         FROM campaign_daily_spend ORDER BY day",
    );
    let days: Vec<_> = days
        .unwrap()
        .iter()
        .map(|line| {
            let (day, spent) = line.split_once('=').unwrap();
            format!("{}={spent}", day_of_month(day))
        })
        .collect();
    format!("{} | {status} | {}", crossings.join(" "), days.join(" ")).trim().to_owned()
}

fn check_lines(desk: &mut Desk, lines: &[&str]) {
    let mut wrong = Vec::new();
    for line in lines {
        let (given, expected) = line.split_once("=> ").unwrap_or_else(|| panic!("{line}"));
        let parts: Vec<_> = given.splitn(3, '|').map(str::trim).collect();
        desk.begin(&[campaign(parts[0], parts[1])], 1);
        desk.put_balance("a", units("1000"));
        desk.now_us = at_us("2026-01-15T03:00:00Z");
        for word in parts[2].split_whitespace() {
            step(desk, word);
        }
        let found = outcome(desk);
        if found != expected.trim() {
            wrong.push(format!("{line}\n  found: {found}"));
        }
        desk.audit();
    }
    assert!(wrong.is_empty(), "{} lines are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(url: &str) {
    check_lines(&mut Desk::new(url, &[]), TABLE);
    check_lines(&mut Desk::new(url, &[("charge_after_pause", "false")]), WAIVING);
    check_lines(&mut Desk::new(url, &[("resume_after_refund", "true")]), RESUMING);
}

#[test]
fn postgres_keeps_budgets_as_the_table_says() {
    let servers = Servers::shared().unwrap();
    check(&create_database(&servers.postgres_url, "budgets").unwrap());
}

#[test]
fn sqlite_keeps_budgets_as_the_table_says() {
    let folder = Folder::new("budgets").unwrap();
    check(&format!("sqlite://{}", folder.file("ledger.db").display()));
}
