use proptest::prelude::*;

use super::*;
use tollgate_sdk::about::Value;
use tollgate_sdk::campaign::CampaignTable;
use tollgate_sdk::day::{Action, DayTable, MovementTables};

const UNIT: i64 = tollgate_sdk::UNIT_MICROS;
const TODAY: u8 = 4;
const PAUSED_BY_BUDGET: u8 = 1;
const PAUSED_BY_PERSON: u8 = 2;
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
    let may_pause = day.state & TODAY != 0 && day.state & PAUSED_BY_PERSON == 0;
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
            pause_from_micros: &[if may_pause { 0 } else { i64::MAX }],
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
    let allowed = verdicts.iter().zip(amounts);
    let allowed = allowed.map(|(verdict, amount)| verdict.allowed_micros.unwrap_or(*amount));
    assert_eq!(columns.allowed_micros, allowed.collect::<Vec<_>>());
    assert_eq!(columns.action.len(), amounts.len());
    verdicts
}

/// Defaults with some settings changed.
fn params(settings: &[(&str, Value)]) -> Params {
    let given = settings
        .iter()
        .fold(Given::defaults(PARAMS), |given, (name, value)| given.with(name, value.clone()));
    Params::read(&given)
}

fn check(day: Day, amounts: &[i64], expected: &[(Action, u32, Reason)]) {
    check_with(&[], day, amounts, expected);
}

fn check_with(
    settings: &[(&str, Value)],
    day: Day,
    amounts: &[i64],
    expected: &[(Action, u32, Reason)],
) {
    let verdicts = judged(day, amounts, &params(settings));
    let found: Vec<_> = verdicts
        .iter()
        .map(|verdict| (verdict.action, verdict.level_ppm, verdict.reason))
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|(action, level, reason)| (*action, *level, reason.code())).collect();
    assert_eq!(found, expected, "{amounts:?} with {settings:?}");
    for verdict in verdicts {
        let free = verdict.reason == OVER_BUDGET.code();
        assert_eq!(verdict.allowed_micros, free.then_some(0), "{amounts:?} with {settings:?}");
    }
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

#[test]
fn an_absurd_counter_is_not_believed() {
    use Action::{Keep, Pause, Warn};
    let counter = |micros| Day { counter: micros, ..DAY };
    check(counter(1_000 * UNIT), &[UNIT], &[(Pause, 1_000_000, COUNTER)]);
    check(counter(1_000 * UNIT + 1), &[UNIT], &[(Keep, 0, LEDGER)]);
    check(counter(i64::MAX), &[UNIT], &[(Keep, 0, LEDGER)]);
    check(counter(i64::MAX), &[95 * UNIT], &[(Warn, 900_000, LEDGER)]);
    check(counter(i64::MAX), &[100 * UNIT], &[(Pause, 1_000_000, LEDGER)]);
    check(counter(0), &[UNIT], &[(Keep, 0, LEDGER)]);
    check(counter(i64::MIN), &[UNIT], &[(Keep, 0, LEDGER)]);
    let twice: &[(&str, Value)] = &[("counter_max", 2_000_000.into())];
    check_with(twice, counter(200 * UNIT), &[UNIT], &[(Pause, 1_000_000, COUNTER)]);
    check_with(twice, counter(201 * UNIT), &[UNIT], &[(Keep, 0, LEDGER)]);
    // Of no budget at all every counter is too much.
    let none = Day { budget: 0, counter: UNIT, ..DAY };
    check(none, &[0, 1], &[(Keep, 0, LEDGER), (Pause, 1_000_000, LEDGER)]);
    // A share that does not fit into 64 bits bounds nothing.
    let vast = Day { budget: i64::MAX / 2, counter: i64::MAX, ..DAY };
    check(vast, &[UNIT], &[(Pause, 1_000_000, COUNTER)]);
}

