//! Cases of pricing rules: campaigns and clicks.

use tollgate_domain::day::Zone;
use tollgate_domain::event::ClickEvent;
use tollgate_domain::facts::{ABSENT_MICROS, ClickColumns, PricingFacts, Quotes};
use tollgate_domain::rule::{Description, Needs};

use super::expect::decimal;
use super::reading::{Need, Row};
use super::tables::{self, CampaignRow, MONDAY, NOON, TextTable};
use super::{AnswerRow, reason};

const NOON_OF_MONDAY_MS: u64 = 1_767_614_400_000;
const PLACEMENTS: [&str; 5] = ["OTHER", "HOME", "CATEGORY", "PRODUCT_DETAIL", "SEARCH"];

#[derive(Clone, Debug)]
pub(super) struct Given {
    campaigns: Vec<CampaignRow>,
    clicks: Vec<ClickRow>,
}

#[derive(Clone, Debug)]
struct ClickRow {
    campaign: u32,
    occurred_at_ms: u64,
    bid: i64,
    actual: i64,
    placement: u8,
    local_minute: u16,
    weekday: u8,
    category: String,
    search_term: String,
    device: String,
    ad: String,
    product: String,
}

pub(super) fn read(given: &Row<'_, '_>) -> Given {
    let campaigns = tables::campaigns(given);
    let rows = given.rows("click", "clicks");
    let clicks = tables::rows(given.reader(), rows, |row| click(row, &campaigns));
    Given { campaigns, clicks }
}

fn click(row: &Row<'_, '_>, campaigns: &[CampaignRow]) -> ClickRow {
    for key in ["local_time", "weekday"] {
        row.note(key, Need::LocalTime);
    }
    for key in ["category", "search_term", "device", "ad", "product"] {
        row.note(key, Need::Texts);
    }
    let at = row.instant("occurred_at");
    let (minute, weekday) = (row.minute("local_time"), row.weekday("weekday"));
    let placement = row.choice("placement", &PLACEMENTS).unwrap_or(0);
    let text = |key| row.text(key).unwrap_or_default();
    ClickRow {
        campaign: tables::campaign_of(row, campaigns),
        occurred_at_ms: at.map_or(NOON_OF_MONDAY_MS, |at| at.ms),
        bid: row.amount("bid").unwrap_or(ABSENT_MICROS),
        actual: row.amount("actual").unwrap_or(ABSENT_MICROS),
        placement: u8::try_from(placement).unwrap_or(0),
        local_minute: minute.or(at.map(|at| at.local_minute)).unwrap_or(NOON),
        weekday: weekday.or(at.map(|at| at.weekday)).unwrap_or(MONDAY),
        category: text("category"),
        search_term: text("search_term"),
        device: text("device"),
        ad: text("ad"),
        product: text("product"),
    }
}

impl Given {
    /// A click as the customer's event has it.
    pub(super) fn of_click(campaign: CampaignRow, click: &ClickEvent<'_>, zone: &Zone) -> Self {
        let local = zone.local_time(click.occurred_at_us);
        let row = ClickRow {
            campaign: 0,
            occurred_at_ms: u64::try_from(click.occurred_at_us / 1_000).unwrap_or(0),
            bid: click.bid.map_or(ABSENT_MICROS, |bid| bid.0),
            actual: click.actual.map_or(ABSENT_MICROS, |actual| actual.0),
            placement: click.placement,
            local_minute: local.minute,
            weekday: local.weekday,
            category: click.category.to_string(),
            search_term: click.search_term.to_string(),
            device: click.device.to_string(),
            ad: click.ad.to_string(),
            product: click.product.to_string(),
        };
        Self { campaigns: vec![campaign], clicks: vec![row] }
    }

    pub(super) fn rows(&self) -> usize {
        self.clicks.len()
    }

    pub(super) fn facts(&self, needs: Needs) -> PricingFacts {
        let mut texts = TextTable::new(needs);
        let campaigns = tables::campaign_columns(&self.campaigns, needs, &mut texts);
        let mut clicks = ClickColumns::default();
        for row in &self.clicks {
            clicks.campaign.push(row.campaign);
            clicks.occurred_at_ms.push(row.occurred_at_ms);
            clicks.bid_micros.push(row.bid);
            clicks.actual_micros.push(row.actual);
            clicks.placement.push(row.placement);
            if needs.local_time {
                clicks.local_minute.push(row.local_minute);
                clicks.weekday.push(row.weekday);
            }
            if needs.texts {
                clicks.category.push(texts.index(&row.category));
                clicks.search_term.push(texts.index(&row.search_term));
                clicks.device.push(texts.index(&row.device));
                clicks.ad.push(texts.index(&row.ad));
                clicks.product.push(texts.index(&row.product));
            }
        }
        PricingFacts { texts: texts.texts, campaigns, clicks }
    }
}

pub(super) fn answers(quotes: &Quotes, rule: &Description) -> Vec<AnswerRow> {
    let rows = quotes.charge_micros.iter().zip(&quotes.reason);
    rows.map(|(charge, code)| vec![("charge", decimal(*charge)), ("reason", reason(rule, *code))])
        .collect()
}
