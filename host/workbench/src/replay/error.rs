//! What can go wrong in a replay.

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The clicks could not be read.
    #[error("the clicks cannot be read: {0}")]
    Source(String),
    #[error("the campaigns cannot be used: {0}")]
    Campaigns(String),
    #[error("the host could not run a rule: {0}; try again when the machine has less to do")]
    Host(String),
    #[error("a record of a decision cannot be used: {0}")]
    Record(String),
}

impl ReplayError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(_) => "REPLAY_SOURCE",
            Self::Campaigns(_) => "REPLAY_CAMPAIGNS",
            Self::Host(_) => "REPLAY_HOST_FAILURE",
            Self::Record(_) => "REPLAY_RECORD",
        }
    }
}
