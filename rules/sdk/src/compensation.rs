//! Compensations to refunds: the row view of a refund rule.

use super::about::Reason;
use super::asked;
use super::campaign::{Campaign, CampaignTable, Texts, text};
use super::day::DayTable;

/// What becomes of a compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub action: Action,
    /// What is given back; 0 unless approved.
    pub refund_micros: i64,
    pub reason: u16,
}

/// What becomes of the compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is paid; it becomes a dead letter.
    Reject = 0,
    /// The refund is paid.
    Approve = 1,
    /// It waits, and is asked about again.
    Park = 2,
}

impl Decision {
    #[must_use]
    pub fn reject(reason: &Reason) -> Self {
        Self { action: Action::Reject, refund_micros: 0, reason: reason.code() }
    }

    #[must_use]
    pub fn approve(refund_micros: i64, reason: &Reason) -> Self {
        Self { action: Action::Approve, refund_micros, reason: reason.code() }
    }

    /// Waits until the clicks are in the ledger.
    #[must_use]
    pub fn park(reason: &Reason) -> Self {
        Self { action: Action::Park, refund_micros: 0, reason: reason.code() }
    }
}

/// Columns of the compensations, as the contract has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompensationTable<'t> {
    pub campaign_day: &'t [u32],
    pub claimed_micros: &'t [i64],
    pub duplicate_count: &'t [u32],
    pub timestamp_count: &'t [u32],
    pub refundable_micros: &'t [i64],
    pub matched_micros: &'t [i64],
    pub matched_count: &'t [u32],
    pub matched_refunded_micros: &'t [i64],
    pub matched_generation: &'t [u64],
    pub clicks_complete: &'t [u8],
    pub device: &'t [u32],
    pub ad: &'t [u32],
}

/// Everything a refund rule is given in one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompensationTables<'t> {
    pub texts: Texts<'t>,
    pub campaigns: CampaignTable<'t>,
    pub days: DayTable<'t>,
    pub compensations: CompensationTable<'t>,
}

impl<'t> CompensationTables<'t> {
    /// The compensations in the order in which they are decided.
    ///
    /// What one approves is no longer refundable for the next of the same campaign-day, so a batch is decided as its
    /// compensations would have been one by one.
    pub fn decide(
        &'t self,
        mut rule: impl FnMut(Compensation<'t>) -> Decision,
        mut take: impl FnMut(Decision),
    ) {
        let table = &self.compensations;
        let mut approved_micros = vec![0_i64; self.days.campaign.len()];
        for (row, day) in table.campaign_day.iter().enumerate() {
            let row = row as u32;
            let refundable = asked(table.refundable_micros, row, "refundable-micros");
            let approved = approved_micros.get_mut(*day as usize);
            let so_far = approved.as_ref().map_or(0, |approved| **approved);
            let refundable_micros = refundable.saturating_sub(so_far);
            let decision = rule(Compensation { tables: self, row, refundable_micros });
            if let Some(approved) = approved {
                *approved = approved.saturating_add(decision.refund_micros);
            }
            take(decision);
        }
    }
}

/// One compensation.
#[derive(Clone, Copy, Debug)]
pub struct Compensation<'t> {
    tables: &'t CompensationTables<'t>,
    row: u32,
    refundable_micros: i64,
}

impl<'t> Compensation<'t> {
    /// `refund_amount` of the event.
    #[must_use]
    pub fn claimed_micros(&self) -> i64 {
        asked(self.tables.compensations.claimed_micros, self.row, "claimed-micros")
    }

    /// `duplicate_click_count` of the event.
    #[must_use]
    pub fn duplicate_count(&self) -> u32 {
        asked(self.tables.compensations.duplicate_count, self.row, "duplicate-count")
    }

    /// Number of `original_click_timestamps`.
    #[must_use]
    pub fn timestamp_count(&self) -> u32 {
        asked(self.tables.compensations.timestamp_count, self.row, "timestamp-count")
    }

    /// The most that can be given back for the campaign-day, after the compensations before this one.
    #[must_use]
    pub fn refundable_micros(&self) -> i64 {
        self.refundable_micros
    }

    /// Sum of the charges found in the ledger. Needs `MATCHED_CHARGES`, as all matched values do.
    #[must_use]
    pub fn matched_micros(&self) -> i64 {
        asked(self.tables.compensations.matched_micros, self.row, "matched-charges")
    }

    /// Number of charges found in the ledger.
    #[must_use]
    pub fn matched_count(&self) -> u32 {
        asked(self.tables.compensations.matched_count, self.row, "matched-charges")
    }

    /// What was already refunded of the matched charges; all of them when no duplicate is left, because the earliest
    /// charge is none.
    #[must_use]
    pub fn matched_refunded_micros(&self) -> i64 {
        asked(self.tables.compensations.matched_refunded_micros, self.row, "matched-charges")
    }

    /// What of the matched charges can still be given back.
    #[must_use]
    pub fn matched_left_micros(&self) -> i64 {
        self.matched_micros().saturating_sub(self.matched_refunded_micros())
    }

    /// Rule generation that priced the matched charges; `None` when there are none or several.
    #[must_use]
    pub fn matched_generation(&self) -> Option<u64> {
        match asked(self.tables.compensations.matched_generation, self.row, "matched-charges") {
            0 => None,
            generation => Some(generation),
        }
    }

    /// Whether the ledger has all clicks that the compensation can mean.
    #[must_use]
    pub fn clicks_are_complete(&self) -> bool {
        asked(self.tables.compensations.clicks_complete, self.row, "clicks-complete") != 0
    }

    /// Needs `TEXTS`.
    #[must_use]
    pub fn device(&self) -> &'t str {
        text(self.tables.texts, self.tables.compensations.device, self.row)
    }

    /// Needs `TEXTS`.
    #[must_use]
    pub fn ad(&self) -> &'t str {
        text(self.tables.texts, self.tables.compensations.ad, self.row)
    }

    #[must_use]
    pub fn campaign(&self) -> Campaign<'t> {
        let day = asked(self.tables.compensations.campaign_day, self.row, "campaign-day");
        let campaign = asked(self.tables.days.campaign, day, "campaign");
        Campaign::new(self.tables.texts, &self.tables.campaigns, campaign)
    }
}
