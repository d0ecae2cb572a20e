//! The running state of a batch: balances, spends and statuses as they change click by click.

use std::sync::Arc;

use crate::batch::{Batch, ClickRef, Fates, Resolved, ResolvedClick};
use crate::book::{BUDGET_EXHAUSTED, DayKey, DayState, Status};
use crate::dead::{Code, Rejection, Stage};
use crate::decide::Context;
use crate::facts::{ABSENT_MICROS, CampaignDayColumns, Verdicts, day_state};
use crate::fence::{self, action};
use crate::money::Micros;
use crate::plan::{
    BalanceMove, Crossing, CrossingKind, DayMove, HistoryRow, OutboxMessage, Plan, ReasonName,
    StatusChange,
};
use crate::rule::Needs;

/// A verdict about one movement.
pub(super) struct Verdict {
    action: u8,
    level_ppm: u32,
    usage_ppm: u32,
    allowed: Micros,
    /// Index into the plan's reasons.
    reason: u16,
}

impl Verdict {
    pub(super) fn at(verdicts: &Verdicts, row: usize, reason: u16) -> Self {
        Self {
            action: verdicts.action[row],
            level_ppm: verdicts.level_ppm[row],
            usage_ppm: verdicts.usage_ppm[row],
            allowed: Micros(verdicts.allowed_micros[row]),
            reason,
        }
    }
}

struct RunningCampaign {
    status: Status,
    paused_by_budget: bool,
    version: i64,
    paused_day: Option<crate::day::Day>,
}

impl RunningCampaign {
    fn may_be_paused(&self) -> bool {
        self.status == Status::Active || (self.status == Status::Paused && self.paused_by_budget)
    }
}

struct RunningDay {
    state: DayState,
    today: bool,
    moved: bool,
    refusal_told: bool,
}

pub(super) struct Running<'a, 'w, 'r> {
    resolved: &'w Resolved<'r>,
    context: &'w Context<'w>,
    balances: Vec<Micros>,
    balance_moved: Vec<bool>,
    campaigns: Vec<RunningCampaign>,
    days: Vec<RunningDay>,
    plan: Plan<'a>,
    batch: &'a Batch,
    /// One for each slice of the batch.
    fates: Vec<Fates>,
}

impl<'a, 'w, 'r> Running<'a, 'w, 'r> {
    pub(super) fn new(
        batch: &'a Batch,
        resolved: &'w Resolved<'r>,
        context: &'w Context<'w>,
        reasons: Vec<ReasonName>,
    ) -> Self {
        let campaigns = resolved.campaigns.iter().map(|resolved| RunningCampaign {
            status: resolved.campaign.status,
            paused_by_budget: resolved.campaign.paused_reason.as_deref() == Some(BUDGET_EXHAUSTED),
            version: resolved.campaign.version,
            paused_day: None,
        });
        let days = resolved.days.iter().map(|day| {
            let zone = &resolved.campaigns[day.campaign as usize].campaign.zone;
            RunningDay {
                state: day.state,
                today: zone.day(context.now_us) == day.day,
                moved: false,
                refusal_told: day.refusal_told,
            }
        });
        Self {
            batch,
            fates: vec![Fates::default(); batch.slices().len()],
            resolved,
            context,
            balances: resolved.advertisers.iter().map(|(_, balance)| *balance).collect(),
            balance_moved: vec![false; resolved.advertisers.len()],
            campaigns: campaigns.collect(),
            days: days.collect(),
            plan: Plan {
                history: Vec::with_capacity(resolved.clicks.len()),
                reasons,
                ..Plan::nothing(context.generation)
            },
        }
    }

    /// Whether no sum of the batch can leave 64 bits.
    pub(super) fn fits(&self, charges: &[Micros]) -> bool {
        let total: i128 = charges.iter().map(|charge| i128::from(charge.0)).sum();
        let balances = self.balances.iter().map(|balance| i128::from(balance.0).abs()).max();
        let spends = self.days.iter().map(|day| i128::from(day.state.spent.0).abs()).max();
        let largest = balances.max(spends).unwrap_or(0);
        total + largest < i128::from(i64::MAX)
    }

    /// Campaign-days as the rule sees them, before the next movement.
    pub(super) fn day_columns(&self, needs: Needs) -> CampaignDayColumns {
        let rows = self.days.len();
        let mut columns = CampaignDayColumns {
            campaign: Vec::with_capacity(rows),
            day: Vec::with_capacity(rows),
            daily_budget_micros: Vec::with_capacity(rows),
            spent_micros: Vec::with_capacity(rows),
            counter_micros: Vec::with_capacity(if needs.counter { rows } else { 0 }),
            warned_ppm: Vec::with_capacity(rows),
            pause_from_micros: Vec::with_capacity(rows),
            state: Vec::with_capacity(rows),
        };
        for (resolved, day) in self.resolved.days.iter().zip(&self.days) {
            let campaign = &self.resolved.campaigns[resolved.campaign as usize].campaign;
            let (warned, paused) = day.state.levels(campaign.daily_budget);
            columns.campaign.push(resolved.campaign);
            columns.day.push(resolved.day.0);
            let budget = campaign.daily_budget.map_or(ABSENT_MICROS, |budget| budget.0);
            columns.daily_budget_micros.push(budget);
            columns.spent_micros.push(day.state.spent.0);
            columns.warned_ppm.push(warned);
            let running = &self.campaigns[resolved.campaign as usize];
            let least = fence::pause_from(campaign.daily_budget, self.context.fence);
            let least = least.filter(|_| day.today && running.may_be_paused());
            columns.pause_from_micros.push(least.map_or(i64::MAX, |least| least.0));
            let by_budget = running.paused_by_budget;
            columns.state.push(day_state::of(running.status, by_budget, day.today, paused));
        }
        columns
    }

