//! The guest SDK and the shipped rules, one file each.
//!
//! A rule is three things in one module: `describe()` says what it is, `Params` what an operator may set, and one
//! function answers one row. `sdk::module` turns such a module into a component; `cargo xtask rules` builds it.
//! Everything here also compiles natively, so that rules are tested without any WASM.

pub mod sdk;

pub mod notification;
pub mod pricing;
pub mod refund;
pub mod terse_notification;
pub mod threshold;

#[cfg(feature = "notification-module")]
notification_module!(crate::notification);
#[cfg(feature = "pricing-module")]
pricing_module!(crate::pricing);
#[cfg(feature = "refund-module")]
refund_module!(crate::refund);
#[cfg(feature = "terse-notification-module")]
notification_module!(crate::terse_notification);
#[cfg(feature = "threshold-module")]
threshold_module!(crate::threshold);
