//! The way of a click through this process: slices from the lanes, facts, rules, the plan, the ledger.

pub mod breaker;
pub mod clock;
pub mod gather;
pub mod hints;
pub mod recovery;
pub mod spend;
pub mod stats;
pub mod trial;
pub mod valve;
pub mod writer;
