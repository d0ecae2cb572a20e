//! Rows of `campaigns`, which people edit by hand, too.

use tollgate_domain::book::{BUDGET_EXHAUSTED, Campaign, Status};
use tollgate_domain::day::Zone;
use tollgate_domain::money::Micros;

use crate::dialect::{Cells, Dialect, YEAR_9999_US, clock_us, rows};
use crate::error::{LedgerError, Result};
use crate::outbox_rows::Looks;
use crate::rows::NewCampaign;

/// Columns of `campaign_row`.
pub(crate) const COLUMNS: &str = "campaign_id, advertiser_id, status, paused_reason, \
    daily_budget_micros, cpc_micros, time_zone, version";

/// # Errors
/// `Row` when the status or the time zone is unknown.
pub(crate) fn campaign_row(row: &impl Cells) -> Result<Campaign> {
    let id: String = row.cell(0);
    let (status, time_zone): (String, String) = (row.cell(2), row.cell(6));
    let Some(status) = Status::from_name(&status) else {
        return Err(invalid(id, format!("{status:?} is no status")));
    };
    let zone = match Zone::new(&time_zone) {
        Ok(zone) => zone,
        Err(error) => return Err(invalid(id, error.to_string())),
    };
    Ok(Campaign {
        id: id.into(),
        advertiser: row.cell::<String>(1).into(),
        status,
        paused_reason: row.cell(3),
        daily_budget: row.cell::<Option<i64>>(4).map(Micros),
        cpc: Micros(row.cell(5)),
        zone,
        version: row.cell(7),
    })
}

/// Campaigns that the budget has paused, and those that changed at or after an instant.
pub(crate) async fn looks<D: Dialect>(conn: &mut D, since_us: i64) -> Result<Looks> {
    let mut looks = Looks { now_us: clock_us(conn).await?, ..Looks::default() };
    let sql = format!(
        "SELECT {COLUMNS} FROM campaigns WHERE status = 'PAUSED' AND paused_reason = '{BUDGET_EXHAUSTED}'
         UNION SELECT {COLUMNS} FROM campaigns WHERE updated_at >= {{at:$1}} ORDER BY campaign_id"
    );
    for row in rows(conn, &sql, &[since_us.clamp(0, YEAR_9999_US).into()]).await? {
        match campaign_row(&row) {
            Ok(campaign) => looks.campaigns.push(campaign),
            Err(error) => looks.unusable.push(error.to_string()),
        }
    }
    Ok(looks)
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
