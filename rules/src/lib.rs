//! The shipped rules, one file each.
//!
//! A rule is three things in one module: `describe()` says what it is, `Params` what an operator may set, and one
//! function answers one row. The SDK turns such a module into a component; `cargo xtask rules` builds it.
//! Everything here also compiles natively, so that rules are tested without any WASM.

pub mod notification;
pub mod pricing;
pub mod refund;
pub mod terse_notification;
pub mod threshold;

#[cfg(feature = "notification-module")]
tollgate_sdk::notification_module!(crate::notification);
#[cfg(feature = "pricing-module")]
tollgate_sdk::pricing_module!(crate::pricing);
#[cfg(feature = "refund-module")]
tollgate_sdk::refund_module!(crate::refund);
#[cfg(feature = "terse-notification-module")]
tollgate_sdk::notification_module!(crate::terse_notification);
#[cfg(feature = "threshold-module")]
tollgate_sdk::threshold_module!(crate::threshold);