    /// Charges a click as quoted and judged.
    pub(super) fn charge(
        &mut self,
        click: ResolvedClick,
        (quoted, priced_by): (Micros, u16),
        verdict: &Verdict,
    ) -> Result<(), Rejection> {
        let charge = quoted.min(verdict.allowed);
        let reason = if charge < quoted { verdict.reason } else { priced_by };
        let campaign = self.resolved.campaigns[click.campaign as usize];
        let advertiser = campaign.advertiser as usize;
        let day = &mut self.days[click.day as usize];
        let balance = self.balances[advertiser].checked_sub(charge);
        let (Some(balance), Some(spent), Some(amount)) =
            (balance, day.state.spent.checked_add(charge), charge.checked_neg())
        else {
            let sentence = format!("a charge of {charge} does not fit the balance or the spend");
            return Err(Rejection::new(Code::AmountOverflow, Stage::Judge, sentence));
        };
        let (_, paused) = day.state.levels(campaign.campaign.daily_budget);
        if paused != 0 {
            let after = |sum: Micros| Micros(sum.0.saturating_add(charge.0));
            day.state.overspent = after(day.state.overspent);
            self.plan.overspent = after(self.plan.overspent);
        }
        day.state.spent = spent;
        day.moved = true;
        self.balances[advertiser] = balance;
        self.balance_moved[advertiser] = true;
        let (slice, event) = self.batch.click(click.at);
        self.fates[click.at.slice as usize].charged += 1;
        self.plan.history.push(HistoryRow {
            source: &slice.source,
            offset: event.offset,
            advertiser: slice.text(slice.parties[event.party as usize].advertiser),
            campaign: slice.text(slice.parties[event.party as usize].campaign),
            ad: slice.text(event.ad),
            device: slice.text(event.device),
            occurred_at_us: event.occurred_at_us,
            day: self.resolved.days[click.day as usize].day,
            amount,
            balance_after: balance,
            reason,
        });
        self.carry_out((click.campaign, click.day), verdict, event.occurred_at_us);
        Ok(())
    }

    /// Carries out a verdict at the present, which no click has led to.
    pub(super) fn look(&mut self, day: u32, verdict: &Verdict) {
        let campaign = self.resolved.days[day as usize].campaign;
        self.carry_out((campaign, day), verdict, self.context.now_us);
    }

    /// Takes a refund off a day's spend, and carries out the verdict about it.
    pub(super) fn give_back(&mut self, day: u32, refund: Micros, verdict: &Verdict) {
        let state = &mut self.days[day as usize].state;
        state.spent = Micros(state.spent.0.saturating_sub(refund.0));
        self.look(day, verdict);
    }

