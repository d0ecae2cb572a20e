//! The author's own commands: offline, no server.

mod make;
mod prove;

use clap::Subcommand;

pub use make::{BuildRule, Kind, Lang, NewRule};
pub use prove::{BenchRule, CheckRule, Params, RunRule, TestRule};

/// The author's own commands: offline, no server.
#[derive(Debug, Subcommand)]
pub enum Author {
    /// Make a project: a rule that builds at once, its cases, and all that is needed to build it offline.
    New(NewRule),
    /// Build a project into a module, and say whether a host would admit it. Exit code 2 when it would not.
    Build(BuildRule),
    /// Say everything that admission would say about a module. Exit code 2 when it is not admitted.
    Check(CheckRule),
    /// Run the cases of a rule by the engine that charges, compiled two ways. Exit code 2 when one fails.
    Test(TestRule),
    /// Ask a rule about events of a file, one by one, and show what each answer costs. Exit code 2 when one fails.
    Run(RunRule),
    /// Measure a rule: fuel and time a row at several batch sizes, alone or against another module.
    Bench(BenchRule),
}
