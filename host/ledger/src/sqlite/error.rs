//! What a failure of SQLite means for the caller.

use crate::error::{LedgerError, client_error};

/// Sorts a failure by SQLite's result code, or as an outage when it has none.
pub(crate) fn database_error(error: sqlx::Error) -> LedgerError {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().map(|code| code.into_owned()).unwrap_or_default();
            by_code(code, error.message().to_owned())
        }
        other => client_error(&other, "path"),
    }
}

fn by_code(code: String, sentence: String) -> LedgerError {
    // The low byte is the kind of failure, the rest says more about it.
    match code.parse::<u32>().map_or(0, |code| code & 0xff) {
        // Busy, locked, interrupted.
        5 | 6 | 9 => LedgerError::Transient { sqlstate: code, sentence },
        // Permission, out of memory, read-only, input or output, corrupt, full, cannot open, no database.
        3 | 7 | 8 | 10 | 11 | 13 | 14 | 26 => LedgerError::outage(sentence),
        // Too big, constraint, mismatch, range.
        18 | 19 | 20 | 25 => LedgerError::Refused { sqlstate: code, sentence },
        _ => LedgerError::Unexpected(format!("{code}: {sentence}")),
    }
}
