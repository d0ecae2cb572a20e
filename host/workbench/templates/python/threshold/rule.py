"""When a campaign is warned about, paused and resumed: by the spend of its day in the ledger.

wit/rules.wit explains every field. Money is whole micros, a ratio is whole parts per million (ppm). Tables are columns:
lists of equal length. There is no clock, no network, no file and no randomness.
"""

from dataclasses import dataclass

from wit_world import exports
from wit_world.exports.threshold import Verdicts
from wit_world.imports.about import (
    Description,
    Needs,
    Param,
    ParamKind,
    Reason,
    Source,
    Value_Number,
    Value_Numbers,
)

PPM = 1_000_000
GREATEST_PPM = 0xFFFF_FFFF

SPEND = 1
NO_BUDGET = 2

KEEP, WARN, PAUSE, RESUME = range(4)

# Bits of a day's state.
PAUSED_BY_BUDGET = 1
PAUSED_BY_PERSON = 2
TODAY = 4
PAUSED_BEFORE = 8
OF_CAMPAIGN = PAUSED_BY_BUDGET | PAUSED_BY_PERSON


def ratio(name, value, help):
    many = isinstance(value, Value_Numbers)
    return Param(name, ParamKind.RATIO_PPM, many, value, 1, 10 * PPM, help)


# What operators may set without a new module, in the order in which `judge` gets the values.
PARAMS = [
    ratio("warn_at", Value_Numbers([800_000, 950_000]), "Shares of the daily budget at which a warning is sent."),
    ratio("pause_at", Value_Number(PPM), "Share of the daily budget at which the campaign is paused."),
]

REASONS = [
    Reason(SPEND, "SPEND", Source.NONE, "Decided by the day's spend in the ledger."),
    Reason(NO_BUDGET, "NO_BUDGET", Source.NONE, "The campaign has no daily budget."),
]


@dataclass
class Day:
    """A campaign-day as it is before a movement: what the host keeps while the movements of a batch pass by."""

    campaign: int
    budget: int
    spent: int
    warned: int
    pause_from: int
    state: int

    def judge(self, amount, warn_at, pause_at):
        """Action, level, usage and reason."""
        resumable = self.state & PAUSED_BY_BUDGET and self.state & TODAY
        if self.budget < 0:
            return (RESUME if resumable else KEEP), 0, 0, NO_BUDGET
        usage = ratio_ppm(self.spent + amount, self.budget)
        if usage >= pause_at:
            return PAUSE, pause_at, usage, SPEND
        if self.state & PAUSED_BY_BUDGET:
            # A new day or a new budget lets the campaign run again; a refund does not.
            if resumable and not self.state & PAUSED_BEFORE:
                return RESUME, pause_at, usage, SPEND
            return KEEP, 0, usage, SPEND
        level = max((level for level in warn_at if usage >= level), default=0)
        return (WARN, level, usage, SPEND) if level > self.warned else (KEEP, 0, usage, SPEND)

    def move(self, amount, action, level):
        """What a verdict makes of the day, as in the host."""
        self.spent += amount
        if action == WARN:
            self.warned = max(self.warned, level)
        elif action == PAUSE and not self.state & PAUSED_BEFORE and self.spent >= self.pause_from:
            self.state |= PAUSED_BY_BUDGET | PAUSED_BEFORE
        elif action == RESUME and self.state & TODAY:
            self.state &= ~(PAUSED_BY_BUDGET | PAUSED_BEFORE)


def ratio_ppm(part, whole):
    """`part` of `whole` in ppm, rounded down."""
    if part <= 0:
        return 0
    return GREATEST_PPM if whole <= 0 else min(part * PPM // whole, GREATEST_PPM)


class Threshold(exports.Threshold):
    # An interpreter uses far more fuel than Rust: for one call, and for each movement.
    def describe(self):
        return Description("{{name}}", "0.1.0", Needs(0), PARAMS, REASONS, 20_000_000, 2_000_000)

    # One verdict for each movement, in order. A pause on one day of a campaign is one on all of its days.
    def judge(self, params, texts, campaigns, days, movements):
        warn_at, pause_at = (value.value for value in params)
        columns = (days.campaign, days.daily_budget_micros, days.spent_micros, days.warned_ppm)
        rows = [Day(*row) for row in zip(*columns, days.pause_from_micros, days.state)]
        status = {}
        for day in rows:
            status[day.campaign] = status.get(day.campaign, 0) | day.state & OF_CAMPAIGN
        answers = []
        for at, amount in zip(movements.campaign_day, movements.amount_micros):
            day = rows[at]
            day.state = day.state & ~OF_CAMPAIGN | status[day.campaign]
            action, level, usage, reason = day.judge(amount, warn_at, pause_at)
            day.move(amount, action, level)
            status[day.campaign] = day.state & OF_CAMPAIGN
            answers.append((action, level, usage, amount, reason))
        action, level, usage, allowed, reason = map(list, zip(*answers)) if answers else ([],) * 5
        return Verdicts(bytes(action), level, usage, allowed, reason)
