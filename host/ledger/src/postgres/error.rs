//! What a failure of Postgres means for the caller.

use crate::error::{LedgerError, client_error};

/// Sorts a failure by its SQLSTATE, or as an outage when the server gave none.
pub(crate) fn database_error(error: sqlx::Error) -> LedgerError {
    match error {
        sqlx::Error::Database(error) => {
            let state = error.code().map(|code| code.into_owned()).unwrap_or_default();
            let sentence = error.message().to_owned();
            // Only bounds of partitions are checked without the name of a constraint: the row's day got a partition of
            // its own while it was on its way into another one.
            if state == "23514" && error.constraint().is_none() {
                return LedgerError::Transient { sqlstate: state, sentence };
            }
            by_state(state, sentence)
        }
        other => client_error(&other, "URL"),
    }
}

fn by_state(state: String, sentence: String) -> LedgerError {
    match state.as_str() {
        "TG001" => LedgerError::Fenced(sentence),
        "TG002" => LedgerError::GenerationChanged { active: sentence.parse().unwrap_or(0) },
        "TG003" => LedgerError::Stale(sentence),
        "40001" | "40P01" | "55P03" | "57014" => {
            LedgerError::Transient { sqlstate: state, sentence }
        }
        "40003" => LedgerError::Outage { outcome_unknown: true, sentence },
        "25006" | "25P03" => LedgerError::outage(sentence),
        "3D000" => LedgerError::Address(sentence),
        _ => by_class(state, sentence),
    }
}

fn by_class(state: String, sentence: String) -> LedgerError {
    match state.get(..2).unwrap_or_default() {
        // 54 is a limit of the program, such as a key that is too long for an index.
        "22" | "23" | "54" => LedgerError::Refused { sqlstate: state, sentence },
        "08" | "53" | "57" | "58" => LedgerError::outage(sentence),
        "28" => LedgerError::Address(sentence),
        _ => LedgerError::Unexpected(format!("{state}: {sentence}")),
    }
}
