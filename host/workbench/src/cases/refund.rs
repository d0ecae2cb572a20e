//! Cases of refund rules: campaigns, their days, and compensations.

use tollgate_domain::facts::{CompensationColumns, Decisions, RefundColumns};
use tollgate_domain::rule::{Description, Needs};

use super::expect::{REFUND_ACTIONS, decimal};
use super::reading::{Need, Row};
use super::tables::{self, CampaignRow, DayRow, TextTable};
use super::{AnswerRow, reason};

#[derive(Clone, Debug)]
pub(super) struct Given {
    campaigns: Vec<CampaignRow>,
    days: Vec<DayRow>,
    compensations: Vec<CompensationRow>,
}

#[derive(Clone, Debug)]
struct CompensationRow {
    day: u32,
    claimed: i64,
    duplicate_count: u32,
    timestamp_count: u32,
    refundable: i64,
    matched: i64,
    matched_count: u32,
    matched_refunded: i64,
    matched_generation: u64,
    clicks_complete: bool,
    device: String,
    ad: String,
}

pub(super) fn read(given: &Row<'_, '_>) -> Given {
    let campaigns = tables::campaigns(given);
    let days = tables::days(given, &campaigns);
    let rows = given.rows("compensation", "compensations");
    let compensations =
        tables::rows(given.reader(), rows, |row| compensation(row, &campaigns, &days));
    Given { campaigns, days, compensations }
}

fn compensation(row: &Row<'_, '_>, campaigns: &[CampaignRow], days: &[DayRow]) -> CompensationRow {
    for key in ["matched", "matched_count", "matched_refunded", "matched_generation"] {
        row.note(key, Need::MatchedCharges);
    }
    for key in ["device", "ad"] {
        row.note(key, Need::Texts);
    }
    let day = tables::day_of(row, campaigns, days);
    let spent = days.get(day as usize).map_or(0, |day| day.spent.max(0));
    let duplicate_count = row.whole("duplicate_count").unwrap_or(2);
    CompensationRow {
        day,
        claimed: row.amount("claimed").unwrap_or(0),
        duplicate_count,
        timestamp_count: row.whole("timestamp_count").unwrap_or(duplicate_count),
        refundable: row.amount("refundable").unwrap_or(spent),
        matched: row.amount("matched").unwrap_or(0),
        matched_count: row.whole("matched_count").unwrap_or(0),
        matched_refunded: row.amount("matched_refunded").unwrap_or(0),
        matched_generation: row.whole("matched_generation").unwrap_or(0),
        clicks_complete: row.toggle("clicks_complete").unwrap_or(true),
        device: row.text("device").unwrap_or_default(),
        ad: row.text("ad").unwrap_or_default(),
    }
}

impl Given {
    pub(super) fn rows(&self) -> usize {
        self.compensations.len()
    }

    pub(super) fn facts(&self, needs: Needs) -> RefundColumns {
        let mut texts = TextTable::new(needs);
        let campaigns = tables::campaign_columns(&self.campaigns, needs, &mut texts);
        let days = tables::day_columns(&self.days, needs, None);
        let mut columns = CompensationColumns::default();
        for row in &self.compensations {
            columns.campaign_day.push(row.day);
            columns.claimed_micros.push(row.claimed);
            columns.duplicate_count.push(row.duplicate_count);
            columns.timestamp_count.push(row.timestamp_count);
            columns.refundable_micros.push(row.refundable);
            columns.clicks_complete.push(u8::from(row.clicks_complete));
            if needs.matched_charges {
                columns.matched_micros.push(row.matched);
                columns.matched_count.push(row.matched_count);
                columns.matched_refunded_micros.push(row.matched_refunded);
                columns.matched_generation.push(row.matched_generation);
            }
            if needs.texts {
                columns.device.push(texts.index(&row.device));
                columns.ad.push(texts.index(&row.ad));
            }
        }
        RefundColumns { texts: texts.texts, campaigns, days, compensations: columns }
    }
}

pub(super) fn answers(decisions: &Decisions, rule: &Description) -> Vec<AnswerRow> {
    let row = |(at, action): (usize, &u8)| {
        let action = REFUND_ACTIONS.get(usize::from(*action)).copied();
        vec![
            ("action", action.unwrap_or("unknown").to_owned()),
            ("refund", decimal(decisions.refund_micros[at])),
            ("reason", reason(rule, decisions.reason[at])),
        ]
    };
    decisions.action.iter().enumerate().map(row).collect()
}
