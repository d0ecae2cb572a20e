use super::*;
use crate::sdk::campaign::CampaignTable;
use crate::sdk::day::{Action, DayTable, MovementTables};

const UNIT: i64 = crate::sdk::UNIT_MICROS;
const TODAY: u8 = 4;
const PAUSED_BY_BUDGET: u8 = 1;
const PAUSED_BEFORE: u8 = 8;

/// A campaign-day with a budget of 100 units, in units.
#[derive(Clone, Copy)]
struct Day {
    budget: i64,
    spent: i64,
    counter: i64,
    warned_ppm: u32,
    state: u8,
}

const DAY: Day = Day { budget: 100 * UNIT, spent: 0, counter: -1, warned_ppm: 0, state: TODAY };

fn judged(day: Day, amounts: &[i64], params: &Params) -> Vec<Verdict> {
    let days = vec![0; amounts.len()];
    let tables = MovementTables {
        texts: &[],
        campaigns: CampaignTable::default(),
        days: DayTable {
            campaign: &[0],
            day: &[20_000],
            daily_budget_micros: &[day.budget],
            spent_micros: &[day.spent],
            counter_micros: &[day.counter],
            warned_ppm: &[day.warned_ppm],
            state: &[day.state],
        },
        campaign_day: &days,
        amount_micros: amounts,
    };
    let mut verdicts = Vec::new();
    let columns = tables.judge(|movement| {
        let verdict = judge(movement, params);
        verdicts.push(verdict);
        verdict
    });
    assert_eq!(columns.allowed_micros, amounts);
    assert_eq!(columns.action.len(), amounts.len());
    verdicts
}

fn check(day: Day, amounts: &[i64], expected: &[(Action, u32, Reason)]) {
    let params = Params::read(&Given::defaults(PARAMS));
    let verdicts = judged(day, amounts, &params);
    let found: Vec<_> = verdicts
        .iter()
        .map(|verdict| (verdict.action, verdict.level_ppm, verdict.reason))
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(action, level, reason)| (*action, *level, reason.code())).collect();
    assert_eq!(found, expected, "{amounts:?}");
    assert!(verdicts.iter().all(|verdict| verdict.allowed_micros.is_none()));
}

#[test]
fn levels_are_crossed_in_order_and_warned_about_once() {
    use Action::{Keep, Pause, Warn};
    let unit = |units: i64| units * UNIT;
    check(DAY, &[unit(89)], &[(Keep, 0, LEDGER)]);
    check(
        DAY,
        &[unit(90) - 1, 1, 1],
        &[(Keep, 0, LEDGER), (Warn, 900_000, LEDGER), (Keep, 0, LEDGER)],
    );
    check(
        DAY,
        &[unit(95), unit(4), unit(1)],
        &[(Warn, 900_000, LEDGER), (Keep, 0, LEDGER), (Pause, 1_000_000, LEDGER)],
    );
    check(DAY, &[unit(100), unit(1)], &[(Pause, 1_000_000, LEDGER), (Pause, 1_000_000, LEDGER)]);
    check(Day { warned_ppm: 900_000, ..DAY }, &[unit(95)], &[(Keep, 0, LEDGER)]);
    check(Day { warned_ppm: 800_000, ..DAY }, &[unit(95)], &[(Warn, 900_000, LEDGER)]);
}

#[test]
fn a_campaign_without_budget_is_left_alone() {
    use Action::{Keep, Pause};
    check(Day { budget: -1, ..DAY }, &[i64::MAX], &[(Keep, 0, NO_BUDGET)]);
    check(Day { budget: 0, ..DAY }, &[0, 1], &[(Keep, 0, LEDGER), (Pause, 1_000_000, LEDGER)]);
}

#[test]
fn the_counter_decides_when_it_is_ahead_and_counts_today() {
    use Action::{Keep, Pause, Warn};
    let counter = |units: i64, state| Day { counter: units * UNIT, state, ..DAY };
    check(counter(95, TODAY), &[UNIT], &[(Warn, 900_000, COUNTER)]);
    check(counter(100, TODAY), &[UNIT], &[(Pause, 1_000_000, COUNTER)]);
    check(counter(1, TODAY), &[UNIT], &[(Keep, 0, LEDGER)]);
    check(counter(100, 0), &[UNIT], &[(Keep, 0, LEDGER)]);
}

#[test]
fn a_pause_lasts_until_the_day_or_the_budget_is_a_fresh_one() {
    use Action::{Keep, Pause, Resume, Warn};
    let paused = |state| Day { state, ..DAY };
    let exhausted = TODAY | PAUSED_BY_BUDGET | PAUSED_BEFORE;
    check(paused(exhausted), &[0], &[(Keep, 0, LEDGER)]);
    check(
        paused(TODAY | PAUSED_BY_BUDGET),
        &[0, 95 * UNIT],
        &[(Resume, 1_000_000, LEDGER), (Warn, 900_000, LEDGER)],
    );
    check(paused(PAUSED_BY_BUDGET), &[UNIT], &[(Keep, 0, LEDGER)]);
    check(DAY, &[100 * UNIT, -20 * UNIT], &[(Pause, 1_000_000, LEDGER), (Keep, 0, LEDGER)]);
}

/// The host carries the state of a day from one call to the next; the SDK carries it within a call. Both have to give
/// the same verdicts wherever a batch is cut.
#[test]
fn cutting_a_batch_changes_no_verdict() {
    let params = Params { warn_at_ppm: vec![500_000, 800_000, 900_000], pause_at_ppm: 1_000_000 };
    let amounts: Vec<i64> = (1..=24).map(|step| (step * 7 % 13) * UNIT).collect();
    let whole = judged(DAY, &amounts, &params);
    assert!(whole.iter().any(|verdict| verdict.action == Action::Pause));
    for cut in 0..amounts.len() {
        let (first, second) = amounts.split_at(cut);
        let mut verdicts = judged(DAY, first, &params);
        let day = host_after(DAY, first, &verdicts);
        verdicts.extend(judged(day, second, &params));
        assert_eq!(verdicts, whole, "cut at {cut}");
    }
}

/// What the host has written down after these verdicts.
fn host_after(mut day: Day, amounts: &[i64], verdicts: &[Verdict]) -> Day {
    for (amount, verdict) in amounts.iter().zip(verdicts) {
        day.spent += amount;
        match verdict.action {
            Action::Warn => day.warned_ppm = day.warned_ppm.max(verdict.level_ppm),
            Action::Pause => day.state |= PAUSED_BY_BUDGET | PAUSED_BEFORE,
            Action::Resume => day.state &= !(PAUSED_BY_BUDGET | PAUSED_BEFORE),
            Action::Keep => {}
        }
    }
    day
}
