//! The ledger on both databases.

mod apply;
mod audit;
mod outage;
mod progress;
mod race;
mod rules;
mod support;
