//! The refund world.

pub use bindings::exports::tollgate::rules::refund::{Compensations, Decisions as Answers, Guest};
pub use bindings::tollgate::rules::tables::{CampaignDays, Campaigns};

use crate::sdk::compensation::{Compensation, CompensationTable, CompensationTables, Decision};

super::world!("refund-rule", "export_refund_world");

/// Exports the rule of a module as a refund module.
#[macro_export]
macro_rules! refund_module {
    ($rule:path) => {
        $crate::export_rule! {
            refund, export_refund_world, $rule,
            fn decide(
                params: Vec<sdk::Value>,
                texts: Vec<String>,
                campaigns: sdk::Campaigns,
                days: sdk::CampaignDays,
                compensations: sdk::Compensations,
            ) -> sdk::Answers {
                let params = rule::Params::read(&sdk::given(&rule::describe(), params));
                sdk::decide(&texts, &campaigns, &days, &compensations, |compensation| {
                    rule::decide(compensation, &params)
                })
            }
        }
    };
}

/// Asks the rule about every compensation.
#[must_use]
pub fn decide(
    texts: &[String],
    campaigns: &Campaigns,
    days: &CampaignDays,
    compensations: &Compensations,
    rule: impl Fn(Compensation<'_>) -> Decision,
) -> Answers {
    let tables = CompensationTables {
        texts,
        campaigns: super::campaigns!(campaigns),
        days: super::days!(days),
        compensations: table(compensations),
    };
    let rows = compensations.campaign_day.len();
    let mut answers = Answers {
        action: Vec::with_capacity(rows),
        refund_micros: Vec::with_capacity(rows),
        reason: Vec::with_capacity(rows),
    };
    tables.decide(rule, |decision| {
        answers.action.push(decision.action as u8);
        answers.refund_micros.push(decision.refund_micros);
        answers.reason.push(decision.reason);
    });
    answers
}

fn table(compensations: &Compensations) -> CompensationTable<'_> {
    CompensationTable {
        campaign_day: &compensations.campaign_day,
        claimed_micros: &compensations.claimed_micros,
        duplicate_count: &compensations.duplicate_count,
        timestamp_count: &compensations.timestamp_count,
        refundable_micros: &compensations.refundable_micros,
        matched_micros: &compensations.matched_micros,
        matched_count: &compensations.matched_count,
        matched_refunded_micros: &compensations.matched_refunded_micros,
        matched_generation: &compensations.matched_generation,
        clicks_complete: &compensations.clicks_complete,
        device: &compensations.device,
        ad: &compensations.ad,
    }
}
