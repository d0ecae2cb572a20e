//! Movements of spend to budget verdicts: the row view of a threshold rule, with the running state of each day.

use super::about::Reason;
use super::campaign::{Campaign, CampaignTable, Texts};
use super::{amount, asked};

pub(crate) const PAUSED_BY_BUDGET: u8 = 1;
pub(crate) const PAUSED_BY_PERSON: u8 = 2;
pub(crate) const TODAY: u8 = 4;
pub(crate) const PAUSED_BEFORE: u8 = 8;

/// What becomes of a campaign after a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    /// The level that was crossed; 0 when none.
    pub level_ppm: u32,
    /// The usage that decided.
    pub usage_ppm: u32,
    /// What the movement may charge after all; `None` allows all of it.
    pub allowed_micros: Option<i64>,
    pub reason: u16,
}

/// What becomes of the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep = 0,
    /// It runs on, and people are told.
    Warn = 1,
    /// It stands still until it is resumed.
    Pause = 2,
    /// A pause by the budget ends.
    Resume = 3,
}

impl Verdict {
    #[must_use]
    pub fn keep(usage_ppm: u32, reason: &Reason) -> Self {
        Self::new(Action::Keep, 0, usage_ppm, reason)
    }

    #[must_use]
    pub fn warn(level_ppm: u32, usage_ppm: u32, reason: &Reason) -> Self {
        Self::new(Action::Warn, level_ppm, usage_ppm, reason)
    }

    #[must_use]
    pub fn pause(level_ppm: u32, usage_ppm: u32, reason: &Reason) -> Self {
        Self::new(Action::Pause, level_ppm, usage_ppm, reason)
    }

    #[must_use]
    pub fn resume(level_ppm: u32, usage_ppm: u32, reason: &Reason) -> Self {
        Self::new(Action::Resume, level_ppm, usage_ppm, reason)
    }

    /// The same, and the movement charges no more than this.
    #[must_use]
    pub fn allowing(self, micros: i64) -> Self {
        Self { allowed_micros: Some(micros), ..self }
    }

    fn new(action: Action, level_ppm: u32, usage_ppm: u32, reason: &Reason) -> Self {
        Self { action, level_ppm, usage_ppm, allowed_micros: None, reason: reason.code() }
    }
}

/// Columns of the campaign-days, as the contract has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DayTable<'t> {
    pub campaign: &'t [u32],
    pub day: &'t [i32],
    pub daily_budget_micros: &'t [i64],
    pub spent_micros: &'t [i64],
    pub counter_micros: &'t [i64],
    pub warned_ppm: &'t [u32],
    /// Spend from which the host carries out a pause.
    pub pause_from_micros: &'t [i64],
    pub state: &'t [u8],
}

/// Everything a threshold rule is given in one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct MovementTables<'t> {
    pub texts: Texts<'t>,
    pub campaigns: CampaignTable<'t>,
    pub days: DayTable<'t>,
    /// For each movement its row in `days` and its amount.
    pub campaign_day: &'t [u32],
    pub amount_micros: &'t [i64],
}

/// Verdicts as columns, one element per movement, as the contract has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerdictColumns {
    pub action: Vec<u8>,
    pub level_ppm: Vec<u32>,
    pub usage_ppm: Vec<u32>,
    pub allowed_micros: Vec<i64>,
    pub reason: Vec<u16>,
}

/// What changes about a campaign-day while the movements of a batch pass by.
#[derive(Clone, Copy, Debug)]
struct Moving {
    campaign: u32,
    spent_micros: i64,
    warned_ppm: u32,
    pause_from_micros: i64,
    /// Without what the days of a campaign have in common.
    state: u8,
}

/// Bits of the state that belong to the campaign and so to all of its days.
const OF_CAMPAIGN: u8 = PAUSED_BY_BUDGET | PAUSED_BY_PERSON;

impl<'t> MovementTables<'t> {
    /// Judges the movements in order. The state of each campaign-day is carried from one movement to the next as the
    /// host does it, so that a batch gives the verdicts that its movements would have got one by one.
    pub fn judge(&'t self, mut rule: impl FnMut(Movement<'t>) -> Verdict) -> VerdictColumns {
        let (mut moving, mut statuses) = self.moving();
        let rows = self.campaign_day.len();
        let mut columns = VerdictColumns {
            action: vec![0; rows],
            level_ppm: vec![0; rows],
            usage_ppm: vec![0; rows],
            allowed_micros: vec![0; rows],
            reason: vec![0; rows],
        };
        let answers = columns.action.iter_mut().zip(&mut columns.level_ppm);
        let answers = answers.zip(&mut columns.usage_ppm).zip(&mut columns.allowed_micros);
        let answers = answers.zip(&mut columns.reason);
        let movements = self.campaign_day.iter().zip(self.amount_micros);
        for ((day, amount), ((((action, level), usage), allowed), reason)) in movements.zip(answers)
        {
            let Some(running) = moving.get_mut(*day as usize) else { no_such_day() };
            let Some(status) = statuses.get_mut(running.campaign as usize) else { no_such_day() };
            let before = Moving { state: running.state | *status, ..*running };
            let movement = Movement { tables: self, day: *day, amount_micros: *amount, before };
            let verdict = rule(movement);
            *running = before.after(&movement, &verdict);
            *status = running.state & OF_CAMPAIGN;
            running.state &= !OF_CAMPAIGN;
            *action = verdict.action as u8;
            *level = verdict.level_ppm;
            *usage = verdict.usage_ppm;
            *allowed = movement.counted_micros(&verdict);
            *reason = verdict.reason;
        }
        columns
    }

    /// The days as they are before the first movement, and for each campaign who has paused it: a pause on one of its
    /// days is one on all of them. The host passes the campaigns of all days; tests of rules need not.
    fn moving(&self) -> (Vec<Moving>, Vec<u8>) {
        let DayTable { campaign, spent_micros, warned_ppm, pause_from_micros, state, .. } =
            self.days;
        let mut statuses = vec![0; self.campaigns.stored_price_micros.len()];
        let days =
            campaign.iter().zip(spent_micros).zip(warned_ppm).zip(pause_from_micros).zip(state);
        let days =
            days.map(|((((campaign, spent_micros), warned_ppm), pause_from_micros), state)| {
                if *campaign as usize >= statuses.len() {
                    statuses.resize(*campaign as usize + 1, 0);
                }
                statuses[*campaign as usize] |= *state & OF_CAMPAIGN;
                Moving {
                    campaign: *campaign,
                    spent_micros: *spent_micros,
                    warned_ppm: *warned_ppm,
                    pause_from_micros: *pause_from_micros,
                    state: *state & !OF_CAMPAIGN,
                }
            });
        let moving = days.collect();
        (moving, statuses)
    }
}

