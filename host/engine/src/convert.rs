//! Between the contract's types and the domain's. Nothing outside this file and the bindings knows the contract.

use tollgate_domain::facts::{
    ABSENT_MICROS, CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns,
    Decisions, MovementColumns, PricingFacts, Quotes, RefundColumns, ThresholdFacts, Verdicts,
};
use tollgate_domain::notice::{Channel, Happening, HappeningKind, Message, Severity};
use tollgate_domain::rule::{
    Description, Needs, Param, ParamKind, PriceSource, Reason, Value, World,
};

use crate::bindings::exports::tollgate::rules::{notification, pricing, refund, threshold};
use crate::bindings::tollgate::rules::about;
use crate::columns::{CampaignDays, Campaigns, Clicks, Column, Compensations, Movements};

/// A parameter's value as it crosses.
pub(crate) type WireValue = about::Value;

/// Arguments of `price`.
pub(crate) type PriceArguments<'a> =
    (&'a [WireValue], Column<'a, &'a str>, Campaigns<'a>, Clicks<'a>);

/// Arguments of `judge`.
pub(crate) type JudgeArguments<'a> =
    (&'a [WireValue], Column<'a, &'a str>, Campaigns<'a>, CampaignDays<'a>, Movements<'a>);

/// Arguments of `decide`.
pub(crate) type DecideArguments<'a> =
    (&'a [WireValue], Column<'a, &'a str>, Campaigns<'a>, CampaignDays<'a>, Compensations<'a>);

/// Arguments of `compose`.
pub(crate) type ComposeArguments<'a> = (&'a [WireValue], &'a [WireHappening<'a>]);

pub(crate) type WireHappening<'a> = notification::Happening<'a>;
pub(crate) type WireMessages = (Vec<notification::Message>,);
pub(crate) type WireQuotes = (pricing::Quotes,);
pub(crate) type WireVerdicts = (threshold::Verdicts,);
pub(crate) type WireDecisions = (refund::Decisions,);
pub(crate) type WireDescription = (about::Description,);

/// Name of the interface that a module of `world` exports, and of the function that answers.
pub(crate) fn interface(world: World) -> (&'static str, &'static str) {
    match world {
        World::Pricing => ("tollgate:rules/pricing@1.0.0", "price"),
        World::Threshold => ("tollgate:rules/threshold@1.0.0", "judge"),
        World::Refund => ("tollgate:rules/refund@1.0.0", "decide"),
        World::Notification => ("tollgate:rules/notification@1.0.0", "compose"),
    }
}

/// The texts of a call, borrowed; mostly none.
pub(crate) fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub(crate) fn price_arguments<'a>(
    params: &'a [WireValue],
    texts: &'a [&'a str],
    facts: &'a PricingFacts,
) -> PriceArguments<'a> {
    (params, Column(texts), campaigns(&facts.campaigns), clicks(&facts.clicks))
}

pub(crate) fn judge_arguments<'a>(
    params: &'a [WireValue],
    texts: &'a [&'a str],
    facts: &'a ThresholdFacts,
) -> JudgeArguments<'a> {
    let MovementColumns { campaign_day, amount_micros } = &facts.movements;
    let movements =
        Movements { campaign_day: Column(campaign_day), amount_micros: Column(amount_micros) };
    (params, Column(texts), campaigns(&facts.campaigns), days(&facts.days), movements)
}

pub(crate) fn decide_arguments<'a>(
    params: &'a [WireValue],
    texts: &'a [&'a str],
    facts: &'a RefundColumns,
) -> DecideArguments<'a> {
    let compensations = compensations(&facts.compensations);
    (params, Column(texts), campaigns(&facts.campaigns), days(&facts.days), compensations)
}

pub(crate) fn quotes((quotes,): WireQuotes) -> Quotes {
    let pricing::Quotes { charge_micros, reason } = quotes;
    Quotes { charge_micros, reason }
}

pub(crate) fn verdicts((verdicts,): WireVerdicts) -> Verdicts {
    let threshold::Verdicts { action, level_ppm, usage_ppm, allowed_micros, reason } = verdicts;
    Verdicts { action, level_ppm, usage_ppm, allowed_micros, reason }
}

pub(crate) fn decisions((decisions,): WireDecisions) -> Decisions {
    let refund::Decisions { action, refund_micros, reason } = decisions;
    Decisions { action, refund_micros, reason }
}

/// Happenings as they cross.
pub(crate) fn happenings(happenings: &[Happening]) -> Vec<WireHappening<'_>> {
    happenings.iter().map(happening).collect()
}

pub(crate) fn messages((messages,): WireMessages) -> Vec<Message> {
    messages.into_iter().map(message).collect()
}

/// The description, unjudged.
pub(crate) fn description((wire,): WireDescription) -> Description {
    let has = |need| wire.needs.contains(need);
    Description {
        name: wire.name,
        version: wire.version,
        needs: Needs {
            cached_price: has(about::Needs::CACHED_PRICE),
            counter: has(about::Needs::COUNTER),
            balance: has(about::Needs::BALANCE),
            local_time: has(about::Needs::LOCAL_TIME),
            texts: has(about::Needs::TEXTS),
            matched_charges: has(about::Needs::MATCHED_CHARGES),
        },
        params: wire.params.into_iter().map(param).collect(),
        reasons: wire.reasons.into_iter().map(reason).collect(),
        fuel_base: wire.fuel_base,
        fuel_per_item: wire.fuel_per_item,
    }
}

pub(crate) fn wire_value(value: Value) -> WireValue {
    match value {
        Value::Number(number) => WireValue::Number(number),
        Value::Text(text) => WireValue::Text(text),
        Value::Numbers(numbers) => WireValue::Numbers(numbers),
    }
}

