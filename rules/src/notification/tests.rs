use super::*;

fn happening(kind: Kind, campaign: &str) -> Happening {
    Happening {
        kind,
        campaign: campaign.to_owned(),
        advertiser: "advertiser_1".to_owned(),
        level_ppm: 900_000,
        usage_ppm: 912_345,
        spent_micros: None,
        budget_micros: None,
        count: 1,
        detail: String::new(),
        day: "2026-11-21".to_owned(),
        local_minute: 600,
        weekday: 6,
        sent_today: 0,
        minutes_since_last: None,
    }
}

fn check(happening: &Happening, severity: Severity, title: &str, body: &str) {
    let params = Params::read(&Given::defaults(PARAMS));
    let messages = compose(happening, &params);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((message.severity, &*message.title, &*message.body), (severity, title, body));
    assert_eq!((&*message.route, message.delay_minutes), ("default", 0));
}

#[test]
fn every_happening_gets_one_short_message() {
    let warning = happening(Kind::Warning, "campaign_100");
    let used = "2026-11-21, 91 % of the daily budget used";
    check(&warning, Severity::Warning, "Budget warning: campaign_100", used);
    let many = Happening {
        usage_ppm: 0,
        count: 7,
        detail: "Run `tollgate audit`.".to_owned(),
        ..happening(Kind::DeadLetters, "")
    };
    check(&many, Severity::Warning, "Dead letters", "2026-11-21, 7 times. Run `tollgate audit`.");
}
