//! The pricing world.

pub use bindings::exports::tollgate::rules::pricing::{Guest, Quotes as Answers};
pub use bindings::tollgate::rules::tables::{Campaigns, Clicks};

use crate::sdk::click::{Click, ClickTable, ClickTables, Quote};

super::world!("pricing-rule", "export_pricing_world");

/// Exports the rule of a module as a pricing module.
#[macro_export]
macro_rules! pricing_module {
    ($rule:path) => {
        $crate::export_rule! {
            pricing, export_pricing_world, $rule,
            fn price(
                params: Vec<sdk::Value>,
                texts: Vec<String>,
                campaigns: sdk::Campaigns,
                clicks: sdk::Clicks,
            ) -> sdk::Answers {
                let params = rule::Params::read(&sdk::given(&rule::describe(), params));
                sdk::price(&texts, &campaigns, &clicks, |click| rule::price(click, &params))
            }
        }
    };
}

/// Asks the rule about every click.
#[must_use]
pub fn price(
    texts: &[String],
    campaigns: &Campaigns,
    clicks: &Clicks,
    rule: impl Fn(Click<'_>) -> Quote,
) -> Answers {
    let clicks = ClickTable {
        campaign: &clicks.campaign,
        occurred_at_ms: &clicks.occurred_at_ms,
        bid_micros: &clicks.bid_micros,
        actual_micros: &clicks.actual_micros,
        placement: &clicks.placement,
        local_minute: &clicks.local_minute,
        weekday: &clicks.weekday,
        category: &clicks.category,
        search_term: &clicks.search_term,
        device: &clicks.device,
        ad: &clicks.ad,
        product: &clicks.product,
    };
    let tables = ClickTables { texts, campaigns: super::campaigns!(campaigns), clicks };
    let rows = tables.rows();
    let mut charge_micros = Vec::with_capacity(rows.len());
    let mut reason = Vec::with_capacity(rows.len());
    for click in rows {
        let quote = rule(click);
        charge_micros.push(quote.charge_micros);
        reason.push(quote.reason);
    }
    Answers { charge_micros, reason }
}
