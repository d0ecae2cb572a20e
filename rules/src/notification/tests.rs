use super::*;
use tollgate_sdk::UNIT_MICROS as UNIT;
use tollgate_sdk::about::Value;
use tollgate_sdk::happening::Channel;

type Settings<'s> = &'s [(&'s str, Value)];

/// A happening in a few words: `warning late 23:30 gap=5 by=advertiser_7`.
fn happening(words: &str) -> Happening {
    let mut words = words.split(' ');
    let kind = match words.next().unwrap() {
        "warning" => Kind::Warning,
        "paused" => Kind::Paused,
        "resumed" => Kind::Resumed,
        "dead" => Kind::DeadLetters,
        "refund" => Kind::RefundFailed,
        "duplicates" => Kind::DuplicateRate,
        "fault" => Kind::RuleFault,
        "refused" => Kind::PauseRefused,
        "unsent" => Kind::DeliveryFailed,
        "audit" => Kind::AuditMismatch,
        "halted" => Kind::PartitionHalted,
        other => panic!("{other}"),
    };
    let mut happening = Happening::example(kind, "campaign_100", "advertiser_50");
    happening.level_ppm = 900_000;
    happening.usage_ppm = 912_345;
    happening.spent_micros = Some(45_617 * UNIT + UNIT / 4);
    happening.budget_micros = Some(50_000 * UNIT);
    for word in words {
        if let Some((hour, minute)) = word.split_once(':') {
            happening.local_minute =
                hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap();
            continue;
        }
        match word.split_once('=').unwrap_or((word, "")) {
            ("late", _) => happening.today = false,
            ("gap", minutes) => happening.minutes_since_last = Some(minutes.parse().unwrap()),
            ("by", advertiser) => happening.advertiser = advertiser.to_owned(),
            ("count", count) => happening.count = count.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    happening
}

fn composed(settings: Settings<'_>, happening: &Happening) -> Vec<Message> {
    let given = settings
        .iter()
        .fold(Given::defaults(PARAMS), |given, (name, value)| given.with(name, value.clone()));
    compose(happening, &Params::read(&given))
}

/// `critical slack:default email:default +60`; `silence`.
fn shown(messages: &[Message]) -> String {
    let Some(first) = messages.first() else { return "silence".to_owned() };
    let mut shown = match first.severity {
        Severity::Info => "info".to_owned(),
        Severity::Warning => "warning".to_owned(),
        Severity::Critical => "critical".to_owned(),
    };
    for message in messages {
        let channel = match message.channel {
            Channel::Slack => "slack",
            Channel::Email => "email",
        };
        shown += &format!(" {channel}:{}", message.route);
    }
    if first.delay_minutes > 0 {
        shown += &format!(" +{}", first.delay_minutes);
    }
    shown
}

#[test]
fn operators_steer_who_hears_what_and_when() {
    let check = |settings: Settings<'_>, words: &str, expected: &str| {
        let messages = composed(settings, &happening(words));
        assert_eq!(shown(&messages), expected, "{words} with {settings:?}");
    };
    // Severities and their default routes.
    check(&[], "warning", "warning slack:default email:default");
    check(&[], "paused", "critical slack:default email:default");
    check(&[], "resumed", "info slack:default");
    check(&[], "dead", "warning slack:default email:default");
    check(&[], "refund", "critical slack:default email:default");
    check(&[], "duplicates", "warning slack:default email:default");
    check(&[], "fault", "critical slack:default email:default");
    check(&[], "refused", "critical slack:default email:default");
    check(&[], "unsent", "critical slack:default email:default");
    check(&[], "audit", "critical slack:default email:default");
    check(&[], "halted", "critical slack:default email:default");
    // Only crossings have a day that can be over.
    check(&[], "warning late", "info slack:default");
    check(&[], "paused late", "info slack:default");
    check(&[], "dead late", "warning slack:default email:default");
    check(&[], "fault late", "critical slack:default email:default");

    let routes: Settings<'_> = &[
        ("slack_info", "".into()),
        ("slack_warning", "ops".into()),
        ("email_warning", " ".into()),
        ("slack_critical", "alarm".into()),
        ("email_critical", "boss".into()),
    ];
    check(routes, "resumed", "silence");
    check(routes, "warning late", "silence");
    check(routes, "warning", "warning slack:ops");
    check(routes, "paused", "critical slack:alarm email:boss");

    let own = |text: &'static str| [("advertiser_routes", Value::from(text))];
    let two = &own("advertiser_50=slack:team-a+email:finance, advertiser_7=email:desk");
    check(two, "warning", "warning slack:team-a email:finance");
    check(two, "resumed", "info slack:team-a email:finance");
    check(two, "warning by=advertiser_7", "warning email:desk");
    check(two, "paused by=advertiser_5", "critical slack:default email:default");
    check(two, "dead by=", "warning slack:default email:default");
    check(&own(" advertiser_50 = email : a "), "paused", "critical email:a");
    check(&own("advertiser_50=email:a,advertiser_50=email:b"), "paused", "critical email:a");
    check(&own("advertiser_50=fax:a"), "resumed", "info slack:default");
    check(&own("advertiser_50=email:a+fax:b"), "resumed", "info slack:default");

    let night: Settings<'_> = &[("quiet_from", 1_320.into()), ("quiet_until", 480.into())];
    check(night, "resumed 21:59", "info slack:default");
    check(night, "resumed 22:00", "info slack:default +600");
    check(night, "resumed 23:59", "info slack:default +481");
    check(night, "resumed 0:00", "info slack:default +480");
    check(night, "resumed 7:59", "info slack:default +1");
    check(night, "resumed 8:00", "info slack:default");
    check(night, "warning 3:00", "warning slack:default email:default +300");
    check(night, "paused 3:00", "critical slack:default email:default");
    check(night, "paused late 3:00", "info slack:default +300");
    let all = [night, &[("quiet_spares_critical", false.into())]].concat();
    check(&all, "paused 3:00", "critical slack:default email:default +300");
    let noon: Settings<'_> = &[("quiet_from", 720.into()), ("quiet_until", 780.into())];
    check(noon, "resumed 11:59", "info slack:default");
    check(noon, "resumed 12:00", "info slack:default +60");
    check(noon, "resumed 13:00", "info slack:default");
    let never: Settings<'_> = &[("quiet_from", 720.into()), ("quiet_until", 720.into())];
    check(never, "resumed 12:00", "info slack:default");

    let gap: Settings<'_> = &[("min_gap", 30.into())];
    check(gap, "dead", "warning slack:default email:default");
    check(gap, "dead gap=29", "silence");
    check(gap, "dead gap=30", "warning slack:default email:default");
    check(gap, "warning gap=0", "silence");
    check(gap, "fault gap=0", "silence");
    check(gap, "paused gap=0", "critical slack:default email:default");
    check(gap, "resumed gap=0", "info slack:default");
    check(&[], "warning gap=0", "warning slack:default email:default");
}

#[test]
fn both_languages_say_the_same() {
    let check = |words: &str, english: [&str; 2], korean: [&str; 2]| {
        for (language, [title, body]) in [("en", english), ("ko", korean)] {
            let settings: Settings<'_> = &[("language", language.into())];
            let messages = composed(settings, &happening(words));
            assert_eq!((&*messages[0].title, &*messages[0].body), (title, body), "{words}");
            assert!(messages.iter().all(|it| it.title == title && it.body == body), "{words}");
        }
    };
    let (spent, spent_ko) =
        ("Spent 45,617.25 of 50,000 (91.2 %)", "소진액 45,617.25 / 일예산 50,000 (91.2%)");
    let (who, who_ko) =
        ("campaign_100 of advertiser_50", "캠페인 campaign_100(광고주 advertiser_50)");
    check(
        "warning",
        [
            "Budget warning: campaign_100 at 91.2 %",
            &format!("{who} has reached 90 % of its daily budget of 2026-11-21.\n{spent}"),
        ],
        [
            "예산 경고: campaign_100 소진율 91.2%",
            &format!("{who_ko}의 2026-11-21 일예산 소진율이 90%에 도달했습니다.\n{spent_ko}"),
        ],
    );
    check(
        "paused by=",
        [
            "Campaign paused: campaign_100",
            &format!(
                "campaign_100 is paused: it has reached 90 % of its daily budget of 2026-11-21. It \
                 goes on the next day, or as soon as its budget is raised.\n{spent}"
            ),
        ],
        [
            "캠페인 일시중지: campaign_100",
            &format!(
                "캠페인 campaign_100의 2026-11-21 일예산 소진율이 90%에 도달하여 캠페인이 \
                 일시중지되었습니다. 다음 날이 되거나 일예산을 증액하면 재개됩니다.\n{spent_ko}"
            ),
        ],
    );
    check(
        "resumed",
        [
            "Campaign resumed: campaign_100",
            &format!("{who} is running again, as of 2026-11-21.\n{spent}"),
        ],
        [
            "캠페인 재개: campaign_100",
            &format!("{who_ko}의 집행이 2026-11-21부로 재개되었습니다.\n{spent_ko}"),
        ],
    );
    check(
        "warning late",
        [
            "Late clicks: campaign_100 at 91.2 %",
            &format!(
                "Late clicks took {who} to 90 % of its daily budget of 2026-11-21. That day is \
                 over, so nothing is paused.\n{spent}"
            ),
        ],
        [
            "지난 날짜의 지연 클릭: campaign_100 소진율 91.2%",
            &format!(
                "뒤늦게 도착한 클릭으로 {who_ko}의 2026-11-21 일예산 소진율이 90%에 도달했습니다. \
                 이미 지난 날짜이므로 일시중지되는 캠페인은 없습니다.\n{spent_ko}"
            ),
        ],
    );
    check(
        "dead count=1234",
        [
            "Dead letters: campaign_100 (1,234)",
            &format!("1,234 events could not be processed and are kept as dead letters.\n{spent}"),
        ],
        [
            "처리 실패 이벤트: campaign_100 (1,234건)",
            &format!("이벤트 1,234건을 처리하지 못해 데드레터로 보관했습니다.\n{spent_ko}"),
        ],
    );
}

#[test]
fn an_advertiser_as_a_whole_is_named() {
    let check = |kind: &str, campaign: &str, language: &str, title: &str, sentence: &str| {
        let mut told = happening(kind);
        told.campaign = campaign.to_owned();
        (told.level_ppm, told.usage_ppm) = (100_000, 128_999);
        (told.spent_micros, told.detail) = (None, "detail".to_owned());
        let message = composed(&[("language", language.into())], &told).remove(0);
        let body = format!("{sentence}\ndetail");
        assert_eq!((message.title.as_str(), message.body), (title, body));
    };
    check(
        "duplicates",
        "",
        "en",
        "Many duplicate clicks: advertiser_50 (12.8 %)",
        "12.8 % of the charged clicks of advertiser_50 were duplicates and were given back; from 10 % on this is told.",
    );
    check(
        "duplicates",
        "campaign_100",
        "en",
        "Many duplicate clicks: campaign_100 (12.8 %)",
        "12.8 % of the charged clicks of campaign_100 of advertiser_50 were duplicates and were given back; from 10 % on this is told.",
    );
    check(
        "duplicates",
        "",
        "ko",
        "중복 클릭 증가: advertiser_50 (12.8 %)",
        "광고주 advertiser_50의 과금 클릭 중 12.8%가 중복으로 확인되어 환불되었습니다. 기준은 10%입니다.",
    );
    check(
        "audit",
        "",
        "en",
        "Ledger does not add up: advertiser_50",
        "The ledger does not add up for advertiser_50.",
    );
    check(
        "audit",
        "campaign_100",
        "ko",
        "원장 불일치: campaign_100",
        "원장이 맞지 않습니다: 캠페인 campaign_100(광고주 advertiser_50).",
    );
}

#[test]
fn every_kind_has_words_without_any_facts() {
    for language in ["en", "ko"] {
        let mut titles = std::collections::BTreeSet::new();
        for kind in ["warning", "paused", "resumed", "dead", "refund", "duplicates", "fault"]
            .into_iter()
            .chain(["refused", "unsent", "audit", "halted", "warning late"])
        {
            let mut bare = Happening::example(happening(kind).kind, "", "");
            (bare.day, bare.today) = (String::new(), !kind.ends_with("late"));
            let settings: Settings<'_> = &[("language", language.into())];
            let message = composed(settings, &bare).remove(0);
            assert!(!message.body.is_empty() && !message.body.contains('\n'), "{message:?}");
            assert!(titles.insert(message.title.clone()), "{}", message.title);
            assert_eq!(message.title.is_ascii(), language == "en", "{}", message.title);
        }
    }
}

#[test]
fn a_body_tells_what_decided_and_what_the_host_says() {
    let told = |settings: Settings<'_>, change: fn(&mut Happening)| {
        let mut happening = happening("warning");
        change(&mut happening);
        composed(settings, &happening).remove(0).body
    };
    let check = |change: fn(&mut Happening), expected: &str| {
        let body = told(&[], change);
        assert!(body.ends_with(expected), "{body}");
    };
    check(|it| it.reason = "COUNTER".to_owned(), "(91.2 %)\nDecided by: COUNTER");
    check(|it| it.detail = "Run this.".to_owned(), "(91.2 %)\nRun this.");
    check(|it| it.budget_micros = None, "\nSpent 45,617.25, no daily budget");
    check(|it| it.budget_micros = Some(0), "\nSpent 45,617.25 of 0");
    check(|it| it.spent_micros = None, "of 2026-11-21.");
    let body = told(&[("language", "ko".into())], |it| it.reason = "COUNTER".to_owned());
    assert!(body.ends_with("\n판단 근거: COUNTER"), "{body}");
}

#[test]
fn parameters_that_cannot_be_read_are_named_in_every_message() {
    let check = |name: &str, value: &str, words: &str, expected: &str| {
        for message in composed(&[(name, value.into())], &happening(words)) {
            assert!(message.body.ends_with(expected), "{}", message.body);
        }
    };
    let entries = |named: &str| {
        format!("\nThe parameter advertiser_routes has entries that cannot be read: {named}")
    };
    let routes = "advertiser_routes";
    check(routes, "a=fax:x, b=email:y, c", "warning", &entries(r#""a=fax:x", "c""#));
    check(routes, "b=email:y, b=email:z", "paused", &entries(r#""b=email:z""#));
    check(routes, "=email:y", "resumed", &entries(r#""=email:y""#));
    check(routes, "a=", "dead", &entries(r#""a=""#));
    check(routes, "a=email:", "dead", &entries(r#""a=email:""#));
    check(routes, "a=email:b c", "dead", &entries(r#""a=email:b c""#));
    let long = format!("a=email:{}", "x".repeat(65));
    check(routes, &long, "dead", &entries(&format!("\"{long}\"")));
    check(routes, "b=email:y,, ", "paused", "(91.2 %)");
    check("language", "fr", "paused", "\nThe parameter language is \"fr\", expected en or ko.");
    let many = |routes: usize| format!("a={}", vec!["email:b"; routes].join("+"));
    check(routes, &many(8), "paused", "(91.2 %)");
    check(routes, &many(9), "paused", &entries(&format!("\"{}\"", many(9))));
}

#[test]
fn whatever_is_given_stays_within_what_the_host_takes() {
    let mut happening = happening("warning");
    happening.campaign = "캠\n".repeat(500);
    happening.advertiser = "광".repeat(500);
    happening.reason = "사".repeat(500);
    happening.detail = "유".repeat(4_000);
    happening.day = "일".repeat(4_000);
    for language in ["en", "ko", "zz"] {
        let routes = ("advertiser_routes", "q,".repeat(2_000).as_str().into());
        let messages = composed(&[("language", language.into()), routes], &happening);
        for message in messages {
            assert!(message.title.len() <= TITLE_BYTES_MAX, "{}", message.title.len());
            assert!(!message.title.contains('\n'));
            assert!(message.body.len() <= BODY_BYTES_MAX, "{}", message.body.len());
            assert!(message.body.ends_with("\"q\", …"), "{}", message.body);
        }
    }
}

/// Quiet hours at night, and e-mail for one advertiser only.
#[test]
fn a_policy_needs_no_new_module() {
    let policy: Settings<'_> = &[
        ("quiet_from", 1_320.into()),
        ("quiet_until", 420.into()),
        ("email_warning", "".into()),
        ("email_critical", "".into()),
        ("advertiser_routes", "advertiser_7=slack:default+email:desk".into()),
    ];
    let check = |words: &str, expected: &str| {
        assert_eq!(shown(&composed(policy, &happening(words))), expected, "{words}");
    };
    check("warning 12:00", "warning slack:default");
    check("warning 23:00", "warning slack:default +480");
    check("paused 23:00", "critical slack:default");
    check("warning 23:00 by=advertiser_7", "warning slack:default email:desk +480");
    check("paused 23:00 by=advertiser_7", "critical slack:default email:desk");
}
