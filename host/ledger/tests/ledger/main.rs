//! The ledger on both databases.

mod apply;
mod audit;
mod audit_parts;
mod days;
mod decisions;
mod looks;
mod migration;
mod outage;
mod outbox;
mod past;
mod plans_of_queries;
mod progress;
mod race;
mod refunds;
mod registry;
mod replays;
mod retired_watch;
mod rules;
mod statement;
mod support;
mod trials;
mod watch;
