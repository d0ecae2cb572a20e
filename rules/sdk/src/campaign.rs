//! Campaigns of a batch and the texts that rows refer to.

use super::{amount, asked};

/// Texts of the batch, each once; index 0 is the empty text.
pub type Texts<'t> = &'t [String];

/// Columns of the campaigns, as the contract has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct CampaignTable<'t> {
    pub id: &'t [u32],
    pub advertiser: &'t [u32],
    pub stored_price_micros: &'t [i64],
    pub cached_price_micros: &'t [i64],
    pub balance_micros: &'t [i64],
}

/// One campaign.
#[derive(Clone, Copy, Debug)]
pub struct Campaign<'t> {
    texts: Texts<'t>,
    table: &'t CampaignTable<'t>,
    row: u32,
}

impl<'t> Campaign<'t> {
    pub(super) fn new(texts: Texts<'t>, table: &'t CampaignTable<'t>, row: u32) -> Self {
        Self { texts, table, row }
    }

    /// Price of a click in the database.
    #[must_use]
    pub fn stored_price_micros(&self) -> i64 {
        asked(self.table.stored_price_micros, self.row, "stored-price")
    }

    /// Price of a click in Redis, when there is one. Needs `CACHED_PRICE`.
    #[must_use]
    pub fn cached_price_micros(&self) -> Option<i64> {
        amount(asked(self.table.cached_price_micros, self.row, "cached-price"))
    }

    /// Balance of the advertiser before the batch; may be negative. Needs `BALANCE`.
    #[must_use]
    pub fn balance_micros(&self) -> i64 {
        asked(self.table.balance_micros, self.row, "balance")
    }

    /// Id as in the events. Needs `TEXTS`.
    #[must_use]
    pub fn id(&self) -> &'t str {
        text(self.texts, self.table.id, self.row)
    }

    /// Id of the advertiser. Needs `TEXTS`.
    #[must_use]
    pub fn advertiser(&self) -> &'t str {
        text(self.texts, self.table.advertiser, self.row)
    }
}

/// The text that a row refers to.
pub(super) fn text<'t>(texts: Texts<'t>, column: &[u32], row: u32) -> &'t str {
    texts.get(asked(column, row, "texts") as usize).map_or("", String::as_str)
}
