"""Who is told what: one message to Slack for everything, and one by e-mail for what cannot wait.

wit/rules.wit explains every field. Money is whole micros, a ratio is whole parts per million. There is no clock, no
network, no file and no randomness.
"""

from wit_world import exports
from wit_world.exports.notification import Channel, Kind, Message, Severity
from wit_world.imports.about import Description, Needs, Param, ParamKind, Value_Text

PPM_PER_PERCENT = 10_000
MICROS_PER_UNIT = 1_000_000


def text(name, value, help):
    return Param(name, ParamKind.TEXT, False, Value_Text(value), None, 64, help)


# What operators may set without a new module, in the order in which `compose` gets the values.
PARAMS = [
    text("slack", "default", "Slack route of every message; empty: none."),
    text("email", "", "E-mail route of what is critical; empty: none."),
]


def severity(happening):
    crossing = happening.kind in (Kind.WARNING, Kind.PAUSED, Kind.RESUMED)
    # A crossing of a day that is over; nothing is paused by it.
    if happening.kind is Kind.RESUMED or (crossing and not happening.today):
        return Severity.INFO
    if happening.kind in (Kind.WARNING, Kind.DEAD_LETTERS, Kind.DUPLICATE_RATE):
        return Severity.WARNING
    return Severity.CRITICAL


def title(happening):
    campaign = happening.campaign[:100]
    match happening.kind:
        case Kind.WARNING:
            return f"{campaign} has used {happening.usage_ppm // PPM_PER_PERCENT} % of its budget"
        case Kind.PAUSED:
            return f"{campaign} is paused: its budget is used up"
        case Kind.RESUMED:
            return f"{campaign} runs again"
        case kind:
            return f"tollgate: {kind.name.lower()} ({happening.count})"


def body(happening):
    spent, budget = happening.spent_micros, happening.budget_micros
    if spent < 0 or budget < 0:
        return happening.detail
    spent, budget = spent // MICROS_PER_UNIT, budget // MICROS_PER_UNIT
    return f"Spent {spent} of {budget} on {happening.day}. {happening.detail}"


class Notification(exports.Notification):
    # An interpreter uses far more fuel than Rust: for one call, and for each happening.
    def describe(self):
        return Description("{{name}}", "0.1.0", Needs(0), PARAMS, [], 20_000_000, 2_000_000)

    # Any number of messages, none for silence.
    def compose(self, params, happenings):
        slack, email = (value.value for value in params)
        messages = []
        for at, happening in enumerate(happenings):
            level = severity(happening)
            routes = [(Channel.SLACK, slack)]
            if level is Severity.CRITICAL:
                routes.append((Channel.EMAIL, email))
            for channel, route in routes:
                if route:
                    words = (title(happening), body(happening)[:2_000])
                    messages.append(Message(at, channel, route, level, *words, 0))
        return messages
