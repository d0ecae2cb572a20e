use super::*;
use crate::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns, MovementColumns,
};
use crate::notice::{Channel, Severity};
use crate::rule::{Needs, Reason};

fn rule() -> Description {
    let reason =
        |code, source| Reason { code, name: format!("R{code}"), source, help: String::new() };
    Description {
        name: "test".into(),
        version: "1.0.0".into(),
        needs: Needs::default(),
        params: Vec::new(),
        reasons: vec![
            reason(1, PriceSource::Stored),
            reason(2, PriceSource::Cached),
            reason(3, PriceSource::Computed),
            reason(4, PriceSource::None),
        ],
        fuel_base: 0,
        fuel_per_item: 0,
    }
}

fn limits() -> FenceLimits {
    FenceLimits { charge_max: Micros(1_000), pause_floor_ppm: 500_000 }
}

fn check_quote(charge: i64, reason: u16, expected: Option<Code>) {
    let facts = PricingFacts {
        campaigns: CampaignColumns {
            stored_price_micros: vec![100],
            cached_price_micros: vec![200],
            ..CampaignColumns::default()
        },
        clicks: ClickColumns { campaign: vec![0], ..ClickColumns::default() },
        ..PricingFacts::default()
    };
    let quotes = Quotes { charge_micros: vec![charge], reason: vec![reason] };
    let found = check_quotes(&facts, &quotes, &rule(), &limits()).err().map(|fault| fault.code);
    assert_eq!(found, expected, "{charge} {reason}");
}

#[test]
fn a_quote_stays_within_the_fence() {
    check_quote(100, 1, None);
    check_quote(200, 2, None);
    check_quote(0, 3, None);
    check_quote(1_000, 3, None);
    for (charge, reason) in [(-1, 3), (1_001, 3), (101, 1), (100, 2), (100, 4), (100, 9)] {
        check_quote(charge, reason, Some(Code::FenceBreach));
    }
    check_quote(i64::MIN, 3, Some(Code::FenceBreach));
    check_quote(i64::MAX, 3, Some(Code::FenceBreach));
}

#[test]
fn answers_match_rows_one_to_one() {
    let facts = PricingFacts {
        campaigns: CampaignColumns { stored_price_micros: vec![100], ..CampaignColumns::default() },
        clicks: ClickColumns { campaign: vec![0, 0], ..ClickColumns::default() },
        ..PricingFacts::default()
    };
    for (charges, reasons) in [(1, 2), (2, 1), (3, 3), (0, 0)] {
        let quotes = Quotes { charge_micros: vec![100; charges], reason: vec![1; reasons] };
        let fault = check_quotes(&facts, &quotes, &rule(), &limits()).unwrap_err();
        assert_eq!(fault.code, Code::RuleWrongAnswers, "{charges} {reasons}");
    }
}

fn check_verdict(verdict: (u8, u32, i64, u16), expected: Option<Code>) {
    check_movement(100, Nought::Click, verdict, expected);
}

fn check_movement(
    amount: i64,
    nought: Nought,
    verdict: (u8, u32, i64, u16),
    expected: Option<Code>,
) {
    let (action, level, allowed, reason) = verdict;
    let facts = ThresholdFacts {
        movements: MovementColumns { campaign_day: vec![0], amount_micros: vec![amount] },
        ..ThresholdFacts::default()
    };
    let verdicts = Verdicts {
        action: vec![action],
        level_ppm: vec![level],
        usage_ppm: vec![0],
        allowed_micros: vec![allowed],
        reason: vec![reason],
    };
    let found = check_verdicts(&facts, &verdicts, &rule(), nought).err().map(|fault| fault.code);
    assert_eq!(found, expected, "{amount} {nought:?} {verdict:?}");
}

#[test]
fn nothing_but_0_is_charged_for_a_click_that_costs_0() {
    check_movement(0, Nought::Click, (0, 0, 0, 1), None);
    for allowed in [-5, -1, 1, i64::MIN, i64::MAX] {
        check_movement(0, Nought::Click, (0, 0, allowed, 1), Some(Code::FenceBreach));
        // What a verdict allows of a look or a refund means nothing.
        check_movement(0, Nought::Look, (0, 0, allowed, 1), None);
        for nought in [Nought::Click, Nought::Look] {
            check_movement(-100, nought, (0, 0, allowed, 1), None);
        }
    }
    check_movement(100, Nought::Look, (0, 0, -5, 1), Some(Code::FenceBreach));
}

#[test]
fn a_verdict_stays_within_the_fence() {
    check_verdict((0, 0, 100, 1), None);
    check_verdict((1, 900_000, 100, 1), None);
    check_verdict((2, 1_000_000, 0, 1), None);
    check_verdict((3, 0, 100, 1), None);
    for verdict in [
        (4, 1, 100, 1),
        (1, 0, 100, 1),
        (2, 0, 100, 1),
        (0, 0, 101, 1),
        (0, 0, -1, 1),
        (0, 0, 100, 9),
    ] {
        check_verdict(verdict, Some(Code::FenceBreach));
    }
}

