//! Cases of threshold rules: campaigns, their days, and movements of spend.

use tollgate_domain::facts::{MovementColumns, ThresholdFacts, Verdicts};
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::{Description, Needs};

use super::expect::{ACTIONS, decimal};
use super::reading::Row;
use super::tables::{self, CampaignRow, DayRow, TextTable};
use super::{AnswerRow, reason};

#[derive(Clone, Debug)]
pub(super) struct Given {
    campaigns: Vec<CampaignRow>,
    days: Vec<DayRow>,
    /// Row in `days`, and the amount.
    movements: Vec<(u32, i64)>,
}

pub(super) fn read(given: &Row<'_, '_>) -> Given {
    let campaigns = tables::campaigns(given);
    let days = tables::days(given, &campaigns);
    let rows = given.rows("movement", "movements");
    let movements = tables::rows(given.reader(), rows, |row| {
        (tables::day_of(row, &campaigns, &days), row.amount("amount").unwrap_or(0))
    });
    Given { campaigns, days, movements }
}

impl Given {
    pub(super) fn rows(&self) -> usize {
        self.movements.len()
    }

    pub(super) fn facts(&self, needs: Needs, fence: &FenceLimits) -> ThresholdFacts {
        let mut texts = TextTable::new(needs);
        let campaigns = tables::campaign_columns(&self.campaigns, needs, &mut texts);
        let days = tables::day_columns(&self.days, needs, Some(fence));
        let mut movements = MovementColumns::default();
        for (day, amount) in &self.movements {
            movements.campaign_day.push(*day);
            movements.amount_micros.push(*amount);
        }
        ThresholdFacts { texts: texts.texts, campaigns, days, movements }
    }
}

pub(super) fn answers(verdicts: &Verdicts, rule: &Description) -> Vec<AnswerRow> {
    let row = |(at, action): (usize, &u8)| {
        let action = ACTIONS.get(usize::from(*action)).copied();
        vec![
            ("action", action.unwrap_or("unknown").to_owned()),
            ("level", decimal(verdicts.level_ppm[at].into())),
            ("usage", decimal(verdicts.usage_ppm[at].into())),
            ("allowed", decimal(verdicts.allowed_micros[at])),
            ("reason", reason(rule, verdicts.reason[at])),
        ]
    };
    verdicts.action.iter().enumerate().map(row).collect()
}