fn param(wire: about::Param) -> Param {
    Param {
        name: wire.name,
        kind: match wire.kind {
            about::ParamKind::Micros => ParamKind::Micros,
            about::ParamKind::RatioPpm => ParamKind::RatioPpm,
            about::ParamKind::Count => ParamKind::Count,
            about::ParamKind::Minutes => ParamKind::Minutes,
            about::ParamKind::Toggle => ParamKind::Toggle,
            about::ParamKind::Text => ParamKind::Text,
        },
        many: wire.many,
        default: match wire.default {
            WireValue::Number(number) => Value::Number(number),
            WireValue::Text(text) => Value::Text(text),
            WireValue::Numbers(numbers) => Value::Numbers(numbers),
        },
        lowest: wire.lowest,
        highest: wire.highest,
        help: wire.help,
    }
}

fn reason(wire: about::Reason) -> Reason {
    Reason {
        code: wire.code,
        name: wire.name,
        source: match wire.source {
            about::Source::Stored => PriceSource::Stored,
            about::Source::Cached => PriceSource::Cached,
            about::Source::Computed => PriceSource::Computed,
            about::Source::None => PriceSource::None,
        },
        help: wire.help,
    }
}

fn happening(happening: &Happening) -> WireHappening<'_> {
    let facts = &happening.facts;
    let since_last = happening.minutes_since_last;
    WireHappening {
        kind: match happening.kind {
            HappeningKind::Warning => notification::Kind::Warning,
            HappeningKind::Paused => notification::Kind::Paused,
            HappeningKind::Resumed => notification::Kind::Resumed,
            HappeningKind::DeadLetters => notification::Kind::DeadLetters,
            HappeningKind::RefundFailed => notification::Kind::RefundFailed,
            HappeningKind::DuplicateRate => notification::Kind::DuplicateRate,
            HappeningKind::RuleFault => notification::Kind::RuleFault,
            HappeningKind::PauseRefused => notification::Kind::PauseRefused,
            HappeningKind::DeliveryFailed => notification::Kind::DeliveryFailed,
            HappeningKind::AuditMismatch => notification::Kind::AuditMismatch,
            HappeningKind::PartitionHalted => notification::Kind::PartitionHalted,
        },
        campaign: &facts.campaign_id,
        advertiser: &facts.advertiser_id,
        level_ppm: facts.level_ppm,
        usage_ppm: facts.usage_ppm,
        spent_micros: facts.spent_micros.unwrap_or(ABSENT_MICROS),
        budget_micros: facts.daily_budget_micros.unwrap_or(ABSENT_MICROS),
        count: facts.count,
        detail: &facts.detail,
        reason: &facts.reason,
        today: facts.today,
        day: &facts.day,
        local_minute: happening.local_minute,
        weekday: happening.weekday,
        sent_today: happening.sent_today,
        minutes_since_last: since_last.map_or(-1, |minutes| minutes.try_into().unwrap_or(i32::MAX)),
    }
}

fn message(wire: notification::Message) -> Message {
    Message {
        happening: wire.happening,
        channel: match wire.channel {
            notification::Channel::Slack => Channel::Slack,
            notification::Channel::Email => Channel::Email,
        },
        route: wire.route,
        severity: match wire.severity {
            notification::Severity::Info => Severity::Info,
            notification::Severity::Warning => Severity::Warning,
            notification::Severity::Critical => Severity::Critical,
        },
        title: wire.title,
        body: wire.body,
        delay_minutes: wire.delay_minutes,
    }
}

fn campaigns(columns: &CampaignColumns) -> Campaigns<'_> {
    Campaigns {
        id: Column(&columns.id),
        advertiser: Column(&columns.advertiser),
        stored_price_micros: Column(&columns.stored_price_micros),
        cached_price_micros: Column(&columns.cached_price_micros),
        balance_micros: Column(&columns.balance_micros),
    }
}

fn clicks(columns: &ClickColumns) -> Clicks<'_> {
    Clicks {
        campaign: Column(&columns.campaign),
        occurred_at_ms: Column(&columns.occurred_at_ms),
        bid_micros: Column(&columns.bid_micros),
        actual_micros: Column(&columns.actual_micros),
        placement: Column(&columns.placement),
        local_minute: Column(&columns.local_minute),
        weekday: Column(&columns.weekday),
        category: Column(&columns.category),
        search_term: Column(&columns.search_term),
        device: Column(&columns.device),
        ad: Column(&columns.ad),
        product: Column(&columns.product),
    }
}

fn days(columns: &CampaignDayColumns) -> CampaignDays<'_> {
    CampaignDays {
        campaign: Column(&columns.campaign),
        day: Column(&columns.day),
        daily_budget_micros: Column(&columns.daily_budget_micros),
        spent_micros: Column(&columns.spent_micros),
        counter_micros: Column(&columns.counter_micros),
        warned_ppm: Column(&columns.warned_ppm),
        pause_from_micros: Column(&columns.pause_from_micros),
        state: Column(&columns.state),
    }
}

fn compensations(columns: &CompensationColumns) -> Compensations<'_> {
    Compensations {
        campaign_day: Column(&columns.campaign_day),
        claimed_micros: Column(&columns.claimed_micros),
        duplicate_count: Column(&columns.duplicate_count),
        timestamp_count: Column(&columns.timestamp_count),
        refundable_micros: Column(&columns.refundable_micros),
        matched_micros: Column(&columns.matched_micros),
        matched_count: Column(&columns.matched_count),
        matched_refunded_micros: Column(&columns.matched_refunded_micros),
        matched_generation: Column(&columns.matched_generation),
        clicks_complete: Column(&columns.clicks_complete),
        device: Column(&columns.device),
        ad: Column(&columns.ad),
    }
}
