//! Exit codes, which scripts may rely on.

use std::fmt;
use std::process::ExitCode;

/// Why a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// Something failed that is not listed below; the message says what.
    Failed = 1,
    /// The command ran and found something that is not as it should be.
    Findings = 2,
    /// Wrong arguments, configuration or modules (EX_USAGE).
    Usage = 64,
    /// A server that is needed cannot be reached (EX_UNAVAILABLE).
    Unavailable = 69,
    /// The stop did not end in time, or was asked for twice, and was cut off; nothing is lost, the next start goes on.
    DrainCut = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct ExitError {
    pub exit: Exit,
    pub sentence: String,
}

impl ExitError {
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into() }
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for ExitError {}
