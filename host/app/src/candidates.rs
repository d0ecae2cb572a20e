//! Candidates before they are activated: which rules are compared, and where the clicks of a replay come from.

mod beginning;
pub mod history;
mod rules;
mod topic;

pub use beginning::LedgerBeginning;
pub use history::History;
pub use rules::{Asked, Sides};
pub use topic::TopicRecords;
