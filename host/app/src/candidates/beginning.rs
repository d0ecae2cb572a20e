//! Campaigns of a replay from the ledger.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tollgate_domain::book::{BUDGET_EXHAUSTED, Campaign, DayKey, Status};
use tollgate_domain::day::Day;
use tollgate_domain::decide::Hint;
use tollgate_ledger::{Keys, Ledger, LedgerConfig, LedgerError};
use tollgate_workbench::replay::{Beginning, Known, ReplayError};

/// Campaigns that are asked for at once.
const CAMPAIGNS_MAX: usize = 1_000;

/// Days before today that clicks may still come for, and after it when clocks differ.
const DAYS_BACK: i32 = 8;
const DAYS_AHEAD: i32 = 1;

/// Knows campaigns as the ledger has them now. It has a connection and a runtime of its own, because it is asked from a
/// thread that waits.
pub struct LedgerBeginning {
    runtime: Runtime,
    ledger: Ledger,
    /// Days have spent what the ledger says, instead of nothing.
    with_spends: bool,
}

impl LedgerBeginning {
    /// # Errors
    /// The ledger cannot be reached.
    pub fn open(config: &LedgerConfig, with_spends: bool) -> Result<Self, LedgerError> {
        let runtime = runtime().map_err(|error| LedgerError::Unexpected(error.to_string()))?;
        let ledger = runtime.block_on(Ledger::open(config))?;
        Ok(Self { runtime, ledger, with_spends })
    }

    fn read(&mut self, ids: &[Arc<str>], now_us: i64) -> Result<Vec<Known>, LedgerError> {
        let campaigns = self.runtime.block_on(usable(&mut self.ledger, ids))?;
        let mut advertisers: Vec<_> =
            campaigns.iter().map(|campaign| Arc::clone(&campaign.advertiser)).collect();
        advertisers.sort_unstable();
        advertisers.dedup();
        let mut days = Vec::new();
        if self.with_spends {
            days.extend(campaigns.iter().flat_map(|campaign| around(campaign, now_us)));
            days.sort_unstable();
        }
        let keys = Keys { advertisers: &advertisers, days: &days };
        let rows = self.runtime.block_on(self.ledger.load(keys))?;
        let known = campaigns.into_iter().map(|mut campaign| {
            let is_paused = campaign.paused_reason.as_deref() == Some(BUDGET_EXHAUSTED);
            if !self.with_spends && campaign.status == Status::Paused && is_paused {
                (campaign.status, campaign.paused_reason) = (Status::Active, None);
            }
            let balance = rows.balances.iter().find(|(id, _)| *id == campaign.advertiser);
            let own = rows.days.iter().filter(|(key, _)| key.campaign == campaign.id);
            Known {
                balance: balance.map(|(_, balance)| *balance).unwrap_or_default(),
                days: own.map(|(key, state)| (key.day, *state)).collect(),
                hint: Hint::default(),
                campaign,
            }
        });
        Ok(known.collect())
    }
}

impl Beginning for LedgerBeginning {
    fn campaigns(&mut self, ids: &[Arc<str>], now_us: i64) -> Result<Vec<Known>, ReplayError> {
        let mut known = Vec::new();
        for ids in ids.chunks(CAMPAIGNS_MAX) {
            known.extend(
                self.read(ids, now_us).map_err(|error| {
                    ReplayError::Campaigns(format!("{error} ({})", error.code()))
                })?,
            );
        }
        Ok(known)
    }
}

/// A runtime for one connection.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Campaigns whose rows can be understood; others are as good as unknown, as for a host.
pub(super) async fn usable(
    ledger: &mut Ledger,
    ids: &[Arc<str>],
) -> Result<Vec<Campaign>, LedgerError> {
    let mut ids = ids.to_vec();
    loop {
        match ledger.campaigns(&ids).await {
            Err(LedgerError::Row { key, .. }) if ids.iter().any(|id| **id == *key) => {
                ids.retain(|id| **id != *key);
            }
            found => return found,
        }
    }
}

fn around(campaign: &Campaign, now_us: i64) -> impl Iterator<Item = DayKey> {
    let today = campaign.zone.day(now_us).0;
    let id = Arc::clone(&campaign.id);
    (today - DAYS_BACK..=today + DAYS_AHEAD)
        .map(move |day| DayKey { campaign: Arc::clone(&id), day: Day(day) })
}
