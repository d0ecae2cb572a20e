//! Rows that several worlds share, and columns made of rows.

use std::collections::HashMap;

use tollgate_domain::facts::{ABSENT_MICROS, CampaignColumns, CampaignDayColumns, day_state};
use tollgate_domain::fence::{self, FenceLimits};
use tollgate_domain::money::Micros;
use tollgate_domain::rule::Needs;

use super::reading::{Layers, Need, Reader, Row};

/// Monday, 2026-01-05.
pub(super) const DAY: i32 = 20_458;
pub(super) const NOON: u16 = 720;
pub(super) const MONDAY: u8 = 1;

#[derive(Clone, Debug)]
pub(super) struct CampaignRow {
    pub(super) id: String,
    pub(super) advertiser: String,
    stored_price: i64,
    cached_price: i64,
    balance: i64,
}

#[derive(Clone, Debug)]
pub(super) struct DayRow {
    campaign: u32,
    day: i32,
    daily_budget: i64,
    pub(super) spent: i64,
    counter: i64,
    warned_ppm: u32,
    /// `None`: what the host says, by the fence.
    pause_from: Option<i64>,
    state: u8,
}

/// Campaigns that are not described further are `campaign_1` and so on, of `advertiser_1`.
pub(super) fn campaigns(given: &Row<'_, '_>) -> Vec<CampaignRow> {
    let rows = given.rows("campaign", "campaigns").into_iter().enumerate();
    let mut campaigns: Vec<CampaignRow> = Vec::new();
    for (at, layers) in rows {
        let campaign = given.reader().table(layers, |row| campaign(row, at + 1));
        if campaigns.iter().any(|known| known.id == campaign.id) {
            let sentence = format!("campaign {:?} is given twice", campaign.id);
            given.reader().problem(layers.line(), sentence);
        }
        campaigns.push(campaign);
    }
    campaigns
}

pub(super) fn campaign(row: &Row<'_, '_>, number: usize) -> CampaignRow {
    row.note("cached_price", Need::CachedPrice);
    row.note("balance", Need::Balance);
    CampaignRow {
        id: row.text("id").unwrap_or_else(|| format!("campaign_{number}")),
        advertiser: row.text("advertiser").unwrap_or_else(|| "advertiser_1".to_owned()),
        stored_price: row.amount("stored_price").unwrap_or(1_000_000),
        cached_price: row.amount("cached_price").unwrap_or(ABSENT_MICROS),
        balance: row.amount("balance").unwrap_or(1_000_000_000),
    }
}

impl CampaignRow {
    /// A campaign of which nothing else is known.
    pub(super) fn plain(id: &str, advertiser: &str) -> Self {
        Self {
            id: id.to_owned(),
            advertiser: advertiser.to_owned(),
            stored_price: 1_000_000,
            cached_price: ABSENT_MICROS,
            balance: 1_000_000_000,
        }
    }
}

/// The campaign that a row names, else the first one.
pub(super) fn campaign_of(row: &Row<'_, '_>, campaigns: &[CampaignRow]) -> u32 {
    let Some(id) = row.text("campaign") else { return 0 };
    let at = campaigns.iter().position(|campaign| campaign.id == id);
    if at.is_none() {
        let known: Vec<_> = campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
        let sentence = format!("there is no campaign {id:?} here; given: {}", known.join(", "));
        row.reader().problem(row.line(), sentence);
    }
    index(at.unwrap_or(0))
}

/// Days of campaigns; today, nothing spent, no budget where nothing else is said.
pub(super) fn days(given: &Row<'_, '_>, campaigns: &[CampaignRow]) -> Vec<DayRow> {
    let rows = given.rows("day", "days").into_iter();
    rows.map(|layers| given.reader().table(layers, |row| day(row, campaigns))).collect()
}

