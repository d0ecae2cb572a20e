//! The whole system: the shop's traffic, the host, Flink beside it, and what has to come of it.

pub mod closed_loop;
pub mod expected;
pub mod foreground;
pub mod found;
pub mod judge;
pub mod system;
pub mod traffic;