#[test]
fn a_budget_that_changes_lets_the_levels_cross_again() {
    use Action::{Keep, Pause, Resume, Warn};
    // For a new budget the host passes no warning and no pause of the old one, only that the campaign is paused.
    let raised = |budget: i64| Day {
        budget: budget * UNIT,
        spent: 100 * UNIT,
        state: TODAY | PAUSED_BY_BUDGET,
        ..DAY
    };
    check(raised(200), &[0], &[(Resume, 1_000_000, LEDGER)]);
    check(raised(105), &[0, UNIT], &[(Resume, 1_000_000, LEDGER), (Warn, 900_000, LEDGER)]);
    check(
        raised(200),
        &[UNIT, 79 * UNIT, 20 * UNIT],
        &[(Resume, 1_000_000, LEDGER), (Warn, 900_000, LEDGER), (Pause, 1_000_000, LEDGER)],
    );
    check(raised(100), &[0, 0], &[(Pause, 1_000_000, LEDGER), (Pause, 1_000_000, LEDGER)]);
    // Lowered below the spend.
    let lowered = Day { budget: 50 * UNIT, spent: 60 * UNIT, ..DAY };
    check(lowered, &[0], &[(Pause, 1_000_000, LEDGER)]);
    check(Day { budget: 65 * UNIT, ..lowered }, &[0], &[(Warn, 900_000, LEDGER)]);
    // Taken away.
    let gone = |state| Day { budget: -1, state, ..DAY };
    check(gone(TODAY | PAUSED_BY_BUDGET), &[0, 0], &[(Resume, 0, NO_BUDGET), (Keep, 0, NO_BUDGET)]);
    check(gone(TODAY | PAUSED_BY_BUDGET | PAUSED_BEFORE), &[0], &[(Resume, 0, NO_BUDGET)]);
    check(gone(TODAY | PAUSED_BY_BUDGET), &[UNIT], &[(Resume, 0, NO_BUDGET)]);
    check(gone(PAUSED_BY_BUDGET), &[0], &[(Keep, 0, NO_BUDGET)]);
    check(gone(TODAY | PAUSED_BY_PERSON), &[0], &[(Keep, 0, NO_BUDGET)]);
    check(gone(TODAY), &[0], &[(Keep, 0, NO_BUDGET)]);
}

#[test]
fn clicks_after_the_pause_are_free_where_the_operator_says_so() {
    use Action::{Keep, Pause, Resume, Warn};
    let free: &[(&str, Value)] = &[("charge_after_pause", false.into())];
    let zero = (Keep, 0, OVER_BUDGET);
    check_with(free, DAY, &[101 * UNIT, UNIT], &[(Pause, 1_000_000, LEDGER), zero]);
    let counter = Day { counter: 100 * UNIT, spent: 60 * UNIT, ..DAY };
    check_with(free, counter, &[UNIT, UNIT], &[(Pause, 1_000_000, COUNTER), zero]);
    let closed = Day {
        spent: 100 * UNIT,
        warned_ppm: 900_000,
        state: TODAY | PAUSED_BY_BUDGET | PAUSED_BEFORE,
        ..DAY
    };
    check_with(free, closed, &[UNIT], &[zero]);
    check(closed, &[UNIT], &[(Pause, 1_000_000, LEDGER)]);
    // Refunds and looks go on as ever, and a refund opens nothing.
    check_with(
        free,
        closed,
        &[0, -20 * UNIT, UNIT],
        &[(Pause, 1_000_000, LEDGER), (Keep, 0, LEDGER), zero],
    );
    // A campaign that runs again, a new day, and a person's pause are charged.
    let resumed = Day { state: TODAY | PAUSED_BEFORE, spent: 0, ..closed };
    check_with(free, resumed, &[UNIT], &[(Keep, 0, LEDGER)]);
    let new_day = Day { state: TODAY | PAUSED_BY_BUDGET, ..DAY };
    check_with(free, new_day, &[UNIT], &[(Resume, 1_000_000, LEDGER)]);
    let person = Day { state: TODAY | PAUSED_BY_PERSON, ..DAY };
    check_with(free, person, &[95 * UNIT], &[(Warn, 900_000, LEDGER)]);
    check_with(free, person, &[101 * UNIT, UNIT], &[(Pause, 1_000_000, LEDGER); 2]);
    // The first click of a new day can use up all of it.
    let big = [(Pause, 1_000_000, LEDGER), zero];
    check_with(free, new_day, &[100 * UNIT, UNIT], &big);
}

