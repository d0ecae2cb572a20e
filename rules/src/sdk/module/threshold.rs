//! The threshold world.

pub use bindings::exports::tollgate::rules::threshold::{Guest, Movements, Verdicts as Answers};
pub use bindings::tollgate::rules::tables::{CampaignDays, Campaigns};

use crate::sdk::day::{Movement, MovementTables, Verdict, VerdictColumns};

super::world!("threshold-rule", "export_threshold_world");

/// Exports the rule of a module as a threshold module.
#[macro_export]
macro_rules! threshold_module {
    ($rule:path) => {
        $crate::export_rule! {
            threshold, export_threshold_world, $rule,
            fn judge(
                params: Vec<sdk::Value>,
                texts: Vec<String>,
                campaigns: sdk::Campaigns,
                days: sdk::CampaignDays,
                movements: sdk::Movements,
            ) -> sdk::Answers {
                let params = rule::Params::read(&sdk::given(&rule::describe(), params));
                sdk::judge(&texts, &campaigns, &days, &movements, |movement| {
                    rule::judge(movement, &params)
                })
            }
        }
    };
}

/// Asks the rule about every movement.
#[must_use]
pub fn judge(
    texts: &[String],
    campaigns: &Campaigns,
    days: &CampaignDays,
    movements: &Movements,
    rule: impl Fn(Movement<'_>) -> Verdict,
) -> Answers {
    let tables = MovementTables {
        texts,
        campaigns: super::campaigns!(campaigns),
        days: super::days!(days),
        campaign_day: &movements.campaign_day,
        amount_micros: &movements.amount_micros,
    };
    let VerdictColumns { action, level_ppm, usage_ppm, allowed_micros, reason } =
        tables.judge(rule);
    Answers { action, level_ppm, usage_ppm, allowed_micros, reason }
}
