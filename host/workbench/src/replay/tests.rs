//! Replays with rules that are plain functions.

mod flat;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use tollgate_domain::book::{Campaign, Status};
use tollgate_domain::day::Zone;
use tollgate_domain::decide::Hint;
use tollgate_domain::money::Micros;

use super::*;
use flat::Flat;

const UNIT: i64 = 1_000_000;

fn campaign(id: &str, advertiser: &str, budget: Option<i64>, zone: &str) -> Known {
    Known {
        campaign: Campaign {
            id: id.into(),
            advertiser: advertiser.into(),
            status: Status::Active,
            paused_reason: None,
            daily_budget: budget.map(|budget| Micros(budget * UNIT)),
            cpc: Micros(10 * UNIT),
            zone: Zone::new(zone).unwrap(),
            version: 1,
        },
        balance: Micros(1_000 * UNIT),
        days: Vec::new(),
        hint: Hint::default(),
    }
}

fn campaigns() -> Vec<Known> {
    vec![
        campaign("narrow", "one", Some(100), "Asia/Seoul"),
        campaign("wide", "one", Some(1_000_000), "Asia/Kathmandu"),
        campaign("open", "two", None, "America/New_York"),
    ]
}

fn click(campaign: &str, at: &str) -> String {
    let advertiser = if campaign == "open" { "two" } else { "one" };
    format!(
        r#"{{"event_type":"CLICK","timestamp":"{at}","campaign_id":"{campaign}","advertiser_id":"{advertiser}"}}"#
    )
}

/// Clicks as `campaign@day-hour:minute` of January 2026 in UTC, and other words as they are.
fn events(words: &str) -> String {
    let mut text = String::new();
    for word in words.split_whitespace() {
        match word.split_once('@') {
            Some((campaign, at)) => {
                let (day, time) = at.split_once('-').unwrap();
                writeln!(text, "{}", click(campaign, &format!("2026-01-{day}T{time}:00Z")))
                    .unwrap();
            }
            None => writeln!(text, "{word}").unwrap(),
        }
    }
    text
}

fn run_with(events: &str, count: usize, before: Against, after: Flat, known: Vec<Known>) -> Report {
    let settings = Settings::default();
    let records = FileRecords::new(std::io::Cursor::new(events.to_owned().into_bytes()), 0, "test");
    let limits = settings.decode.clone();
    let made = replay(
        Replay {
            settings,
            before,
            after: Box::new(after),
            portions: Box::new(RecordPortions::new(records, count, limits)),
            beginning: Box::new(CampaignFile::from_iter(known)),
            about: About::default(),
        },
        &mut |_| (),
    );
    let mut report = made.unwrap();
    (report.elapsed_ms, report.clicks_per_s) = (0, 0);
    report
}

fn run(words: &str, before: Flat, after: Flat) -> Report {
    run_with(&events(words), 100, Against::Rules(Box::new(before)), after, campaigns())
}

/// Which pauses differ, as `+campaign@instant`, `-campaign@instant` and `~campaign@before>after`.
fn pauses(report: &Report) -> String {
    let time = |at_us| {
        let at = table::instant(at_us);
        format!("{}-{}", &at[8..10], &at[11..16])
    };
    let new = report.newly_paused.iter().map(|c| format!("+{}@{}", c.campaign, time(c.at_us)));
    let gone = report.no_longer_paused.iter().map(|c| format!("-{}@{}", c.campaign, time(c.at_us)));
    let moved = report.pauses_moved.iter();
    let moved =
        moved.map(|m| format!("~{}@{}>{}", m.campaign, time(m.before_us), time(m.after_us)));
    new.chain(gone).chain(moved).collect::<Vec<_>>().join(" ")
}

#[test]
fn prices_that_differ_move_money_and_pauses() {
    // `ppm`: share of the stored price that the candidate charges, against all of it.
    fn check(words: &str, ppm: i64, difference: i64, expected: &str) {
        let report = run(words, Flat::charging(UNIT), Flat::charging(ppm));
        assert_eq!(report.totals.difference_micros, i128::from(difference * UNIT), "{words}");
        assert_eq!(pauses(&report), expected, "{words}");
    }
    let ten = "narrow@15-01:00 narrow@15-02:00 narrow@15-03:00 narrow@15-04:00 narrow@15-05:00 \
               narrow@15-06:00 narrow@15-07:00 narrow@15-08:00 narrow@15-09:00 narrow@15-10:00";
    check(ten, UNIT, 0, "");
    check(ten, 900_000, -10, "-narrow@15-10:00");
    check(ten, 2 * UNIT, 100, "~narrow@15-10:00>15-05:00");
    check("open@15-01:00", 1_100_000, 1, "");
    check("narrow@15-01:00", 20 * UNIT, 190, "+narrow@15-01:00");
    // The day ends at 15:00 UTC in Seoul, and with it the pause: it can be paused anew.
    let next = format!("{ten} narrow@15-14:59 narrow@15-15:00 wide@16-01:00");
    check(&next, 10 * UNIT, 1_170, "+narrow@15-15:00 ~narrow@15-10:00>15-01:00");
    check("", 2 * UNIT, 0, "");
    check("nonsense {} []", 2 * UNIT, 0, "");
    check("unknown@15-01:00", 2 * UNIT, 0, "");
}

