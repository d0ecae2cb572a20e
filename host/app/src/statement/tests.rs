use tollgate_ledger::{Adjustment, StatementLine};

use super::*;

const UNIT: i64 = 1_000_000;

fn line(campaign: &str, clicks: i64, charged: i64, refunds: i64, refunded: i64) -> StatementLine {
    StatementLine {
        campaign: campaign.into(),
        clicks,
        charged: Micros(charged * UNIT),
        refunds,
        refunded: Micros(refunded * UNIT),
    }
}

/// A day in the middle: 30 before, 20 net on it, 5 after; 100 from the start, 50 more on the day, 7 later.
fn rows() -> StatementRows {
    let adjustment = |text: &str, units| Adjustment {
        at_us: text.parse::<jiff::Timestamp>().unwrap().as_microsecond(),
        amount: Micros(units * UNIT),
    };
    StatementRows {
        balance: Micros(102 * UNIT),
        opening: Micros(157 * UNIT),
        spent_before: Micros(30 * UNIT),
        spent: Micros(20 * UNIT),
        spent_after: Micros(5 * UNIT),
        last_day: Some(Day(20_779)),
        adjustments: vec![
            adjustment("2026-11-21T23:59:59+09:00", 50),
            adjustment("2026-11-22T00:00:00+09:00", 7),
        ],
        lines: vec![line("c,1", 3, 15, 0, 0), line("c2", 2, 9, 1, 4)],
    }
}

fn made(rows: &StatementRows) -> Option<Statement> {
    Statement::new("a1", Day(20_778), &Zone::new("Asia/Seoul").unwrap(), rows)
}

#[test]
fn a_day_in_the_middle_adds_up() {
    let statement = made(&rows()).unwrap();
    assert_eq!(statement.contradictions, Vec::<String>::new());
    assert_eq!((statement.opening_micros, statement.closing_micros), (70 * UNIT, 100 * UNIT));
    assert!(!statement.is_last_day);
    insta::assert_snapshot!("text", statement.text());
    insta::assert_snapshot!("csv", statement.csv());
}

#[test]
fn what_does_not_add_up_is_said() {
    fn check(change: impl Fn(&mut StatementRows), sentence: &str) {
        let mut rows = rows();
        change(&mut rows);
        let statement = made(&rows).unwrap();
        assert!(statement.contradictions.join("; ").contains(sentence), "{statement:?}");
        assert!(statement.text().contains("does not add up"));
    }
    let net = "history has net charges of 21, the campaigns' days have 20";
    check(|rows| rows.lines[0].charged.0 += UNIT, net);
    check(|rows| rows.lines.clear(), "history has net charges of 0");
    check(|rows| rows.balance.0 += 1, "the balance would be 102, it is 102.000001");
    check(|rows| rows.spent_after.0 += UNIT, "the balance would be 101, it is 102");
}

#[test]
fn the_last_day_closes_with_the_balance() {
    fn check(change: impl Fn(&mut StatementRows), is_last_day: bool) {
        let mut rows = rows();
        (rows.spent_after, rows.balance, rows.last_day) =
            (Micros::ZERO, Micros(107 * UNIT), Some(Day(20_778)));
        change(&mut rows);
        let statement = made(&rows).unwrap();
        assert_eq!(statement.contradictions, Vec::<String>::new());
        assert_eq!(statement.is_last_day, is_last_day);
        let closes = statement.closing_micros == statement.balance_micros;
        assert_eq!(closes, is_last_day, "{statement:?}");
    }
    check(|_| (), false);
    let none_later = |rows: &mut StatementRows| {
        rows.adjustments.truncate(1);
        (rows.opening, rows.balance) = (Micros(150 * UNIT), Micros(100 * UNIT));
    };
    check(none_later, true);
    check(|rows| (none_later(rows), rows.last_day = None).0, true);
}

#[test]
fn what_leaves_64_bits_is_no_statement() {
    let rows = StatementRows { opening: Micros(i64::MIN), ..rows() };
    assert_eq!(made(&rows), None);
}
