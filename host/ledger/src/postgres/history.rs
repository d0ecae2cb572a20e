//! History rows as columns, for the small shape.

use tollgate_domain::plan::{HistoryRow, Plan};

use crate::error::Result;
use crate::shape::{SourceIndex, non_empty, reason};

/// Columns of `ad_balance_histories`. Sources and reasons are positions, counted from 1 as SQL does.
pub(crate) struct HistoryColumns<'a> {
    pub(crate) sources: Vec<i32>,
    pub(crate) offsets: Vec<i64>,
    pub(crate) amounts: Vec<i64>,
    pub(crate) after: Vec<i64>,
    pub(crate) at_us: Vec<i64>,
    pub(crate) days: Vec<i32>,
    pub(crate) advertisers: Vec<&'a str>,
    pub(crate) campaigns: Vec<&'a str>,
    pub(crate) ads: Vec<Option<&'a str>>,
    pub(crate) devices: Vec<Option<&'a str>>,
    pub(crate) reasons: Vec<i32>,
    pub(crate) reason_sources: Vec<&'a str>,
    pub(crate) reason_names: Vec<&'a str>,
}

impl<'a> HistoryColumns<'a> {
    pub(crate) fn new(plan: &'a Plan<'_>, rows: &'a [HistoryRow<'_>]) -> Result<Self> {
        let mut index = SourceIndex::new(&plan.advances);
        let position = |row: &HistoryRow<'_>| Ok(index.find(row.source)? as i32 + 1);
        for row in rows {
            reason(plan, row)?;
        }
        Ok(Self {
            sources: rows.iter().map(position).collect::<Result<_>>()?,
            offsets: rows.iter().map(|row| row.offset).collect(),
            amounts: rows.iter().map(|row| row.amount.0).collect(),
            after: rows.iter().map(|row| row.balance_after.0).collect(),
            at_us: rows.iter().map(|row| row.occurred_at_us).collect(),
            days: rows.iter().map(|row| row.day.0).collect(),
            advertisers: rows.iter().map(|row| row.advertiser).collect(),
            campaigns: rows.iter().map(|row| row.campaign).collect(),
            ads: rows.iter().map(|row| non_empty(row.ad)).collect(),
            devices: rows.iter().map(|row| non_empty(row.device)).collect(),
            reasons: rows.iter().map(|row| i32::from(row.reason) + 1).collect(),
            reason_sources: plan.reasons.iter().map(|reason| reason.source.as_str()).collect(),
            reason_names: plan.reasons.iter().map(|reason| reason.name.as_str()).collect(),
        })
    }
}