#[test]
fn one_wrong_timestamp_does_not_end_the_day() {
    let words = "narrow@15-01:00 wide@28-01:00 narrow@15-01:01";
    let report = run(words, Flat::charging(UNIT), Flat::charging(5 * UNIT));
    assert_eq!(pauses(&report), "+narrow@15-01:01");
}

#[test]
fn what_cannot_be_charged_is_counted_on_its_side() {
    let words = "narrow@15-01:00 unknown@15-01:00 nonsense wide@15-01:00 open@15-01:00";
    let mut failing = Flat::charging(UNIT);
    failing.fails_on = Some("wide".into());
    let report = run(words, Flat::charging(UNIT), failing);
    let Totals { before, after, .. } = &report.totals;
    assert_eq!((report.totals.clicks, report.totals.unreadable), (4, 1));
    assert_eq!((before.charged, before.dead_letters, before.faults), (3, 1, 0));
    assert_eq!((after.charged, after.dead_letters), (2, 2));
    assert!(after.faults > 1 && after.first_fault.is_some());
    let by_code = BTreeMap::from([("RULE_TRAP".into(), 1), ("UNKNOWN_CAMPAIGN".into(), 1)]);
    assert_eq!(after.dead_letters_by_code, by_code);
    assert_eq!(report.totals.clicks_changed, 1);
    let one_side = report.click_changes.last().unwrap();
    assert_eq!((one_side.change.as_str(), one_side.count), ("one side only", 1));

    let greedy = Flat::charging(1_000_000_000 * UNIT);
    let report = run("open@15-01:00", Flat::charging(UNIT), greedy);
    assert_eq!(
        report.totals.after.dead_letters_by_code,
        BTreeMap::from([("FENCE_BREACH".into(), 1)])
    );
    assert_eq!(report.campaigns[0].change_ppm, Some(-1_000_000));
}

#[test]
fn campaigns_begin_as_they_are() {
    let mut known = campaigns();
    // Paused by the budget on a day that is over: the first look lets it run again.
    known[0].campaign.status = Status::Paused;
    known[0].campaign.paused_reason = Some("BUDGET_EXHAUSTED".into());
    let seoul_15 = tollgate_domain::day::Day::from_date(jiff::civil::date(2026, 1, 15));
    let spent = tollgate_domain::book::DayState { spent: Micros(95 * UNIT), ..Default::default() };
    known[0].days.push((seoul_15, spent));
    let both = || Against::Rules(Box::new(Flat::charging(UNIT)));
    let events = events("narrow@15-01:00");
    let report = run_with(&events, 10, both(), Flat::charging(100_000), known.clone());
    assert_eq!((report.totals.before.resumes, report.totals.after.resumes), (1, 1));
    assert_eq!(pauses(&report), "-narrow@15-01:00");
    // A person's pause stays, and is no pause by the budget.
    known[0].campaign.paused_reason = Some("FRAUD".into());
    let report = run_with(&events, 10, both(), Flat::charging(100_000), known);
    assert_eq!((report.totals.before.pauses, report.totals.before.resumes), (0, 0));
    assert_eq!(report.totals.before.charged, 1);
}

/// A history in which an advertiser was charged 7 for a click of 10, after a refund of 5 that came between.
fn past() -> Vec<Portion> {
    let mut portions = Vec::new();
    for (at, moved) in [("15-01:00", 0), ("15-02:00", -5)] {
        let records = events(&format!("narrow@{at}")).into_bytes();
        let records = FileRecords::new(std::io::Cursor::new(records), 0, "past");
        let mut read = RecordPortions::new(records, 1, Settings::default().decode);
        let mut portion = read.next().unwrap().unwrap();
        let key = tollgate_domain::book::DayKey {
            campaign: "narrow".into(),
            day: tollgate_domain::day::Day::from_date(jiff::civil::date(2026, 1, 15)),
        };
        portion.facts = Some(Facts {
            now_us: portion.slice.clicks[0].occurred_at_us,
            campaigns: vec![CampaignFacts {
                campaign: "narrow".into(),
                cpc: Micros(20 * UNIT),
                daily_budget: Some(Micros(40 * UNIT)),
                standing: Standing::Open,
                cached_price: None,
                counter: None,
            }],
            days: vec![DayFacts { key, begins: None, moved: Micros(moved * UNIT) }],
            balances: Vec::new(),
            answered: Answered {
                clicks: vec![Answer { charge: Micros(7 * UNIT), reason: 0 }],
                reasons: Arc::new(vec![("RULE".into(), "THEN".into())]),
                crossings: Vec::new(),
            },
        });
        portions.push(portion);
    }
    portions
}

struct Past(std::vec::IntoIter<Portion>);

impl Portions for Past {
    fn next(&mut self) -> Result<Option<Portion>, ReplayError> {
        Ok(self.0.next())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }
}

