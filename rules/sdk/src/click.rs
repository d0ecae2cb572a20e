//! Clicks to prices: the row view of a pricing rule.

use super::about::Reason;
use super::campaign::{Campaign, CampaignTable, Texts, text};
use super::{amount, asked};

/// What a click costs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub charge_micros: i64,
    pub reason: u16,
}

impl Quote {
    #[must_use]
    pub fn new(charge_micros: i64, reason: &Reason) -> Self {
        Self { charge_micros, reason: reason.code() }
    }
}

/// Where an ad was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Other,
    Home,
    Category,
    ProductDetail,
    Search,
}

/// Columns of the clicks, as the contract has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClickTable<'t> {
    pub campaign: &'t [u32],
    pub occurred_at_ms: &'t [u64],
    pub bid_micros: &'t [i64],
    pub actual_micros: &'t [i64],
    pub placement: &'t [u8],
    pub local_minute: &'t [u16],
    pub weekday: &'t [u8],
    pub category: &'t [u32],
    pub search_term: &'t [u32],
    pub device: &'t [u32],
    pub ad: &'t [u32],
    pub product: &'t [u32],
}

/// Everything a pricing rule is given in one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClickTables<'t> {
    pub texts: Texts<'t>,
    pub campaigns: CampaignTable<'t>,
    pub clicks: ClickTable<'t>,
}

impl<'t> ClickTables<'t> {
    /// The clicks in the order in which they are charged.
    pub fn rows(&'t self) -> impl ExactSizeIterator<Item = Click<'t>> {
        (0..self.clicks.campaign.len()).map(|row| self.click(row as u32))
    }

    pub(crate) fn click(&'t self, row: u32) -> Click<'t> {
        Click { tables: self, row }
    }
}

/// One click.
#[derive(Clone, Copy, Debug)]
pub struct Click<'t> {
    tables: &'t ClickTables<'t>,
    row: u32,
}

impl<'t> Click<'t> {
    #[must_use]
    pub fn campaign(&self) -> Campaign<'t> {
        let campaign = asked(self.tables.clicks.campaign, self.row, "campaign");
        Campaign::new(self.tables.texts, &self.tables.campaigns, campaign)
    }

    /// When the click happened, in milliseconds since 1970.
    #[must_use]
    pub fn occurred_at_ms(&self) -> u64 {
        asked(self.tables.clicks.occurred_at_ms, self.row, "occurred-at-ms")
    }

    /// `bid_price` of the event.
    #[must_use]
    pub fn bid_micros(&self) -> Option<i64> {
        amount(asked(self.tables.clicks.bid_micros, self.row, "bid-micros"))
    }

    /// `actual_price` of the event.
    #[must_use]
    pub fn actual_micros(&self) -> Option<i64> {
        amount(asked(self.tables.clicks.actual_micros, self.row, "actual-micros"))
    }

    #[must_use]
    pub fn placement(&self) -> Placement {
        match asked(self.tables.clicks.placement, self.row, "placement") {
            1 => Placement::Home,
            2 => Placement::Category,
            3 => Placement::ProductDetail,
            4 => Placement::Search,
            _ => Placement::Other,
        }
    }

    /// Minute of the campaign's day, 0 to 1439. Needs `LOCAL_TIME`.
    #[must_use]
    pub fn local_minute(&self) -> u16 {
        asked(self.tables.clicks.local_minute, self.row, "local-time")
    }

    /// Weekday of the campaign's day, Monday is 1. Needs `LOCAL_TIME`.
    #[must_use]
    pub fn weekday(&self) -> u8 {
        asked(self.tables.clicks.weekday, self.row, "local-time")
    }

    /// Category that the event names. Needs `TEXTS`, as all texts do; an absent text is empty.
    #[must_use]
    pub fn category(&self) -> &'t str {
        text(self.tables.texts, self.tables.clicks.category, self.row)
    }

    /// What the user searched for; empty when the event does not say. Needs `TEXTS`.
    #[must_use]
    pub fn search_term(&self) -> &'t str {
        text(self.tables.texts, self.tables.clicks.search_term, self.row)
    }

    /// Id of the device. Needs `TEXTS`.
    #[must_use]
    pub fn device(&self) -> &'t str {
        text(self.tables.texts, self.tables.clicks.device, self.row)
    }

    /// Id of the ad. Needs `TEXTS`.
    #[must_use]
    pub fn ad(&self) -> &'t str {
        text(self.tables.texts, self.tables.clicks.ad, self.row)
    }

    /// Id of the product; empty when the event does not say. Needs `TEXTS`.
    #[must_use]
    pub fn product(&self) -> &'t str {
        text(self.tables.texts, self.tables.clicks.product, self.row)
    }
}
