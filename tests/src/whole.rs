//! The whole system: the shop's traffic, the host, Flink beside it, and what comes of it.

pub mod expected;
pub mod traffic;
