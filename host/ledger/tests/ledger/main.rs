//! The ledger on both databases.

mod apply;
mod audit;
mod looks;
mod migration;
mod outage;
mod outbox;
mod progress;
mod race;
mod refunds;
mod rules;
mod support;
mod watch;