    /// The plan with everything that moved, and the dead letters of clicks that could not be charged.
    pub(super) fn into_plan(mut self, rejected: Vec<(ClickRef, Rejection)>) -> Plan<'a> {
        for (slice, fates) in self.batch.slices().iter().zip(&mut self.fates) {
            fates.dead += slice.dead.len() as i64;
            self.plan.dead.extend(slice.dead.iter().cloned());
            fates.charged += slice.compensations.len() as i64;
            self.plan.compensations.extend_from_slice(&slice.compensations);
        }
        for (at, rejection) in rejected {
            self.fates[at.slice as usize].dead += 1;
            let (slice, click) = self.batch.click(at);
            self.plan.dead.push(slice.dead_letter(click, rejection, self.context.generation));
        }
        let place = |topic: &Arc<str>, partition, offset| (Arc::clone(topic), partition, offset);
        self.plan.dead.sort_by_key(|dead| place(&dead.topic, dead.partition, dead.offset));
        self.plan
            .compensations
            .sort_by_key(|row| place(&row.source.topic, row.source.partition, row.offset));
        self.plan.advances = self.batch.advances(&self.fates);
        self.move_balances();
        self.move_days();
        self.change_statuses();
        self.plan
    }

    fn carry_out(&mut self, at: (u32, u32), verdict: &Verdict, occurred_at_us: i64) {
        let (campaign_at, day_at) = (at.0 as usize, at.1 as usize);
        let budget = self.resolved.campaigns[campaign_at].campaign.daily_budget;
        let day = &mut self.days[day_at];
        let campaign = &mut self.campaigns[campaign_at];
        let (warned, paused) = day.state.levels(budget);
        let kind = match verdict.action {
            action::WARN if verdict.level_ppm > warned && budget.is_some() => {
                set_levels(&mut day.state, budget, verdict.level_ppm, paused);
                CrossingKind::Warn
            }
            // A campaign that an earlier day or budget has paused can be exhausted anew before it was resumed.
            action::PAUSE if day.today && paused == 0 && campaign.may_be_paused() => {
                if !fence::may_pause(day.state.spent, budget, self.context.fence) {
                    self.refuse_pause(at, verdict, occurred_at_us);
                    return;
                }
                set_levels(&mut day.state, budget, warned, verdict.level_ppm);
                campaign.status = Status::Paused;
                campaign.paused_by_budget = true;
                campaign.paused_day = Some(self.resolved.days[day_at].day);
                campaign.version += 1;
                CrossingKind::Pause
            }
            action::RESUME
                if day.today && campaign.status == Status::Paused && campaign.paused_by_budget =>
            {
                set_levels(&mut day.state, budget, warned, 0);
                campaign.status = Status::Active;
                campaign.paused_by_budget = false;
                campaign.paused_day = None;
                campaign.version += 1;
                CrossingKind::Resume
            }
            _ => return,
        };
        day.moved = true;
        let crossing = self.crossing(at, verdict, kind);
        let (today, generation) = (self.days[day_at].today, self.context.generation);
        let message = OutboxMessage::of(&crossing, today, occurred_at_us, generation);
        self.plan.outbox.push(message);
        self.plan.crossings.push(crossing);
    }

    /// Counts a pause that the fence does not allow, and tells it once a day.
    fn refuse_pause(&mut self, at: (u32, u32), verdict: &Verdict, occurred_at_us: i64) {
        self.plan.pauses_refused += 1;
        let day = &mut self.days[at.1 as usize];
        if std::mem::replace(&mut day.refusal_told, true) {
            return;
        }
        let crossing = self.crossing(at, verdict, CrossingKind::Pause);
        let generation = self.context.generation;
        let message = OutboxMessage::pause_refused(&crossing, occurred_at_us, generation);
        self.plan.outbox.push(message);
        self.plan.refusals.push(crossing.key);
    }

    fn crossing(&self, at: (u32, u32), verdict: &Verdict, kind: CrossingKind) -> Crossing {
        let campaign = self.resolved.campaigns[at.0 as usize].campaign;
        let round = match kind {
            CrossingKind::Warn => 0,
            CrossingKind::Pause | CrossingKind::Resume => self.campaigns[at.0 as usize].version,
        };
        Crossing {
            key: DayKey {
                campaign: Arc::clone(&campaign.id),
                day: self.resolved.days[at.1 as usize].day,
            },
            advertiser: Arc::clone(&campaign.advertiser),
            kind,
            level_ppm: verdict.level_ppm,
            usage_ppm: verdict.usage_ppm,
            spent: self.days[at.1 as usize].state.spent,
            budget: campaign.daily_budget,
            reason: self.plan.reasons[usize::from(verdict.reason)].name.clone(),
            round,
        }
    }

    fn move_balances(&mut self) {
        let moved = self.resolved.advertisers.iter().zip(&self.balances).zip(&self.balance_moved);
        let moves = moved.filter(|(_, moved)| **moved).map(|(((id, expected), new), _)| {
            BalanceMove { advertiser: Arc::clone(id), expected: *expected, new: *new }
        });
        self.plan.balances = moves.collect();
        self.plan.balances.sort_by(|a, b| a.advertiser.cmp(&b.advertiser));
    }

    fn move_days(&mut self) {
        let moved = self.resolved.days.iter().zip(&self.days).filter(|(_, day)| day.moved);
        let moves = moved.map(|(resolved, day)| {
            let campaign = self.resolved.campaigns[resolved.campaign as usize].campaign;
            DayMove {
                key: DayKey { campaign: Arc::clone(&campaign.id), day: resolved.day },
                campaign_version: campaign.version,
                expected_version: resolved.state.version,
                new: DayState { version: resolved.state.version + 1, ..day.state },
            }
        });
        self.plan.days = moves.collect();
        self.plan.days.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn change_statuses(&mut self) {
        let changed = self.resolved.campaigns.iter().zip(&self.campaigns);
        let changes =
            changed.filter(|(old, new)| old.campaign.version != new.version).map(|(old, new)| {
                StatusChange {
                    campaign: Arc::clone(&old.campaign.id),
                    expected_version: old.campaign.version,
                    new_version: new.version,
                    status: new.status,
                    paused_reason: new.paused_by_budget.then_some(BUDGET_EXHAUSTED),
                    paused_day: new.paused_day,
                }
            });
        self.plan.statuses = changes.collect();
        self.plan.statuses.sort_by(|a, b| a.campaign.cmp(&b.campaign));
    }
}

fn set_levels(state: &mut DayState, budget: Option<Micros>, warned_ppm: u32, paused_ppm: u32) {
    state.warned_ppm = warned_ppm;
    state.paused_ppm = paused_ppm;
    state.crossing_budget = budget;
}