/// Decisions (action, refund, reason) about compensations of days and what these can give back.
fn check_decision(rows: &[(u32, i64)], decided: &[(u8, i64, u16)], expected: Option<Code>) {
    let facts = RefundColumns {
        days: CampaignDayColumns { campaign: vec![0, 0], ..CampaignDayColumns::default() },
        compensations: CompensationColumns {
            campaign_day: rows.iter().map(|(day, _)| *day).collect(),
            refundable_micros: rows.iter().map(|(_, refundable)| *refundable).collect(),
            ..CompensationColumns::default()
        },
        ..RefundColumns::default()
    };
    let decisions = Decisions {
        action: decided.iter().map(|(action, ..)| *action).collect(),
        refund_micros: decided.iter().map(|(_, refund, _)| *refund).collect(),
        reason: decided.iter().map(|(.., reason)| *reason).collect(),
    };
    let found = check_decisions(&facts, &decisions, &rule()).err().map(|fault| fault.code);
    assert_eq!(found, expected, "{rows:?} {decided:?}");
}

#[test]
fn a_refund_stays_within_the_fence() {
    let (one, breach) = ([(0, 100)], Some(Code::FenceBreach));
    for decided in [(0, 0, 4), (1, 1, 4), (1, 100, 4), (2, 0, 4)] {
        check_decision(&one, &[decided], None);
    }
    for decided in [
        (1, 101, 4),
        (1, 0, 4),
        (1, -1, 4),
        (1, i64::MAX, 4),
        (0, 1, 4),
        (2, 1, 4),
        (0, -1, 4),
        (3, 0, 4),
        (1, 1, 9),
    ] {
        check_decision(&one, &[decided], breach);
    }
    check_decision(&[(0, 0)], &[(1, 1, 4)], breach);
    check_decision(&[(0, -5)], &[(1, 1, 4)], breach);
    check_decision(&[(2, 100)], &[(1, 1, 4)], breach);
    check_decision(&[(0, 100), (0, 100)], &[(1, 60, 4), (1, 40, 4)], None);
    check_decision(&[(0, 100), (0, 100)], &[(1, 60, 4), (1, 41, 4)], breach);
    check_decision(&[(0, 100), (1, 100)], &[(1, 60, 4), (1, 100, 4)], None);
    check_decision(&one, &[], Some(Code::RuleWrongAnswers));
    check_decision(&one, &[(0, 0, 4), (0, 0, 4)], Some(Code::RuleWrongAnswers));
}

#[test]
fn a_pause_needs_spend_of_its_own() {
    assert!(may_pause(Micros(50), Some(Micros(100)), &limits()));
    assert!(!may_pause(Micros(49), Some(Micros(100)), &limits()));
    assert!(may_pause(Micros(0), Some(Micros(0)), &limits()));
    assert!(!may_pause(Micros(i64::MAX), None, &limits()));
    assert!(may_pause(Micros(i64::MAX), Some(Micros(i64::MAX)), &limits()));
}

/// Changes one good message in one way.
fn check_message(change: impl Fn(&mut Message), expected: Option<Code>) {
    let mut message = Message {
        happening: 1,
        channel: Channel::Slack,
        route: "default".into(),
        severity: Severity::Info,
        title: "title".into(),
        body: String::new(),
        delay_minutes: 0,
    };
    change(&mut message);
    let found = check_messages(2, &[message.clone()], MessageLimits::default());
    assert_eq!(found.err().map(|fault| fault.code), expected, "{message:?}");
}

#[test]
fn messages_stay_within_their_limits() {
    let breach = Some(Code::FenceBreach);
    check_message(|_| {}, None);
    check_message(|message| message.happening = 0, None);
    check_message(|message| message.happening = 2, breach);
    check_message(|message| message.route.clear(), breach);
    check_message(|message| message.route = "r".repeat(65), breach);
    check_message(|message| message.title.clear(), breach);
    check_message(|message| message.title = "t".repeat(301), breach);
    check_message(|message| message.body = "b".repeat(8_000), None);
    check_message(|message| message.body = "b".repeat(8_001), breach);
    check_message(|message| message.delay_minutes = 48 * 60, None);
    check_message(|message| message.delay_minutes = 48 * 60 + 1, breach);
}

#[test]
fn a_rule_does_not_flood_with_messages_about_one_happening() {
    let message = |happening| Message {
        happening,
        channel: Channel::Email,
        route: "r".into(),
        severity: Severity::Critical,
        title: "t".into(),
        body: String::new(),
        delay_minutes: 0,
    };
    let many = |count: usize| (0..count).map(|_| message(0)).collect::<Vec<_>>();
    let limits = MessageLimits::default();
    assert!(check_messages(1, &[], limits).is_ok());
    assert!(check_messages(1, &many(20), limits).is_ok());
    assert!(check_messages(1, &many(21), limits).is_err());
    let mut two = many(20);
    two.push(message(1));
    assert!(check_messages(2, &two, limits).is_ok());
}