impl Moving {
    /// What a verdict makes of it. As in the host, a verdict that does not apply changes nothing.
    #[inline]
    fn after(mut self, movement: &Movement<'_>, verdict: &Verdict) -> Self {
        self.spent_micros = self.spent_micros.saturating_add(movement.counted_micros(verdict));
        let is = |bit: u8| self.state & bit != 0;
        match verdict.action {
            Action::Warn => self.warned_ppm = self.warned_ppm.max(verdict.level_ppm),
            // A campaign that an earlier day or budget has paused can be exhausted anew before it was resumed.
            Action::Pause if !is(PAUSED_BEFORE) && self.spent_micros >= self.pause_from_micros => {
                self.state |= PAUSED_BY_BUDGET | PAUSED_BEFORE;
            }
            Action::Resume if is(TODAY) && is(PAUSED_BY_BUDGET) => {
                self.state &= !(PAUSED_BY_BUDGET | PAUSED_BEFORE);
            }
            Action::Keep | Action::Pause | Action::Resume => {}
        }
        self
    }
}

/// One movement of spend: a charge, a refund, or a fresh look.
#[derive(Clone, Copy, Debug)]
pub struct Movement<'t> {
    tables: &'t MovementTables<'t>,
    day: u32,
    amount_micros: i64,
    before: Moving,
}

impl<'t> Movement<'t> {
    /// Positive for a charge, negative for a refund, 0 for a fresh look.
    #[must_use]
    pub fn amount_micros(&self) -> i64 {
        self.amount_micros
    }

    /// Net spend of the day before the movement.
    #[must_use]
    pub fn spent_before_micros(&self) -> i64 {
        self.before.spent_micros
    }

    /// Net spend of the day when all of the movement counts.
    #[must_use]
    #[inline]
    pub fn spent_after_micros(&self) -> i64 {
        self.before.spent_micros.saturating_add(self.amount_micros)
    }

    /// Daily budget, when the campaign has one.
    #[must_use]
    #[inline]
    pub fn daily_budget_micros(&self) -> Option<i64> {
        amount(asked(self.tables.days.daily_budget_micros, self.day, "daily-budget"))
    }

    /// Spend by the Redis counter, when there is one. It counts the campaign's today, so a movement of another day has
    /// none. Needs `COUNTER`.
    #[must_use]
    #[inline]
    pub fn counter_micros(&self) -> Option<i64> {
        amount(asked(self.tables.days.counter_micros, self.day, "counter"))
            .filter(|_| self.is_today())
    }

    /// Highest level already warned about for this day and budget; 0 when none.
    #[must_use]
    pub fn warned_ppm(&self) -> u32 {
        self.before.warned_ppm
    }

    /// Whether the movement's day is the campaign's today; only today is paused or resumed.
    #[must_use]
    pub fn is_today(&self) -> bool {
        self.before.state & TODAY != 0
    }

    /// The campaign stands still because this day's budget, or an earlier one's, was used up.
    #[must_use]
    pub fn is_paused_by_budget(&self) -> bool {
        self.before.state & PAUSED_BY_BUDGET != 0
    }

    /// The campaign stands still because a person wants it; no rule lets it run again.
    #[must_use]
    pub fn is_paused_by_person(&self) -> bool {
        self.before.state & PAUSED_BY_PERSON != 0
    }

    /// Whether this day and this budget have led to a pause already.
    #[must_use]
    pub fn was_paused_before(&self) -> bool {
        self.before.state & PAUSED_BEFORE != 0
    }

    /// Budget day, in days since 1970.
    #[must_use]
    pub fn day(&self) -> i32 {
        asked(self.tables.days.day, self.day, "day")
    }

    #[must_use]
    pub fn campaign(&self) -> Campaign<'t> {
        let campaign = asked(self.tables.days.campaign, self.day, "campaign");
        Campaign::new(self.tables.texts, &self.tables.campaigns, campaign)
    }

    /// What the movement adds to the spend under a verdict.
    #[must_use]
    #[inline]
    pub fn counted_micros(&self, verdict: &Verdict) -> i64 {
        match verdict.allowed_micros {
            Some(allowed) if self.amount_micros > 0 => allowed,
            _ => self.amount_micros,
        }
    }
}

#[cold]
fn no_such_day() -> ! {
    panic!("the host names a campaign-day that it did not pass")
}