#[test]
fn the_past_is_taken_as_it_was_answered() {
    let made = |ppm| {
        let replayed = Replay {
            settings: Settings::default(),
            before: Against::Answers,
            after: Box::new(Flat::charging(ppm)),
            portions: Box::new(Past(past().into_iter())),
            beginning: Box::new(CampaignFile::from_iter(campaigns())),
            about: About::default(),
        };
        replay(replayed, &mut |_| ()).unwrap()
    };
    let report = made(UNIT);
    assert_eq!(report.totals.before.charged_micros, i128::from(14 * UNIT));
    assert_eq!(report.totals.after.charged_micros, i128::from(40 * UNIT));
    // The refund keeps it below its budget of then.
    assert_eq!((report.newly_paused.len(), report.totals.after.pauses), (0, 0));
    assert_eq!(report.reasons[1].reason, "THEN");
    assert_eq!(made(1_150_000).newly_paused.len(), 1);
}

/// The rules' times are of the machine.
fn without_times(mut report: Report) -> Report {
    for cost in &mut report.costs {
        (cost.calls, cost.rows, cost.fuel, cost.fuel_per_row) = (0, 0, 0, 0);
        (cost.ns, cost.ns_per_row) = (0, 0);
    }
    report
}

fn shown() -> Report {
    let words = "narrow@15-01:00 wide@15-01:30 open@15-02:00 open@15-02:10 nonsense \
                 narrow@15-03:00 narrow@15-04:00 unknown@15-05:00 <wide>@15-05:00";
    let before = Flat::charging(UNIT);
    let after = Flat::charging(4 * UNIT).saying("FOUR_TIMES");
    let mut report = without_times(run(words, before, after));
    let rule = |name: &str| RuleAbout {
        kind: "pricing".into(),
        name: name.into(),
        version: "1.0.0".into(),
        digest: "0123456789abcdef".into(),
        origin: "a <test>".into(),
        params: BTreeMap::from([("share".into(), "1".into())]),
    };
    report.about = About {
        source: "events of a test".into(),
        beginning: "Both ledgers begin empty.".into(),
        before: vec![rule("cheap")],
        after: vec![rule("dear")],
        notes: vec!["Nothing & nobody.".into()],
    };
    report.left_out = vec![LeftOut { clicks: 3, why: "they were <lost>".into() }];
    report
}

#[test]
fn the_table_says_it_all() {
    insta::assert_snapshot!("table", table(&shown(), 2));
}

#[test]
fn json_says_it_all() {
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&shown()).unwrap());
}

#[test]
fn the_page_stands_alone() {
    let page = html(&shown());
    for part in ["<script", "http:", "https:", "<link", "src=", "<lost>", "a <test>", "@import"] {
        assert!(!page.contains(part), "{part}");
    }
    for part in ["&lt;lost&gt;", "viewport", "prefers-color-scheme: dark", "Replay of dear 1.0.0"] {
        assert!(page.contains(part), "{part}");
    }
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let skeleton = format!("{}{}", &page[..style.start], &page[style.end..]);
    insta::assert_snapshot!("html", skeleton);
}

#[test]
fn no_clicks_give_an_empty_report() {
    let report = run("", Flat::charging(UNIT), Flat::charging(UNIT));
    assert!(!report.exceeds(0));
    assert_eq!((report.totals.change_ppm, report.totals.first_us), (Some(0), None));
    assert!(table(&report, 10).contains("No campaign is charged anything else."));
    assert!(!html(&report).contains("<svg"));
}

fn any_events() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["narrow", "narrow", "wide", "open", "unknown"]);
    let steps = prop::collection::vec((names, 0..400_u32), 0..60);
    steps.prop_map(|steps| {
        let (mut minutes, mut words) = (0, String::new());
        for (name, step) in steps {
            minutes += step;
            let (day, hour, minute) = (10 + minutes / 1_440, minutes / 60 % 24, minutes % 60);
            write!(words, "{name}@{day}-{hour:02}:{minute:02} ").unwrap();
        }
        words
    })
}

proptest! {
    #[test]
    fn a_module_against_itself_has_no_difference(words in any_events(), ppm in 1..5 * UNIT) {
        let report = run(&words, Flat::charging(ppm), Flat::charging(ppm));
        prop_assert_eq!(&report.totals.before, &report.totals.after);
        prop_assert_eq!((report.totals.difference_micros, report.totals.clicks_changed), (0, 0));
        prop_assert!(report.newly_paused.is_empty() && report.no_longer_paused.is_empty());
        prop_assert!(report.newly_warned.is_empty() && report.no_longer_warned.is_empty());
        prop_assert!(report.pauses_moved.is_empty() && report.warnings_moved.is_empty());
        prop_assert!(!report.exceeds(0));
    }

    #[test]
    fn cutting_into_portions_changes_nothing(words in any_events(), count in 1..20_usize, ppm in 1..5 * UNIT) {
        let cut = |count| {
            let before = Against::Rules(Box::new(Flat::charging(UNIT)));
            let events = events(&words);
            without_times(run_with(&events, count, before, Flat::charging(ppm), campaigns()))
        };
        prop_assert_eq!(cut(count), cut(1_000));
    }
}
