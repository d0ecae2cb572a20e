//! A statement of account: what an advertiser's balance was before a budget day, what moved it, and what it was after.
//!
//! A budget day is that of each campaign's own zone, so the figures around it come from the campaigns' days and not from
//! instants; top-ups have no campaign and are dated in the zone that the statement is made for.

use std::fmt::Write as _;

use serde::Serialize;
use tollgate_domain::day::{Day, Zone};
use tollgate_domain::money::Micros;
use tollgate_ledger::StatementRows;

use crate::channels::rfc3339;

/// One advertiser's account on one budget day. Amounts are whole micros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    pub advertiser_id: String,
    pub day: String,
    pub zone: String,
    pub opening_micros: i64,
    pub campaigns: Vec<CampaignLine>,
    pub adjustments: Vec<AdjustmentLine>,
    pub closing_micros: i64,
    /// The balance as it is now.
    pub balance_micros: i64,
    /// Whether nothing of the advertiser lies after the day.
    pub is_last_day: bool,
    /// What does not add up; empty when everything does.
    pub contradictions: Vec<String>,
    pub remark: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CampaignLine {
    pub campaign_id: String,
    pub clicks: i64,
    pub charged_micros: i64,
    pub refunds: i64,
    pub refunded_micros: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustmentLine {
    pub at: String,
    pub amount_micros: i64,
}

/// Late clicks and refunds belong to the day of the click, whenever they are written.
const REMARK: &str = "Late clicks and refunds count to the day of their click, so a statement of an earlier day can change; \
    with them the openings of the days after it change, too.";

impl Statement {
    /// The statement, checked against the figures of the days around it. `None`: an amount leaves 64 bits.
    #[must_use]
    pub fn new(advertiser: &str, day: Day, zone: &Zone, rows: &StatementRows) -> Option<Self> {
        let end_us = zone.end_us(day)?;
        let (of_day, later): (Vec<_>, Vec<_>) =
            rows.adjustments.iter().partition(|adjustment| adjustment.at_us < end_us);
        let adjusted = sum(of_day.iter().map(|one| one.amount))?;
        let adjusted_later = sum(later.iter().map(|one| one.amount))?;
        let charged = sum(rows.lines.iter().map(|line| line.charged))?;
        let refunded = sum(rows.lines.iter().map(|line| line.refunded))?;
        let at_end = rows.opening.checked_sub(adjusted_later)?.checked_sub(rows.spent_before)?;
        let opening = at_end.checked_sub(adjusted)?;
        let closing = at_end.checked_sub(charged)?.checked_add(refunded)?;
        let mut contradictions = Vec::new();
        let net = charged.checked_sub(refunded)?;
        if net != rows.spent {
            let spent = rows.spent;
            contradictions.push(format!(
                "history has net charges of {net}, the campaigns' days have {spent}"
            ));
        }
        let now = closing.checked_add(adjusted_later)?.checked_sub(rows.spent_after)?;
        if now != rows.balance {
            let balance = rows.balance;
            contradictions
                .push(format!("with all later days the balance would be {now}, it is {balance}"));
        }
        let is_last_day = later.is_empty() && rows.last_day.is_none_or(|last| last <= day);
        Some(Self {
            advertiser_id: advertiser.to_owned(),
            day: day.to_string(),
            zone: zone.name().to_owned(),
            opening_micros: opening.0,
            campaigns: rows.lines.iter().map(line).collect(),
            adjustments: of_day
                .into_iter()
                .map(|one| AdjustmentLine { at: rfc3339(one.at_us), amount_micros: one.amount.0 })
                .collect(),
            closing_micros: closing.0,
            balance_micros: rows.balance.0,
            is_last_day,
            contradictions,
            remark: REMARK,
        })
    }

    /// Lines of `kind,campaign_id,at,count,amount_micros`; amounts are signed as they move the balance.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from("kind,campaign_id,at,count,amount_micros\n");
        let mut row = |kind: &str, campaign: &str, at: &str, count: &str, amount: i64| {
            let (campaign, at) = (quoted(campaign), quoted(at));
            // Writing to a string cannot fail.
            let _written = writeln!(csv, "{kind},{campaign},{at},{count},{amount}");
        };
        row("OPENING", "", &self.day, "", self.opening_micros);
        for line in &self.campaigns {
            let (campaign, day) = (&line.campaign_id, &self.day);
            row("CHARGES", campaign, day, &line.clicks.to_string(), -line.charged_micros);
            if line.refunds > 0 {
                row("REFUNDS", campaign, day, &line.refunds.to_string(), line.refunded_micros);
            }
        }
        for adjustment in &self.adjustments {
            row("ADJUSTMENT", "", &adjustment.at, "", adjustment.amount_micros);
        }
        row("CLOSING", "", &self.day, "", self.closing_micros);
        csv
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} on {}\n", self.advertiser_id, self.day);
        let mut row = |what: &str, amount: i64| {
            let amount = Micros(amount).to_string();
            let _written = writeln!(text, "{what:<56} {amount:>22}");
        };
        row("opening balance", self.opening_micros);
        for line in &self.campaigns {
            row(&format!("{}: {} clicks", line.campaign_id, line.clicks), -line.charged_micros);
            if line.refunds > 0 {
                let what = format!("{}: {} refunds", line.campaign_id, line.refunds);
                row(&what, line.refunded_micros);
            }
        }
        for adjustment in &self.adjustments {
            row(&format!("adjustment {}", adjustment.at), adjustment.amount_micros);
        }
        row("closing balance", self.closing_micros);
        let checked = if !self.contradictions.is_empty() {
            format!("It does not add up: {}.", self.contradictions.join("; "))
        } else if self.is_last_day {
            "It adds up; nothing lies after this day, and the balance is the closing balance."
                .to_owned()
        } else {
            let balance = Micros(self.balance_micros);
            format!("It adds up, and with all later days it gives the balance of now, {balance}.")
        };
        let _written = writeln!(text, "{checked}\n{}", self.remark);
        text
    }
}

fn sum(mut amounts: impl Iterator<Item = Micros>) -> Option<Micros> {
    amounts.try_fold(Micros::ZERO, Micros::checked_add)
}

fn line(line: &tollgate_ledger::StatementLine) -> CampaignLine {
    CampaignLine {
        campaign_id: line.campaign.clone(),
        clicks: line.clicks,
        charged_micros: line.charged.0,
        refunds: line.refunds,
        refunded_micros: line.refunded.0,
    }
}

/// A field of CSV; one with a separator or a quote is quoted.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

#[cfg(test)]
mod tests;
