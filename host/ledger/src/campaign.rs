//! Rows of `campaigns`, which people edit by hand.

use tollgate_domain::book::{Campaign, Status};
use tollgate_domain::day::Zone;
use tollgate_domain::money::Micros;

use crate::error::{LedgerError, Result};
use crate::rows::NewCampaign;

/// The columns as they stand in the table.
pub(crate) struct CampaignRow {
    pub(crate) id: String,
    pub(crate) advertiser: String,
    pub(crate) status: String,
    pub(crate) paused_reason: Option<String>,
    pub(crate) daily_budget_micros: Option<i64>,
    pub(crate) cpc_micros: i64,
    pub(crate) time_zone: String,
    pub(crate) version: i64,
}

impl CampaignRow {
    /// # Errors
    /// `Row` when the status or the time zone is unknown.
    pub(crate) fn into_campaign(self) -> Result<Campaign> {
        let Some(status) = Status::from_name(&self.status) else {
            return Err(invalid(self.id, format!("{:?} is no status", self.status)));
        };
        let zone = match Zone::new(&self.time_zone) {
            Ok(zone) => zone,
            Err(error) => return Err(invalid(self.id, error.to_string())),
        };
        Ok(Campaign {
            id: self.id.into(),
            advertiser: self.advertiser.into(),
            status,
            paused_reason: self.paused_reason,
            daily_budget: self.daily_budget_micros.map(Micros),
            cpc: Micros(self.cpc_micros),
            zone,
            version: self.version,
        })
    }
}

/// Refuses campaigns with an unknown time zone before they reach the table.
pub(crate) fn check_zones(campaigns: &[NewCampaign]) -> Result<()> {
    for campaign in campaigns {
        if let Err(error) = Zone::new(&campaign.time_zone) {
            return Err(invalid(campaign.id.clone(), error.to_string()));
        }
    }
    Ok(())
}

fn invalid(key: String, sentence: String) -> LedgerError {
    LedgerError::Row { table: "campaigns", key, sentence }
}
