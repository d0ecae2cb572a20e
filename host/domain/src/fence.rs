//! The money fence: what the host demands of every answer, whatever the rule. An answer that breaches it is not
//! used, not even in part.

use crate::dead::Code;
use crate::facts::{Decisions, PricingFacts, Quotes, RefundColumns, ThresholdFacts, Verdicts};
use crate::money::{Micros, PPM};
use crate::notice::Message;
use crate::rule::{Description, Fault, PriceSource};

/// Limits that rules cannot move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceLimits {
    /// The most that one click may cost.
    pub charge_max: Micros,
    /// A campaign is not paused while the ledger's own spend is below this share of its budget, in ppm.
    pub pause_floor_ppm: u32,
}

/// Actions that a verdict may ask for.
pub mod action {
    pub const KEEP: u8 = 0;
    pub const WARN: u8 = 1;
    pub const PAUSE: u8 = 2;
    pub const RESUME: u8 = 3;
}

/// Actions that a decision about a compensation may ask for.
pub mod refund_action {
    pub const REJECT: u8 = 0;
    pub const APPROVE: u8 = 1;
    pub const PARK: u8 = 2;
}

/// Checks the quotes of one call: one per click, a declared reason, 0 ≤ charge ≤ cap, and a price that is what its
/// reason says it is.
///
/// # Errors
/// The first breach.
pub fn check_quotes(
    facts: &PricingFacts,
    quotes: &Quotes,
    rule: &Description,
    limits: &FenceLimits,
) -> Result<(), Fault> {
    let rows = facts.clicks.len();
    same_length(rows, &[quotes.charge_micros.len(), quotes.reason.len()])?;
    let campaigns = &facts.campaigns;
    for row in 0..rows {
        let charge = quotes.charge_micros[row];
        if charge < 0 || charge > limits.charge_max.0 {
            return breach(format!(
                "click {row} is charged {}, allowed is 0 to {}",
                Micros(charge),
                limits.charge_max
            ));
        }
        let Some(reason) = rule.reason(quotes.reason[row]) else {
            return breach(format!("click {row} has the undeclared reason {}", quotes.reason[row]));
        };
        let campaign = facts.clicks.campaign[row] as usize;
        let honest = match reason.source {
            PriceSource::Stored => campaigns.stored_price_micros.get(campaign) == Some(&charge),
            PriceSource::Cached => campaigns.cached_price_micros.get(campaign) == Some(&charge),
            PriceSource::Computed => true,
            PriceSource::None => false,
        };
        if !honest {
            let shown = Micros(charge);
            return breach(format!(
                "click {row} is charged {shown}, which is not the price that its reason {} names",
                reason.name
            ));
        }
    }
    Ok(())
}

/// What a movement of 0 is; its facts do not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nought {
    /// A click that costs nothing, which nothing but 0 may be charged for.
    Click,
    /// A fresh look or a refund of nothing. What a verdict allows of it is ignored, as of any refund.
    Look,
}

/// Checks the verdicts of one call: one per movement, a known action with a level, a declared reason, and for a click
/// an allowed amount within the movement.
///
/// # Errors
/// The first breach.
pub fn check_verdicts(
    facts: &ThresholdFacts,
    verdicts: &Verdicts,
    rule: &Description,
    nought: Nought,
) -> Result<(), Fault> {
    let rows = facts.movements.campaign_day.len();
    let lengths = [
        verdicts.action.len(),
        verdicts.level_ppm.len(),
        verdicts.usage_ppm.len(),
        verdicts.allowed_micros.len(),
        verdicts.reason.len(),
    ];
    same_length(rows, &lengths)?;
    for row in 0..rows {
        let (action, level) = (verdicts.action[row], verdicts.level_ppm[row]);
        if action > action::RESUME {
            return breach(format!("movement {row} has the unknown action {action}"));
        }
        if matches!(action, action::WARN | action::PAUSE) && level == 0 {
            return breach(format!("movement {row} crosses a level that is not given"));
        }
        if rule.reason(verdicts.reason[row]).is_none() {
            let reason = verdicts.reason[row];
            return breach(format!("movement {row} has the undeclared reason {reason}"));
        }
        let (amount, allowed) = (facts.movements.amount_micros[row], verdicts.allowed_micros[row]);
        let is_click = amount > 0 || amount == 0 && nought == Nought::Click;
        if is_click && !(0..=amount).contains(&allowed) {
            return breach(format!(
                "movement {row} allows {} of {}",
                Micros(allowed),
                Micros(amount)
            ));
        }
    }
    Ok(())
}

