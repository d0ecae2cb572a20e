//! The command line of rules: for authors, for replays of clicks, for the registry, for trials.

pub mod author;
pub mod registry;
pub mod replay;
pub mod trial;

use clap::Subcommand;

/// Everything about rules.
#[derive(Debug, Subcommand)]
pub enum Rule {
    #[command(flatten)]
    Author(author::Author),
    #[command(flatten)]
    Replay(replay::Replay),
    #[command(flatten)]
    Registry(registry::Registry),
    #[command(flatten)]
    Trial(trial::Trial),
}
