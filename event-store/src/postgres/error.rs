//! What an error of Postgres means for the caller: one table of SQLSTATEs, here alone.

use crate::error::StoreError;

/// The append function ran under another isolation level than read committed.
pub(crate) const WRONG_ISOLATION: &str = "DB001";

/// What follows from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It certainly changed nothing, and may succeed when sent again.
    Busy,
    /// The connection is gone: whether it changed anything is not known.
    Lost,
    /// Something in the data cannot be stored; it changed nothing.
    Data,
    /// It changed nothing and never will, whatever is sent.
    Unusable,
}

/// What a failed call means.
pub(crate) fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(database) => database.code().map_or(Meaning::Lost, |code| meaning_of_code(&code)),
        sqlx::Error::PoolTimedOut => Meaning::Busy,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Configuration(_) => Meaning::Unusable,
        sqlx::Error::Encode(_) => Meaning::Data,
        // Io, Tls, Protocol, a crashed worker: whatever was under way may have been done.
        _ => Meaning::Lost,
    }
}

fn meaning_of_code(code: &str) -> Meaning {
    match code {
        // Locks, deadlocks and serialisation; out of connections, memory or disk; a cancelled statement; cannot connect now.
        // Read-only: sessions for appends are not, so it is a standby, which may be about to be promoted.
        "55P03" | "40001" | "40P01" | "57014" | "57P03" | "25006" => Meaning::Busy,
        // The server ended the session, perhaps after the commit.
        "57P01" | "57P02" | "57P05" | "40003" => Meaning::Lost,
        // Isolation level; privileges; a function or a table that is not there.
        WRONG_ISOLATION | "42501" | "42883" | "42P01" | "3F000" => Meaning::Unusable,
        _ => match &code[..2] {
            "53" => Meaning::Busy,
            "08" | "58" | "XX" => Meaning::Lost,
            "28" | "3D" => Meaning::Unusable,
            _ => Meaning::Data,
        },
    }
}

/// The error of a read.
pub(crate) fn read_error(error: sqlx::Error) -> StoreError {
    match meaning(&error) {
        Meaning::Busy | Meaning::Lost => StoreError::Unavailable(Some(error)),
        Meaning::Unusable => match error {
            sqlx::Error::Configuration(reason) => StoreError::Unusable(reason.to_string()),
            error => StoreError::Database(error),
        },
        Meaning::Data => StoreError::Database(error),
    }
}
