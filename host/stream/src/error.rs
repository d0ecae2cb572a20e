//! What can go wrong when a stream is set up or asked about.

use crate::properties::PropertyError;

/// A failure at the edge of this crate. What happens while lanes run is not an error but part of their status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("the Kafka setting `{setting}` {sentence}; correct it in the configuration")]
    Setting { setting: &'static str, sentence: String },
    #[error("{0}; remove it from the configuration")]
    Property(#[from] PropertyError),
    #[error("the topic {topic:?} does not exist; create it, or correct its name")]
    TopicMissing { topic: String },
    #[error("Kafka could not {what}: {cause}; check that the brokers run and can be reached")]
    Kafka { what: &'static str, cause: String },
    #[error("a thread could not be started: {cause}; raise the limit of processes")]
    Thread { cause: String },
}

impl StreamError {
    /// The stable name of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Setting { .. } => "SETTING_INVALID",
            Self::Property(_) => "PROPERTY_REFUSED",
            Self::TopicMissing { .. } => "TOPIC_MISSING",
            Self::Kafka { .. } => "KAFKA_UNAVAILABLE",
            Self::Thread { .. } => "THREAD_REFUSED",
        }
    }

    pub(crate) fn kafka(what: &'static str, cause: impl ToString) -> Self {
        Self::Kafka { what, cause: cause.to_string() }
    }
}