fn day(row: &Row<'_, '_>, campaigns: &[CampaignRow]) -> DayRow {
    row.note("counter", Need::Counter);
    let bit = |key, bit, default| if row.toggle(key).unwrap_or(default) { bit } else { 0 };
    let never = row.value("pause_from").is_some_and(|(value, _)| value.as_str() == Some("never"));
    DayRow {
        campaign: campaign_of(row, campaigns),
        day: row.day("date").unwrap_or(DAY),
        daily_budget: row.amount("daily_budget").unwrap_or(ABSENT_MICROS),
        spent: row.amount("spent").unwrap_or(0),
        counter: row.amount("counter").unwrap_or(ABSENT_MICROS),
        warned_ppm: row.ratio("warned").unwrap_or(0),
        pause_from: if never { Some(i64::MAX) } else { row.amount("pause_from") },
        state: bit("paused_by_budget", day_state::PAUSED_BY_BUDGET, false)
            | bit("paused_by_person", day_state::PAUSED_BY_PERSON, false)
            | bit("today", day_state::TODAY, true)
            | bit("paused_before", day_state::PAUSED_BEFORE, false),
    }
}

/// The day that a row names by campaign, by date, or by both; the first one when it names none.
pub(super) fn day_of(row: &Row<'_, '_>, campaigns: &[CampaignRow], days: &[DayRow]) -> u32 {
    let campaign = row.value("campaign").map(|_| campaign_of(row, campaigns));
    let date = row.day("date");
    let is_meant = |day: &DayRow| {
        campaign.is_none_or(|campaign| day.campaign == campaign)
            && date.is_none_or(|date| day.day == date)
    };
    let at = days.iter().position(is_meant);
    if at.is_none() {
        let sentence = "no day that is given has this campaign and this date";
        row.reader().problem(row.line(), sentence);
    }
    index(at.unwrap_or(0))
}

/// Reads the rows of a table.
pub(super) fn rows<T>(
    reader: &Reader<'_>,
    rows: Vec<Layers<'_>>,
    mut read: impl FnMut(&Row<'_, '_>) -> T,
) -> Vec<T> {
    rows.into_iter().map(|layers| reader.table(layers, |row| read(row))).collect()
}

pub(super) fn campaign_columns(
    rows: &[CampaignRow],
    needs: Needs,
    texts: &mut TextTable,
) -> CampaignColumns {
    let mut columns = CampaignColumns::default();
    for row in rows {
        columns.stored_price_micros.push(row.stored_price);
        if needs.texts {
            columns.id.push(texts.index(&row.id));
            columns.advertiser.push(texts.index(&row.advertiser));
        }
        if needs.cached_price {
            columns.cached_price_micros.push(row.cached_price);
        }
        if needs.balance {
            columns.balance_micros.push(row.balance);
        }
    }
    columns
}

/// With a fence, `pause_from` is what the host would say; without, no pause is carried out.
pub(super) fn day_columns(
    rows: &[DayRow],
    needs: Needs,
    limits: Option<&FenceLimits>,
) -> CampaignDayColumns {
    let mut columns = CampaignDayColumns::default();
    for row in rows {
        columns.campaign.push(row.campaign);
        columns.day.push(row.day);
        columns.daily_budget_micros.push(row.daily_budget);
        columns.spent_micros.push(row.spent);
        if needs.counter {
            columns.counter_micros.push(row.counter);
        }
        columns.warned_ppm.push(row.warned_ppm);
        columns.pause_from_micros.push(row.pause_from.unwrap_or_else(|| row.least(limits)));
        columns.state.push(row.state);
    }
    columns
}

impl DayRow {
    fn least(&self, limits: Option<&FenceLimits>) -> i64 {
        let paused = day_state::PAUSED_BY_BUDGET | day_state::PAUSED_BY_PERSON;
        let may_be_paused = self.state & day_state::TODAY != 0 && self.state & paused == 0;
        let budget = (self.daily_budget >= 0).then_some(Micros(self.daily_budget));
        let least = limits.and_then(|limits| fence::pause_from(budget, limits));
        least.filter(|_| may_be_paused).map_or(i64::MAX, |least| least.0)
    }
}

/// Texts of a call, each once; empty when the rule did not ask for texts.
pub(super) struct TextTable {
    pub(super) texts: Vec<String>,
    index: HashMap<String, u32>,
}

impl TextTable {
    pub(super) fn new(needs: Needs) -> Self {
        let mut table = Self { texts: Vec::new(), index: HashMap::new() };
        if needs.texts {
            table.index("");
        }
        table
    }

    pub(super) fn index(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.index.get(text) {
            return index;
        }
        let index = index(self.texts.len());
        self.texts.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        index
    }
}

pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
