//! The binary `tollgate`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

use tollgate::exit::{Exit, ExitError};
use tollgate::{cli, commands};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // A closed pipe is no reason to fail.
            let _printed = error.print();
            return exit.into();
        }
    };
    // One TLS implementation for the whole process, before anything can ask for it.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    match commands::execute(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            let exit = error.downcast_ref::<ExitError>().map_or(Exit::Failed, |error| error.exit);
            exit.into()
        }
    }
}