/// Checks the decisions of one call: one per compensation, a known action, a declared reason, and for an approval an
/// amount above 0 of what the campaign-day can give back, for everything else none.
///
/// # Errors
/// The first breach.
pub fn check_decisions(
    facts: &RefundColumns,
    decisions: &Decisions,
    rule: &Description,
) -> Result<(), Fault> {
    let refundable = &facts.compensations.refundable_micros;
    let lengths = [decisions.action.len(), decisions.refund_micros.len(), decisions.reason.len()];
    same_length(refundable.len(), &lengths)?;
    // What is approved first is no longer there for the next one of the same day.
    let mut approved = vec![0_i64; facts.days.campaign.len()];
    for (row, refundable) in refundable.iter().enumerate() {
        let (action, refund) = (decisions.action[row], decisions.refund_micros[row]);
        if action > refund_action::PARK {
            return breach(format!("compensation {row} has the unknown action {action}"));
        }
        if rule.reason(decisions.reason[row]).is_none() {
            let reason = decisions.reason[row];
            return breach(format!("compensation {row} has the undeclared reason {reason}"));
        }
        let day = facts.compensations.campaign_day.get(row).map(|day| *day as usize);
        let Some(approved) = day.and_then(|day| approved.get_mut(day)) else {
            return breach(format!("compensation {row} is of no day"));
        };
        let left = refundable.saturating_sub(*approved).max(0);
        let (least, most) = if action == refund_action::APPROVE { (1, left) } else { (0, 0) };
        if refund < least || refund > most {
            let (refund, least, most) = (Micros(refund), Micros(least), Micros(most));
            return breach(format!(
                "compensation {row} gives back {refund}, allowed is {least} to {most}"
            ));
        }
        *approved = approved.saturating_add(refund);
    }
    Ok(())
}

/// How much a notification rule may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Messages about one happening.
    pub messages_max: usize,
    pub title_bytes_max: usize,
    pub body_bytes_max: usize,
    pub delay_minutes_max: u32,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            messages_max: 20,
            title_bytes_max: 300,
            body_bytes_max: 8_000,
            delay_minutes_max: 48 * 60,
        }
    }
}

/// Checks the messages of one call: each about a happening that was asked about, with a name for a route, words, and
/// within the limits. Whether the route exists is the configuration's matter.
///
/// # Errors
/// The first breach.
pub fn check_messages(
    happenings: usize,
    messages: &[Message],
    limits: MessageLimits,
) -> Result<(), Fault> {
    let mut told = vec![0_usize; happenings];
    for (at, message) in messages.iter().enumerate() {
        let Some(told) = told.get_mut(message.happening as usize) else {
            return breach(format!("message {at} is about happening {}", message.happening));
        };
        *told += 1;
        let (title, body) = (message.title.len(), message.body.len());
        let wrong = if *told > limits.messages_max {
            format!("is one of more than {} about one happening", limits.messages_max)
        } else if message.route.is_empty() || message.route.len() > 64 {
            format!("names the route {:?}", message.route)
        } else if title == 0 || title > limits.title_bytes_max {
            format!("has a title of {title} bytes, allowed is 1 to {}", limits.title_bytes_max)
        } else if body > limits.body_bytes_max {
            format!("has a body of {body} bytes, allowed is {}", limits.body_bytes_max)
        } else if message.delay_minutes > limits.delay_minutes_max {
            let (delay, most) = (message.delay_minutes, limits.delay_minutes_max);
            format!("is held back {delay} minutes, allowed is {most}")
        } else {
            continue;
        };
        return breach(format!("message {at} {wrong}"));
    }
    Ok(())
}

/// Whether the ledger's own spend is high enough to pause for it.
#[must_use]
pub fn may_pause(spent: Micros, budget: Option<Micros>, limits: &FenceLimits) -> bool {
    pause_from(budget, limits).is_some_and(|least| spent >= least)
}

/// The spend from which a campaign may be paused; `None` when it has no budget.
#[must_use]
pub fn pause_from(budget: Option<Micros>, limits: &FenceLimits) -> Option<Micros> {
    let scaled = i128::from(budget?.0) * i128::from(limits.pause_floor_ppm);
    let ppm = i128::from(PPM);
    let least = scaled.div_euclid(ppm) + i128::from(scaled.rem_euclid(ppm) != 0);
    Some(Micros(i64::try_from(least).unwrap_or(i64::MAX)))
}

fn same_length(rows: usize, lengths: &[usize]) -> Result<(), Fault> {
    match lengths.iter().find(|length| **length != rows) {
        None => Ok(()),
        Some(length) => Err(Fault {
            code: Code::RuleWrongAnswers,
            sentence: format!("the rule gave {length} answers for {rows} rows"),
        }),
    }
}

fn breach(sentence: String) -> Result<(), Fault> {
    Err(Fault { code: Code::FenceBreach, sentence })
}

#[cfg(test)]
mod tests;
