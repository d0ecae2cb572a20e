//! Turns a rule into a component: the bindings of each world, generated from the contract, and the few lines between
//! the contract's columns and the row views.
//!
//! An author's crate has one line such as `tollgate_sdk::pricing_module!(crate);`, which names the module that has
//! `describe`, `Params` and the rule's function.

#[cfg(feature = "notification")]
pub mod notification;
#[cfg(feature = "pricing")]
pub mod pricing;
#[cfg(feature = "refund")]
pub mod refund;
#[cfg(feature = "threshold")]
pub mod threshold;

/// Exports the rule of a module in a world: `describe`, and the functions given here, which know the world's SDK module
/// as `sdk` and the rule as `rule`. Natively it is checked and not exported.
#[doc(hidden)]
#[macro_export]
macro_rules! export_rule {
    ($world:ident, $export:ident, $rule:path, $($answer:tt)+) => {
        #[allow(unsafe_code, reason = "the contract fixes the names of the exports")]
        #[allow(dead_code, reason = "natively nothing is exported")]
        const _: () = {
            use $crate::module::$world as sdk;
            use $rule as rule;

            struct Module;

            impl sdk::Guest for Module {
                fn describe() -> sdk::Description {
                    sdk::description(&rule::describe())
                }

                $($answer)+
            }

            #[cfg(target_arch = "wasm32")]
            sdk::bindings::$export!(Module with_types_in sdk::bindings);
        };
    };
}

/// What every world needs: conversions written once for each world's own generated types.
macro_rules! world {
    () => {
        pub use bindings::tollgate::rules::about::{Description, Value};

        use bindings::tollgate::rules::about;

        use $crate::about as rule_about;

        /// The description as the contract has it.
        #[must_use]
        pub fn description(rule: &rule_about::Description) -> about::Description {
            let reason = |reason: &rule_about::Reason| about::Reason {
                code: reason.code,
                name: reason.name.into(),
                source: match reason.source {
                    rule_about::Source::Stored => about::Source::Stored,
                    rule_about::Source::Cached => about::Source::Cached,
                    rule_about::Source::Computed => about::Source::Computed,
                    rule_about::Source::None => about::Source::None,
                },
                help: reason.help.into(),
            };
            about::Description {
                name: rule.name.into(),
                version: rule.version.into(),
                needs: about::Needs::from_bits_retain(rule.needs.0),
                params: rule.params.iter().map(param).collect(),
                reasons: rule.reasons.iter().map(reason).collect(),
                fuel_base: rule.fuel_base,
                fuel_per_item: rule.fuel_per_item,
            }
        }

        fn param(param: &rule_about::Param) -> about::Param {
            about::Param {
                name: param.name.into(),
                kind: match param.kind {
                    rule_about::Kind::Micros => about::ParamKind::Micros,
                    rule_about::Kind::RatioPpm => about::ParamKind::RatioPpm,
                    rule_about::Kind::Count => about::ParamKind::Count,
                    rule_about::Kind::Minutes => about::ParamKind::Minutes,
                    rule_about::Kind::Toggle => about::ParamKind::Toggle,
                    rule_about::Kind::Text => about::ParamKind::Text,
                },
                many: param.many,
                default: match param.default {
                    rule_about::Default::Number(number) => about::Value::Number(number),
                    rule_about::Default::Numbers(numbers) => {
                        about::Value::Numbers(numbers.to_vec())
                    }
                    rule_about::Default::Text(text) => about::Value::Text(text.into()),
                },
                lowest: param.lowest,
                highest: param.highest,
                help: param.help.into(),
            }
        }

        /// The values of the parameters, in the order of their declaration.
        #[must_use]
        pub fn given(
            rule: &rule_about::Description,
            values: Vec<about::Value>,
        ) -> rule_about::Given {
            let value = |value| match value {
                about::Value::Number(number) => rule_about::Value::Number(number),
                about::Value::Numbers(numbers) => rule_about::Value::Numbers(numbers),
                about::Value::Text(text) => rule_about::Value::Text(text),
            };
            rule_about::Given::new(rule.params, values.into_iter().map(value).collect())
        }
    };
}

/// The campaigns as a view.
#[cfg(any(feature = "pricing", feature = "threshold", feature = "refund"))]
macro_rules! campaigns {
    ($campaigns:expr) => {
        $crate::campaign::CampaignTable {
            id: &$campaigns.id,
            advertiser: &$campaigns.advertiser,
            stored_price_micros: &$campaigns.stored_price_micros,
            cached_price_micros: &$campaigns.cached_price_micros,
            balance_micros: &$campaigns.balance_micros,
        }
    };
}

/// The campaign-days as a view.
#[cfg(any(feature = "threshold", feature = "refund"))]
macro_rules! days {
    ($days:expr) => {
        $crate::day::DayTable {
            campaign: &$days.campaign,
            day: &$days.day,
            daily_budget_micros: &$days.daily_budget_micros,
            pause_from_micros: &$days.pause_from_micros,
            spent_micros: &$days.spent_micros,
            counter_micros: &$days.counter_micros,
            warned_ppm: &$days.warned_ppm,
            state: &$days.state,
        }
    };
}

#[cfg(any(feature = "pricing", feature = "threshold", feature = "refund"))]
use campaigns;
#[cfg(any(feature = "threshold", feature = "refund"))]
use days;
use world;