#[test]
fn a_refund_makes_room_where_the_operator_says_so() {
    use Action::{Keep, Pause, Resume};
    let resuming: &[(&str, Value)] = &[("resume_after_refund", true.into())];
    let closed = Day {
        spent: 100 * UNIT,
        warned_ppm: 900_000,
        state: TODAY | PAUSED_BY_BUDGET | PAUSED_BEFORE,
        ..DAY
    };
    check(closed, &[-20 * UNIT], &[(Keep, 0, LEDGER)]);
    check_with(resuming, closed, &[-20 * UNIT], &[(Resume, 1_000_000, LEDGER)]);
    let over = Day { spent: 120 * UNIT, ..closed };
    let enough = [(Pause, 1_000_000, LEDGER), (Resume, 1_000_000, LEDGER)];
    check_with(resuming, over, &[-20 * UNIT, -UNIT], &enough);
    // Neither a look nor a click makes room, nor does a refund of a day that is over or against a person's pause.
    let below = Day { spent: 60 * UNIT, ..closed };
    check_with(resuming, below, &[0, UNIT], &[(Keep, 0, LEDGER); 2]);
    let over_day = Day { state: PAUSED_BY_BUDGET | PAUSED_BEFORE, ..closed };
    check_with(resuming, over_day, &[-20 * UNIT], &[(Keep, 0, LEDGER)]);
    let person = Day { state: TODAY | PAUSED_BY_PERSON, ..closed };
    check_with(resuming, person, &[-20 * UNIT], &[(Keep, 0, LEDGER)]);
    // The counter in Redis still speaks against it.
    let counted = Day { counter: 100 * UNIT, ..closed };
    check_with(resuming, counted, &[-20 * UNIT], &[(Pause, 1_000_000, COUNTER)]);
}

/// What the host remembers, and what it does with verdicts: `decide/running.rs` in a few lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    campaigns: Vec<HostCampaign>,
    days: Vec<HostDay>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostCampaign {
    budget: i64,
    paused: u8,
    /// False for a campaign that is not active yet, or not any more.
    lives: bool,
}

impl HostCampaign {
    /// Half of the budget is the floor.
    fn pause_from(&self, today: bool) -> i64 {
        let may = today && self.lives && self.paused != PAUSED_BY_PERSON && self.budget >= 0;
        if may { (self.budget + 1) / 2 } else { i64::MAX }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostDay {
    campaign: u32,
    today: bool,
    spent: i64,
    counter: i64,
    warned_ppm: u32,
    paused_before: bool,
}

impl Host {
    fn judge(
        &mut self,
        movements: &[(u32, i64)],
        params: &Params,
    ) -> Vec<(u8, u32, u32, i64, u16)> {
        let column = |value: fn(&HostDay) -> i64| self.days.iter().map(value).collect::<Vec<_>>();
        let campaign: Vec<_> = self.days.iter().map(|day| day.campaign).collect();
        let warned_ppm: Vec<_> = self.days.iter().map(|day| day.warned_ppm).collect();
        let budget: Vec<_> =
            campaign.iter().map(|campaign| self.campaigns[*campaign as usize].budget).collect();
        let state: Vec<_> = self.days.iter().map(|day| self.state(day)).collect();
        let pause_from =
            |day: &HostDay| self.campaigns[day.campaign as usize].pause_from(day.today);
        let pause_from: Vec<_> = self.days.iter().map(pause_from).collect();
        let campaign_day: Vec<_> = movements.iter().map(|(day, _)| *day).collect();
        let amount_micros: Vec<_> = movements.iter().map(|(_, amount)| *amount).collect();
        let tables = MovementTables {
            texts: &[],
            campaigns: CampaignTable::default(),
            days: DayTable {
                campaign: &campaign,
                day: &vec![0; campaign.len()],
                daily_budget_micros: &budget,
                spent_micros: &column(|day| day.spent),
                counter_micros: &column(|day| day.counter),
                warned_ppm: &warned_ppm,
                pause_from_micros: &pause_from,
                state: &state,
            },
            campaign_day: &campaign_day,
            amount_micros: &amount_micros,
        };
        let mut verdicts = Vec::new();
        let columns = tables.judge(|movement| {
            let verdict = judge(movement, params);
            verdicts.push(verdict);
            verdict
        });
        for (row, verdict) in verdicts.iter().enumerate() {
            self.carry_out(campaign_day[row] as usize, columns.allowed_micros[row], verdict);
        }
        let rows = 0..movements.len();
        rows.map(|row| {
            let (level, usage) = (columns.level_ppm[row], columns.usage_ppm[row]);
            (columns.action[row], level, usage, columns.allowed_micros[row], columns.reason[row])
        })
        .collect()
    }

    fn state(&self, day: &HostDay) -> u8 {
        let today = if day.today { TODAY } else { 0 };
        let before = if day.paused_before { PAUSED_BEFORE } else { 0 };
        self.campaigns[day.campaign as usize].paused | today | before
    }

    fn carry_out(&mut self, day: usize, counted: i64, verdict: &Verdict) {
        let day = &mut self.days[day];
        let campaign = &mut self.campaigns[day.campaign as usize];
        day.spent += counted;
        match verdict.action {
            Action::Warn => day.warned_ppm = day.warned_ppm.max(verdict.level_ppm),
            Action::Pause if !day.paused_before && day.spent >= campaign.pause_from(day.today) => {
                (campaign.paused, day.paused_before) = (PAUSED_BY_BUDGET, true);
            }
            Action::Resume if day.today && campaign.paused == PAUSED_BY_BUDGET => {
                (campaign.paused, day.paused_before) = (0, false);
            }
            Action::Keep | Action::Pause | Action::Resume => {}
        }
    }
}

fn host() -> impl Strategy<Value = Host> {
    let campaign = (prop_oneof![Just(-1), Just(0), 10_i64..30], 0_u8..3, any::<bool>());
    let campaign = campaign.prop_map(|(budget, paused, lives)| HostCampaign {
        budget,
        paused,
        lives: lives || paused != 0,
    });
    let counter = prop_oneof![3 => Just(-1), 2 => 0_i64..40, 1 => Just(i64::MAX)];
    let warned = prop_oneof![Just(0), Just(500_000), Just(900_000)];
    let day = (-5_i64..20, counter, warned, any::<bool>()).prop_map(
        |(spent, counter, warned_ppm, paused_before)| HostDay {
            campaign: 0,
            today: false,
            spent,
            counter,
            warned_ppm,
            paused_before,
        },
    );
    // Two campaigns with a today and an earlier day each.
    let parts = (prop::collection::vec(campaign, 2), prop::collection::vec(day, 4));
    parts.prop_map(|(campaigns, mut days)| {
        for (at, day) in days.iter_mut().enumerate() {
            (day.campaign, day.today) = (at as u32 % 2, at < 2);
        }
        Host { campaigns, days }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The host carries the state of days and campaigns from one call to the next; the SDK carries it within a call.
    /// Both have to give the same verdicts and the same end wherever a batch is cut.
    #[test]
    fn cutting_a_batch_changes_nothing(
        before in host(),
        movements in prop::collection::vec((0_u32..4, -6_i64..12), 1..24),
        cut in any::<prop::sample::Index>(),
        charge_after_pause in any::<bool>(),
        resume_after_refund in any::<bool>(),
    ) {
        let warn_at = [500_000, 800_000, 900_000];
        let params = params(&[
            ("warn_at", warn_at.as_slice().into()),
            ("charge_after_pause", charge_after_pause.into()),
            ("resume_after_refund", resume_after_refund.into()),
        ]);
        let mut whole = before.clone();
        let verdicts = whole.judge(&movements, &params);
        let (first, second) = movements.split_at(cut.index(movements.len()));
        let mut halves = before.clone();
        let parts = [halves.judge(first, &params), halves.judge(second, &params)].concat();
        prop_assert_eq!(&parts, &verdicts);
        prop_assert_eq!(&halves, &whole);
        let mut single = before;
        let rows: Vec<_> = movements.chunks(1).flat_map(|row| single.judge(row, &params)).collect();
        prop_assert_eq!(&rows, &verdicts);
        prop_assert_eq!(&single, &whole);
    }
}
